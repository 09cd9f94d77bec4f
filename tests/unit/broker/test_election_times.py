"""Election times that the cluster has set: every broker goes by them once it has applied them."""

import pytest

from raftwork.broker.options import timing
from raftwork.features.cluster_settings import ClusterSettingsSet, SetClusterSettings, changes
from tests.unit.broker.nodes import World

LONG_MS = 5_000


def goes_by(world: World, name: str, timeout: int) -> bool:
    """Whether the broker's core goes by this election timeout; Zab by whole ticks."""
    replica = world.nodes[name]._replica
    assert replica is not None
    config = replica.core._node.config  # type: ignore[attr-defined]
    held = config.election_min if hasattr(config, "election_min") else config.silence
    return bool(timeout <= held < 1.2 * timeout)


def set_timeout(world: World, leader: str, milliseconds: int, request: int = 1) -> None:
    change = SetClusterSettings(request, changes({"election_timeout": milliseconds}))
    assert ClusterSettingsSet(request) in world.ask(b"client", change, to=leader)


@pytest.fixture(params=["raft", "zab"])
def three(request: pytest.FixtureRequest) -> World:
    return World("a", "b", "c", consensus=request.param)


def test_a_change_holds_for_every_broker_and_costs_no_election(three: World) -> None:
    leader = three.elect()
    three.client(to=leader)
    epochs = []
    for number, timeout in enumerate((LONG_MS, 750, LONG_MS), 1):
        set_timeout(three, leader, timeout, number)
        three.run(3_000)
        assert all(goes_by(three, name, timeout) for name in three.names)
        epochs.append(three.nodes[leader].status(1).epoch)
        assert three.nodes[leader].leads
    assert len(set(epochs)) == 1


def test_a_broker_that_starts_again_goes_by_what_is_stored(three: World) -> None:
    leader = three.elect()
    three.client(to=leader)
    set_timeout(three, leader, LONG_MS)
    three.run(1_000)
    other = next(name for name in three.names if name != leader)
    three.nodes[other] = three.start(other)
    assert three.nodes[other].times.timing.election_timeout == LONG_MS
    three.run(100)
    assert goes_by(three, other, LONG_MS)
    assert three.nodes[other]._readiness.patience == 4 * LONG_MS


def test_a_leader_that_vanishes_is_missed_by_the_times_that_are_set(three: World) -> None:
    leader = three.elect()
    three.client(to=leader)
    set_timeout(three, leader, LONG_MS)
    three.run(1_000)
    three.cut = {leader}
    began = three.now
    three.elect()
    assert three.now - began >= 3_000


def test_a_brokers_own_times_come_before_those_of_the_cluster() -> None:
    assert timing("raft", 750, 0, 0) == (75, 750)
    assert timing("zab", 750, 0, 0) == (50, 750)
    assert timing("raft", 5_000, 0, 0) == (500, 5_000)
    assert timing("raft", 5_000, 2_000, 0) == (200, 2_000)
    assert timing("raft", 5_000, 0, 30) == (30, 5_000)
    assert timing("raft", 300, 0, 250) == (100, 300), "a third of what is set, at most"
