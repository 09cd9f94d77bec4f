"""`power_of_two`: of two workers drawn at random, each task goes to the less loaded one.

Two choices instead of one already make the fullest worker exponentially less full (Mitzenmacher
2001), and several who choose at once do not all run to the same idle worker.
"""

from collections.abc import Sequence
from random import Random

from raftwork.broker.placement.balancers.protocol import Candidate


class PowerOfTwo:
    """Places on the less loaded of two workers drawn at random."""

    spares_overloaded = False

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def plan(self, workers: Sequence[Candidate], keys: Sequence[str]) -> list[int]:
        """See `Balancer.plan`."""
        capacities, busy = [w.capacity for w in workers], [w.busy for w in workers]
        open_ = [i for i, capacity in enumerate(capacities) if capacity > 0]
        plan = []
        for _ in keys:
            at = self._draw(len(open_))
            if len(open_) > 1:
                other = (at + 1 + self._draw(len(open_) - 1)) % len(open_)
                i, j = open_[at], open_[other]
                if busy[j] * workers[i].slots < busy[i] * workers[j].slots:
                    at = other
            i = open_[at]
            plan.append(i)
            busy[i] += 1
            capacities[i] -= 1
            if not capacities[i]:
                open_[at] = open_[-1]
                open_.pop()
        return plan

    def _draw(self, below: int) -> int:
        return int(self._rng.random() * below)  # a third of what randrange takes
