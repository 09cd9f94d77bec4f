"""What tasks print becomes lines of the log, each with its task."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from raftwork import logs
from raftwork.worker.last_lines import LOG_BYTES_MAX
from raftwork.worker.pool.captured_output import merged
from raftwork.worker.pool.output_pipes import LINE_BYTES_MAX, PrintedLines
from raftwork.worker.pool.process import ProcessPool
from raftwork.worker.task_lines import BEGINNING
from raftwork.worker.task_logs import keep_last_lines
from tests.unit.worker.pool.drive import collect, failure, job, until, until_running, value

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


# ---- lines ---------------------------------------------------------------------------------------


def test_a_line_is_the_tasks_that_printed_it() -> None:
    lines = PrintedLines()
    assert list(lines.feed(b"hook\n\x00\x1e7\none\ntwo\n\nthr")) == [
        (0, "hook"),
        (7, "one"),
        (7, "two"),
    ]
    assert list(lines.feed(b"ee\r\nfour\x00\x1e8\nfive\n")) == [
        (7, "three"),
        (7, "four"),
        (8, "five"),
    ]
    assert list(lines.feed(b"six\x00\x1e9\n\x00\x1e10\nseven")) == [(8, "six")]
    assert list(lines.end()) == [(10, "seven")]
    assert list(lines.end()) == []


@pytest.mark.parametrize("cut", range(1, 12))
def test_it_does_not_matter_how_the_bytes_come(cut: int) -> None:
    data, lines = b"a\x00\x1e12\nb\nc\x00\x1e3\n\xffd\n", PrintedLines()
    parts = [data[at : at + cut] for at in range(0, len(data), cut)]
    found = [told for part in parts for told in lines.feed(part)]
    assert found == [(0, "a"), (12, "b"), (12, "c"), (3, "\ufffdd")]


def test_what_has_no_end_is_cut() -> None:
    lines = PrintedLines()
    found = [each for _ in range(100) for each in lines.feed(b"\x00\x1e" + b"x" * 1_000)]
    assert {len(text) for _, text in found} == {LINE_BYTES_MAX}
    assert len(found) > 10
    assert len(lines._rest) <= 2 * LINE_BYTES_MAX


def test_what_was_logged_and_what_was_printed_is_in_the_order_of_time() -> None:
    logged = (
        "2026-11-29T10:00:00.100Z INFO a: one\nmore of it\n2026-11-29T10:00:00.300Z INFO a: three"
    )
    printed = ["2026-11-29T10:00:00.200Z two", "2026-11-29T10:00:00.400Z four"]
    texts = [line.split()[-1] for line in merged(logged, printed).splitlines()]
    assert texts == ["one", "it", "two", "three", "four"]
    assert merged("", printed) == "\n".join(printed)
    many = [f"2026-11-29T10:00:00.{n + 400}Z {'x' * 100}" for n in range(100)]
    assert len(merged(logged, many)) <= LOG_BYTES_MAX
    assert merged(logged, many).endswith(many[-1])


# ---- a pool --------------------------------------------------------------------------------------


def talk() -> str:
    print("by print")
    print("to stderr", file=sys.stderr)
    os.write(1, b"to the descriptor\n")
    subprocess.run(["echo", "by a program"], check=True)
    print("without an end", end="")
    return "done"


def fail() -> None:
    logging.getLogger("shop").warning("logged")
    print("printed")
    raise ValueError("no")


def die() -> None:
    print("last words")
    os.kill(os.getpid(), signal.SIGKILL)


def flood() -> int:
    for number in range(5_000):
        print(number, "x" * 50)
    return os.getpid()


def shut() -> None:
    os.close(1)


def wait() -> None:
    print("begun")
    signal.pause()


REGISTRY: dict[str, Callable[..., object]] = {
    each.__name__: each for each in (talk, fail, die, flood, shut, wait)
}


@pytest.fixture
def pool(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ProcessPool]:
    for number, name in ((1, "stdout"), (2, "stderr")):  # in place of pytest's
        stream = logs._unfailing(number, None)
        stream.reconfigure(line_buffering=True)
        monkeypatch.setattr(sys, name, stream)
    make = logging.getLogRecordFactory()
    keep_last_lines()
    caplog.set_level(logging.INFO, "raftwork.worker.output")
    pool = ProcessPool(REGISTRY, "w1", 1, capture=True)
    yield pool
    pool.close()
    logging.setLogRecordFactory(make)


def printed(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [each for each in caplog.records if each.name == "raftwork.worker.output"]


def test_all_that_a_task_prints_is_there_with_its_outcome(
    pool: ProcessPool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.start([job(1, "talk")])
    assert value(collect(pool, 1)[1]) == "done"
    records = printed(caplog)
    assert [each.getMessage() for each in records] == [
        "by print",
        "to stderr",
        "to the descriptor",
        "by a program",
        "without an end",
    ]
    expected = {"task_id": "id1", "task": "talk", "queue": "default", "attempt": 1}
    for each in records:
        assert vars(each).items() >= (expected | {"token": 1, "worker": "w1", "fold": ""}).items()


def test_it_is_among_the_last_lines_of_a_failure(pool: ProcessPool) -> None:
    pool.start([job(1, "fail"), job(2, "fail")])
    for end in collect(pool, 2).values():
        lines = [line.split(" ", 1)[1] for line in failure(end).log.splitlines()]
        assert lines == ["WARNING shop: logged", "INFO raftwork.worker.output: printed"]


def test_a_process_that_is_killed_has_left_its_last_words(
    pool: ProcessPool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.start([job(1, "die")])
    assert collect(pool, 1)[1].outcome.loss is not None
    (record,) = printed(caplog)
    assert (record.getMessage(), vars(record)["task_id"]) == ("last words", "id1")


def test_a_flood_holds_up_its_own_task_alone(
    pool: ProcessPool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.start([job(1, "flood"), job(2, "talk")])
    assert value(collect(pool, 2)[2]) == "done"
    by_task: dict[str, int] = {}
    for each in printed(caplog):
        task = vars(each)["task_id"]
        by_task[task] = by_task.get(task, 0) + 1
    assert by_task == {"id1": 5_000, "id2": 5}


def test_a_task_that_closes_its_output_costs_the_next_one_nothing_else(pool: ProcessPool) -> None:
    pool.start([job(1, "shut")])
    collect(pool, 1)
    pool.start([job(2, "fail")])
    assert failure(collect(pool, 1)[2]).type == "ValueError"


def test_what_runs_can_be_followed(pool: ProcessPool) -> None:
    pool.start([job(1, "wait")])
    until_running(pool, 1)
    until(lambda: bool(pool.collect() or pool.notes.lines(1, BEGINNING).lines), "it prints")
    found = pool.notes.lines(1, BEGINNING)
    assert [line.data for line in found.lines] == [b"begun"]
    assert pool.notes.lines(1, found.read).lines == []
