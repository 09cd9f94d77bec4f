"""A task that has not begun is moved in time; one that may have begun is not."""

import pytest

from raftwork.broker.machine.commands import Assign
from raftwork.features.effects import Done, NotAssigned, QueuedInLane, Rejected, Withdrawn
from raftwork.features.enqueue import Admit
from raftwork.features.reschedule import MoveTo, Reschedule, Rescheduled
from raftwork.messages import Code, Refused, Spec, State, encode_spec
from raftwork.wire import pack
from tests.unit.broker.machine.driver import START, WORKER, Driver
from tests.unit.broker.request_harness import RequestHarness


@pytest.fixture
def driver() -> Driver:
    return Driver()


def put(driver: Driver, *ids: str, key: str = "", **options: int) -> None:
    rows = [[i, b"payload", key] for i in ids]
    spec = encode_spec(Spec("module.task", "default", **options))  # type: ignore[arg-type]
    assert driver.apply(Admit(driver.now, spec, pack(rows))).replies == [Done()]


def move(driver: Driver, task: str, at: int) -> int:
    (reply,) = driver.apply(MoveTo(task, at)).replies
    assert isinstance(reply, Done)
    return reply.affected


def test_a_scheduled_task_is_moved_both_ways(driver: Driver) -> None:
    put(driver, "sooner", "later", delay=500)
    assert move(driver, "sooner", START + 100) == move(driver, "later", START + 900) == 1
    driver.tick(later=100)
    assert [driver.state(t) for t in ("sooner", "later")] == [State.QUEUED, State.SCHEDULED]
    driver.tick(later=799)
    assert driver.state("later") is State.SCHEDULED
    driver.tick(later=1)
    assert driver.state("later") is State.QUEUED


def test_a_time_in_the_past_is_now(driver: Driver) -> None:
    put(driver, "a", delay=500)
    assert move(driver, "a", 1) == 1
    driver.tick()
    assert driver.state("a") is State.QUEUED


def test_what_waits_leaves_its_place_and_gets_another_one(driver: Driver) -> None:
    put(driver, "a", "b")
    applied = driver.apply(MoveTo("a", START + 100))
    assert applied.effects == [Withdrawn("default", 1)]
    assert driver.state("a") is State.SCHEDULED
    assert driver.apply(Assign(WORKER, [1])).effects == [NotAssigned([1])]
    (effect,) = driver.tick(later=100)
    assert isinstance(effect, QueuedInLane)
    ((seq, place),) = effect.tasks
    assert (seq, place > 2, effect.lane > 0) == (1, True, True)
    assert driver.waiting_ids() == ["a", "b"]
    driver.finish(driver.assign(1)[0])
    assert list(driver.db.execute("SELECT * FROM lane")) == []
    assert driver.counts()[:3] == (1, 0, 1)


def test_what_has_begun_or_ended_stays(driver: Driver) -> None:
    put(driver, "running", "released", "retried", "ended", retries=2)
    tokens = driver.assign(1, 2, 3, 4)
    driver.release(tokens[1])
    driver.fail(tokens[2], START + 500)
    driver.finish(tokens[3])
    before = [driver.state(t) for t in ("running", "released", "retried", "ended")]
    assert [move(driver, t, START + 9) for t in ("running", "released", "retried", "ended")] == [
        *(0, 0, 0, 0)
    ]
    assert [driver.state(t) for t in ("running", "released", "retried", "ended")] == before


def test_an_ordered_task_that_is_ready_stays_in_its_order(driver: Driver) -> None:
    put(driver, "a", "b", key="k", ordered=True)
    assert (move(driver, "a", START + 9), move(driver, "b", START + 9)) == (0, 0)


def test_an_unknown_task_is_refused(driver: Driver) -> None:
    (reply,) = driver.apply(MoveTo("nobody's", START)).replies
    assert isinstance(reply, Rejected)
    assert reply.code is Code.UNKNOWN_TASK


def test_tables_and_memory_agree_after_it(driver: Driver) -> None:
    put(driver, "a", "b")
    move(driver, "a", START + 100)
    digest, due = driver.machine.digest(), driver.due()
    driver.reopen()
    assert (driver.machine.digest(), driver.due()) == (digest, due)


def test_it_is_asked_for_by_a_request() -> None:
    harness = RequestHarness()
    harness.enqueue("a")
    harness.commit()
    harness.sent()
    assert harness.done(Reschedule(7, "a", harness.machine.time + 500)) == [Rescheduled(7, 1)]
    assert harness.machine.states(["a"]) == [State.SCHEDULED]
    (refused,) = harness.done(Reschedule(8, "b", 1))
    assert isinstance(refused, Refused)
    assert refused.code is Code.UNKNOWN_TASK
