"""The cluster's level and its limits are replicated state, and only an entry changes them."""

from dataclasses import astuple, replace

import pytest

from raftwork.broker.machine import Limits, Machine, create_tables
from raftwork.broker.machine.commands import encode_batch
from raftwork.broker.machine.limits import NAMES
from raftwork.errors import OtherRelease
from raftwork.features.effects import Done, Rejected
from raftwork.features.queue_settings import ConfigureThree
from raftwork.features.upgrade import ClusterSettings, Raise
from raftwork.messages import Code
from raftwork.release import LEVELS, RELEASE, Levels
from tests.unit.broker.machine.driver import START, Driver

NEXT = Levels(LEVELS.most, LEVELS.most + 1)


def rows(driver: Driver) -> list[object]:
    return list(driver.db.execute("SELECT * FROM cluster"))


# ---- the level ----------------------------------------------------------------------------------


def test_new_tables_have_no_level_until_an_entry_raises_it() -> None:
    driver = Driver(level=0)
    assert (driver.machine.level, rows(driver)) == (0, [(0, "")])
    assert driver.apply(Raise(1, RELEASE)).replies == [Done()]
    assert (driver.machine.level, rows(driver)) == (1, [(1, RELEASE)])
    driver.reopen()
    assert driver.machine.level == 1


def test_the_level_only_grows() -> None:
    driver = Driver()
    before = driver.machine.digest()
    assert driver.apply(Raise(0, "0.1.0"), Raise(1, "0.9.0")).replies == [Done(), Done()]
    driver.now = START  # the digest has the time
    assert (driver.machine.level, rows(driver)) == (1, [(1, RELEASE)])
    fresh = Driver()
    fresh.tick()
    assert before != fresh.machine.digest() == driver.machine.digest()


def test_a_level_above_this_releases_stops_the_replica_and_names_the_release_to_run() -> None:
    driver = Driver()
    entry = encode_batch(START, [driver.put("a"), Raise(2, "0.3.0")])
    driver.db.execute("BEGIN")
    said = f"level 2, raised by raftwork 0.3.0; this is {RELEASE}.*levels 0 to 1.*0.3.0 or later"
    with pytest.raises(OtherRelease, match=said):
        driver.machine.apply(entry)
    driver.db.execute("ROLLBACK")
    driver.reopen()
    assert (driver.machine.level, driver.waiting_ids()) == (1, [])


def test_what_runs_the_level_applies_it() -> None:
    driver = Driver()
    driver.machine = Machine(driver.db, NEXT)
    driver.apply(Raise(2, "0.3.0"))
    assert driver.machine.level == 2
    with pytest.raises(OtherRelease, match=r"start this broker with raftwork 0\.3\.0 or later"):
        driver.reopen()


def test_tables_below_the_levels_of_this_release_are_refused() -> None:
    driver = Driver()
    with pytest.raises(OtherRelease, match=r"at level 1.*runs level 2.*upgrade finish"):
        Machine(driver.db, Levels(2, 2))


def test_blank_tables_are_any_releases_until_the_first_entry() -> None:
    """They are the same whichever release made them, and a Raise comes before all else."""
    driver = Driver(level=0)
    driver.machine = Machine(driver.db, NEXT)
    with pytest.raises(OtherRelease, match="at level 0"):
        driver.machine.apply(encode_batch(START, [driver.put("a")]))
    driver.machine = Machine(driver.db, NEXT)
    assert driver.apply(Raise(1, RELEASE), driver.put("a")).replies == [Done(), Done()]
    assert driver.waiting_ids() == ["a"]
    used = Driver(level=0)
    used.enqueue("a")
    with pytest.raises(OtherRelease, match="at level 0"):
        Machine(used.db, NEXT)


def test_a_command_above_the_level_stops_the_replica() -> None:
    """Older releases at this level do not know it: they would stop."""
    driver = Driver(level=0)
    with pytest.raises(OtherRelease, match="ClusterSettings is of level 1, the cluster's is 0"):
        driver.machine.apply(encode_batch(START, [ClusterSettings([("dead", 5)])]))
    applied = driver.apply(Raise(1, RELEASE), ClusterSettings([("dead", 5)]))
    assert applied.replies == [Done(), Done()]


# ---- limits -------------------------------------------------------------------------------------


def test_limits_are_rows_that_every_replica_reads() -> None:
    driver = Driver(Limits(tasks=3))
    assert dict(driver.db.execute("SELECT * FROM setting"))["tasks"] == 3
    assert Machine(driver.db).limits == Limits(tasks=3)
    other = Driver(Limits(tasks=4))
    assert driver.machine.digest() != other.machine.digest()


def test_the_limits_of_level_0_are_for_ever() -> None:
    """Replicas of several releases make the same rows in new tables."""
    assert dict(zip(NAMES, astuple(Limits()), strict=True)) == {
        "tasks": 2_000_000,
        "queues": 1_000,
        "results": 1_000_000,
        "result_bytes": 1 << 30,
        "tombstones": 50_000_000,
        "window": 3_600_000,
        "tombstone_ttl": 3_600_000,
        "result_ttl": 30 * 86_400_000,
        "max_losses": 100,
        "dead": 10_000,
        "dead_bytes": 64 << 20,
        "batch_tasks": 10_000,
        "batch_bytes": 16 << 20,
        "payload_bytes": 1 << 20,
        "spec_bytes": 4_096,
        "id_length": 255,
        "name_length": 255,
        "sweep": 500,
    }


def test_limits_are_changed_by_an_entry(driver: Driver) -> None:
    driver.apply(ClusterSettings([("tasks", 1), ("dead", 7)]))
    assert driver.machine.limits == replace(Limits(), tasks=1, dead=7)
    driver.reopen()
    assert driver.machine.limits == replace(Limits(), tasks=1, dead=7)
    driver.enqueue("a")
    assert driver.refusal(driver.put("b")).code is Code.QUEUE_FULL


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([("tasks", 5), ("dead", 0)], "dead must be between 1 and"),
        ([("payload_bytes", (1 << 20) + 1)], "payload_bytes must be between 1 and 1048576, got"),
        ([("tasks", 2**60)], "tasks must be between"),
        ([("tombstone_ttl", 1_000)], "tombstone_ttl, 1000 ms, must not be less than window"),
    ],
)
def test_limits_that_cannot_be_meant_change_nothing(
    driver: Driver, values: list[tuple[str, int]], said: str
) -> None:
    refusal = driver.refusal(ClusterSettings(values))
    assert refusal.code is Code.PROTOCOL
    assert said in refusal.text
    assert isinstance(driver.apply(ClusterSettings(values)).replies[0], Rejected)
    assert driver.machine.limits == Limits()


def test_a_limit_that_only_a_newer_release_has_stops_the_replica(driver: Driver) -> None:
    with pytest.raises(OtherRelease, match="unknown setting 'parrots'"):
        driver.machine.apply(encode_batch(START, [ClusterSettings([("parrots", 1)])]))


@pytest.mark.parametrize(
    "change", ["INSERT INTO setting VALUES ('parrots', 1)", "DELETE FROM setting WHERE name='dead'"]
)
def test_tables_with_other_limits_are_refused(driver: Driver, change: str) -> None:
    driver.db.execute(change)
    with pytest.raises(OtherRelease, match=r"another release.*(parrots|dead)"):
        driver.reopen()


# ---- tables of 0.1.0 ----------------------------------------------------------------------------


#: What was set for a queue had a column each.
_AS_VERSION_2 = """
DROP TABLE cluster;
DROP TABLE setting;
ALTER TABLE queue ADD COLUMN balancer TEXT NOT NULL DEFAULT '';
ALTER TABLE queue ADD COLUMN max_length INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN max_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE queue SET balancer = 'random', max_length = 7 WHERE settings <> x'';
ALTER TABLE queue DROP COLUMN settings;
UPDATE machine SET version = 2;
"""


def test_tables_of_0_1_0_are_brought_up_to_date_whatever_they_hold() -> None:
    for busy in (False, True):
        driver = Driver(level=0)
        if busy:
            driver.enqueue("a", "b")
            driver.fail(driver.assign(1)[0])
            driver.effects(ConfigureThree("default", "random", 7, None))
        whole = driver.machine.digest()
        driver.db.execute(_AS_VERSION_2)
        with pytest.raises(OtherRelease, match=r"version 2, .* reads version 3 and converts"):
            driver.reopen()
        create_tables(driver.db)
        driver.reopen()
        assert driver.machine.digest() == whole
        written = driver.db.total_changes()
        create_tables(driver.db)
        assert driver.db.total_changes() == written
