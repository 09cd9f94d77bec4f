"""Results and tombstones are kept for their time, within their bounds."""

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import Command, Tick, encode_batch
from raftwork.broker.machine.retention import SHARE_LEAST, STARTS_LEAST
from raftwork.features.effects import Queued, QueuedInLane, Requeued
from raftwork.features.enqueue import Admit
from raftwork.messages import Result, Spec, State, encode_spec
from tests.unit.broker.machine.driver import Driver, spec_of, tasks_of


def finished(driver: Driver, *tasks: str, data: bytes = b"value", ttl: int = 1_000) -> None:
    for task in tasks:
        driver.finish(driver.start(task, spec=spec_of(result_ttl=ttl)), data)


def test_a_result_is_kept_for_its_time_then_a_tombstone_then_nothing(driver: Driver) -> None:
    finished(driver, "a")
    assert driver.due() == driver.now + 1_000
    driver.tick(999)
    assert driver.result("a") == Result("a", State.SUCCEEDED, b"value")
    driver.tick(1)
    assert driver.result("a") == Result("a", State.SUCCEEDED, b"", forgotten=True)
    assert driver.due() == driver.now + driver.settings.tombstone_ttl
    driver.tick(driver.settings.tombstone_ttl - 1)
    assert driver.result("a").forgotten
    driver.tick(1)
    assert driver.state("a") is State.UNKNOWN
    assert driver.due() is None
    assert driver.counts() == (0, 0, 1, 0, 0)


def test_a_forgotten_id_may_be_used_again(driver: Driver) -> None:
    finished(driver, "a")
    driver.tick(1_000)
    driver.tick(driver.settings.tombstone_ttl)
    (effect,) = driver.enqueue("a", payload=b"other")
    assert isinstance(effect, Queued) and effect.first == 2


def test_the_limits_cap_what_a_spec_asks_for() -> None:
    driver = Driver(ClusterSettings(result_ttl=10))
    finished(driver, "a", ttl=2**62)
    driver.tick(10)
    assert driver.result("a").forgotten


def test_the_result_nearest_to_expiry_goes_first_when_there_are_too_many() -> None:
    driver = Driver(ClusterSettings(results=2))
    finished(driver, "long", ttl=500)
    finished(driver, "short", ttl=100)
    finished(driver, "middle", ttl=300)
    results = driver.machine.lookup(["long", "short", "middle"])
    assert [r.forgotten for r in results] == [False, True, False]


def test_a_tombstone_made_early_is_due_early() -> None:
    driver = Driver(ClusterSettings(results=0, tombstone_ttl=10))
    finished(driver, "a")
    assert driver.due() == driver.now + 10
    driver.tick(10)
    assert driver.state("a") is State.UNKNOWN


def test_results_are_bounded_in_bytes() -> None:
    driver = Driver(ClusterSettings(result_bytes=10))
    finished(driver, "a", "b", data=b"12345")
    assert not driver.result("a").forgotten
    finished(driver, "c", data=b"1")
    assert [r.forgotten for r in driver.machine.lookup(["a", "b", "c"])] == [True, False, False]
    finished(driver, "huge", data=b"x" * 11, ttl=5_000)
    assert driver.result("huge") == Result("huge", State.SUCCEEDED, b"", forgotten=True)


def test_bytes_given_back_make_room_again() -> None:
    driver = Driver(ClusterSettings(result_bytes=10))
    finished(driver, "a", "b", data=b"12345", ttl=100)
    driver.tick(100)
    driver.reopen()
    finished(driver, "c", "d", data=b"12345", ttl=100)
    assert not driver.result("c").forgotten


def test_payload_and_spec_are_dropped_with_the_outcome(driver: Driver) -> None:
    finished(driver, "a")
    assert driver.db.execute("SELECT spec, body FROM task").fetchall() == [(b"", b"value")]


def test_one_batch_sweeps_a_bounded_part_and_the_rest_stays_due(driver: Driver) -> None:
    ids = [str(i) for i in range(ClusterSettings().sweep + 1)]
    driver.enqueue(*ids, spec=spec_of(retries=1))
    for token in driver.assign(*range(1, ClusterSettings().sweep + 2)):
        driver.fail(token, driver.now + 10)
    woken: list[int] = []
    driver.now += 10
    while (due := driver.due()) is not None and due <= driver.now:
        effects = driver.tick()
        assert len(effects) <= SHARE_LEAST + 1
        woken += [effect.seq for effect in effects if isinstance(effect, Requeued)]
    assert woken == list(range(1, ClusterSettings().sweep + 2))
    tokens = driver.assign(*range(1, ClusterSettings().sweep + 2))
    for token in tokens:
        driver.finish(token)
    driver.tick(1_000)
    forgotten = [r.forgotten for r in driver.machine.lookup(ids)]
    many = sum(forgotten)
    assert SHARE_LEAST <= many < SHARE_LEAST + 5
    assert forgotten == [True] * many + [False] * (len(ids) - many)
    while (due := driver.due()) is not None and due <= driver.now:
        driver.tick()
    assert driver.result(ids[-1]).forgotten


def test_retries_wake_in_the_order_they_fell_due(driver: Driver) -> None:
    driver.enqueue("a", "b", "c", spec=spec_of(retries=1))
    first, second, third = driver.assign(1, 2, 3)
    driver.fail(first, driver.now + 20)
    driver.fail(second, driver.now + 10)
    driver.fail(third, driver.now + 10)
    assert driver.tick(20) == [Requeued("default", seq) for seq in (2, 3, 1)]
    assert driver.waiting_ids() == ["a", "b", "c"]
    assert driver.db.execute("SELECT count(due) FROM task").fetchall() == [(0,)]


@pytest.mark.parametrize("behind", [1, 10**6])
def test_machine_time_never_goes_back(driver: Driver, behind: int) -> None:
    driver.tick(100)
    driver.apply_raw(encode_batch(driver.now - behind, [Tick()]))
    assert driver.machine.time == driver.now
    driver.reopen()
    assert driver.machine.time == driver.now


def test_due_is_known_after_a_restart(driver: Driver) -> None:
    finished(driver, "a", ttl=70)
    driver.fail(driver.start("b", spec=spec_of(retries=1)), driver.now + 50)
    assert driver.due() == driver.now + 50
    driver.reopen()
    assert driver.due() == driver.now + 50
    driver.tick(50)
    driver.reopen()
    assert driver.due() == driver.now + 20


def test_an_entry_does_of_what_is_due_by_its_own_size_up_to_the_setting() -> None:
    """Who waits for a small entry does not wait for five hundred tasks of others besides."""
    driver = Driver()
    delayed = encode_spec(Spec("module.task", "default", delay=10))
    for part in range(10):
        ids = [f"{part} {i}" for i in range(1_000)]
        driver.apply(Admit(driver.now, delayed, tasks_of(*((id_, b"") for id_ in ids))))
    driver.now += 10

    def woken(*commands: Command) -> int:
        effects = driver.apply(*commands).effects
        return sum(len(each.tasks) for each in effects if isinstance(each, QueuedInLane))

    assert STARTS_LEAST <= woken(Tick()) < STARTS_LEAST + 5
    assert STARTS_LEAST <= woken(driver.put("one")) < STARTS_LEAST + 20
    assert woken(driver.put(*map(str, range(1_000)))) == ClusterSettings().sweep


def test_below_level_2_an_entry_does_what_older_releases_do_with_it() -> None:
    driver = Driver(level=1)
    driver.enqueue(*map(str, range(400)), spec=spec_of(retries=1))
    for token in driver.assign(*range(1, 401)):
        driver.fail(token, driver.now + 10)
    assert len(driver.tick(10)) == 400
