"""The cluster's settings are replicated state, and only an entry changes them."""

from dataclasses import asdict, replace

import pytest

from raftwork.broker.machine import ClusterSettings, Machine
from raftwork.broker.machine.commands import encode_batch
from raftwork.errors import OtherRelease
from raftwork.features.cluster_settings import SETTINGS, ConfigureCluster
from raftwork.features.effects import Rejected
from raftwork.messages import Code
from tests.unit.broker.machine.driver import START, Driver, spec_of


def test_settings_are_rows_that_every_replica_reads() -> None:
    driver = Driver(ClusterSettings(tasks=3))
    assert dict(driver.db.execute("SELECT * FROM setting"))["tasks"] == 3
    assert Machine(driver.db).settings == ClusterSettings(tasks=3)
    other = Driver(ClusterSettings(tasks=4))
    assert driver.machine.digest() != other.machine.digest()


def test_the_settings_of_new_tables_are_for_ever() -> None:
    """Replicas of several releases make the same rows in new tables."""
    assert asdict(ClusterSettings()) == {
        "tasks": 2_000_000,
        "queues": 1_000,
        "results": 1_000_000,
        "result_bytes": 1 << 30,
        "tombstones": 50_000_000,
        "enqueue_window": 3_600_000,
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
        "worker_lease": 3_000,
        "worker_reconnect": 500,
        "election_timeout": 750,
    }


def test_settings_are_changed_by_an_entry(driver: Driver) -> None:
    before = driver.machine.settings
    driver.apply(ConfigureCluster([("dead", 7), ("tasks", 1)]))
    assert driver.machine.settings == replace(ClusterSettings(), tasks=1, dead=7)
    assert before == ClusterSettings()
    driver.reopen()
    assert driver.machine.settings == replace(ClusterSettings(), tasks=1, dead=7)
    driver.enqueue("a")
    assert driver.refusal(driver.put("b")).code is Code.QUEUE_FULL


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([("tasks", 5), ("dead", 0)], "dead must be between 1 and 1000000 tasks, got 0"),
        ([("payload_bytes", (1 << 20) + 1)], "must be between 1024 and 1048576 bytes, got 1048577"),
        ([("tasks", 2**60)], "tasks must be between"),
        ([("worker_lease", 2_999)], "worker_lease must be between 3000 and 600000 ms, got 2999"),
    ],
)
def test_settings_that_cannot_be_meant_change_nothing(
    driver: Driver, values: list[tuple[str, int]], said: str
) -> None:
    refusal = driver.refusal(ConfigureCluster(values))
    assert refusal.code is Code.PROTOCOL
    assert said in refusal.text
    assert isinstance(driver.apply(ConfigureCluster(values)).replies[0], Rejected)
    assert driver.machine.settings == ClusterSettings()


def test_no_id_is_forgotten_while_its_enqueue_may_come_again_whatever_is_set() -> None:
    """A tombstone lives as long as was set when it was made, and a window may be set later."""
    assert SETTINGS["enqueue_window"].most <= SETTINGS["tombstone_ttl"].least


def test_fewer_queues_than_there_are_leave_those_that_are_there_as_they_are(driver: Driver) -> None:
    driver.enqueue("a", spec=spec_of("one"))
    driver.enqueue("b", spec=spec_of("two"))
    driver.apply(ConfigureCluster([("queues", 1)]))
    driver.enqueue("c", spec=spec_of("two"))
    refusal = driver.refusal(driver.put("d", spec=spec_of("three")))
    assert (refusal.code, refusal.text) == (
        Code.QUEUE_FULL,
        "no room: this would make 3 queues, 1 are allowed",
    )


def test_a_setting_that_only_a_newer_release_has_stops_the_replica(driver: Driver) -> None:
    with pytest.raises(OtherRelease, match="no such setting: parrots"):
        driver.machine.apply(encode_batch(START, [ConfigureCluster([("parrots", 1)])]))


@pytest.mark.parametrize(
    "change", ["INSERT INTO setting VALUES ('parrots', 1)", "DELETE FROM setting WHERE name='dead'"]
)
def test_tables_with_other_settings_are_refused(driver: Driver, change: str) -> None:
    driver.db.execute(change)
    with pytest.raises(OtherRelease, match=r"another release.*(parrots|dead)"):
        driver.reopen()
