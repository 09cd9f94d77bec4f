"""Balancers: how many of the next tasks go to which worker. Planned per batch, sans-IO.

A balancer sees only workers that may take something; it gives one count for each. Adding a strategy
is one class with one method and one line in `BALANCERS`.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heapreplace
from math import isnan
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random


class Candidate(NamedTuple):
    """A worker that can take `room` more tasks."""

    room: int
    slots: int
    busy: int  # tasks it has, counting what was sent since its last heartbeat
    weight: float  # see `weight`; 1.0 is an idle machine


class Balancer(Protocol):
    def plan(self, workers: Sequence[Candidate], tasks: int) -> list[int]:
        """How many of `tasks` each worker gets: at most its room, all tasks if there is room."""
        ...


def share(told: float) -> float:
    """A share as a worker told it, brought into 0 … 1; what is no number counts as a full one."""
    return min(1.0, max(0.0, told)) if not isnan(told) else 1.0


def weight(cpu: float | None, memory: float | None) -> float:
    """What a worker's machine has left, from 0.02 to 1.0, by its shares in use (0 … 1).

    The scarcer of the two decides: a machine with idle CPUs and no memory is no place for a task.
    Never zero, so that a cluster of loaded workers still works.
    """
    left = min(1.0 - (cpu or 0.0), 1.0 - (memory or 0.0) ** 4)
    return max(0.02, left)


class Weighted:
    """The next task goes where (tasks already there + 1) / (slots · weight) is least."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def plan(self, workers: Sequence[Candidate], tasks: int) -> list[int]:
        counts = [0] * len(workers)
        if len(workers) == 1:
            return [min(tasks, workers[0].room)]
        # The random second key spreads ties, else an idle cluster's first worker gets every task.
        heap = [
            ((w.busy + 1) / (w.slots * w.weight), self._rng.random(), i)
            for i, w in enumerate(workers)
            if w.room > 0
        ]
        heapify(heap)
        while tasks and heap:
            score, tie, i = heap[0]
            counts[i] += 1
            tasks -= 1
            worker = workers[i]
            if counts[i] < worker.room:
                score += 1 / (worker.slots * worker.weight)
                heapreplace(heap, (score, tie, i))
            else:
                heappop(heap)
        return counts


class RoundRobin:
    """One task each in turn; the turn goes on where the last plan ended."""

    def __init__(self, rng: Random) -> None:
        self._next = rng.randrange(1 << 16)

    def plan(self, workers: Sequence[Candidate], tasks: int) -> list[int]:
        counts = [0] * len(workers)
        first = self._next % max(1, len(workers))
        turns = deque(
            i for i in (*range(first, len(workers)), *range(first)) if workers[i].room > 0
        )
        while tasks and turns:
            i = turns.popleft()
            counts[i] += 1
            tasks -= 1
            self._next = i + 1
            if counts[i] < workers[i].room:
                turns.append(i)
        return counts


class RandomChoice:
    """Each task to any worker with room, all equally likely."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def plan(self, workers: Sequence[Candidate], tasks: int) -> list[int]:
        counts = [0] * len(workers)
        open_ = [i for i, w in enumerate(workers) if w.room > 0]
        while tasks and open_:
            at = self._rng.randrange(len(open_))
            i = open_[at]
            counts[i] += 1
            tasks -= 1
            if counts[i] == workers[i].room:
                open_[at] = open_[-1]
                open_.pop()
        return counts


BALANCERS: dict[str, Callable[[Random], Balancer]] = {
    "weighted": Weighted,
    "round_robin": RoundRobin,
    "random": RandomChoice,
}
