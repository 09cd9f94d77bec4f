"""Brokers that do not all hear each other: whoever can lead does, before any link heals.

Whoever is connected both ways with enough others to make a quorum, and knows no less than they do,
can lead. Zab once waited for the best of all, however few could hear it.
"""

import random
from functools import partial
from itertools import pairwise

import pytest

from raftwork.consensus.quorum import majority
from tests.sim.connectivity import Pairs, able, both, draw, everybody, supports
from tests.unit.consensus.network import MAKERS, Make, Network

#: In so many milliseconds there is a leader that commits, wherever there can be one.
LIMIT = 4_000

#: Seeds in which it takes more than one election: who is elected has not enough that know no more.
TURNS = (163, 242, 1178)


@pytest.fixture(params=sorted(MAKERS))
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param]


@pytest.fixture(params=[True, False], ids=["closed links", "silence"])
def hint(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def only(network: Network, links: Pairs, *, hint: bool) -> None:
    """Between all others nothing passes any more; with a hint, their connections close."""
    cuts = everybody(network.names) - links
    fresh = both(cuts - network.cuts)
    network.cuts = cuts
    for here, there in sorted(fresh) if hint else ():
        network[here].core.link(there, False, network.now)


def serves(network: Network, links: Pairs) -> int:
    """Await a leader that commits; gives how long that took."""
    start, number = network.now, 0

    def committed() -> bool:
        return any(b"mark %d" % i in network[n].data for n in network.up() for i in range(number))

    while not committed():
        assert network.now - start < LIMIT, f"nobody leads with {sorted(links)}"
        for name in network.active():
            network.propose(name, b"mark %d" % number)
            number += 1
        network.sleep(50)
    return network.now - start


@pytest.mark.parametrize("kept", range(3))
@pytest.mark.parametrize("entry", ["none", "alone", "shared"])
def test_a_leader_that_keeps_one_link_of_four_stops_nobody(
    make: Make, kept: int, entry: str, hint: bool
) -> None:
    """Nor does an entry that it could not commit, whether the one it still hears has it or not."""
    network = Network(make, "abcd")
    old = network.leader()
    network.propose(old, b"before")
    network.sleep(300)
    others = [name for name in "abcd" if name != old]
    friend = others[kept]
    links = everybody(others) | both([(old, friend)])
    if entry == "alone":
        network.cut(old)
    else:
        only(network, links, hint=False)
    if entry != "none":
        network.propose(old, b"never or later")
    only(network, links, hint=hint)
    if hint:
        for name in others:
            if name != friend:
                network[name].core.link(old, False, network.now)

    serves(network, links)

    network.heal()
    network.sleep(3_000)
    assert network.agreed()


@pytest.mark.parametrize(
    ("names", "place"), [("abcde", 0), ("abcde", 2), ("abcde", 4), ("abcdefg", 3)]
)
@pytest.mark.parametrize("start", ["cold", "led"])
def test_the_only_one_connected_to_all_leads(
    make: Make, names: str, place: int, start: str, hint: bool
) -> None:
    network, hub = Network(make, names), names[place]
    if start == "led":
        network.propose(network.leader(), b"before")
        network.sleep(300)
    links = both([(hub, name) for name in names if name != hub])
    only(network, links, hint=hint)

    network.sleep(1_000)  # who led alone has noticed
    serves(network, links)

    assert network.active() == [hub]


@pytest.mark.parametrize("start", ["cold", "led"])
@pytest.mark.parametrize("order", ["abcde", "acebd", "dbeac"])
def test_a_chain_of_five_has_a_leader(make: Make, order: str, start: str, hint: bool) -> None:
    network = Network(make, "abcde")
    if start == "led":
        network.propose(network.leader(), b"before")
        network.sleep(300)
    links = both(list(pairwise(order)))
    only(network, links, hint=hint)

    network.sleep(1_000)
    serves(network, links)


@pytest.mark.parametrize("names", ["abcd", "abcdef"])
def test_a_great_one_with_one_link_stops_no_cold_start(make: Make, names: str, hint: bool) -> None:
    network = Network(make, names)
    links = everybody(names[:-1]) | both([(names[0], names[-1])])
    only(network, links, hint=hint)

    serves(network, links)


@pytest.mark.parametrize("seed", [*range(12), *TURNS])
def test_wherever_one_can_lead_somebody_does(make: Make, seed: int) -> None:
    """Links at random, some of them one way, around one that can lead; entries at random places."""
    rng = random.Random(seed)
    names = "abcdefg"[: rng.randint(3, 7)]
    network = Network(make, names)
    if rng.random() < 0.7:
        old = network.leader()
        network.propose(old, b"before")
        network.sleep(300)
        heard = rng.sample(names, rng.randrange(majority(len(names))))
        only(network, both([(old, name) for name in heard if name != old]), hint=False)
        for each in range(rng.randrange(3)):
            network.propose(old, b"never or later %d" % each)
    links = _drawn(rng, network)
    only(network, links, hint=rng.random() < 0.5)

    network.sleep(1_000)
    if _able(network, links):  # who led before may have told others more meanwhile
        serves(network, links)

    network.heal()
    network.sleep(3_000)
    assert network.agreed()


def _able(network: Network, links: Pairs) -> list[str]:
    return able(network.names, links, lambda _: True, partial(_supports, network))


def _supports(network: Network, one: str, other: str) -> bool:
    return supports(network[one].core, network[other].core, network[other].peer)


def _drawn(rng: random.Random, network: Network) -> Pairs:
    """Links by which somebody is able to lead, and others."""
    head = rng.choice(_able(network, everybody(network.names)))
    others = [name for name in network.names if name != head]
    return draw(rng, network.names, head, [n for n in others if _supports(network, head, n)])
