"""Tables of 0.1.0 are brought up to date."""

import pytest

from raftwork.broker.machine import create_or_migrate
from raftwork.errors import OtherRelease
from raftwork.features.queue_settings import ConfigureThree
from tests.unit.broker.machine.driver import Driver

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
        create_or_migrate(driver.db)
        driver.reopen()
        assert driver.machine.digest() == whole
        written = driver.db.total_changes()
        create_or_migrate(driver.db)
        assert driver.db.total_changes() == written
