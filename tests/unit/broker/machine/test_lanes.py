"""Lanes come and go with their tasks, the same on every replica."""

import pytest

from raftwork.broker.machine.commands import Finish, encode_batch
from raftwork.messages import Spec, encode_spec
from tests.unit.broker.machine.driver import Driver

HIGH = encode_spec(Spec("t", "default", priority=105))


def lanes(driver: Driver) -> list[tuple[int, int]]:
    """The number of each lane and how many tasks it has."""
    return list(driver.db.execute("SELECT number, tasks FROM lane"))


def _started(driver: Driver) -> int:
    driver.enqueue("a", spec=HIGH)
    (token,) = driver.assign(1)
    return token


def test_a_lane_has_a_row_while_a_task_is_of_it(driver: Driver) -> None:
    driver.enqueue("a", "b", spec=HIGH)
    assert lanes(driver) == [(1, 2)]
    first, second = driver.assign(1, 2)
    driver.finish(first)
    assert lanes(driver) == [(1, 1)]
    driver.reopen()
    driver.finish(second)
    assert lanes(driver) == []
    driver.enqueue("c", spec=HIGH)
    assert lanes(driver) == [(3, 1)]


def test_its_number_hangs_on_no_transaction() -> None:
    digests = []
    for flushes in (True, False):
        driver = Driver()
        token = _started(driver)
        driver.db.execute("BEGIN")
        for command in (Finish([(token, b"")]), driver.put("b", spec=HIGH)):
            driver.machine.apply(encode_batch(driver.now, [command]))
            if flushes:
                driver.machine.flush()
        digests.append(driver.machine.digest())
        driver.db.execute("COMMIT")
    assert digests[0] == digests[1]


def test_more_lanes_than_are_kept_in_memory(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftwork.broker.machine.lanes._KEPT_MAX", 2)
    for priority in range(101, 106):
        spec = encode_spec(Spec("t", "default", priority=priority))
        driver.enqueue(f"a{priority}", f"b{priority}", spec=spec)
    for token in driver.assign(*range(1, 11)):
        driver.finish(token)
    assert lanes(driver) == []
