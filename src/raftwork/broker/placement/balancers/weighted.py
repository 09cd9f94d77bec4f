"""`weighted`: each task to where (tasks there + 1) / (slots · weight) is least. The default."""

from collections.abc import Sequence
from random import Random

from raftwork.broker.placement.balancers.least_ratio_placement import least_first
from raftwork.broker.placement.balancers.protocol import Candidate


class Weighted:
    """Places by (tasks + 1) / (slots · weight)."""

    spares_overloaded = True

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def plan(self, workers: Sequence[Candidate], keys: Sequence[str]) -> list[int]:
        """See `Balancer.plan`."""
        sizes = [w.slots * w.weight for w in workers]
        return least_first(workers, sizes, len(keys), self._rng)
