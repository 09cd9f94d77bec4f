"""The baseline: DolphinScheduler's dynamic weight, as published, under our dispatcher.

`100 - (30·cpu + 30·memory + 40·threads) / 3` with usages from 0 to 1, by smooth weighted round
robin. It is given our heartbeats of one second instead of its own of ten, and not its exclusion of
busy workers (over 0.7 of CPU), which would take out every worker whose own tasks keep it busy.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from random import Random

from raftwork.broker.placement.balancers import Candidate


def dolphin_weight(cpu: float, memory: float, threads: float) -> float:
    """From 66.7 (everything in use) to 100, over 100."""
    return (100 - (30 * cpu + 30 * memory + 40 * threads) / 3) / 100


class Dolphin:
    """Shares in proportion to the weights, evenly mixed: each next turn is 1 / weight later."""

    spares_overloaded = False

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._due: dict[bytes, float] = {}
        self._now = 0.0

    def plan(self, workers: Sequence[Candidate], keys: Sequence[str]) -> list[int]:
        now = self._now
        turns = [
            (max(self._due.get(w.incarnation, now + self._rng.random()), now), i, w.capacity)
            for i, w in enumerate(workers)
            if w.capacity > 0
        ]
        heapify(turns)
        plan = []
        for _ in keys:
            due, i, capacity = turns[0]
            self._now = max(self._now, due)
            plan.append(i)
            later = due + 1 / workers[i].weight
            self._due[workers[i].incarnation] = later
            if capacity > 1:
                heapreplace(turns, (later, i, capacity - 1))
            else:
                heappop(turns)
        return plan
