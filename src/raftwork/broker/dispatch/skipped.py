"""Tasks skipped because every eligible worker was full. Sans-IO."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from raftwork.broker.workers.worker import needs_free_slot

if TYPE_CHECKING:
    from collections.abc import Collection

    from raftwork.broker.machine import Waiting
    from raftwork.broker.placement.eligibility import PlacementRule
    from raftwork.features.effects import Replaced

#: Of one queue. Once so many are skipped, no task overtakes them: other workers get nothing of it.
SKIPPED_TASKS_MAX = 1_000
SKIPPED_BYTES_MAX = 4 * 1024 * 1024


class Skipped:
    """The skipped tasks of one queue by their placement rules, in the order of the queue."""

    def __init__(self) -> None:
        self._tasks: dict[PlacementRule, deque[Waiting]] = {}
        self._count = 0
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._tasks)

    @property
    def tasks_left(self) -> int:
        """How many more tasks may be skipped."""
        return SKIPPED_TASKS_MAX - self._count

    @property
    def bytes_left(self) -> int:
        """About how many more bytes of payload."""
        return SKIPPED_BYTES_MAX - self._bytes

    @property
    def rules(self) -> list[PlacementRule]:
        """The rules, the one with the oldest task first.

        Rules may wait for the same worker: one with many tasks would starve the others.
        """
        return sorted(self._tasks, key=lambda rule: self._tasks[rule][0].seq)

    @property
    def needs_free_slot(self) -> list[PlacementRule]:
        """The rules whose next task waits for a free slot."""
        return [rule for rule, tasks in self._tasks.items() if needs_free_slot(tasks[0])]

    def add(self, rule: PlacementRule, tasks: list[Waiting]) -> None:
        """Append tasks that follow this placement rule."""
        if tasks:
            self._tasks.setdefault(rule, deque()).extend(tasks)
            self._count += len(tasks)
            self._bytes += sum(len(task.payload) for task in tasks)

    def ended(self, seqs: Collection[int]) -> None:
        """These tasks wait no more."""
        tasks, self._tasks, self._count, self._bytes = self._tasks, {}, 0, 0
        for rule, some in tasks.items():
            self.add(rule, [task for task in some if task.seq not in seqs])

    def replaced(self, effect: Replaced) -> None:
        """A task has other arguments."""
        for tasks in self._tasks.values():
            for at, task in enumerate(tasks):
                if task.seq == effect.seq:
                    self._bytes += len(effect.payload) - len(task.payload)
                    tasks[at] = task._replace(payload=effect.payload)

    def take(self, rule: PlacementRule, count: int, size: int, *, safe: bool) -> list[Waiting]:
        """As `Backlog.take`, of the tasks with this rule."""
        tasks = self._tasks[rule]
        taken: list[Waiting] = []
        while (
            len(taken) < count and size > 0 and tasks and not (safe and needs_free_slot(tasks[0]))
        ):
            task = tasks.popleft()
            size -= len(task.payload)
            taken.append(task)
        if not tasks:
            del self._tasks[rule]
        self._count -= len(taken)
        self._bytes -= sum(len(task.payload) for task in taken)
        return taken
