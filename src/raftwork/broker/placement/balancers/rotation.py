"""One task each in turn: shared by strategies, not one itself."""

from collections import deque
from collections.abc import Iterable, Sequence

from raftwork.broker.placement.balancers.protocol import Candidate


def in_turn(workers: Sequence[Candidate], order: Iterable[int], tasks: int) -> list[int]:
    """Go round `order`, one task at each stop, until all are placed; full workers drop out."""
    turns = deque((i, workers[i].capacity) for i in order if workers[i].capacity > 0)
    plan = []
    for _ in range(tasks):
        i, capacity = turns.popleft()
        plan.append(i)
        if capacity > 1:
            turns.append((i, capacity - 1))
    return plan
