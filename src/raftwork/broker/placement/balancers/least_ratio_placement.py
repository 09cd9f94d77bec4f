"""Placing tasks one by one on the least loaded worker: shared by strategies, not one itself."""

from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from random import Random

from raftwork.broker.placement.balancers.protocol import Candidate


def least_first(
    workers: Sequence[Candidate], sizes: Sequence[float], tasks: int, rng: Random
) -> list[int]:
    """Each task goes where (tasks already there + 1) / size is least; `sizes` is by worker."""
    # The random second key spreads ties, else an idle cluster's first worker gets every task.
    heap = [
        ((w.busy + 1) / size, rng.random(), i, w.capacity)
        for i, (w, size) in enumerate(zip(workers, sizes, strict=True))
        if w.capacity > 0
    ]
    if tasks == 1:  # the usual case while load is low
        return [min(heap)[2]]
    heapify(heap)
    plan = []
    for _ in range(tasks):
        score, tie, i, capacity = heap[0]
        plan.append(i)
        if capacity > 1:
            heapreplace(heap, (score + 1 / sizes[i], tie, i, capacity - 1))
        else:
            heappop(heap)
    return plan
