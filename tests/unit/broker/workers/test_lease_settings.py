"""Leases that are changed while workers hold tasks: nobody's becomes shorter by it."""

from dataclasses import replace

import pytest

from raftwork.broker.events import ClusterSettingsChanged, Event
from raftwork.broker.machine.commands import Lose
from raftwork.broker.workers.registry import BEAT_MS
from raftwork.features.cluster_settings import DEFAULTS, SETTINGS, SetClusterSettings, changes
from raftwork.messages import HEARTBEAT_MS, Loss
from tests.unit.broker.leadership_harness import LeadershipHarness
from tests.unit.broker.leases import LEASE_CLOSED_MS, LEASE_MS
from tests.unit.broker.queues import Queues
from tests.unit.broker.registry_harness import RegistryHarness

LONG_MS = 10_000
LONG = replace(DEFAULTS, worker_lease=LONG_MS)
SLOW = replace(LONG, worker_reconnect=5_000)


@pytest.fixture
def harness() -> RegistryHarness:
    harness = RegistryHarness()
    harness.hello()
    return harness


def test_no_lease_is_shorter_than_three_heartbeats_which_workers_send_whatever_is_set() -> None:
    assert SETTINGS["worker_lease"].least == 3 * HEARTBEAT_MS


def test_a_longer_lease_holds_for_who_is_heard_from_then_on(harness: RegistryHarness) -> None:
    harness.registry.settings = LONG
    (token,) = harness.give()
    harness.report()
    assert harness.pass_time(LONG_MS - 50) == []
    assert harness.pass_time(BEAT_MS + 100) == [Lose([(token, True)], Loss("w"))]


def test_a_shorter_lease_takes_nothing_from_who_was_promised_a_longer_one(
    harness: RegistryHarness,
) -> None:
    harness.registry.settings = LONG
    harness.give()
    harness.report()
    harness.registry.settings = DEFAULTS
    harness.registry.extend_leases(500, harness.now)  # a pause of the leader does not, either
    assert harness.pass_time(LONG_MS - 50) == []
    assert len(harness.pass_time(BEAT_MS + 100)) == 1


def test_who_is_heard_after_a_shorter_lease_was_set_has_that(harness: RegistryHarness) -> None:
    harness.registry.settings = LONG
    harness.give()
    harness.registry.settings = DEFAULTS
    harness.report()
    assert harness.pass_time(LEASE_MS - 50) == []
    assert len(harness.pass_time(BEAT_MS + 100)) == 1


def test_a_closed_connection_has_the_time_that_is_set(harness: RegistryHarness) -> None:
    harness.registry.settings = SLOW
    harness.give()
    harness.report()
    harness.registry.unreachable(b"w", harness.now)
    assert SLOW.worker_reconnect > LEASE_CLOSED_MS
    assert harness.pass_time(SLOW.worker_reconnect - 50) == []
    assert len(harness.pass_time(BEAT_MS + 100)) == 1


def test_a_new_leader_waits_the_lease_that_is_set_for_workers_it_never_saw(
    harness: RegistryHarness,
) -> None:
    harness.give()
    harness.queues.machine.state.change_settings(LONG)
    harness.new_leader()
    assert harness.pass_time(LONG_MS - 50) == []
    assert len(harness.pass_time(BEAT_MS + 100)) == 1


def test_a_change_holds_as_soon_as_its_entry_is_applied_and_is_told() -> None:
    told: list[Event] = []
    harness = LeadershipHarness(Queues(), tell=told.append)
    harness.hello()
    request = SetClusterSettings(1, changes({"worker_lease": LONG_MS, "dead": 10_000}))
    harness.lead.request(b"c", request, 50, harness.now)
    harness.turn()
    harness.report()
    assert ClusterSettingsChanged(("worker_lease from 3000 to 10000 ms",)) in told
    (worker,) = harness.lead.workers._workers.values()
    assert worker.deadline == harness.now + LONG_MS
    harness.lead.request(b"c", request._replace(request=2), 50, harness.now)
    harness.turn()
    assert len([e for e in told if isinstance(e, ClusterSettingsChanged)]) == 1
