"""Brokers that do not all hear each other: which links there are, and who can lead by them.

Whoever is connected both ways with enough others to make a quorum, each of which counts and knows
no more than it does, can lead. Wherever there is such a one for long enough, somebody must.
"""

import random
from collections.abc import Callable, Collection, Sequence

from raftwork.consensus import raft, zab
from raftwork.consensus.core import Consensus, Peer, Position
from raftwork.consensus.quorum import majority

#: Directed pairs of names.
Pairs = set[tuple[str, str]]


def both(pairs: Collection[tuple[str, str]]) -> Pairs:
    return set(pairs) | {(there, here) for here, there in pairs}


def everybody(names: Sequence[str]) -> Pairs:
    return {(one, other) for one in names for other in names if one != other}


def knows(core: Consensus) -> tuple[int, Position]:
    """What elections go by: the greater is not led by the lesser."""
    if isinstance(core, zab.Zab):
        return core._node.hard.current, core._node.log.last
    assert isinstance(core, raft.Raft)
    return 0, core._node.log.last


def supports(core: Consensus, other: Consensus, peer: Peer) -> bool:
    """Whether `other`, a replica by this name, would let `core` lead and counts for it."""
    assert isinstance(core, zab.Zab | raft.Raft)
    return core._node.roster.is_voter(*peer) and knows(other) <= knows(core)


def may_lead(core: Consensus) -> bool:
    assert isinstance(core, zab.Zab | raft.Raft)
    return core._node.is_voter and not core._node.installing


def able(
    names: Sequence[str],
    links: Collection[tuple[str, str]],
    leads: Callable[[str], bool],
    supports: Callable[[str, str], bool],
) -> list[str]:
    """Those who can lead by these links; `leads(one)`, and `supports(one, other)` of it."""
    found: list[str] = []
    for one in filter(leads, names):
        near = [each for each in names if {(one, each), (each, one)} <= set(links)]
        if 1 + sum(supports(one, each) for each in near) >= majority(len(names)):
            found.append(one)
    return found


def draw(rng: random.Random, names: Sequence[str], head: str, near: Sequence[str]) -> Pairs:
    """Links by which `head` can lead enough of `near`, and any others, some of them one way."""
    links = both([(head, name) for name in rng.sample(near, majority(len(names)) - 1)])
    share, one_way = rng.choice((0.0, 0.1, 0.3, 0.6)), rng.choice((0.0, 0.2, 0.5))
    for one, other in sorted(everybody(names)):
        if one < other and rng.random() < share:
            links |= both([(one, other)])
        elif rng.random() < share * one_way:
            links.add((one, other))
    return links
