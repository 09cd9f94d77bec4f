"""Placing tasks one by one where the least is, which several strategies do. Not one itself."""

from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from random import Random

from raftwork.broker.placement.balancers.protocol import Candidate


def least_first(
    workers: Sequence[Candidate], capacities: Sequence[float], tasks: int, rng: Random
) -> list[int]:
    """Each task goes where (tasks already there + 1) / capacity is least."""
    # The random second key spreads ties, else an idle cluster's first worker gets every task.
    heap = [
        ((w.busy + 1) / capacity, rng.random(), i, w.room)
        for i, (w, capacity) in enumerate(zip(workers, capacities, strict=True))
        if w.room > 0
    ]
    if tasks == 1:  # the usual case while load is low
        return [min(heap)[2]]
    heapify(heap)
    plan = []
    for _ in range(tasks):
        score, tie, i, room = heap[0]
        plan.append(i)
        if room > 1:
            heapreplace(heap, (score + 1 / capacities[i], tie, i, room - 1))
        else:
            heappop(heap)
    return plan
