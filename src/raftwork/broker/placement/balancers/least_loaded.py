"""`least_loaded`: each task to where (tasks there + 1) / slots is least, by our own counts."""

from collections.abc import Sequence
from random import Random

from raftwork.broker.placement.balancers.least_ratio_placement import least_first
from raftwork.broker.placement.balancers.protocol import Candidate


class LeastLoaded:
    """Places by (tasks + 1) / slots, as the leader counts them."""

    spares_overloaded = False

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def plan(self, workers: Sequence[Candidate], keys: Sequence[str]) -> list[int]:
        """See `Balancer.plan`."""
        return least_first(workers, [w.slots for w in workers], len(keys), self._rng)
