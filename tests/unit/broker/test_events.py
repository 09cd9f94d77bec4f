"""What a broker tells of its workers and tasks, and how that becomes lines of the log."""

import json
import logging
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from raftwork import features, logs
from raftwork.broker import events, journal
from raftwork.broker.containment import log_contained
from raftwork.broker.events import (
    Event,
    HelloRefused,
    QueueFullRefusal,
    SlowTurn,
    TaskLost,
    Waits,
    WorkerJoined,
    WorkerLeft,
    WorkerLost,
    WorkerRecovered,
    WorkerRests,
)
from raftwork.broker.requests import desk
from raftwork.broker.workers.circuit_breaker import FAILURES
from raftwork.broker.workers.registry import LEASE, LEASE_CLOSED
from raftwork.consensus.core import ORIGIN
from raftwork.consensus.news import Cause, Election
from raftwork.features.enqueue import Enqueue
from raftwork.features.feature import Budget
from raftwork.messages import (
    PROTOCOL,
    ClientHello,
    Loss,
    Outcome,
    Report,
    Spec,
    Started,
    encode_spec,
)
from raftwork.wire import pack
from tests.unit.broker.floor import Floor
from tests.unit.broker.nodes import World


class Watched(Floor):
    """A floor whose events are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Event] = []
        self.force._worker_events._tell = self.told.append


JOINED = WorkerJoined("w", "h", 1, 2, ("default",))


# ---- workers and tasks -------------------------------------------------------------------------


def test_a_worker_joins_once_however_often_it_says_hello() -> None:
    floor = Watched()
    for session in (1, 2):
        floor.hello(session)
        floor.pass_time(300)
    assert floor.told == [JOINED]


def test_a_worker_that_falls_silent_is_lost_with_what_it_held_and_may_join_again() -> None:
    floor = Watched()
    floor.hello()
    floor.give(2)
    floor.pass_time(LEASE + 500)
    assert floor.told == [JOINED, WorkerLost("w", "it fell silent", 2)]
    floor.hello(2)
    floor.pass_time(300)
    assert floor.told[2:] == [JOINED]


def test_a_worker_whose_connection_closed_is_lost_by_that() -> None:
    floor = Watched()
    floor.hello()
    floor.pass_time(300)
    floor.force.unreachable(b"w", floor.now)
    floor.pass_time(LEASE_CLOSED + 500)
    assert floor.told[1:] == [WorkerLost("w", "its connection closed and did not come back", 0)]


def test_a_worker_that_says_goodbye_has_left_and_is_not_lost() -> None:
    floor = Watched()
    floor.hello()
    floor.pass_time(300)
    floor.force.goodbye(b"w", 1, floor.now)
    floor.pass_time(2 * LEASE)
    assert floor.told == [JOINED, WorkerLeft("w")]


def test_a_worker_that_a_new_leader_never_meets_is_lost_without_a_name() -> None:
    floor = Watched()
    floor.hello()
    floor.give(1)
    floor.new_leader()
    floor.force._worker_events._tell = floor.told.append
    floor.pass_time(LEASE + 500)
    (lost,) = floor.told
    assert str(lost).startswith("a worker of the leader before is lost: ")
    assert str(lost).endswith("; unfinished tasks: 1")


def test_a_worker_under_which_tasks_are_lost_rests_and_is_back() -> None:
    floor = Watched()
    floor.hello()
    spec = Spec("job", "default", at_most_once=True)
    for _ in range(FAILURES):
        (token,) = floor.give(spec=spec)
        floor.report(Outcome(token, False, b"", False, Loss(signal=9)), started=[token])
        floor.commit()
        floor.pass_time(200)
    rests = [event for event in floor.told if isinstance(event, WorkerRests)]
    assert [event.worker for event in rests] == ["w"]
    assert f"{FAILURES} tasks in a row were lost under it" in rests[0].why
    floor.force._workers[next(iter(floor.force._workers))].breaker.succeeded()
    floor.pass_time(200)
    assert floor.told[-1] == WorkerRecovered("w")


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


def test_a_full_queue_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    none = Budget(bytes=0)
    monkeypatch.setattr(desk, "FEATURES", [f._replace(budget=none) for f in features.FEATURES])
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
    journal.write(7, WorkerLost("w1", "not heard", 3))
    (document,) = map(json.loads, lines)
    assert (document["level"], document["epoch"], document["node"]) == ("warning", 7, "a")
    assert document["message"] == "worker w1 is lost: not heard; unfinished tasks: 3"
    expected = {"event": "worker_lost", "worker": "w1", "why": "not heard", "tasks": 3}
    assert document["fields"] == expected


def test_what_another_machine_says_is_cut_in_every_part_of_a_line(lines: list[str]) -> None:
    """A frame may have megabytes, and a hello of a stranger's is told of."""
    journal.write(1, HelloRefused("x" * 5_000_000))
    journal.write(1, Waits("y" * 5_000_000))
    journal.write(1, WorkerJoined("w", "z" * 100_000, 1, 1, ("q" * 5_000,) * 10_000))
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
        journal.write(1, HelloRefused(f"stranger {n}"))
        journal.write(1, SlowTurn(200 + n, 0))
        journal.write(1, QueueFullRefusal(f"{n} bytes"))
        journal.write(1, Waits("for a majority"))
    assert [json.loads(line)["fields"]["event"] for line in lines] == [
        *("hello_refused", "slow_turn", "queue_full_refusal", "waits"),
        *["waits"] * 4,
    ]


def test_an_election_that_goes_on_and_on_is_no_news(lines: list[str]) -> None:
    journal.write(1, Election(Cause.LINK_LOST))
    journal.write(1, Election(Cause.UNDECIDED))
    assert len(lines) == 1


@pytest.mark.parametrize("kind", get_args(events.Event))
def test_every_event_is_a_frozen_value_with_a_text_of_its_own(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    event = kind(**{field.name: _any(str(field.type)) for field in fields(kind)})
    assert str(event) != repr(event)


def test_the_docs_explain_every_reason_that_is_written() -> None:
    page = (Path(__file__).parents[3] / "docs/logs.md").read_text()
    assert [cause for cause in Cause if cause not in page] == [Cause.UNDECIDED]


def _any(kind: str) -> object:
    if "Position" in kind:
        return ORIGIN
    if "Cause" in kind:
        return Cause.SILENCE
    return {"int": 1, "bool": True, "tuple[str, ...]": ("a",)}.get(kind, "x")
