"""Tasks that wait for their time stand there by ranges, parted where one of them leaves."""

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import Tick
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.effects import QueuedInLane
from raftwork.features.enqueue import Admit
from raftwork.features.reschedule import MoveTo
from raftwork.messages import Extras, Spec, State, encode_spec
from raftwork.wire import pack
from tests.unit.broker.machine.driver import Driver


def later(driver: Driver, ids: str, delay: int = 10, *, ordered: bool = False) -> None:
    spec = encode_spec(Spec("module.task", "default", delay=delay, ordered=ordered))
    rows = [[each, b"payload", "key", Extras()] for each in ids]
    driver.apply(Admit(driver.now, spec, pack(rows)))


def cancel(driver: Driver, *ids: str) -> None:
    driver.apply(CancelSome(Scope.IDS, list(ids), "", "", 0, 0, 0, 100))


def ranges(driver: Driver) -> list[tuple[int, int, int]]:
    """From, to, and after how many ms."""
    rows = driver.db.execute("SELECT first, last, due FROM start ORDER BY first")
    return [(first, last, due - driver.now) for first, last, due in rows]


def waiting(driver: Driver) -> list[str]:
    """In the order of their places."""
    rows = "SELECT id FROM laned JOIN task USING (seq) ORDER BY laned.place"
    return [id_ for (id_,) in driver.db.execute(rows)]


@pytest.mark.parametrize(
    ("ended", "left"),
    [
        ("a", [(2, 5, 10)]),
        ("e", [(1, 4, 10)]),
        ("c", [(1, 2, 10), (4, 5, 10)]),
        ("bd", [(1, 1, 10), (3, 3, 10), (5, 5, 10)]),
        ("abcde", []),
        ("bcd", [(1, 1, 10), (5, 5, 10)]),
    ],
)
def test_what_ends_before_its_time_leaves_its_range(
    driver: Driver, ended: str, left: list[tuple[int, int, int]]
) -> None:
    later(driver, "abcde")
    cancel(driver, *ended)
    assert ranges(driver) == left
    driver.reopen()
    driver.now += 10
    driver.apply(Tick())
    assert waiting(driver) == [each for each in "abcde" if each not in ended]
    assert ranges(driver) == []


def test_what_ends_together_may_be_of_several_ranges(driver: Driver) -> None:
    later(driver, "abc")
    later(driver, "def", delay=20)
    cancel(driver, *"bcde")
    assert ranges(driver) == [(1, 1, 10), (6, 6, 20)]


def test_what_is_moved_has_a_range_of_its_own(driver: Driver) -> None:
    later(driver, "abc")
    driver.apply(MoveTo("b", driver.now + 5))
    assert ranges(driver) == [(1, 1, 10), (2, 2, 5), (3, 3, 10)]
    driver.apply(MoveTo("b", driver.now + 30))
    assert ranges(driver) == [(1, 1, 10), (2, 2, 30), (3, 3, 10)]
    driver.now += 30
    driver.apply(Tick())
    assert waiting(driver) == ["a", "c", "b"]


def test_an_entry_starts_a_part_of_a_range_and_the_next_one_goes_on(driver: Driver) -> None:
    settings = ClusterSettings(sweep=2)
    driver = Driver(settings)
    later(driver, "abc")
    later(driver, "de", delay=5)
    driver.now += 10
    for expected in ("de", "deab", "deabc"):
        driver.apply(Tick())
        assert waiting(driver) == list(expected)
        assert [driver.state(each) for each in expected] == [State.QUEUED] * len(expected)
    assert ranges(driver) == []


def test_those_of_a_lane_are_told_together_and_stand_behind_what_was_there(driver: Driver) -> None:
    later(driver, "ab")
    later(driver, "cd", delay=5)
    later(driver, "e", delay=0, ordered=True)
    driver.now += 10
    effects = [e for e in driver.effects(Tick()) if isinstance(e, QueuedInLane)]
    assert [e.tasks for e in effects] == [[(3, 6), (4, 7), (1, 8), (2, 9)]]


def test_ordered_tasks_that_become_ready_together_wait_one_behind_the_other(
    driver: Driver,
) -> None:
    later(driver, "abc", ordered=True)
    driver.now += 10
    driver.apply(Tick())
    assert waiting(driver) == ["a"]
    for token, following in ((1, "b"), (2, "c")):
        driver.finish(driver.assign(token)[0], b"v")
        assert waiting(driver) == [following]
