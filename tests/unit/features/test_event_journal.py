"""What is noted of what happened: of each task its beginning and one end, and what came between."""

import pytest

from raftwork.broker.machine.commands import Assign, Expire, Fail, Finish, Lose, Release, Tick
from raftwork.features import event_journal
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.dead_letters import Retry
from raftwork.features.event_journal import ENDS, EventKind, Happened
from raftwork.features.history import NameWorker, Ran
from raftwork.features.limits import ConfigureLimit
from raftwork.features.pause_queue import Delete, Pause, Resume
from raftwork.features.purge_queue import DropWaiting
from raftwork.messages import Loss, Spec, encode_spec
from raftwork.wire import pack
from tests.unit.broker.machine.driver import FAILURE, WORKER, Driver, spec_of
from tests.unit.features.flow_cases import grow, seq_of, task, value_of

OTHER = b"incarnation of 2"


@pytest.fixture
def driver() -> Driver:
    made = Driver()
    made.machine.state.journal.on = True
    return made


def happened(driver: Driver, *commands: tuple[object, ...]) -> list[Happened]:
    driver.apply(*commands)
    return list(driver.machine.state.journal.drain())


def kinds(events: list[Happened]) -> list[str]:
    return [event.kind.name.lower() for event in events]


def test_a_batch_is_one_note_and_what_is_alike_is_handed_out_and_ends_as_one(
    driver: Driver,
) -> None:
    assert happened(driver, driver.put("a", "b", "c")) == [
        Happened(EventKind.ENQUEUED, ["a", "b", "c"], "default", "module.task")
    ]
    assert happened(driver, Assign(WORKER, [1, 2]), Assign(OTHER, [3])) == [
        Happened(EventKind.ASSIGNED, ["a", "b"], "default", "module.task", WORKER, 1),
        Happened(EventKind.ASSIGNED, ["c"], "default", "module.task", OTHER, 1),
    ]
    ends = happened(driver, Ran([(1, 40)]), Finish([(1, b"v"), (2, b"v"), (3, b"v")]))
    assert ends == [
        Happened(
            *(EventKind.FINISHED, ["a", "b"], "default", "module.task", WORKER, 1),
            runs_ms=[40, 0],
        ),
        Happened(
            *(EventKind.FINISHED, ["c"], "default", "module.task", OTHER, 1),
            runs_ms=[0],
        ),
    ]


def test_nothing_is_noted_where_nobody_keeps_it(driver: Driver) -> None:
    driver.machine.state.journal.on = False
    assert happened(driver, driver.put("a"), Assign(WORKER, [1])) == []


def test_a_failed_attempt_is_a_retry_with_its_time_and_the_last_one_an_end(driver: Driver) -> None:
    driver.apply(driver.put("a", spec=spec_of(retries=1)))
    driver.machine.state.journal.drain()
    later = driver.now + 500
    ran = Ran([(1, 30)])
    _, retried = happened(driver, Assign(WORKER, [1]), ran, Fail(1, FAILURE, later))
    assert (retried.kind, retried.attempt, retried.due) == (EventKind.RETRIED, 1, later)
    assert (retried.text, retried.runs_ms) == ("ValueError: no", [30])
    driver.now = later
    events = happened(driver, Assign(WORKER, [1]), Fail(2, FAILURE, later))
    assert kinds(events) == ["assigned", "failed", "dead"]
    assert (events[1].attempt, events[1].text) == (2, "ValueError: no")
    assert kinds(happened(driver, Retry(driver.now, "a", "b"))) == ["enqueued", "redriven"]


def test_a_worker_that_is_lost_gives_back_what_it_had(driver: Driver) -> None:
    driver.apply(driver.put("a", "b"), Assign(WORKER, [1, 2]))
    driver.machine.state.journal.drain()
    by = Loss("w1")
    events = happened(driver, Lose([(1, True), (2, False)], by))
    assert kinds(events) == ["worker_lost", "retried", "released"]
    assert [event.ids for event in events] == [(), ["a"], ["b"]]
    assert events[1].text == "WorkerLost: w1 vanished"
    assert events[1].runs_ms == ()  # of what was lost nobody said for how long it ran
    driver.apply(Assign(WORKER, [1]))
    driver.machine.state.journal.drain()
    killed = happened(driver, Lose([(3, True)], by._replace(signal=9)))
    assert kinds(killed) == ["retried"]  # a process of it was lost, and it was not


def test_a_task_is_lost_once_it_was_lost_too_often(driver: Driver) -> None:
    driver.apply(driver.put("a", spec=spec_of(max_losses=1)), Assign(WORKER, [1]))
    driver.machine.state.journal.drain()
    events = happened(driver, Lose([(1, True)], Loss("w1")))
    assert kinds(events) == ["worker_lost", "lost", "dead"]


def test_what_is_handed_back_or_runs_too_long_is_noted(driver: Driver) -> None:
    driver.apply(driver.put("a", spec=spec_of(timeout=5)), Assign(WORKER, [1]))
    driver.machine.state.journal.drain()
    assert kinds(happened(driver, Release([1]))) == ["released"]
    events = happened(driver, Assign(WORKER, [1]), Expire(2, driver.now))
    assert kinds(events) == ["assigned", "failed", "dead"]


def test_what_is_cancelled_or_purged_ends_once(driver: Driver) -> None:
    driver.apply(driver.put("a", "b", "c"), Assign(WORKER, [1]))
    driver.machine.state.journal.drain()
    cancel = CancelSome(Scope.IDS, ["a", "b"], "", "", 1_000, 0, 9, 10, False)
    events = happened(driver, cancel)
    assert [(event.kind, event.ids) for event in events] == [(EventKind.CANCELLED, ["b"])]
    events = happened(driver, Lose([(1, True)], Loss("w1")))
    assert kinds(events) == ["worker_lost", "cancelled"]
    assert kinds(happened(driver, DropWaiting("default", 9, 10))) == ["failed"]


def test_what_expires_says_so(driver: Driver) -> None:
    spec = encode_spec(Spec("m.f", "default", expires=50))
    (entered,) = happened(driver, driver.put("a", spec=spec))
    assert entered == Happened(EventKind.ENQUEUED, ["a"], "default", "m.f")
    driver.now += 51
    (expired,) = happened(driver, Tick())
    assert (expired.kind, expired.ids) == (EventKind.EXPIRED, ["a"])


def test_a_task_with_a_time_says_when_it_is_due(driver: Driver) -> None:
    spec = encode_spec(Spec("m.f", "default", delay=50))
    (entered,) = happened(driver, driver.put("a", spec=spec))
    assert entered.due == driver.now + 50


def test_queues_limits_and_workers_are_told_of(driver: Driver) -> None:
    assert kinds(happened(driver, Pause("q", 0), Resume("q"), Delete("q"))) == [
        *("paused", "resumed", "queue_deleted")
    ]
    (limit,) = happened(driver, ConfigureLimit("stripe", pack({"concurrency": 3})))
    assert (limit.kind, limit.name) == (EventKind.LIMIT_CHANGED, "stripe")
    named = NameWorker(WORKER, "w1")
    assert happened(driver, named, named) == [
        Happened(EventKind.WORKER_NAMED, name="w1", worker=WORKER)
    ]


def test_a_flow_begins_and_ends_and_so_do_its_tasks(driver: Driver) -> None:
    events = happened(driver, grow(driver, task(), task(0), value_of(1)))
    assert kinds(events) == ["flow_started", "enqueued", "enqueued"]
    assert events[0].ids == ["f"]
    events = happened(driver, Assign(WORKER, [2]), Finish([(1, pack(1))]))
    assert kinds(events) == ["assigned", "finished"]
    events = happened(driver, Assign(WORKER, [3]), Finish([(2, pack(1))]))
    assert kinds(events) == ["assigned", "finished", "flow_finished"]
    happened(driver, grow(driver, task(), value_of(0), id="g"))
    events = happened(driver, Assign(WORKER, [seq_of(driver, "g/1")]), Fail(3, FAILURE, 0))
    assert kinds(events) == ["assigned", "failed", "dead", "flow_failed"]


def test_a_flow_whose_task_is_lost_for_good_has_failed(driver: Driver) -> None:
    once = encode_spec(Spec("m.f", "default", at_most_once=True))
    happened(driver, grow(driver, task(), value_of(0), specs=[once]), Assign(WORKER, [2]))
    events = happened(driver, Lose([(1, True)], Loss("w1")))
    assert kinds(events) == ["worker_lost", "lost", "dead", "flow_failed"]
    assert events[-1].text.startswith("WorkerLost: w1 vanished while it ran it")


def test_what_cannot_be_told_stops_no_replica(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise KeyError("broken")

    driver.apply(driver.put("a"), Assign(WORKER, [1]))
    driver.machine.state.journal.drain()
    monkeypatch.setattr(event_journal, "failure_head", broken)
    driver.effects(Fail(1, FAILURE, 0, final=True))
    with pytest.raises(KeyError):
        driver.machine.state.journal.drain()
    monkeypatch.undo()
    assert kinds(happened(driver, driver.put("b"))) == ["enqueued"]


def test_every_kind_has_a_word_and_only_ends_end() -> None:
    assert {kind.name for kind in ENDS} == {"FINISHED", "FAILED", "LOST", "CANCELLED", "EXPIRED"}
    assert EventKind(9_999) is EventKind.OTHER
