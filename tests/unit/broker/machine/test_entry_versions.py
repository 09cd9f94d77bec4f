"""The cluster's level is replicated state, and only an entry raises it."""

import pytest

from raftwork.broker.machine import Machine
from raftwork.broker.machine.commands import encode_batch
from raftwork.errors import OtherRelease
from raftwork.features.cluster_settings import ConfigureCluster
from raftwork.features.effects import Done
from raftwork.features.upgrade import Raise
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
    assert driver.apply(Raise(0, "0.1.0"), Raise(LEVELS.most, "0.9.0")).replies == [Done(), Done()]
    driver.now = START  # the digest has the time
    most = LEVELS.most
    assert (driver.machine.level, rows(driver)) == (most, [(most, RELEASE)])
    fresh = Driver()
    fresh.tick()
    assert before != fresh.machine.digest() == driver.machine.digest()


def test_a_level_above_this_releases_stops_the_replica_and_names_the_release_to_run() -> None:
    driver = Driver()
    above = LEVELS.most + 1
    entry = encode_batch(START, [driver.put("a"), Raise(above, "9.0.0")])
    driver.db.execute("BEGIN")
    said = f"level {above}, raised by raftwork 9.0.0; this is {RELEASE}.*{LEVELS}.*9.0.0 or later"
    with pytest.raises(OtherRelease, match=said):
        driver.machine.apply(entry)
    driver.db.execute("ROLLBACK")
    driver.reopen()
    assert (driver.machine.level, driver.waiting_ids()) == (LEVELS.most, [])


def test_what_runs_the_level_applies_it() -> None:
    driver = Driver()
    driver.machine = Machine(driver.db, NEXT)
    driver.apply(Raise(NEXT.most, "9.0.0"))
    assert driver.machine.level == NEXT.most
    with pytest.raises(OtherRelease, match=r"start this broker with raftwork 9\.0\.0 or later"):
        driver.reopen()


def test_tables_below_the_levels_of_this_release_are_refused() -> None:
    driver = Driver(level=1)
    with pytest.raises(OtherRelease, match=r"at level 1.*runs level 2.*upgrade finish"):
        Machine(driver.db, Levels(2, 2))


def test_blank_tables_are_any_releases_until_the_first_entry() -> None:
    """They are the same whichever release made them, and a Raise comes before all else."""
    driver = Driver(level=0)
    driver.machine = Machine(driver.db, NEXT)
    with pytest.raises(OtherRelease, match="at level 0"):
        driver.machine.apply(encode_batch(START, [driver.put("a")]))
    driver.machine = Machine(driver.db, NEXT)
    assert driver.apply(Raise(LEVELS.most, RELEASE), driver.put("a")).replies == [Done(), Done()]
    assert driver.waiting_ids() == ["a"]
    used = Driver(level=0)
    used.enqueue("a")
    with pytest.raises(OtherRelease, match="at level 0"):
        Machine(used.db, NEXT)


def test_a_command_above_the_level_stops_the_replica() -> None:
    """Older releases at this level do not know it: they would stop."""
    driver = Driver(level=0)
    with pytest.raises(OtherRelease, match="ConfigureCluster is of level 1, the cluster's is 0"):
        driver.machine.apply(encode_batch(START, [ConfigureCluster([("dead", 5)])]))
    applied = driver.apply(Raise(1, RELEASE), ConfigureCluster([("dead", 5)]))
    assert applied.replies == [Done(), Done()]
