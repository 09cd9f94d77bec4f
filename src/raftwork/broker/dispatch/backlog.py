"""A queue's waiting tasks as the dispatcher reads them: in order, a page at a time. Sans-IO.

Memory is bounded whatever the backlog: a queue keeps a page of its head; the rest is on disk.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from itertools import count, repeat
from operator import itemgetter
from typing import TYPE_CHECKING

from raftwork.broker.dispatch.skipped import Skipped
from raftwork.broker.machine import Waiting
from raftwork.broker.workers.worker import needs_free_slot
from raftwork.wire import maker

if TYPE_CHECKING:
    from collections.abc import Collection

    from raftwork.broker.machine import Machine
    from raftwork.features.effects import Queued, Replaced

#: A queue's page in memory: at most so many tasks and about so many bytes.
PAGE_TASKS = 2_000
PAGE_BYTES = 4 * 1024 * 1024
_waiting = maker(Waiting)
_payload = itemgetter(1)
#: Later than any number.
NEVER = 2**63
#: So many of the tasks that wait again are read at a time.
FRONT_TASKS = 100


class Backlog:
    """One queue's waiting tasks in order: the head in memory, the rest in the machine's table.

    Every waiting number up to `_passed` is in `_front`, `_head` or `_page`, or was taken (and is in
    `skipped` then, or on its way to a worker). It must hold always: a taken task stays in the table
    until its Assign is applied, and would be read and handed out a second time.
    """

    def __init__(self, queue: str, machine: Machine, *, more: bool) -> None:
        self._queue = queue
        self._machine = machine
        self._front: list[int] = []  # numbers that wait again, a heap
        self._head: deque[Waiting] = deque()  # the lowest of them, read
        self._page: deque[Waiting] = deque()
        self._bytes = 0  # in _head and _page
        self._passed = 0
        self._more = more  # the table may hold numbers above _passed
        self.skipped = Skipped()

    def __bool__(self) -> bool:
        return bool(self._page or self._head or self._front or self._more or self.skipped)

    def queued(self, effect: Queued) -> None:
        """New tasks came in behind all others."""
        if self._more:
            return
        tasks = effect.tasks
        self._passed, tasks_after = effect.first - 1, len(self._page) + len(tasks)
        size = sum(map(len, map(_payload, tasks)))
        if tasks_after > PAGE_TASKS or self._bytes + size > PAGE_BYTES:
            self._more = True
            return
        keys, spec = effect.keys or repeat(""), effect.spec
        self._page += [
            _waiting((seq, id_, spec, payload, 1, 0, key, 0, 0, 0))
            for seq, (id_, payload), key in zip(count(effect.first), tasks, keys)
        ]
        self._bytes += size
        self._passed += len(tasks)

    def requeued(self, seq: int) -> None:
        """An old task waits again under its old number: in front of younger ones.

        Or new ones wait, as those of a flow do: behind all others, so many of them stay on disk.
        """
        if not self._more and seq > self._passed and len(self._front) >= FRONT_TASKS:
            self._more = True
        if not self._more:
            self._passed = max(self._passed, seq)
        if seq <= self._passed:
            heappush(self._front, seq)

    def replaced(self, effect: Replaced) -> None:
        """A task has other arguments: where it was read already, these stand in their place."""
        for tasks in (self._head, self._page):
            for at, task in enumerate(tasks):
                if task.seq == effect.seq:
                    self._bytes += len(effect.payload) - len(task.payload)
                    tasks[at] = task._replace(payload=effect.payload)
        self.skipped.replaced(effect)

    def ended(self, seqs: Collection[int]) -> None:
        """These tasks wait no more: whatever is behind them needs not wait until each is tried."""
        for tasks in (self._head, self._page):
            for task in [task for task in tasks if task.seq in seqs]:
                self._bytes -= len(task.payload)
        self._head = deque(task for task in self._head if task.seq not in seqs)
        self._page = deque(task for task in self._page if task.seq not in seqs)
        self.skipped.ended(seqs)

    def take(self, count: int, size: int, *, safe: bool, until: int = NEVER) -> list[Waiting]:
        """Remove and return tasks from the head: up to `count`, until `size` bytes are reached.

        None of them is numbered above `until`. With `safe`, only those before the first task that
        needs a free slot: tasks that overtook it would take the slots that it waits for, time and
        again.
        """
        taken: list[Waiting] = []
        while len(taken) < count and size > 0 and (tasks := self._next()):
            upto = min(until, self._next_elsewhere(tasks))
            if tasks[0].seq > upto:
                break
            while tasks and tasks[0].seq <= upto and len(taken) < count and size > 0:
                if safe and needs_free_slot(tasks[0]):
                    return taken
                task = tasks.popleft()
                self._bytes -= len(task.payload)
                size -= len(task.payload)
                taken.append(task)
        return taken

    def head(self) -> Waiting | None:
        """The first task; None if none waits."""
        tasks = self._next()
        return tasks[0] if tasks else None

    def pop(self) -> None:
        """Take the first task, which is `head`."""
        self._bytes -= len(self._next().popleft().payload)

    @property
    def needs_free_slot(self) -> bool:
        """Whether the next task waits for a free slot."""
        tasks = self._next()
        return bool(tasks) and needs_free_slot(tasks[0])

    def _next(self) -> deque[Waiting]:
        """The tasks that the next one stands at the head of; empty if none waits."""
        while self._front and (not self._head or self._front[0] < self._head[0].seq):
            self._read_front()
        if self._more and not self._page:
            self._read_page()
        head, page = self._head, self._page
        # Of a former leader's tasks some come back that are younger than what waits here.
        return head if head and (not page or head[0].seq < page[0].seq) else page

    def _next_elsewhere(self, tasks: deque[Waiting]) -> int:
        """The first number that waits and is not among these, which `_next` returned."""
        others = [each[0].seq for each in (self._head, self._page) if each and each is not tasks]
        return min([*others, *self._front[:1]], default=NEVER)

    def _read_front(self) -> None:
        front, head = self._front, self._head
        lowest: list[int] = []
        while front and len(lowest) < FRONT_TASKS and (not head or front[0] < head[0].seq):
            lowest.append(heappop(front))
        tasks = self._machine.waiting_by(lowest)
        self._bytes += sum(len(task.payload) for task in tasks)
        head.extendleft(reversed(tasks))

    def _read_page(self) -> None:
        tasks = self._machine.waiting(self._queue, self._passed, PAGE_TASKS // 2, PAGE_BYTES)
        self._bytes += sum(len(task.payload) for task in tasks)
        self._page.extend(tasks)
        if tasks:
            self._passed = tasks[-1].seq
        else:
            self._more = False
