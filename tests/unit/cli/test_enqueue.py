"""`raftwork enqueue`: whatever ends it early, the id is told (F12); what is refused says why."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Self

import pytest
from click.testing import CliRunner, Result

import raftwork.client.overview
from raftwork import App, Status, Unavailable
from raftwork.cli import cluster, main
from raftwork.cli.signals import Told
from raftwork.client.overview import Overview, overview
from raftwork.features.flow_graph import BroadcastKind, decode_graph
from raftwork.features.flows import SubmitFlow
from raftwork.messages import decode_spec
from tests.unit.cli.crowded import SEEN


class FakeApp:
    """`enqueue` and the wait for a result each do what they are told to."""

    def __init__(
        self, enqueue: BaseException | None, wait: BaseException, state: Status = Status.QUEUED
    ) -> None:
        self._error, self._wait, self._state = enqueue, wait, state
        self._id = ""
        self.args: tuple[object, ...] = ()
        self.options: dict[str, object] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def named(self, _name: str, *, id: str, **options: object) -> Self:  # noqa: A002
        assert options["queue"]
        assert options.get("unique") is None
        self._id, self.options = id, options
        return self

    def enqueue(self, *args: object) -> SimpleNamespace:
        self.args = args
        if self._error is not None:
            raise self._error
        return SimpleNamespace(
            id=self._id, existing=False, result=self._result, status=lambda: self._state
        )

    def _result(self, timeout: float | None) -> None:
        raise self._wait


Enqueue = Callable[..., Result]


@pytest.fixture
def enqueue(monkeypatch: pytest.MonkeyPatch) -> Enqueue:
    def run(app: FakeApp, *arguments: str, seen: Overview = SEEN) -> Result:
        monkeypatch.setattr(cluster, "connect", lambda *_: app)
        monkeypatch.setattr(raftwork.client.overview, "observe", lambda _: seen)
        return CliRunner().invoke(main, ["enqueue", "t.add", *arguments])

    return run


@pytest.mark.parametrize("own", [None, "my id"])
@pytest.mark.parametrize(
    "ended", [KeyboardInterrupt(), Told(143), Unavailable("nobody leads", ("x",))], ids=repr
)
def test_an_enqueue_that_is_ended_tells_how_to_do_it_again(
    ended: BaseException, own: str | None, enqueue: Enqueue
) -> None:
    app = FakeApp(ended, TimeoutError())
    done = enqueue(app, *(() if own is None else ("--id", own)))
    id_ = app._id if own is None else own
    quoted = f"'{id_}'" if " " in id_ else id_
    assert len(id_) == 36 or own
    assert done.exit_code == (143 if isinstance(ended, Told) else 1)
    assert done.stdout == ""
    assert f"it may have been stored: the same again with --id {quoted} is safe" in done.stderr


@pytest.mark.parametrize(
    "ended", [KeyboardInterrupt(), Told(143), Unavailable("nobody leads"), TimeoutError()]
)
def test_a_wait_that_is_ended_tells_how_to_go_on(ended: BaseException, enqueue: Enqueue) -> None:
    app = FakeApp(None, ended, Status.RUNNING)
    done = enqueue(app, "--wait", "--timeout", "3")
    assert done.exit_code == (143 if isinstance(ended, Told) else 1)
    assert done.stdout == ""
    assert f"to wait again: raftwork result {app._id} --wait" in done.stderr


@pytest.mark.parametrize("ended", [KeyboardInterrupt(), Told(143)], ids=repr)
def test_who_is_ended_between_enqueue_and_wait_hears_how_to_go_on(
    ended: BaseException, enqueue: Enqueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def ends(*_: object) -> Iterator[None]:
        yield
        raise ended

    monkeypatch.setattr(cluster, "explained", ends)
    done = enqueue(app := FakeApp(None, TimeoutError()), "--wait")
    assert f"to wait again: raftwork result {app._id} --wait" in done.stderr


def test_an_outcome_needs_no_other_wait(enqueue: Enqueue) -> None:
    from raftwork import TaskFailed

    done = enqueue(FakeApp(None, TaskFailed("E", "m", "")), "--wait")
    assert (done.exit_code, done.stderr) == (1, "failed\nE: m\n")


def test_a_task_that_nobody_serves_waits_in_vain(enqueue: Enqueue) -> None:
    app = FakeApp(None, TimeoutError(), Status.QUEUED)
    done = enqueue(app, "--wait", "--timeout", "3", "--queue", "typo")
    assert done.stderr.splitlines() == [
        "queued",
        "no outcome within 3.0 s",
        "no worker serves the queue typo",
        f"to wait again: raftwork result {app._id} --wait",
    ]
    for seen, queue in ((SEEN, "default"), (overview({"h:1": None}), "typo")):
        done = enqueue(app, "--wait", "--timeout", "3", "--queue", queue, seen=seen)
        assert "no worker" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("1", "[" * 100_000), "argument 2: brackets within brackets"),
        (("9" * 5_000,), "argument 1: an integer of 5000 digits"),
        (("--kwargs", '{"a":' * 100_000), "Invalid value for '--kwargs': brackets within"),
        (("--kwargs", '{"a": 1, "a": 2}'), "the key 'a' is given twice"),
        (("--kwargs", "{"), "not JSON"),
    ],
    ids=["deep", "long", "deep kwargs", "twice", "open"],
)
def test_json_that_cannot_be_meant_is_wrong_usage(
    arguments: tuple[str, ...], why: str, enqueue: Enqueue
) -> None:
    app = FakeApp(None, TimeoutError())
    done = enqueue(app, *arguments)
    assert done.exit_code == 2, done.output
    assert why in done.stderr
    assert app.args == ()


def test_a_broadcast_is_a_flow_of_that_id(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App("127.0.0.1:1")
    asked: list[SubmitFlow] = []

    def call(request: SubmitFlow, *_: object, **__: object) -> SimpleNamespace:
        asked.append(request)
        return SimpleNamespace(result=lambda: None)

    monkeypatch.setattr(app, "call", call)
    monkeypatch.setattr(cluster, "connect", lambda *_: app)
    arguments = ["enqueue", "t.reload", "1", "--broadcast", "--id", "r", "--priority", "5"]
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.stdout) == (0, "r\n"), done
    graph = decode_graph(asked[0].graph)
    assert (asked[0].id, graph.nodes[0].broadcast) == ("r", BroadcastKind.VALUES)
    assert decode_spec(graph.specs[0]).priority == 105
    wrong = CliRunner().invoke(main, [*arguments, "--unique", "k"])
    assert (wrong.exit_code, "has a unique key" in wrong.stderr) == (2, True), wrong


def test_times_are_handed_on(enqueue: Enqueue) -> None:
    app = FakeApp(None, TimeoutError())
    times = ("--delay", "1.5", "--at", "2027-01-01T09:00:00+01:00")
    done = enqueue(app, *times, "--expires", "60", "--deadline", "3600")
    assert done.exit_code == 0
    at = datetime(2027, 1, 1, 8, tzinfo=UTC)
    given = {name: app.options[name] for name in ("delay", "at", "expires", "deadline")}
    assert given == {"delay": 1.5, "at": at, "expires": 60, "deadline": 3600}


@pytest.mark.parametrize(
    ("at", "why"), [("2027-01-01T09:00", "has no time zone"), ("tomorrow", "is no time")]
)
def test_a_time_that_is_none_is_wrong_usage(at: str, why: str, enqueue: Enqueue) -> None:
    done = enqueue(FakeApp(None, TimeoutError()), "--at", at)
    assert done.exit_code == 2
    assert why in done.stderr


def test_tags_go_with_the_task(enqueue: Enqueue) -> None:
    app = FakeApp(None, TimeoutError())
    assert enqueue(app, "--tag", "a=1", "--tag", "b=x=y").exit_code == 0
    assert app.options["tags"] == {"a": "1", "b": "x=y"}
    for wrong in (("--tag", "a"), ("--tag", "a=1", "--tag", "a=2")):
        assert enqueue(app, *wrong).exit_code == 2
