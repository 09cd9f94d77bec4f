"""Lines of the log: what is in them, what is folded, and that writing them never waits or fails."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from raftwork import logs
from raftwork.logs import LINES_MAX, WINDOW_S, Folding, Handler


class Reader:
    """What a handler wrote to a pipe in place of stderr."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._out, self.into = os.pipe()
        os.set_blocking(self._out, False)
        patch.setattr(logs, "_written", logs._Written(to=self.into))

    def lines(self) -> list[str]:
        try:
            return os.read(self._out, 1 << 20).decode().splitlines()
        except BlockingIOError:
            return []

    def leave(self) -> None:
        os.close(self._out)


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.setattr(logs, "_speaker", logs._Speaker("a", 3))
    reader = Reader(monkeypatch)
    yield reader
    os.close(reader.into)


def record(
    text: str, *args: object, name: str = "raftwork.broker", **extra: object
) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, "", 0, text, args, None)
    made.created = 0.0
    vars(made).update(extra)
    return made


def texts(records: Iterator[logging.LogRecord]) -> list[str]:
    return [each.getMessage() for each in records]


# ---- lines -------------------------------------------------------------------------------------


def test_a_line_says_when_how_bad_who_and_in_which_epoch(stderr: Reader) -> None:
    Handler().handle(record("worker %s joined", "w1"))
    assert stderr.lines() == [
        "1970-01-01T00:00:00.000Z WARNING a epoch=3 raftwork.broker: worker w1 joined"
    ]


def test_a_worker_is_in_no_epoch(stderr: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_speaker", logs._Speaker())
    logs.speak_for("w1")
    Handler().handle(record("x", name="app"))
    assert stderr.lines() == ["1970-01-01T00:00:00.000Z WARNING w1 app: x"]


def test_json_is_an_object_a_line_with_every_value_apart(stderr: Reader) -> None:
    handler = Handler(json_lines=True)
    handler.handle(record("worker %s joined", "w\n1", fields={"worker": "w\n1", "slots": 4}))
    (line,) = stderr.lines()
    assert json.loads(line) == {
        "ts": "1970-01-01T00:00:00.000Z",
        "level": "warning",
        "logger": "raftwork.broker",
        "node": "a",
        "epoch": 3,
        "message": "worker w\n1 joined",
        "fields": {"worker": "w\n1", "slots": 4},
    }


def test_what_a_task_adds_is_a_field_even_if_it_is_not_json(stderr: Reader) -> None:
    handler = Handler(json_lines=True)
    handler.handle(record("x", name="app", order=7, ratio=float("nan"), odd={(1, 2): "\ud800"}))
    (line,) = stderr.lines()
    fields = json.loads(line)["fields"]
    assert fields == {"order": "7", "ratio": "nan", "odd": "{(1, 2): '\\ud800'}"}


@pytest.mark.parametrize(
    "text", ["\n2026 INFO a: forged", "\x1b[2J", "\r", "\u2028", "\u202e", "\x85"]
)
def test_control_characters_are_shown_and_not_obeyed(stderr: Reader, text: str) -> None:
    Handler().handle(record("%s says hello", f"b{text}"))
    (line,) = stderr.lines()
    assert line.isprintable()
    assert line.endswith(" says hello")


def test_every_line_of_a_traceback_is_marked(stderr: Reader) -> None:
    made = record("x")
    error = ValueError("1\n1970-01-01T00:00:00.000Z INFO a: forged")
    made.exc_info = (ValueError, error, None)
    Handler().handle(made)
    lines = stderr.lines()
    assert lines[-1] == "  | 1970-01-01T00:00:00.000Z INFO a: forged"
    assert all(line.startswith("  | ") for line in lines[1:])
    Handler(json_lines=True).handle(made)
    assert "ValueError" in json.loads(stderr.lines()[0])["exception"]


def test_a_call_whose_arguments_do_not_fit_is_a_line_too(stderr: Reader) -> None:
    Handler().handle(record("%d tasks", "many"))
    assert stderr.lines()[0].endswith("%d tasks (its arguments do not fit)")


class Mute:
    """A value of a task's that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def nested() -> list[object]:
    made: list[object] = []
    for _ in range(100_000):
        made = [made]
    return made


@pytest.mark.parametrize("json_lines", [False, True])
@pytest.mark.parametrize(
    "made",
    [
        record(Mute(), name="tasks"),  # type: ignore[arg-type]
        record("%s", Mute(), name="tasks"),
        record("said", name="tasks", mute=Mute()),
        record("said", name="tasks", fields=["not", "ours"]),
        record("said", name="tasks", deep=nested()),
        record("said", name="tasks", keys={(1, 2): {(3, 4): float("nan")}}),
        record("said", name="tasks", number=float("inf"), raw=b"\xff"),
    ],
    ids=["message", "argument", "extra", "fields", "deep", "keys", "values"],
)
def test_no_value_of_a_tasks_makes_its_logging_fail(
    stderr: Reader, made: logging.LogRecord, json_lines: bool
) -> None:
    """It raised in the task, which then had failed."""
    Handler(json_lines=json_lines).handle(made)
    (line,) = stderr.lines()
    if json_lines:
        assert json.loads(line)["logger"] in ("tasks", "raftwork.log")


def test_json_holds_nothing_that_a_terminal_obeys_or_that_ends_a_line(stderr: Reader) -> None:
    text = "a\x9b31m\x7f\u2028\x85\u202e\udcff\U000e0001é"
    Handler(json_lines=True).handle(record(text, extra_of_mine=text))
    (line,) = stderr.lines()
    assert line.isprintable()
    assert "é" in line
    document = json.loads(line)
    assert (document["message"], document["fields"]["extra_of_mine"]) == (text, text)


# ---- folding -----------------------------------------------------------------------------------


def test_repeats_are_counted_and_told_once_a_window() -> None:
    folding = Folding()
    assert texts(folding.admit(record("%d refused", 1), 0.0)) == ["1 refused"]
    for n in range(37):
        assert texts(folding.admit(record("%d refused", 1), n / 2)) == []
    assert texts(folding.admit(record("another"), 1.0)) == ["another"]
    assert texts(folding.due(WINDOW_S - 0.1)) == []
    assert texts(folding.due(WINDOW_S)) == ["1 refused (repeated 37 times in 60 s)"]
    assert texts(folding.admit(record("%d refused", 1), WINDOW_S + 1)) == ["1 refused"]


def test_what_did_not_come_again_is_not_told_again() -> None:
    folding = Folding()
    assert texts(folding.admit(record("x"), 0.0)) == ["x"]
    assert texts(folding.due(WINDOW_S)) == []
    assert texts(folding.admit(record("x"), WINDOW_S)) == ["x"]


def test_lines_that_strangers_vary_are_folded_by_their_kind() -> None:
    folding = Folding()
    said = [texts(folding.admit(record("%s?", n, **logs.alike("hello")), 0.0)) for n in range(100)]
    assert said == [["0?"], *[[]] * 99]
    assert texts(folding.rest(5.0)) == ["99? (99 more like this in 5 s)"]


def test_what_is_to_be_told_each_time_is() -> None:
    folding = Folding()
    for _ in range(3):
        assert texts(folding.admit(record("waiting", **logs.UNFOLDED), 0.0)) == ["waiting"]


def test_what_tasks_log_is_not_folded() -> None:
    folding = Folding()
    for name in ("app", "root", "raftworkers"):
        for _ in range(3):
            assert texts(folding.admit(record("done", name=name), 0.0)) == ["done"]


def test_it_never_grows_without_bound_and_never_holds_up_a_new_line() -> None:
    folding = Folding()
    assert texts(folding.admit(record("first"), 0.0)) == ["first"]
    assert texts(folding.admit(record("first"), 0.0)) == []
    told: list[str] = []
    for n in range(LINES_MAX * 3):
        now = texts(folding.admit(record(str(n)), 1.0))
        assert now[0] == str(n)
        told += now[1:]
    assert told == ["first (repeated 1 time in 1 s)"]
    assert len(folding._runs) == LINES_MAX


def test_counts_are_written_when_time_passes_and_at_the_end(stderr: Reader) -> None:
    handler = Handler()
    for _ in range(3):
        handler.handle(record("x"))
    handler.pass_time()
    assert len(stderr.lines()) == 1
    handler.close()
    assert stderr.lines()[0].endswith("x (repeated 2 times in 1 s)")


# ---- a log that cannot be written ----------------------------------------------------------------


def test_a_pipe_that_is_not_read_loses_lines_and_says_how_many(stderr: Reader) -> None:
    handler = Handler()
    written = 0
    for n in range(5_000):
        handler.handle(record("%d %s", n, "x" * 100))  # would wait for ever, if it waited
    written = len(stderr.lines())
    assert 0 < written < 5_000
    handler.handle(record("read again"))
    note, line = stderr.lines()
    assert f"{5_000 - written} lines of this log could not be written" in note
    assert line.endswith("read again")


def test_what_was_written_in_part_does_not_spoil_the_next_line(stderr: Reader) -> None:
    """As when the disk is full: the rest of a line is lost, and what follows was put behind it."""
    handler = Handler(json_lines=True)
    handler.handle(record("x" * 1_000_000))
    assert len(stderr.lines()) == 1
    handler.handle(record("after"))
    rest, note, line = stderr.lines()
    assert rest == ""
    assert json.loads(note)["message"] == "1 line of this log could not be written"
    assert json.loads(line)["message"] == "after"


def test_a_pipe_whose_reader_is_gone_is_no_error(stderr: Reader) -> None:
    stderr.leave()
    handler = Handler()
    for n in range(3):
        handler.handle(record(str(n)))
    handler.close()


def test_what_is_printed_beside_the_log_fails_nothing_either() -> None:
    program = (
        "import sys; from raftwork import logs; logs.start()\n"
        "print('out'); print('err', file=sys.stderr); sys.stdout.flush(); sys.stderr.flush()\n"
        "logs.say('listening')"
    )
    for streams in (">/dev/full 2>/dev/full", "<&- >&- 2>&-", ">&- 2>/dev/full"):
        line = f'exec "{sys.executable}" -c "$PROGRAM" {streams}'
        done = subprocess.run(["bash", "-c", line], env={**os.environ, "PROGRAM": program})
        assert done.returncode == 0, streams


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_streams_are_written_as_the_environment_says(unbuffered: str) -> None:
    """Containers set PYTHONUNBUFFERED so that prints are seen when they are made."""
    program = (
        "import os; from raftwork import logs; logs.start()\n"
        "print('grüß', flush=False); os.write(1, b'|'); print('x')"
    )
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "PYTHONIOENCODING": "latin-1:replace"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True)
    said = "grüß\n".encode("latin-1")
    assert done.stdout == (said + b"|x\n" if unbuffered else b"|" + said + b"x\n")


@pytest.mark.parametrize("root", ["", "'root': {'handlers': ['own']}"])
def test_a_program_that_sets_up_its_own_logging_does_not_silence_ours(root: str) -> None:
    """X5: `disable_existing_loggers`, the default, took the worker's log away."""
    program = (
        "import logging.config; from raftwork import logs; logs.start()\n"
        "ours = logging.getLogger('raftwork.worker')\n"
        "handler = {'class': 'logging.StreamHandler'}\n"
        f"logging.config.dictConfig({{'version': 1, 'handlers': {{'own': handler}}, {root}}})\n"
        "logs.speak_on()\n"
        "ours.warning('task t failed')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "task t failed" in done.stderr
