"""What people are told of elections, leaderships and snapshots: the same with every protocol."""

import pytest

from raftwork.consensus.replica_events import (
    Cause,
    Election,
    LeadershipEnded,
    ReplicaEvent,
    SnapshotBegun,
    SnapshotInstalled,
    SnapshotMade,
    SnapshotOffered,
    SnapshotReceived,
    SnapshotSent,
)
from tests.unit.consensus.network import MAKERS, Network

PATIENCE = 5_000


@pytest.fixture(params=sorted(MAKERS))
def network(request: pytest.FixtureRequest) -> Network:
    return Network(MAKERS[request.param])


def told(network: Network, *names: str) -> list[ReplicaEvent]:
    return [news for name in names for news in network[name].host.told]


def forget(network: Network) -> None:
    for place in network.places.values():
        place.host.told.clear()


def of_another(network: Network, old: str) -> bool:
    return bool(set(network.active()) - {old})


def test_a_closed_link_is_why_an_election_begins(network: Network) -> None:
    old = network.leader()
    forget(network)
    network.crash(old)
    network.until(lambda: bool(network.active()), PATIENCE)
    causes = [news.why for news in told(network, *network.up()) if isinstance(news, Election)]
    assert causes[0] is Cause.LINK_LOST


def test_a_silent_leader_is_why_an_election_begins(network: Network) -> None:
    old = network.leader()
    forget(network)
    network.crash(old, hint=False)
    network.until(lambda: bool(network.active()), PATIENCE)
    causes = [news.why for news in told(network, *network.up()) if isinstance(news, Election)]
    assert causes[0] is Cause.SILENCE


def test_a_leadership_without_a_majority_ends_by_it(network: Network) -> None:
    old = network.leader()
    epoch = network[old].core.status.epoch
    network.cut(old)
    network.until(lambda: old not in network.active(), PATIENCE)
    assert LeadershipEnded(epoch, Cause.NO_MAJORITY) in told(network, old)


def test_a_leadership_that_is_handed_over_says_so_on_both_sides(network: Network) -> None:
    old = network.leader()
    epoch = network[old].core.status.epoch
    forget(network)
    network[old].core.transfer(network.now)
    network.until(lambda: of_another(network, old), PATIENCE)
    assert LeadershipEnded(epoch, Cause.HANDED_OVER) in told(network, old)
    assert Election(Cause.HANDED_OVER) in told(network, *network.active())


def test_a_leader_that_was_stopped_says_that_it_was(network: Network) -> None:
    old = network.leader()
    epoch = network[old].core.status.epoch
    network.now += 5_000
    network[old].running.wake(network.now)
    network[old].running.turn(network.now)
    assert LeadershipEnded(epoch, Cause.STOPPED) in told(network, old)


def test_a_cluster_at_rest_tells_nothing(network: Network) -> None:
    network.leader()
    network.sleep(1_000)
    forget(network)
    network.sleep(10_000)
    assert told(network, *network.names) == []


def test_a_snapshot_is_told_of_on_both_sides(network: Network) -> None:
    leader = network.leader()
    for place in network.places.values():
        place.store._tail = 0
    behind = network.followers()[0]
    network.crash(behind)
    for n in range(20):
        network[leader].core.propose(b"%d" % n, network.now)
        network.sleep(50)
    forget(network)
    network.start(behind)
    network.until(lambda: network[behind].store.applied == network[leader].store.applied, 20_000)
    network.sleep(1_000)
    sent = told(network, leader)
    assert [type(news) for news in sent if not isinstance(news, Election)] == [
        *(SnapshotBegun, SnapshotMade, SnapshotOffered, SnapshotSent)
    ]
    assert SnapshotOffered(behind) in sent
    assert SnapshotSent(behind) in sent
    got = [news for news in told(network, behind) if not isinstance(news, Election)]
    assert [type(news) for news in got] == [SnapshotReceived, SnapshotInstalled]
