"""`random`: each task to any worker with room, all equally likely."""

from collections.abc import Sequence
from random import Random

from raftwork.broker.placement.balancers.protocol import Candidate


class RandomChoice:
    """Places on any worker with room, all equally likely."""

    spares_overloaded = False

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def plan(self, workers: Sequence[Candidate], keys: Sequence[str]) -> list[int]:
        """See `Balancer.plan`."""
        capacities = [w.capacity for w in workers]
        open_ = [i for i, capacity in enumerate(capacities) if capacity > 0]
        plan = []
        for _ in keys:
            at = self._rng.randrange(len(open_))
            i = open_[at]
            plan.append(i)
            capacities[i] -= 1
            if not capacities[i]:
                open_[at] = open_[-1]
                open_.pop()
        return plan
