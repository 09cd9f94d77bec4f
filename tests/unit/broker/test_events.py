"""What a broker tells of its workers and tasks, and how that becomes lines of the log."""

import json
import logging
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest

from raftwork import logs
from raftwork.broker import event_logging, events
from raftwork.broker.containment import log_contained
from raftwork.broker.events import (
    AttemptFailed,
    AttemptLost,
    BalancerUnknown,
    Event,
    HelloRefused,
    QueueFullRefusal,
    RequestRefused,
    SlowTurn,
    TaskFailed,
    TaskLost,
    TaskOverdue,
    TaskRetried,
    TasksTakenBack,
    Waits,
    WorkerJoined,
    WorkerLeft,
    WorkerLost,
    WorkerRecovered,
    WorkerRefused,
    WorkerRests,
    WrongPeer,
)
from raftwork.broker.placement.queue_balancers import QueueBalancers
from raftwork.broker.requests import request_processor
from raftwork.broker.workers.circuit_breaker import FAILURES
from raftwork.consensus.core import ORIGIN
from raftwork.consensus.replica_events import Cause, Election
from raftwork.features.catalogue import FEATURES
from raftwork.features.enqueue import Enqueue
from raftwork.features.feature import Budget
from raftwork.features.queue_settings import Configure, changes
from raftwork.features.results import Ask
from raftwork.messages import (
    PROTOCOL,
    ClientHello,
    Heartbeat,
    Loss,
    Outcome,
    Report,
    Spec,
    Started,
    WorkerHello,
    encode_spec,
)
from raftwork.wire import pack
from raftwork.worker.runner import failure
from tests.unit.broker.leases import LEASE_CLOSED_MS, LEASE_MS
from tests.unit.broker.nodes import World
from tests.unit.broker.queues import Queues
from tests.unit.broker.registry_harness import RegistryHarness


class Watched(RegistryHarness):
    """A registry whose events are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Event] = []
        self.registry._worker_events._tell = self.told.append


JOINED = WorkerJoined("w", "h", 1, 2, ("default",))


# ---- workers and tasks -------------------------------------------------------------------------


def test_a_worker_joins_once_however_often_it_says_hello() -> None:
    harness = Watched()
    for session in (1, 2):
        harness.hello(session)
        harness.pass_time(300)
    assert harness.told == [JOINED]


def test_a_worker_that_falls_silent_is_lost_with_what_it_held_and_may_join_again() -> None:
    harness = Watched()
    harness.hello()
    harness.give(2)
    harness.pass_time(LEASE_MS + 500)
    assert harness.told == [JOINED, WorkerLost("w", "it fell silent", 2)]
    harness.hello(2)
    harness.pass_time(300)
    assert harness.told[2:] == [JOINED]


def test_a_worker_whose_connection_closed_is_lost_by_that() -> None:
    harness = Watched()
    harness.hello()
    harness.pass_time(300)
    harness.registry.unreachable(b"w", harness.now)
    harness.pass_time(LEASE_CLOSED_MS + 500)
    assert harness.told[1:] == [WorkerLost("w", "its connection closed and did not come back", 0)]


def test_a_worker_that_is_said_to_be_gone_is_lost_by_that() -> None:
    harness = Watched()
    harness.hello()
    harness.pass_time(300)
    harness.registry.goodbye(b"w", 1, harness.now, lost=True)
    harness.pass_time(300)
    assert harness.told == [JOINED, WorkerLost("w", "its process ended", 0, expired=False)]


def test_a_worker_that_says_goodbye_has_left_and_is_not_lost() -> None:
    harness = Watched()
    harness.hello()
    harness.pass_time(300)
    harness.registry.goodbye(b"w", 1, harness.now)
    harness.pass_time(2 * LEASE_MS)
    assert harness.told == [JOINED, WorkerLeft("w")]


def test_a_worker_that_a_new_leader_never_meets_is_lost_without_a_name() -> None:
    harness = Watched()
    harness.hello()
    harness.give(1)
    harness.new_leader()
    harness.registry._worker_events._tell = harness.told.append
    harness.pass_time(LEASE_MS + 500)
    (lost,) = harness.told
    assert str(lost).startswith("a worker of the leader before is lost: ")
    assert str(lost).endswith("; unfinished tasks: 1")


def test_a_worker_under_which_tasks_are_lost_rests_and_is_back() -> None:
    harness = Watched()
    harness.hello()
    spec = Spec("job", "default", at_most_once=True)
    for _ in range(FAILURES):
        (token,) = harness.give(spec=spec)
        harness.report(Outcome(token, False, b"", False, Loss(signal=9)), started=[token])
        harness.commit()
        harness.pass_time(200)
    rests = [event for event in harness.told if isinstance(event, WorkerRests)]
    assert [event.worker for event in rests] == ["w"]
    assert f"{FAILURES} tasks in a row were lost under it" in rests[0].why
    harness.registry._workers[next(iter(harness.registry._workers))].breaker.succeeded()
    harness.pass_time(200)
    assert harness.told[-1] == WorkerRecovered("w")


def test_a_task_that_is_lost_for_good_is_told_of_with_its_reason() -> None:
    told: list[Event] = []
    world = World("a", tell=lambda _name, event: told.append(event))
    world.elect()
    world.client()
    world.worker()
    spec = encode_spec(Spec("job", "default", at_most_once=True))
    world.ask(b"client", Enqueue(1, 0, spec, pack([("t1", b"")])))
    (running,) = world.nodes["a"]._machine.running()
    lost = Outcome(running.token, False, b"", False, Loss(signal=11))
    world.say(b"worker", Report(1, [Started(running.token, 0)], [lost], [], 0))
    world.run(200)
    (event,) = [event for event in told if isinstance(event, TaskLost)]
    assert (event.task, event.queue) == ("t1", "default")
    assert "w lost the process to signal 11" in event.why


def reports(*outcomes: Outcome, spec: Spec) -> list[Event]:
    """What is told while a worker reports these outcomes of a task's attempts."""
    told: list[Event] = []
    world = World("a", tell=lambda _name, event: told.append(event))
    world.elect()
    world.client()
    world.worker()
    told.clear()
    world.ask(b"client", Enqueue(1, 0, encode_spec(spec), pack([("t1", b"")])))
    for outcome in outcomes:
        (running,) = world.nodes["a"]._machine.running()
        token = running.token
        mine = outcome._replace(token=token)
        world.say(b"worker", Report(1, [Started(token, 0)], [mine], [], 0))
        world.run(200)
    return [event for event in told if not isinstance(event, WorkerJoined)]


def test_an_attempt_that_failed_is_told_of_and_whether_there_is_another() -> None:
    spec = Spec("job", "default", retries=1, backoff=10, max_backoff=10)
    nope = failure(0, "ValueError", "nope")
    events = reports(nope, nope, spec=spec)
    assert events == [
        AttemptFailed("t1", "default", "w", 1, "ValueError: nope"),
        TaskRetried("t1", "default", 10),
        AttemptFailed("t1", "default", "w", 2, "ValueError: nope"),
        TaskFailed("t1", "default", "ValueError: nope"),
    ]


def test_an_attempt_that_was_lost_with_its_process_is_told_of() -> None:
    died = Outcome(0, False, b"", False, Loss(signal=9))
    events = reports(died, spec=Spec("job", "default"))
    assert events == [AttemptLost("t1", "default", "w", 1)]


def test_a_task_that_succeeds_is_no_event() -> None:
    assert reports(Outcome(0, True, b""), spec=Spec("job", "default")) == []


def test_what_becomes_of_attempts_is_not_told_where_nobody_listens() -> None:
    harness = Watched()
    harness.hello()
    (token,) = harness.give()
    harness.pass_time(300)
    harness.report(failure(token, "ValueError", "nope"), started=[token])
    assert harness.told == [JOINED]


def test_a_task_that_its_worker_keeps_over_its_limit_is_told_of_once() -> None:
    harness = Watched()
    harness.hello()
    (token,) = harness.give(spec=Spec("job", "default", timeout=1_000))
    harness.report(started=[token])
    for _ in range(100):
        harness.registry.heartbeat(b"w", Heartbeat(1, 0.0, 0.0, 0.0, 1, 0, False), harness.now)
        harness.pass_time(100)
    overdue = [event for event in harness.told if isinstance(event, TaskOverdue)]
    assert overdue == [TaskOverdue("0", "default", "w", 1_000)]


def test_tasks_that_a_worker_does_not_read_are_told_of_when_they_go_to_others() -> None:
    harness = Watched()
    harness.hello()
    harness.sent()
    harness.room = False
    harness.give(2)
    harness.sent()
    for _ in range(50):
        harness.registry.heartbeat(b"w", Heartbeat(1, 0.0, 0.0, 0.0, 1, 0, False), harness.now)
        harness.pass_time(100)
        harness.sent()
    assert TasksTakenBack("w", 2) in harness.told


def test_who_is_refused_is_told_of() -> None:
    told: list[Event] = []
    world = World("a", tell=lambda _name, event: told.append(event))
    world.elect()
    world.ask(b"w", WorkerHello(PROTOCOL, "w", b"short", 1, "h", 1, 1, ["default"], [], False))
    world.client()
    world.ask(b"client", Ask(1, ["x" * 1_000]))
    assert [str(event) for event in told if isinstance(event, WorkerRefused | RequestRefused)] == [
        "worker w was refused: an incarnation must have 16 bytes, got 5",
        "a request was refused: one of ids must have 1 to 255 characters, got 1000",
    ]


def test_a_balancer_of_another_release_is_told_of_once() -> None:
    told: list[Event] = []
    queues = Queues()
    queues.apply(Configure("q", changes(balancer="of_tomorrow")))
    strategies = QueueBalancers(queues.machine, "random", Random(1), told.append)
    for _ in range(3):
        strategies.of("q")
    assert told == [BalancerUnknown("q", "of_tomorrow")]


def test_a_full_queue_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    none = Budget(bytes=0)
    monkeypatch.setattr(request_processor, "FEATURES", [f._replace(budget=none) for f in FEATURES])
    told: list[Event] = []
    world = World("a", tell=lambda _name, event: told.append(event))
    world.elect()
    world.ask(b"client", ClientHello(PROTOCOL))
    world.ask(b"client", Enqueue(1, 0, encode_spec(Spec("job", "default")), pack([("t1", b"")])))
    assert any(isinstance(event, QueueFullRefusal) for event in told)


# ---- lines ---------------------------------------------------------------------------------------


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What would be written, as JSON."""
    written: list[str] = []
    monkeypatch.setattr(logs, "_speaker", logs._Speaker("a"))

    def put(data: bytes) -> bool:
        written.append(data.decode())
        return True

    monkeypatch.setattr(logs, "_put", put)
    root, handler = logging.getLogger(), logs.Handler(json_lines=True)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


def test_an_event_is_a_line_with_its_values_and_the_epoch(lines: list[str]) -> None:
    event_logging.write(7, WorkerLost("w1", "not heard", 3))
    (document,) = map(json.loads, lines)
    assert (document["level"], document["epoch"], document["node"]) == ("warning", 7, "a")
    assert document["message"] == "worker w1 is lost: not heard; unfinished tasks: 3"
    expected = {"event": "worker_lost", "worker": "w1", "why": "not heard", "tasks": 3}
    expected["expired"] = True
    assert document["fields"] == expected


def test_what_another_machine_says_is_cut_in_every_part_of_a_line(lines: list[str]) -> None:
    """A frame may have megabytes, and a hello of a stranger's is told of."""
    event_logging.write(1, HelloRefused("x" * 5_000_000))
    event_logging.write(1, Waits("y" * 5_000_000))
    event_logging.write(1, WorkerJoined("w", "z" * 100_000, 1, 1, ("q" * 5_000,) * 10_000))
    assert len(lines) == 3
    assert max(map(len, lines)) < 300_000


def test_what_failed_for_a_stranger_is_folded_whatever_it_says(lines: list[str]) -> None:
    for n in range(5):
        log_contained("a frame that came in", ValueError(f"stranger {n}"))
    log_contained("a frame that came in", TypeError("another"))
    assert [json.loads(line)["message"] for line in lines] == [
        "a frame that came in failed: ValueError: stranger 0",
        "a frame that came in failed: TypeError: another",
    ]


def test_what_strangers_and_circumstances_vary_is_folded_and_waiting_is_not(
    lines: list[str],
) -> None:
    for n in range(5):
        event_logging.write(1, HelloRefused(f"stranger {n}"))
        event_logging.write(1, SlowTurn(200 + n, 0))
        event_logging.write(1, QueueFullRefusal(f"{n} bytes"))
        event_logging.write(1, Waits("for a majority"))
        event_logging.write(1, WrongPeer("b", "h:1", "a broker of another cluster"))
    assert [json.loads(line)["fields"]["event"] for line in lines] == [
        *("hello_refused", "slow_turn", "queue_full_refusal", "waits", "wrong_peer"),
        *["waits"] * 4,
    ]


def test_an_election_that_goes_on_and_on_is_no_news(lines: list[str]) -> None:
    event_logging.write(1, Election(Cause.LINK_LOST))
    event_logging.write(1, Election(Cause.UNDECIDED))
    assert len(lines) == 1


@pytest.mark.parametrize("kind", get_args(events.Event))
def test_every_event_is_a_frozen_value_with_a_text_of_its_own(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    event = kind(**{field.name: _any(str(field.type)) for field in fields(kind)})
    assert str(event) != repr(event)


def test_what_becomes_of_attempts_is_for_debugging(lines: list[str]) -> None:
    event_logging.write(1, AttemptFailed("t", "q", "w", 1, "ValueError: x"))
    assert (lines, event_logging.tells_attempts()) == ([], False)
    logging.getLogger().setLevel(logging.DEBUG)
    assert event_logging.tells_attempts()
    event_logging.write(None, AttemptFailed("t", "q", "w", 1, "ValueError: x"))
    (document,) = map(json.loads, lines)
    assert (document["level"], document["fields"]["event"]) == ("debug", "attempt_failed")
    assert document["epoch"] == 1, "as before"


def test_the_docs_explain_every_reason_that_is_written() -> None:
    page = (Path(__file__).parents[3] / "docs/logs.md").read_text()
    assert [cause for cause in Cause if cause not in page] == [Cause.UNDECIDED]


def _any(kind: str) -> object:
    if "Position" in kind:
        return ORIGIN
    if "Cause" in kind:
        return Cause.SILENCE
    return {"int": 1, "bool": True, "tuple[str, ...]": ("a",)}.get(kind, "x")
