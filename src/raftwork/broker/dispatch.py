"""The dispatcher: which waiting task goes to which worker. Sans-IO, alive only on the leader.

1. It proposes; the log decides. A task counts as handed out only when its Assign is applied.
2. Everything here is derived from the machine's tables and may be thrown away at any moment: a new
   leader starts with an empty dispatcher and reads the backlog as it needs it.
3. Memory is bounded whatever the backlog: a queue keeps a page of its head; the rest is on disk.
"""

from __future__ import annotations

from collections import Counter, deque
from heapq import heappop, heappush
from itertools import count, repeat
from typing import TYPE_CHECKING, NamedTuple

from raftwork.broker.balancers import Balancer, Candidate
from raftwork.broker.queue import Waiting
from raftwork.broker.queue.commands import Assign, Queued, Requeued
from raftwork.messages import decode_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.hands import Worker
    from raftwork.broker.queue import Machine

#: A queue's page in memory: at most so many tasks and about so many bytes.
PAGE_TASKS = 2_000
PAGE_BYTES = 4 * 1024 * 1024
#: So many of the tasks that wait again are read at a time.
FRONT_TASKS = 100
#: Assigns proposed and not yet applied; more would only make entries larger.
RESERVED_MAX = 4_000
RESERVED_BYTES = 64 * 1024 * 1024


class Reserved(NamedTuple):
    """A task whose Assign is proposed."""

    worker: Worker
    task: Waiting


class Backlog:
    """One queue's waiting tasks in order: the head in memory, the rest in the machine's table.

    Every waiting number up to `_passed` is in `_front`, `_head` or `_page`, or was taken. It must
    hold always: a taken task stays in the table until its Assign is applied, and would be read and
    handed out a second time.
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

    def __bool__(self) -> bool:
        return bool(self._page or self._head or self._front or self._more)

    def queued(self, effect: Queued) -> None:
        """New tasks came in behind all others."""
        if self._more:
            return
        self._passed = effect.first - 1
        size = sum(len(payload) for _, payload in effect.tasks)
        if len(self._page) + len(effect.tasks) > PAGE_TASKS or self._bytes + size > PAGE_BYTES:
            self._more = True
            return
        keys = effect.keys or repeat("")
        self._page.extend(
            Waiting(seq, id_, effect.spec, payload, 1, 0, key)
            for seq, (id_, payload), key in zip(count(effect.first), effect.tasks, keys)
        )
        self._bytes += size
        self._passed += len(effect.tasks)

    def requeued(self, seq: int) -> None:
        """An old task waits again under its old number: in front of younger ones."""
        if not self._more:
            self._passed = max(self._passed, seq)
        if seq <= self._passed:
            heappush(self._front, seq)

    def take(self, count: int, size: int, *, safe: bool) -> list[Waiting]:
        """Remove and give tasks from the head: up to `count`, until `size` bytes are reached.

        With `safe`, only those before the first careful one: who passed it would take the slots it
        waits for, again and again.
        """
        taken: list[Waiting] = []
        while len(taken) < count and size > 0 and (tasks := self._next()):
            if safe and careful(tasks[0]):
                break
            task = tasks.popleft()
            self._bytes -= len(task.payload)
            size -= len(task.payload)
            taken.append(task)
        return taken

    @property
    def careful(self) -> bool:
        """Whether the next task waits for a free slot."""
        tasks = self._next()
        return bool(tasks) and careful(tasks[0])

    def _next(self) -> deque[Waiting]:
        """What the next task is the first of; empty if none waits."""
        while self._front and (not self._head or self._front[0] < self._head[0].seq):
            self._read_front()
        if self._head:
            return self._head
        if self._more and not self._page:
            self._read_page()
        return self._page

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


class Dispatcher:
    """Matches backlogs with workers' room, by the balancer's plan."""

    def __init__(self, machine: Machine, balancer_of: Callable[[str], Balancer]) -> None:
        """`balancer_of(queue)` is asked at every plan, so that a change counts at once."""
        self._machine = machine
        self._balancer_of = balancer_of
        self._reserved: dict[int, Reserved] = {}
        self._reserved_bytes = 0
        # A queue that is not here has nothing waiting but what is reserved.
        self._backlogs = {
            queue.name: Backlog(queue.name, machine, more=True)
            for queue in machine.queues()
            if queue.queued
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
        reserved = self._reserved.pop(seq)
        self._reserved_bytes -= len(reserved.task.payload)
        self.stirred = True
        return reserved

    def not_assigned(self, seqs: list[int]) -> None:
        """The machine found them not waiting: forget them, they are somebody else's by now."""
        for seq in seqs:
            self.assigned(seq).worker.busy -= 1

    def _backlog(self, queue: str) -> Backlog:
        backlog = self._backlogs.get(queue)
        if backlog is None:
            backlog = self._backlogs[queue] = Backlog(queue, self._machine, more=False)
        return backlog

    def begin(self, queue: str, count: int, workers: list[Worker]) -> list[tuple[bytes, int]]:
        """Who may begin the next new tasks at once: free slots of a queue nothing waits in.

        The tasks count as these workers' from now on; see `Workforce.unreserve`.
        """
        if self._backlogs.get(queue):
            return []
        able = [w for w in self._able(queue, workers) if w.busy < w.slots]
        if not able:
            return []
        rooms = [w.slots - w.busy for w in able]
        plan = self._choose(queue, able, rooms, [""] * min(count, sum(rooms)))
        for i in plan:
            able[i].busy += 1
        shares = Counter(plan)
        return [(able[i].incarnation, n) for i, n in shares.items()]

    # ---- planning -----------------------------------------------------------------------------

    def plan(self, workers: list[Worker]) -> list[Assign]:
        """The next hand-outs: first free slots for all queues, then tasks to hold ahead of time.

        `workers` are those that may get anything at all.
        """
        if not self.stirred:
            return []
        self.stirred = False
        roomy = [w for w in workers if w.room > 0]
        given: dict[bytes, list[int]] = {}
        queues = self._waiting_queues() if roomy else []
        for queue in queues:
            self._serve(queue, roomy, given, ahead=False)
        # A worker that a careful task waits for must come to have a free slot some time.
        waited_for = {q for q in queues if self._backlogs[q].careful}
        holders = [w for w in roomy if w.room > 0 and waited_for.isdisjoint(w.queues)]
        for queue in queues if holders else []:
            self._serve(queue, holders, given, ahead=True)
        return [Assign(incarnation, seqs) for incarnation, seqs in given.items()]

    def _waiting_queues(self) -> list[str]:
        for queue in [q for q, backlog in self._backlogs.items() if not backlog]:
            del self._backlogs[queue]
        return list(self._backlogs)

    def _serve(
        self, queue: str, workers: list[Worker], given: dict[bytes, list[int]], *, ahead: bool
    ) -> None:
        able = self._able(queue, workers)
        rooms = [max(0, w.room if ahead else w.slots - w.busy) for w in able]
        count = min(sum(rooms), RESERVED_MAX - len(self._reserved))
        if count <= 0:
            return
        size = RESERVED_BYTES - self._reserved_bytes
        tasks = self._backlogs[queue].take(count, size, safe=ahead)
        if tasks:
            self._place(queue, tasks, able, rooms, given)
            self._backlogs[queue] = self._backlogs.pop(queue)  # last: others have the next turn

    def _place(
        self,
        queue: str,
        tasks: list[Waiting],
        able: list[Worker],
        rooms: list[int],
        given: dict[bytes, list[int]],
    ) -> None:
        plan = self._choose(queue, able, rooms, [task.key for task in tasks])
        for task, i in zip(tasks, plan, strict=True):
            worker = able[i]
            worker.busy += 1
            self._reserved[task.seq] = Reserved(worker, task)
            self._reserved_bytes += len(task.payload)
            given.setdefault(worker.incarnation, []).append(task.seq)

    def _able(self, queue: str, workers: list[Worker]) -> list[Worker]:
        if self._balancer_of(queue).spares_overloaded:
            return [w for w in workers if queue in w.serves]
        return [w for w in workers if queue in w.queues]

    def _choose(
        self, queue: str, able: list[Worker], rooms: list[int], keys: list[str]
    ) -> list[int]:
        """The worker of each task, by the strategy; there is room for all of them."""
        if len(able) == 1:
            return [0] * len(keys)
        candidates = [
            Candidate(room, w.slots, w.busy, w.gauge.weight, w.name, w.incarnation)
            for room, w in zip(rooms, able, strict=True)
        ]
        return self._balancer_of(queue).plan(candidates, keys)


def careful(task: Waiting) -> bool:
    """Whether a task may only go to a free slot: a loss must be charged to the one that ran."""
    return task.losses > 0 or decode_spec(task.spec).at_most_once
