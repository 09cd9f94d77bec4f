"""Balancers: which of a queue's next tasks goes to which worker. Planned per batch, sans-IO.

A balancer sees only workers that may take something. Adding a strategy is adding one file and one
line in `BALANCERS`; docs/balancing.md says when to choose which.
"""

from collections.abc import Callable
from random import Random

from raftwork.broker.placement.balancers.consistent_hash import ConsistentHash
from raftwork.broker.placement.balancers.failover import Failover
from raftwork.broker.placement.balancers.least_loaded import LeastLoaded
from raftwork.broker.placement.balancers.lru import Lru
from raftwork.broker.placement.balancers.power_of_two import PowerOfTwo
from raftwork.broker.placement.balancers.protocol import Balancer, Candidate
from raftwork.broker.placement.balancers.random_choice import RandomChoice
from raftwork.broker.placement.balancers.round_robin import RoundRobin
from raftwork.broker.placement.balancers.weighted import Weighted
from raftwork.features.placement import Score

__all__ = ["BALANCERS", "SCORES", "Balancer", "Candidate"]

#: By the names that users know. The first one is the default.
BALANCERS: dict[str, Callable[[Random], Balancer]] = {
    "weighted": Weighted,
    "round_robin": RoundRobin,
    "random": RandomChoice,
    "least_loaded": LeastLoaded,
    "power_of_two": PowerOfTwo,
    "consistent_hash": ConsistentHash,
    "failover": Failover,
    "lru": Lru,
}

#: What those go by that go by a number, of (tasks there, slots, weight): the least is next.
SCORES: dict[str, Score] = {
    "weighted": lambda busy, slots, weight: (busy + 1) / (slots * weight),
    "least_loaded": lambda busy, slots, _weight: (busy + 1) / slots,
}
