"""`failover`: all to the first worker by name; the second gets what the first has no room for."""

from collections.abc import Sequence
from random import Random

from raftwork.broker.placement.balancers.protocol import Candidate


class Failover:
    """Fills the workers in the order of their names."""

    spares_overloaded = True

    def __init__(self, _rng: Random) -> None:
        pass

    def plan(self, workers: Sequence[Candidate], keys: Sequence[str]) -> list[int]:
        """See `Balancer.plan`."""
        order = sorted(range(len(workers)), key=lambda i: (workers[i].name, workers[i].incarnation))
        plan: list[int] = []
        for i in order:
            plan += [i] * min(workers[i].capacity, len(keys) - len(plan))
        return plan
