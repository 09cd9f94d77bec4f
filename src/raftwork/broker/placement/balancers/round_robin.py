"""`round_robin`: one task each in turn; the turn goes on where the last plan ended."""

from bisect import bisect_right
from collections.abc import Sequence
from random import Random

from raftwork.broker.placement.balancers.protocol import Candidate
from raftwork.broker.placement.balancers.rotation import in_turn


class RoundRobin:
    """Places on each worker in turn, across plans."""

    spares_overloaded = False

    def __init__(self, rng: Random) -> None:
        self._last = rng.randbytes(16)

    def plan(self, workers: Sequence[Candidate], keys: Sequence[str]) -> list[int]:
        """See `Balancer.plan`."""
        # The round goes by incarnation: a position means another worker whenever one is full.
        order = sorted(range(len(workers)), key=lambda i: workers[i].incarnation)
        first = bisect_right(order, self._last, key=lambda i: workers[i].incarnation)
        plan = in_turn(workers, order[first:] + order[:first], len(keys))
        if plan:
            self._last = workers[plan[-1]].incarnation
        return plan
