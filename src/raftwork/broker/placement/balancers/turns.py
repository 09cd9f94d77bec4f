"""One task each in turn, which several strategies do. Not one itself."""

from collections import deque
from collections.abc import Iterable, Sequence

from raftwork.broker.placement.balancers.protocol import Candidate


def in_turn(workers: Sequence[Candidate], order: Iterable[int], tasks: int) -> list[int]:
    """Go round `order`, one task at each stop, until all are placed; who is full drops out."""
    turns = deque((i, workers[i].room) for i in order if workers[i].room > 0)
    plan = []
    for _ in range(tasks):
        i, room = turns.popleft()
        plan.append(i)
        if room > 1:
            turns.append((i, room - 1))
    return plan
