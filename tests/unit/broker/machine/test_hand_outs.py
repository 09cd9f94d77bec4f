"""What a task costs the tables while it is handed out and ends: rows in a row go together."""

import pytest

from raftwork.broker.machine.commands import Assign, Command, Finish, Tick
from raftwork.features.effects import Assigned, EnqueuedAndAssigned, NotAssigned, Requeued
from raftwork.features.enqueue import Admit
from raftwork.features.queue_settings import Configure, changes
from raftwork.messages import Spec, State, encode_spec
from tests.unit.broker.machine.driver import WORKER, Driver, tasks_of


def executed(driver: Driver, *commands: Command) -> list[str]:
    """The statements that these take, each as often as it ran."""
    ran: list[str] = []

    def trace(_cursor: object, sql: str, _bindings: object) -> bool:
        ran.append(" ".join(sql.split()))
        return True

    driver.db.exec_trace = trace
    try:
        driver.apply(*commands)
    finally:
        driver.db.exec_trace = None
    return ran


@pytest.fixture
def many(driver: Driver) -> list[int]:
    """The numbers of a hundred ordinary tasks that wait."""
    driver.enqueue(*map(str, range(100)))
    return list(range(1, 101))


def count(statements: list[str], *beginnings: str) -> int:
    return sum(each.startswith(beginnings) for each in statements)


def test_a_batch_is_read_and_taken_from_what_waits_at_once(driver: Driver, many: list[int]) -> None:
    ran = executed(driver, Assign(WORKER, many))
    assert count(ran, "SELECT") == 1
    assert count(ran, "DELETE FROM waiting") == 1
    assert driver.counts() == (0, 100, 0, 0, 0)


def test_tokens_that_end_together_leave_the_running_set_at_once(
    driver: Driver, many: list[int]
) -> None:
    driver.apply(Assign(WORKER, many))
    ran = executed(driver, Finish([(token, b"v") for token in reversed(range(1, 101))]))
    assert count(ran, "DELETE FROM running") == 1
    driver.reopen()
    assert driver.counts() == (0, 0, 100, 0, 0)
    assert list(driver.machine.running()) == []


# ---- those of a lane -----------------------------------------------------------------------------

#: What reads tasks that are known already: their numbers are listed.
_READ_AGAIN = "FROM json_each(?)"


def of_a_lane(driver: Driver, *, delay: int = 0) -> Admit:
    spec = encode_spec(Spec("module.task", "default", priority=105, delay=delay))
    return Admit(driver.now, spec, tasks_of(*((str(i), b"payload") for i in range(100))))


def test_tasks_of_a_lane_enter_without_being_read_again(driver: Driver) -> None:
    driver.apply(of_a_lane(driver, delay=0)._replace(tasks=tasks_of(("first", b""))))
    ran = executed(driver, of_a_lane(driver))
    assert sum(_READ_AGAIN in each for each in ran) == 0, "which ids are known takes one look"
    assert count(ran, "INSERT INTO task", "INSERT INTO laned") == 200


def test_ids_between_which_others_stand_are_looked_up(driver: Driver) -> None:
    driver.apply(of_a_lane(driver)._replace(tasks=tasks_of(("50", b"payload"), ("between", b""))))
    driver.apply(of_a_lane(driver))
    assert driver.counts()[0] == 101
    driver.apply(of_a_lane(driver))
    assert driver.counts()[0] == 101


def test_what_entered_together_becomes_ready_together(driver: Driver) -> None:
    driver.apply(of_a_lane(driver, delay=10))
    driver.now += 10
    ran = executed(driver, Tick())
    assert sum(_READ_AGAIN in each for each in ran) == 0
    assert count(ran, "UPDATE task", "INSERT INTO laned", "DELETE FROM start") == 3
    assert driver.counts()[:2] == (100, 0)


def test_tasks_of_a_lane_are_read_and_taken_from_it_at_once(driver: Driver) -> None:
    driver.apply(of_a_lane(driver))
    ran = executed(driver, Assign(WORKER, list(range(1, 101))))
    assert count(ran, "SELECT") == 1
    assert count(ran, "DELETE FROM laned") == 1
    assert driver.counts() == (0, 100, 0, 0, 0)


def test_what_stands_between_two_ranges_waits_on(driver: Driver, many: list[int]) -> None:
    (effect,) = driver.effects(Assign(WORKER, [90, 1, 2, 3, 7, 8, 50]))
    assert isinstance(effect, Assigned)
    assert [seq for _, seq, _ in effect.tasks] == [90, 1, 2, 3, 7, 8, 50]
    given = {90, 1, 2, 3, 7, 8, 50}
    assert driver.waiting_ids() == [str(seq - 1) for seq in many if seq not in given]
    driver.apply(Finish([(token, b"v") for token in (2, 3, 6)]))
    driver.reopen()
    assert sorted(run.token for run in driver.machine.running()) == [1, 4, 5, 7]


def test_a_task_that_is_assigned_with_its_enqueue_never_waits(driver: Driver) -> None:
    """No row says that it does, and nothing is read that was written a moment ago."""
    put = driver.put("a", "b")._replace(begin=[(WORKER, 1), (b"another", 1)])
    ran = executed(driver, put)
    assert not [each for each in ran if "waiting" in each]
    assert count(ran, "SELECT") == 0
    assert [driver.state(each) for each in "ab"] == [State.RUNNING] * 2
    before = driver.machine.running()
    driver.reopen()
    assert list(driver.machine.running()) == list(before)


def test_of_a_batch_that_is_assigned_in_part_the_rest_waits(driver: Driver) -> None:
    put = driver.put("a", "b", "c")._replace(begin=[(WORKER, 1)])
    begun, _ = driver.effects(put)
    assert begun == EnqueuedAndAssigned(WORKER, put.spec, [(1, 1, "a", b"payload")])
    assert driver.waiting_ids() == ["b", "c"]


def test_a_queue_with_a_limit_gives_each_of_its_tasks_by_itself(driver: Driver) -> None:
    """Also in one Assign with tasks of another queue, between those."""
    driver.apply(Configure("default", changes(concurrency=1)))
    driver.enqueue("a", "b")
    effects = driver.effects(Assign(WORKER, [1, 2]))
    assert effects == [
        Assigned(WORKER, [(1, 1, 1)]),
        NotAssigned([2]),
        Requeued("default", 2),
    ]
