"""Tasks that wait can be ended, too: they have an outcome, and are handed out no more."""

from raftwork.features.effects import Settled
from raftwork.features.waiting import end_unstarted, first_waiting
from raftwork.messages import Result, State
from tests.unit.broker.machine.driver import FAILURE, Driver


def end(driver: Driver, limit: int = 9, upto: int = 99) -> list[str]:
    """End so many of the tasks that wait; gives their ids."""
    state = driver.machine.state
    driver.db.execute("BEGIN")
    tasks = first_waiting(state, "default", upto, limit)
    effects = end_unstarted(state, tasks, State.FAILED, FAILURE)
    settled = [effect for effect in effects if isinstance(effect, Settled)]
    driver.machine.flush()
    driver.db.execute("COMMIT")
    assert [effect.seq for effect in settled] == [task.seq for task in tasks]
    assert all((e.token, e.state, e.data) == (0, State.FAILED, FAILURE) for e in settled)
    return [effect.id for effect in settled]


def test_the_first_that_wait_end_and_the_others_stay(driver: Driver) -> None:
    driver.enqueue(*"abcde")
    assert end(driver, limit=2) == ["a", "b"]
    assert end(driver, upto=4) == ["c", "d"]
    assert [task.id for task in driver.machine.waiting("default", 0, 9, 1 << 20)] == ["e"]
    failed = [Result(id_, State.FAILED, FAILURE) for id_ in "abcd"]
    assert driver.machine.lookup([*"abcde"]) == [*failed, Result("e", State.QUEUED, b"")]
    assert end(driver) == ["e"]
    assert end(driver) == []


def test_one_that_runs_is_none_that_waits(driver: Driver) -> None:
    driver.enqueue(*"ab")
    driver.assign(1)
    assert end(driver) == ["b"]
    assert driver.machine.states(["a"]) == [State.RUNNING]


def test_counters_and_tables_agree_after_it(driver: Driver) -> None:
    driver.enqueue(*"abc")
    end(driver, limit=2)
    status, digest = driver.machine.queue("default"), driver.machine.digest()
    assert (status.queued, status.running, status.failed) == (1, 0, 2)
    assert status.bytes == len(b"payload")
    before = driver.machine.state
    driver.reopen()
    after = driver.machine.state
    assert driver.machine.queue("default") == status
    assert driver.machine.digest() == digest
    assert (after.unfinished, after.results, after.result_bytes, after.next_expiry) == (
        before.unfinished,
        before.results,
        before.result_bytes,
        before.next_expiry,
    )


def test_its_outcome_is_kept_as_long_as_any_and_its_losses_are_forgotten(driver: Driver) -> None:
    driver.lose(driver.start("a"))
    assert end(driver) == ["a"]
    assert list(driver.db.execute("SELECT * FROM loss")) == []
    driver.tick(later=10_000)
    assert driver.result("a").forgotten
