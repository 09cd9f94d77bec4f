"""Times that change while everything runs: no election by it, and the next one goes by the new."""

import pytest

from raftwork.consensus.replica_events import Election
from tests.unit.consensus.network import MAKERS, Make, Network

USUAL, LONG, SHORT = (75, 750), (500, 5_000), (30, 300)


@pytest.fixture(params=sorted(MAKERS))
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param]


def retime(network: Network, times: tuple[int, int], *names: str) -> None:
    for name in names or network.names:
        network[name].core.retime(*times, network.now)


def settled(make: Make) -> tuple[Network, str, int]:
    """A cluster at rest, its leader and its epoch."""
    network = Network(make)
    leader = network.leader()
    network.propose(leader, b"before")
    network.sleep(2_000)
    return network, leader, network[leader].core.status.epoch


def elections(network: Network) -> int:
    """How often any of them has looked for another leader."""
    told = [news for name in network.names for news in network[name].host.told]
    return sum(isinstance(news, Election) for news in told)


@pytest.mark.parametrize("between", [0, 40, 250])
@pytest.mark.parametrize("rest", [0, 400, 800, 1_200])
@pytest.mark.parametrize(("first", "then"), [(USUAL, LONG), (LONG, USUAL), (SHORT, LONG)])
def test_a_change_that_the_leader_applies_before_the_others_costs_no_election(
    make: Make, first: tuple[int, int], then: tuple[int, int], rest: int, between: int
) -> None:
    network, leader, epoch = settled(make)
    retime(network, first)
    network.sleep(20_000 + rest)
    before = elections(network)
    retime(network, then, leader)
    network.sleep(between)
    retime(network, then)
    network.sleep(30_000)
    assert network.active() == [leader]
    assert network[leader].core.status.epoch == epoch
    assert elections(network) == before


def test_a_leader_that_is_to_speak_more_seldom_speaks_at_once(make: Make) -> None:
    """Those that have yet to hear of the change expect it: their silence began long ago."""
    network, leader, _ = settled(make)
    spoken: list[int] = []
    network.heard = lambda source, _to, _body: (
        spoken.append(network.now) if source == leader else None
    )
    retime(network, LONG, leader)
    network.sleep(5)
    assert spoken


@pytest.mark.parametrize(("times", "least", "most"), [(LONG, 3_500, 20_000), (SHORT, 100, 1_500)])
def test_a_leader_that_vanishes_is_missed_by_the_new_times(
    make: Make, times: tuple[int, int], least: int, most: int
) -> None:
    network, leader, _ = settled(make)
    retime(network, times)
    network.sleep(6_000)
    network.crash(leader, hint=False)
    took = network.until(lambda: bool(network.active()), limit=most)
    assert took >= least


@pytest.mark.parametrize("impatient", range(2))
def test_one_broker_that_is_less_patient_than_the_leader_talks_does_not_stop_the_others(
    make: Make, impatient: int
) -> None:
    """One that is away, or has its own times, may never hear of the change."""
    network, leader, epoch = settled(make)
    odd = network.followers()[impatient]
    retime(network, LONG, *(name for name in network.names if name != odd))
    for number in range(10):
        network.sleep(2_000)
        assert network.active() == [leader]
        network.propose(leader, b"%d" % number)
    network.sleep(2_000)
    assert network.agreed()
    assert network[leader].core.status.epoch == epoch


def test_times_that_stay_change_nothing(make: Make) -> None:
    network, _, _ = settled(make)
    retime(network, LONG)
    network.sleep(3_000)
    before = [network[name].core.wake_at for name in network.names]
    retime(network, LONG)
    assert [network[name].core.wake_at for name in network.names] == before


def test_times_that_cannot_work_are_refused_and_change_nothing(make: Make) -> None:
    network, leader, epoch = settled(make)
    with pytest.raises(ValueError, match=r"must be positive|need 0 <"):
        network[leader].core.retime(0, 1_000, network.now)
    network.sleep(5_000)
    assert network[leader].core.status.epoch == epoch
