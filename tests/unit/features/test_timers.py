"""Delays, expiries and deadlines, by machine time alone."""

from typing import Any

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import Assign, Finish, Tick
from raftwork.features.effects import (
    Done,
    NotAssigned,
    QueuedInLane,
    Rejected,
    Settled,
    TokenRejected,
)
from raftwork.features.enqueue import Admit
from raftwork.messages import OnConflict, Spec, State, decode_failure, encode_spec
from raftwork.wire import pack
from tests.unit.broker.machine.driver import START, WORKER, Driver


@pytest.fixture
def driver() -> Driver:
    return Driver()


def spec(**options: Any) -> bytes:
    return encode_spec(Spec("module.task", "default", **options))


def put(driver: Driver, *ids: str, at: int = 0, **options: Any) -> None:
    """Enqueue them, with the time of the driver as their creation."""
    extras = ["", at] if at else None
    rows = [[i, b"payload", "", extras] if extras else [i, b"payload"] for i in ids]
    (reply,) = driver.apply(Admit(driver.now, spec(**options), pack(rows))).replies
    assert reply == Done(), reply


def seq_of(driver: Driver, task: str) -> int:
    ((seq,),) = driver.db.execute("SELECT seq FROM task WHERE id = ?", (task,))
    return int(seq)


def run(driver: Driver, task: str) -> int:
    """Hand it out; its token."""
    return driver.assign(seq_of(driver, task))[0]


def timers(driver: Driver) -> list[Any]:
    return list(driver.db.execute("SELECT due, kind, ref FROM timer ORDER BY due"))


def why(driver: Driver, task: str) -> str:
    return decode_failure(driver.result(task).data).type


# ---- delay and at -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"delay": 500}, {"at": START + 500}])
def test_a_task_is_scheduled_until_its_time_has_come(
    driver: Driver, options: dict[str, int]
) -> None:
    put(driver, "a", **options)
    driver.tick(later=499)
    assert driver.state("a") is State.SCHEDULED
    assert driver.apply(Assign(WORKER, [1])).effects == [NotAssigned([1])]
    driver.tick(later=1)
    assert driver.state("a") is State.QUEUED
    run(driver, "a")


def test_a_time_in_the_past_is_now(driver: Driver) -> None:
    put(driver, "a", at=START - 1)
    assert driver.state("a") is State.QUEUED


def test_an_enqueue_that_is_sent_again_moves_nothing(driver: Driver) -> None:
    put(driver, "a", delay=500)
    driver.now += 300
    driver.apply(Admit(START + 300, spec(delay=500), pack([["a", b"payload"]])))
    driver.tick(later=200)
    assert driver.state("a") is State.QUEUED


# ---- expires ------------------------------------------------------------------------------------


def test_what_has_not_begun_in_time_is_cancelled_as_expired(driver: Driver) -> None:
    put(driver, "a", expires=500)
    driver.tick(later=499)
    assert driver.state("a") is State.QUEUED
    (settled,) = driver.tick(later=1)
    assert isinstance(settled, Settled)
    assert (driver.state("a"), why(driver, "a")) == (State.CANCELLED, "expired")
    assert (driver.waiting(), timers(driver)) == ([], [])


def test_a_scheduled_task_expires_too(driver: Driver) -> None:
    put(driver, "a", expires=500, at=START + 9_000)
    driver.tick(later=500)
    assert driver.state("a") is State.CANCELLED
    driver.tick(later=9_000)
    assert driver.state("a") is State.CANCELLED


def test_what_has_begun_does_not_expire(driver: Driver) -> None:
    put(driver, "a", expires=500)
    token = run(driver, "a")
    driver.tick(later=600)
    assert driver.state("a") is State.RUNNING
    driver.finish(token)
    assert driver.state("a") is State.SUCCEEDED


@pytest.mark.parametrize("later", [10, 600])
def test_a_retry_or_a_second_hand_out_does_not_expire(driver: Driver, later: int) -> None:
    put(driver, "failed", "lost", expires=500, retries=3)
    failed, lost = run(driver, "failed"), run(driver, "lost")
    driver.tick(later=later)
    driver.fail(failed, driver.now + 10)
    driver.lose(lost)
    driver.tick(later=700)
    assert [driver.state(t) for t in ("failed", "lost")] == [State.QUEUED] * 2
    driver.finish(run(driver, "failed"))
    driver.finish(run(driver, "lost"))
    assert timers(driver) == []


@pytest.mark.parametrize("later", [10, 600])
@pytest.mark.parametrize("lost", [False, True])
def test_what_was_handed_back_unstarted_expires(driver: Driver, later: int, lost: bool) -> None:
    put(driver, "a", expires=500)
    token = run(driver, "a")
    driver.tick(later=later)
    driver.lose(token, started=False) if lost else driver.release(token)
    driver.tick(later=600)
    assert (driver.state("a"), why(driver, "a")) == (State.CANCELLED, "expired")


def test_what_has_begun_once_does_not_expire_when_it_is_handed_back_later(driver: Driver) -> None:
    put(driver, "a", expires=500, retries=1)
    driver.fail(run(driver, "a"), driver.now + 10)
    driver.tick(later=10)
    token = run(driver, "a")
    driver.tick(later=600)
    driver.release(token)
    driver.tick(later=10)
    assert driver.state("a") is State.QUEUED
    driver.reopen()
    run(driver, "a")


def test_of_many_that_have_expired_none_is_handed_out_before_its_turn_to_end() -> None:
    driver = Driver(ClusterSettings(sweep=10))
    put(driver, *(f"t{i}" for i in range(30)), expires=500)
    driver.now += 500
    applied = driver.apply(Assign(WORKER, [30]))
    assert NotAssigned([30]) in applied.effects
    assert driver.state("t29") is State.QUEUED
    driver.tick()
    driver.tick()
    assert {driver.state(f"t{i}") for i in range(30)} == {State.CANCELLED}


def test_an_expiry_and_a_hand_out_in_one_entry_end_as_the_time_says(driver: Driver) -> None:
    put(driver, "a", "b", expires=500)
    driver.now += 499
    driver.assign(1)
    driver.now += 1
    assert NotAssigned([2]) in driver.apply(Assign(WORKER, [2])).effects
    assert [driver.state(t) for t in "ab"] == [State.RUNNING, State.CANCELLED]


# ---- deadline -----------------------------------------------------------------------------------


def test_what_runs_at_its_deadline_has_failed_and_its_report_comes_too_late(
    driver: Driver,
) -> None:
    put(driver, "a", deadline=500, retries=5)
    token = run(driver, "a")
    (settled,) = driver.tick(later=500)
    assert isinstance(settled, Settled)
    assert (settled.token, settled.state) == (token, State.FAILED)
    assert why(driver, "a") == "DeadlineExceeded"
    assert driver.apply(Finish([(token, b"value")])).effects == [TokenRejected(token)]
    assert driver.state("a") is State.FAILED
    driver.tick(later=9_000)
    assert (driver.waiting(), timers(driver)) == ([], [])


def test_a_deadline_ends_what_is_scheduled_queued_or_between_retries(driver: Driver) -> None:
    put(driver, "scheduled", at=START + 9_000, deadline=500)
    put(driver, "queued", deadline=500)
    put(driver, "retried", deadline=500, retries=9)
    driver.fail(run(driver, "retried"), driver.now + 9_000)
    driver.tick(later=500)
    for task in ("scheduled", "queued", "retried"):
        assert (driver.state(task), why(driver, task)) == (State.FAILED, "DeadlineExceeded")
    driver.tick(later=9_000)
    assert driver.waiting() == []
    assert driver.counts()[:2] == (0, 0)
    assert driver.counts()[3] == 3


def test_an_outcome_drops_all_timers(driver: Driver) -> None:
    put(driver, "a", expires=500, deadline=900)
    assert len(timers(driver)) == 2
    driver.finish(run(driver, "a"))
    assert timers(driver) == []


def test_both_due_at_once_make_one_outcome(driver: Driver) -> None:
    put(driver, "a", expires=500, deadline=500)
    settled = [e for e in driver.tick(later=600) if isinstance(e, Settled)]
    assert len(settled) == 1
    assert driver.counts()[:2] == (0, 0)


# ---- bounds, and what is refused ----------------------------------------------------------------


@pytest.mark.parametrize("options", [{"delay": 500}, {"expires": 500}, {"deadline": 500}])
def test_an_entry_carries_out_so_many_and_the_rest_stays_due(options: dict[str, int]) -> None:
    driver = Driver(ClusterSettings(sweep=10))
    put(driver, *(f"t{i}" for i in range(35)), **options)
    driver.now += 500
    done = []
    while (due := driver.due()) is not None and due <= driver.now:
        effects = driver.apply(Tick()).effects
        done.append(sum(len(e.tasks) if isinstance(e, QueuedInLane) else 1 for e in effects))
    assert done == [10, 10, 10, 5]


@pytest.mark.parametrize("what", ["expires", "deadline"])
def test_what_could_never_begin_is_refused(driver: Driver, what: str) -> None:
    made = Admit(driver.now, spec(delay=500, **{what: 500}), pack([["a", b"payload"]]))
    (reply,) = driver.apply(made).replies
    assert isinstance(reply, Rejected)
    assert f"{what} must be longer than delay, got 500 ms and 500 ms" in reply.text


@pytest.mark.parametrize("what", ["delay", "expires", "deadline", "period", "debounce", "max_wait"])
def test_an_absurd_duration_is_refused(driver: Driver, what: str) -> None:
    made = Admit(driver.now, spec(**{what: 2**60}), pack([["a", b"payload"]]))
    (reply,) = driver.apply(made).replies
    assert isinstance(reply, Rejected)
    assert f"{what} must be at most" in reply.text


def test_what_was_enqueued_in_the_future_was_enqueued_now(driver: Driver) -> None:
    """By a client that is wrong: no sum of its time and a duration may leave 63 bits."""
    made = Admit(2**63 - 1, spec(delay=500, expires=900, deadline=900), pack([["a", b"payload"]]))
    (reply,) = driver.apply(made).replies
    assert reply == Done()
    assert [due for due, *_ in timers(driver)] == [START + 900, START + 900]
    driver.tick(later=500)
    assert driver.state("a") is State.QUEUED


@pytest.mark.parametrize("deadlines", [(500, 500), (500, 510), (510, 500)])
def test_deadlines_of_a_task_and_of_the_one_that_follows_it_pass_in_one_entry(
    driver: Driver, deadlines: tuple[int, int]
) -> None:
    def put_one(id_: str, deadline: int) -> None:
        options = spec(deadline=deadline, retries=3, on_conflict=OnConflict.RERUN)
        driver.apply(Admit(driver.now, options, pack([[id_, b"payload", "", ["k"]]])))

    put_one("a", deadlines[0])
    token = run(driver, "a")
    put_one("b", deadlines[1])
    driver.fail(token, retry_at=START + 900)
    assert driver.state("b") is State.BLOCKED
    driver.tick(later=600)
    assert [driver.state(t) for t in "ab"] == [State.FAILED, State.FAILED]
    status = driver.machine.queue("default")
    assert (status.queued, status.scheduled, status.blocked, status.failed) == (0, 0, 0, 2)


def test_timers_outlive_a_restart(driver: Driver) -> None:
    put(driver, "a", expires=500)
    put(driver, "b", deadline=700)
    driver.reopen()
    assert driver.due() == START + 500
    driver.tick(later=700)
    assert [driver.state(t) for t in "ab"] == [State.CANCELLED, State.FAILED]
