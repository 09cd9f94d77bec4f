"""Tasks that were passed by because who may take them had no room. Sans-IO."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from raftwork.broker.workers.worker import needs_free_slot

if TYPE_CHECKING:
    from collections.abc import Collection

    from raftwork.broker.machine import Waiting
    from raftwork.broker.placement.eligibility import PlacementRule

#: Of one queue. Once it is full nobody passes any more: who may not take what is here gets nothing.
ASIDE_TASKS = 1_000
ASIDE_BYTES = 4 * 1024 * 1024


class Skipped:
    """Those of one queue, by what they demand, in the order in which they were passed."""

    def __init__(self) -> None:
        self._tasks: dict[PlacementRule, deque[Waiting]] = {}
        self._count = 0
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._tasks)

    @property
    def room(self) -> int:
        """How many more may be passed."""
        return ASIDE_TASKS - self._count

    @property
    def space(self) -> int:
        """About how many bytes of them."""
        return ASIDE_BYTES - self._bytes

    @property
    def demands(self) -> list[PlacementRule]:
        """Whose first task is the oldest comes first: else tasks of many would starve the others'.

        Both may wait for the same worker, and the many are never all done.
        """
        return sorted(self._tasks, key=lambda demand: self._tasks[demand][0].seq)

    @property
    def needs_free_slot(self) -> list[PlacementRule]:
        """Those whose next task waits for a free slot."""
        return [demand for demand, tasks in self._tasks.items() if needs_free_slot(tasks[0])]

    def add(self, demand: PlacementRule, tasks: list[Waiting]) -> None:
        if tasks:
            self._tasks.setdefault(demand, deque()).extend(tasks)
            self._count += len(tasks)
            self._bytes += sum(len(task.payload) for task in tasks)

    def ended(self, seqs: Collection[int]) -> None:
        """These tasks wait no more."""
        tasks, self._tasks, self._count, self._bytes = self._tasks, {}, 0, 0
        for demand, some in tasks.items():
            self.add(demand, [task for task in some if task.seq not in seqs])

    def take(self, demand: PlacementRule, count: int, size: int, *, safe: bool) -> list[Waiting]:
        """As `Backlog.take`, of those that demand this."""
        tasks = self._tasks[demand]
        taken: list[Waiting] = []
        while (
            len(taken) < count and size > 0 and tasks and not (safe and needs_free_slot(tasks[0]))
        ):
            task = tasks.popleft()
            size -= len(task.payload)
            taken.append(task)
        if not tasks:
            del self._tasks[demand]
        self._count -= len(taken)
        self._bytes -= sum(len(task.payload) for task in taken)
        return taken
