"""Overload in a workforce: who is given nothing, for how long, and what status says of it."""

import pytest

from raftwork.broker.placement.eligibility import ANYWHERE
from raftwork.broker.workers.registry import BEAT_MS
from raftwork.messages import Heartbeat
from tests.unit.broker.leases import LEASE_MS
from tests.unit.broker.registry_harness import ME, OTHER, RegistryHarness


@pytest.fixture
def harness() -> RegistryHarness:
    harness = RegistryHarness()
    harness.hello()
    return harness


def beat(harness: RegistryHarness, routing: bytes, memory: float) -> None:
    told = Heartbeat(1, 0.5, memory, 0.0, 0, 0, False, 0.5, 0, 0.0, 0)
    assert harness.registry.heartbeat(routing, told, harness.now)
    harness.pass_time(BEAT_MS)


def serving(harness: RegistryHarness) -> dict[bytes, bool]:
    excluded = harness.registry.eligibility.excluded("default", ANYWHERE, spares=True)
    return {w.incarnation: w.incarnation not in excluded for w in harness.registry.available()}


def test_an_overloaded_worker_gets_nothing_while_another_serves_its_queues(
    harness: RegistryHarness,
) -> None:
    harness.hello()
    harness.hello(me=OTHER, routing=b"v")
    beat(harness, b"w", 1.0)
    assert serving(harness) == {ME: False, OTHER: True}
    (status, _) = harness.registry.statuses()
    assert status.reason == "overloaded: 100% of its memory is in use"
    assert (status.state, status.cpu, status.others, status.terms.memory) == (
        "active",
        0.5,
        0.0,
        0.0,
    )
    beat(harness, b"v", 1.0)
    assert serving(harness) == {ME: True, OTHER: True}  # nobody else is left


def test_a_worker_that_may_serve_again_stirs_the_dispatcher(harness: RegistryHarness) -> None:
    harness.hello()
    harness.hello(me=OTHER, routing=b"v")
    beat(harness, b"w", 1.0)
    told = Heartbeat(1, 0.0, 0.1, 0.0, 0, 0, False)
    assert harness.registry.heartbeat(b"w", told, harness.now)
    assert not harness.registry.pass_time(harness.now, harness.queues.time)
    harness.now += BEAT_MS
    assert harness.registry.pass_time(harness.now, harness.queues.time)
    assert serving(harness) == {ME: True, OTHER: True}


def test_a_lost_or_draining_worker_gives_no_reason_of_its_load(harness: RegistryHarness) -> None:
    harness.hello()
    beat(harness, b"w", 1.0)
    harness.pass_time(LEASE_MS + BEAT_MS)
    (status,) = harness.registry.statuses()
    assert (status.state, status.reason) == ("lost", "")
