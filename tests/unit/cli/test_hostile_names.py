"""Names and texts that would do something to a terminal are shown, and do nothing (F11)."""

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn, Self

import pytest
from click.testing import CliRunner, Result

import raftwork.cli
from raftwork import RaftworkError, Status, TaskFailed, TaskLost, Unavailable, UnknownTask
from raftwork.cli import chaos, cluster, demo, main
from raftwork.cli.demo.run import Counts
from raftwork.client.events import Event
from raftwork.client.limits import Limit
from raftwork.client.live_log import LiveEvent
from raftwork.client.overview import overview
from raftwork.client.run_info import Attempt, Found, Progress, Reason, Report, RunInfo
from raftwork.errors import UnknownWorker, Unsupported
from raftwork.features.queue_settings import QueueSettings, changes
from raftwork.messages import BrokerStatus, QueueStatus, WorkerStatus
from tests.unit.cli.crowded import DEAD, REPORT

#: Colours, clears the screen, rings, goes back and up, turns the line around, hides; and what rich
#: would make a colour and a picture of.
HOSTILE = "x\x1b[31m\x9b2J\x07\r\n\u202egnp\u2066\u200b\u2028[red]:bug:"
SHOWN = r"x\x1b[31m\x9b2J\x07\r\n\u202egnp\u2066\u200b\u2028[red]:bug:"

WORKER = WorkerStatus(HOSTILE, HOSTILE, 1, 2, 1, 1.0, 0.1, 0.1, [HOSTILE], "lost", HOSTILE)
QUEUE = QueueStatus(HOSTILE, 3, 0, 0, 0, 0, 7, changes(balancer=HOSTILE, max_length=1))
BROKER = BrokerStatus(
    *(1, HOSTILE, HOSTILE, HOSTILE, HOSTILE, True, 3, HOSTILE, 1, 1),
    *([WORKER], [QUEUE], ((HOSTILE, HOSTILE),), (), HOSTILE),
)
SEEN = overview({HOSTILE: BROKER, "h:2": None})
TASK = replace(DEAD[0], id=HOSTILE, name=HOSTILE, queue=HOSTILE, error=HOSTILE, retried_as=HOSTILE)
LIMIT = Limit(HOSTILE, 1, HOSTILE, 1, HOSTILE, False, None, 0, 0)
LOSS = REPORT.losses[0]._replace(worker=HOSTILE)
DEAD_REPORT = replace(
    REPORT,
    task=TASK,
    traceback=f"Traceback\n\tat {HOSTILE}",
    kwargs={HOSTILE: HOSTILE},
    losses=[LOSS],
)


EVENT = Event(
    cursor=HOSTILE,
    kind=HOSTILE,
    at=datetime.now(UTC),
    id=HOSTILE,
    queue=HOSTILE,
    name=HOSTILE,
    worker=HOSTILE,
    attempt=1,
    due=None,
    run=None,
    text=HOSTILE,
)
INFO = RunInfo(
    id=HOSTILE,
    name=HOSTILE,
    queue=HOSTILE,
    status=Status.QUEUED,
    attempts=[Attempt(HOSTILE, None, None, HOSTILE)],
    enqueued=None,
    tags={HOSTILE: HOSTILE},
    key=HOSTILE,
    priority=1,
    tenant=HOSTILE,
    due=None,
    ended=None,
    hand_outs=1,
    failures=0,
    losses=0,
    waits=[Reason("busy", HOSTILE)],
    progress=Progress(0.5, HOSTILE, datetime.now(UTC)),
    number=1,
)
TASK_REPORT = Report(
    *(INFO, [HOSTILE], {HOSTILE: HOSTILE}, None, f"Traceback\n\tat {HOSTILE}", HOSTILE, HOSTILE)
)


class HostileRun:
    id = HOSTILE
    existing = True

    def __init__(self, error: Exception, state: Status = Status.QUEUED) -> None:
        self._error, self._state = error, state

    def status(self) -> Status:
        return self._state

    def report(self) -> Report:
        return TASK_REPORT

    def result(self, timeout: float | None) -> NoReturn:
        assert timeout != 0
        raise self._error

    def tail(self, **_: object) -> list[LiveEvent]:
        kinds = ("started", "log", "progress", "gap", "ended")
        return [LiveEvent(kind, None, HOSTILE, 1, HOSTILE, 0.5) for kind in kinds]


class HostileApp:
    """Answers every question with something hostile."""

    def __init__(self, error: Exception | None = None, state: Status = Status.QUEUED) -> None:
        self._run = HostileRun(error or TimeoutError(), state)
        self._error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def dead(self, queue: str | None = None) -> SimpleNamespace:
        tasks = [] if queue else [TASK]
        return SimpleNamespace(
            list=lambda *_, **__: tasks,
            show=lambda _: DEAD_REPORT,
            retry=lambda *_: [self._run],
        )

    def queue(self, name: str) -> SimpleNamespace:
        balancer = HOSTILE if name == "set" else None
        settings = QueueSettings(balancer=balancer)
        return SimpleNamespace(settings=lambda: settings, set=lambda **_: None)

    @property
    def limits(self) -> SimpleNamespace:
        return SimpleNamespace(
            list=lambda: [LIMIT],
            get=lambda _: LIMIT,
            pause=lambda *_: None,
            delete=lambda _: False,
        )

    def call(self, _request: object, _reply: object) -> NoReturn:
        raise Unsupported(f"broker {HOSTILE} does not answer")

    def drain(self, name: str) -> None:
        if isinstance(self._error, RaftworkError):
            raise UnknownWorker(f"no worker is called {name}")

    def run(self, _id: str) -> HostileRun:
        return self._run

    def runs(self, **_: object) -> Found:
        return Found([INFO])

    def events(self, *_: object, **__: object) -> list[Event]:
        return [EVENT]

    def named(self, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(enqueue=self._enqueue)

    def _enqueue(self, *_: object, **__: object) -> HostileRun:
        if isinstance(self._error, Unavailable):
            raise self._error
        return self._run


Invoke = Callable[..., Result]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run a command against the hostile cluster."""

    def run(*arguments: str, app: HostileApp | None = None) -> Result:
        for name in ("cli.status", "cli.queue", "cli.drain", "client.overview", "cli.upgrade"):
            monkeypatch.setattr(f"raftwork.{name}.observe", lambda *_: SEEN)
        monkeypatch.setattr(cluster, "connect", lambda *_: app or HostileApp())
        return CliRunner().invoke(main, arguments, prog_name="raftwork")

    return run


def check(done: Result, code: int = 0, *, shown: str = SHOWN) -> None:
    assert done.exit_code == code, done.output
    unseen = {c for c in done.output if not c.isprintable()} - {"\n", "\t"}
    assert not unseen, done.output
    assert shown in done.output
    if "Traceback" not in done.output:  # which has lines of its own
        assert not any(line.startswith(r"\u202e") for line in done.output.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("status",), 0),
        (("upgrade", "status"), 0),
        (("upgrade", "finish"), 1),
        (("queue", "list"), 0),
        (("queue", "show", "set"), 0),
        (("queue", "show", "nosuch"), 1),
        (("queue", "show", f"no{HOSTILE}"), 1),
        (("queue", "set", f"no{HOSTILE}", "--max-length", "1"), 0),
        (("limit", "list"), 0),
        (("limit", "show", "x"), 0),
        (("limit", "pause", HOSTILE), 0),
        (("limit", "delete", HOSTILE), 1),
        (("limit", "set", "x", "--rate", HOSTILE), 2),
        (("cluster", "set", f"no{HOSTILE}=1"), 2),
        (("cluster", "set", f"dead={HOSTILE}"), 2),
        (("dead", "list"), 0),
        (("dead", "list", "--queue", HOSTILE), 0),
        (("dead", "show", "x"), 0),
        (("dead", "retry", "x"), 0),
        (("enqueue", "t"), 0),
        (("show", "x"), 0),
        (("tasks",), 0),
        (("events",), 0),
        (("logs", "x"), 0),
        (("tasks", "--state", "running", "--tag", f"{HOSTILE}=1"), 0),
        (("enqueue", "t", "--wait", "--queue", f"no{HOSTILE}", "--timeout", "9"), 1),
    ],
)
def test_what_a_cluster_answers_is_shown_and_does_nothing(
    arguments: tuple[str, ...], code: int, invoke: Invoke
) -> None:
    check(invoke(*arguments), code)


@pytest.mark.parametrize("arguments", [("drain", HOSTILE), ("drain", HOSTILE, "--wait")])
def test_a_workers_name_is_shown(arguments: tuple[str, ...], invoke: Invoke) -> None:
    waits = "--wait" in arguments
    done = invoke(*arguments, app=HostileApp(None if waits else UnknownTask("as asked")))
    check(done, 0 if waits else 1)


@pytest.mark.parametrize(
    "error",
    [
        TaskFailed("E", HOSTILE, f"Traceback\n{HOSTILE.replace(chr(10), '')}"),
        TaskFailed("E", HOSTILE.replace("\n", ""), ""),
        TaskLost(HOSTILE),
        UnknownTask(HOSTILE),
        Unavailable(HOSTILE, ("i",)),
    ],
    ids=["failed", "failed without a traceback", "lost", "unknown", "unavailable"],
)
@pytest.mark.parametrize("command", ["result", "enqueue"])
def test_an_outcomes_text_is_shown(command: str, error: Exception, invoke: Invoke) -> None:
    app = HostileApp(error, Status.FAILED)
    arguments = ("result", "x", "--wait") if command == "result" else ("enqueue", "t", "--wait")
    done = invoke(*arguments, app=app)
    assert done.exit_code == 1
    assert not {c for c in done.output if not c.isprintable()} - {"\n"}, done.output
    assert r"x\x1b[31m\x9b2J\x07\r" in done.output
    assert r"\u202egnp\u2066\u200b\u2028[red]:bug:" in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        (f"no{HOSTILE}",),
        (f"--{HOSTILE}",),
        ("enqueue", "t", f"--{HOSTILE}"),
        ("enqueue", "t", "--kwargs", HOSTILE),
        ("enqueue", HOSTILE * 20),
        ("enqueue", "t\udcff"),
        ("status", "--brokers", HOSTILE),
        ("worker", HOSTILE),
        ("worker", f"{HOSTILE}:app"),
        ("worker", "t:app", "--name", HOSTILE),
        ("worker", "t:app", "--queues", f"a,{HOSTILE}\n"),
        ("broker", "--name", HOSTILE, "--cluster", "a=127.0.0.1:1", "--data", "/nonexistent/x"),
        ("broker", "--name", "a", "--cluster", f"a={HOSTILE}", "--data", "/nonexistent/x"),
        ("demo", "--consensus", HOSTILE),
        ("chaos", "--kill", HOSTILE),
    ],
)
def test_what_was_typed_wrongly_is_shown(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A queue may be called so: the worker goes on until its module is not found. What it does to
    # its process until then is not to be done to this one.
    for name in ("leave_when_told", "start_logging", "divide_process_one"):
        monkeypatch.setattr(f"raftwork.cli.worker.{name}", lambda: None)
    done = CliRunner().invoke(main, arguments, prog_name="raftwork")
    assert done.exit_code in (1, 2), done.output
    assert isinstance(done.exception, SystemExit), done.exception
    assert not {c for c in done.output if not c.isprintable()} - {"\n"}, done.output


def test_the_verdicts_show_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    demo._print(Counts(idle_kills=[HOSTILE]))
    verdict = SimpleNamespace(findings={"lost": [HOSTILE]})
    report = SimpleNamespace(troubles=[HOSTILE], verdict=verdict)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raftwork.chaos.report.rows", lambda _: [(HOSTILE, HOSTILE)])
        chaos._show(report, as_json=False)  # type: ignore[arg-type]
    said = capsys.readouterr()
    assert said.err.count(SHOWN) == 3
    assert said.out.count(SHOWN) == 2
    assert not {c for c in said.out + said.err if not c.isprintable()} - {"\n"}


@pytest.mark.parametrize("arguments", [("status",), ("queue", "list"), ("dead", "list")])
def test_json_stays_the_same_document(arguments: tuple[str, ...], invoke: Invoke) -> None:
    printed = invoke(*arguments, "--json").stdout
    assert printed.count("\n") == 1
    assert printed[:-1].isprintable()
    said = json.loads(printed)
    names = {
        "status": lambda: [said["workers"][0]["name"], *said["queues"]],
        "queue": lambda: [*said],
        "dead": lambda: [said[0]["error"], said[0]["id"]],
    }[arguments[0]]()
    assert set(names) == {HOSTILE}


def test_every_command_is_among_these() -> None:
    # A new command goes through what prints here, and into the tests above.
    assert set(main.commands) == {
        *("broker", "worker", "enqueue", "result", "queue", "dead", "drain", "status", "demo"),
        *("upgrade", "cluster", "chaos", "cancel", "show", "tasks", "limit", "flow", "schedule"),
        *("keys", "audit", "check", "doctor", "dev", "k8s", "events"),
        *("dashboard", "dashboard-token", "top", "mark", "logs"),
    }


def test_only_one_module_prints() -> None:
    root = Path(raftwork.cli.__file__).parent
    prints = {"echo", "secho", "print", "Console", "print_exception"}
    # The processes of a trial write their histories, which no terminal sees.
    modules = [p for p in root.rglob("*.py") if p.parent.name != "trial" and p.name != "output.py"]
    found = [
        f"{path.name}:{node.lineno}"
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in prints
        and "bar.console" not in ast.unparse(node.func)  # through visible_lines, see there
    ]
    assert len(modules) > 10
    assert not found
