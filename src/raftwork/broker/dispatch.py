"""The dispatcher: which waiting task goes to which worker. Sans-IO, alive only on the leader.

1. It proposes; the log decides. A task counts as handed out only when its Assign is applied.
2. Everything here is derived from the machine's tables and may be thrown away at any moment: a new
   leader starts with an empty dispatcher and reads the backlog as it needs it.
3. Memory is bounded whatever the backlog: a queue keeps a page of its head; the rest is on disk.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from raftwork.broker.balancers import Balancer, Candidate
from raftwork.broker.queue import Waiting
from raftwork.broker.queue.commands import Assign, Queued, Requeued
from raftwork.messages import decode_spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raftwork.broker.queue import Machine
    from raftwork.broker.workforce import Worker

#: A queue's page in memory: at most so many tasks and about so many bytes.
PAGE_TASKS = 2_000
PAGE_BYTES = 4 * 1024 * 1024
#: Assigns proposed and not yet applied; more would only make entries larger.
RESERVED_MAX = 4_000


class Reserved(NamedTuple):
    """A task whose Assign is proposed."""

    worker: Worker
    task: Waiting


class Backlog:
    """One queue's waiting tasks in order: the head in memory, the rest in the machine's table."""

    def __init__(self, queue: str, machine: Machine) -> None:
        self._queue = queue
        self._machine = machine
        self._front: list[int] = []  # requeued numbers below _passed, a heap
        self._page: deque[Waiting] = deque()
        self._page_bytes = 0
        self._passed = 0  # every waiting number up to here is in _page, in _front or taken
        self._more = True  # the table may hold numbers above _passed

    def __bool__(self) -> bool:
        return bool(self._page or self._front or self._more)

    def queued(self, effect: Queued) -> None:
        """New tasks came in behind all others."""
        size = sum(len(payload) for _, payload in effect.tasks)
        full = len(self._page) + len(effect.tasks) > PAGE_TASKS or (
            self._page_bytes + size > PAGE_BYTES
        )
        if self._more or full:
            self._more = True
            return
        self._page.extend(
            Waiting(seq, id_, effect.spec, payload, 1, 0)
            for seq, (id_, payload) in enumerate(effect.tasks, effect.first)
        )
        self._page_bytes += size
        self._passed = effect.first + len(effect.tasks) - 1

    def requeued(self, seq: int) -> None:
        """An old task waits again under its old number: in front of younger ones."""
        if seq <= self._passed or not self._more:
            heappush(self._front, seq)

    def take(self, count: int) -> list[Waiting]:
        """Remove and give up to `count` tasks from the head."""
        taken: list[Waiting] = []
        if self._front:
            again = [heappop(self._front) for _ in range(min(count, len(self._front)))]
            taken.extend(self._machine.waiting_by(again))
        while len(taken) < count:
            if not self._page and not self._read_page():
                break
            task = self._page.popleft()
            self._page_bytes -= len(task.payload)
            taken.append(task)
        return taken

    def give_back(self, tasks: Iterable[Waiting]) -> None:
        for task in tasks:
            heappush(self._front, task.seq)

    def _read_page(self) -> bool:
        if not self._more:
            return False
        page = self._machine.waiting(self._queue, self._passed, PAGE_TASKS // 2, PAGE_BYTES)
        self._page.extend(page)
        self._page_bytes = sum(len(task.payload) for task in page)
        if page:
            self._passed = page[-1].seq
        else:
            self._more = False
        return bool(page)


class Dispatcher:
    """Matches backlogs with workers' room, by the balancer's plan."""

    def __init__(self, machine: Machine, balancer: Balancer) -> None:
        self._machine = machine
        self._balancer = balancer
        self._reserved: dict[int, Reserved] = {}
        self._backlogs = {
            queue.name: Backlog(queue.name, machine) for queue in machine.queues() if queue.queued
        }
        #: Something changed since the last plan found nothing to do.
        self.stirred = True

    # ---- facts --------------------------------------------------------------------------------

    def queued(self, effect: Queued) -> None:
        self._backlog(effect.queue).queued(effect)
        self.stirred = True

    def requeued(self, effect: Requeued) -> None:
        self._backlog(effect.queue).requeued(effect.seq)
        self.stirred = True

    def assigned(self, seq: int) -> Reserved:
        """The Assign of `seq` was applied."""
        return self._reserved.pop(seq)

    def not_assigned(self, seqs: list[int]) -> None:
        """The machine found them not waiting: forget them, they are somebody else's by now."""
        for seq in seqs:
            self._reserved.pop(seq).worker.busy -= 1
        self.stirred = True

    def _backlog(self, queue: str) -> Backlog:
        backlog = self._backlogs.get(queue)
        if backlog is None:
            backlog = self._backlogs[queue] = Backlog(queue, self._machine)
        return backlog

    # ---- planning -----------------------------------------------------------------------------

    def plan(self, workers: list[Worker]) -> list[Assign]:
        """The next hand-outs. `workers` are those that may get anything at all."""
        if not self.stirred:
            return []
        assigns: list[Assign] = []
        for queue in list(self._backlogs):
            backlog = self._backlogs.pop(queue)
            if not backlog and not self._reserved:
                # A new Backlog finds again whatever comes. It reads the table from the start, where
                # what is reserved still waits: that must not be found, and reserved, twice.
                continue
            able = [w for w in workers if queue in w.queues and w.room > 0]
            room = min(sum(w.room for w in able), RESERVED_MAX - len(self._reserved))
            if room > 0 and backlog:
                assigns.extend(self._plan_queue(backlog, able, room))
            self._backlogs[queue] = backlog  # now last: the next plan starts with another queue
        self.stirred = False
        return assigns

    def _plan_queue(self, backlog: Backlog, able: list[Worker], room: int) -> list[Assign]:
        """First the free slots, by anything; then, ahead of time, tasks safe to hold."""
        tasks = backlog.take(room)
        seqs: dict[int, list[int]] = {}
        slots = [max(0, w.slots - w.busy) for w in able]
        now, ahead = tasks[: sum(slots)], tasks[sum(slots) :]
        self._place(now, able, slots, seqs)
        safe = [task for task in ahead if not careful(task)]
        backlog.give_back(task for task in ahead if careful(task))
        if safe:
            self._place(safe, able, [w.room for w in able], seqs)
        return [Assign(able[i].incarnation, numbers) for i, numbers in seqs.items()]

    def _place(
        self, tasks: list[Waiting], able: list[Worker], room: list[int], seqs: dict[int, list[int]]
    ) -> None:
        candidates = [
            Candidate(r, w.slots, w.busy, w.weight) for r, w in zip(room, able, strict=True)
        ]
        start = 0
        for i, count in enumerate(self._balancer.plan(candidates, len(tasks))):
            if not count:
                continue
            worker = able[i]
            worker.busy += count
            for task in tasks[start : start + count]:
                self._reserved[task.seq] = Reserved(worker, task)
                seqs.setdefault(i, []).append(task.seq)
            start += count
        assert start == len(tasks), "a balancer left tasks although there was room"


def careful(task: Waiting) -> bool:
    """Whether a task may only go to a free slot: a loss must be charged to the one that ran."""
    return task.losses > 0 or decode_spec(task.spec).at_most_once
