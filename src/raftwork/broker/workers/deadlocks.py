"""Waits of running tasks for other tasks that cannot end while they last. Sans-IO, leader only.

Workers say which of their tasks wait, and for which ids. A task is stuck if nothing that happens by
itself lets it go on:

1. One whose code waits is stuck if all that it waits for is stuck. One that may give up by itself,
   or whose code does anything else, is not.
2. One that has not begun is stuck if all tasks that hold one of the things that it needs are stuck:
   the features say which hold it back (`Feature.holds`), and slots are such a thing, too.

All stuck tasks that wait for each other wait for ever, so the newest wait among them is ended with
an error. What makes a task stuck is mostly its own wait, which is looked at as it begins. Other
events can do it, too (a gate is taken, a worker is lost), so a few waits are looked at with every
beat, in turn. Whatever is in doubt is not stuck: a wait that is ended wrongly breaks a program.

What workers say decides how much there is to look at. So the work is bounded, for one wait and from
one beat to the next: otherwise one worker with many wide waits would silence the leader.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from raftwork.features.catalogue import FEATURES
from raftwork.features.pins import worker_of
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.messages import Deadlock, Hopeless, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from raftwork.broker.machine import Machine
    from raftwork.broker.machine.queries import Standing
    from raftwork.broker.workers.worker import Assignment, Worker
    from raftwork.messages import Wait

#: Tasks looked at for one wait; behind more of them nothing is found to be stuck.
TASKS_MAX = 1_000
#: Waits that are looked at with each beat.
WAITS_A_BEAT = 20
#: Ids, tasks and holders looked at for one wait, beyond which it is not found to be stuck; and for
#: all waits from one beat to the next, beyond which the others are for later. Each takes 2 to 5 us.
WORK_MAX = 10_000
WORK_A_BEAT = 20_000
#: Running tasks that are passed over in the time that one of these takes.
_PASSED_OVER = 64
#: Tasks whose waits are known here; further ones are taken for such as do not wait.
WAITS_KNOWN = 10_000

_HOLDS = tuple(feature.holds for feature in FEATURES if feature.holds is not None)


class _Waiter(NamedTuple):
    worker: Worker
    assignment: Assignment
    #: Why its wait was ended. Until its worker says more, which may never have got that, it is told
    #: so again, and counts for others as one that goes on.
    ended: Deadlock | None = None


@dataclass(eq=False, slots=True)
class _Need:
    """It is stuck if all of these are. Tasks may share one, which is equal to itself alone."""

    tasks: Sequence[int]
    why: Deadlock


class _Search:
    """For what makes one waiting task stuck."""

    def __init__(self, root: int) -> None:
        self.root = root
        #: Of the tasks that were looked at.
        self.needs: dict[int, list[_Need]] = {}
        #: Of slots, by the queue and the only worker; None: one may come free.
        self.slots: dict[tuple[str, str], _Need | None] = {}
        self.work = 0

    def stuck(self) -> Iterator[_Need]:
        """What the root needs and does not get, and all that it is stuck for; nothing if it is not.

        Each need is dropped once: to look at all of them until nothing changes would take the
        square of their number.
        """
        of_task: dict[int, list[_Need]] = {}  # the needs that name it
        whose: dict[_Need, list[int]] = {}
        for seq, needs in self.needs.items():
            for need in needs:
                if need not in whose:
                    whose[need] = []
                    for each in need.tasks:
                        of_task.setdefault(each, []).append(need)
                whose[need].append(seq)
        left = {seq: len(needs) for seq, needs in self.needs.items()}
        going = [seq for seq, needs in left.items() if not needs]
        while going:
            for need in of_task.get(going.pop(), ()):
                for seq in whose.pop(need, ()):
                    left[seq] -= 1
                    if not left[seq]:
                        going.append(seq)
        return iter(whose) if left[self.root] else iter(())


class Deadlocks:
    """The waits of one leadership."""

    def __init__(self, machine: Machine, workers: Mapping[bytes, Worker]) -> None:
        self._machine = machine
        self._workers = workers
        #: By the waiting task's number, in the order in which they are looked at.
        self._waiters: dict[int, _Waiter] = {}
        self._work_left = WORK_A_BEAT

    def take(self, worker: Worker, waits: Iterable[Wait]) -> None:
        """What the code of some of this worker's tasks waits for from now on."""
        begun: dict[int, None] = {}
        for wait in waits:
            assignment = worker.assignments.get(wait.token)
            if assignment is None or not assignment.undecided:
                continue
            worker.waits(assignment, wait if wait.ids or wait.parked else None)
            self._waiters.pop(assignment.seq, None)
            # Else it waits no more, or for too many to be told of them.
            if wait.ids and len(self._waiters) < WAITS_KNOWN:
                self._waiters[assignment.seq] = _Waiter(worker, assignment)
                begun[assignment.seq] = None
        for seq in begun:
            self._judge(seq)

    def look(self) -> list[Worker]:
        """Look at some waits again; the workers that there is something to tell."""
        told: list[Worker] = []
        self._work_left = WORK_A_BEAT
        for seq in list(islice(self._waiters, WAITS_A_BEAT)):
            if self._work_left <= 0:
                break
            waiter = self._waiters.pop(seq)
            if self._still(waiter):
                self._waiters[seq] = waiter
                if self._judge(seq):
                    told.append(waiter.worker)
        return told

    @staticmethod
    def _still(waiter: _Waiter) -> bool:
        """Whether it is this worker's task, and waits."""
        worker, assignment, _ = waiter
        return (
            worker.assignments.get(assignment.token) is assignment
            and assignment.wait is not None
            and assignment.undecided
        )

    def _judge(self, seq: int) -> bool:
        """End what this task waits for, if it is stuck."""
        waiter = self._waiters.get(seq)
        if waiter is None or not self._still(waiter):
            return False
        why = waiter.ended or self._stuck(seq)
        if why is None:
            return False
        worker, assignment, _ = waiter
        assert assignment.wait is not None, "it waits still"
        worker.hopeless.append(Hopeless(assignment.token, assignment.wait.turn, why))
        self._waiters[seq] = waiter._replace(ended=why)
        return True

    # ---- who is stuck ---------------------------------------------------------------------------

    def _stuck(self, root: int) -> Deadlock | None:
        """Why this waiting task is stuck; None if it is not, or that takes too long to find."""
        if self._work_left <= 0:
            return None  # a later beat finds it
        search = _Search(root)
        found = self._look_around(search)
        self._work_left -= search.work
        return max((need.why for need in search.stuck()), default=None) if found else None

    def _look_around(self, search: _Search) -> bool:
        """Find all that the root hangs on; whether that was little enough."""
        due = deque([search.root])
        seen = set[_Need]()
        while due:
            seq = due.popleft()
            if seq in search.needs:
                continue
            if len(search.needs) >= TASKS_MAX or search.work >= WORK_MAX:
                return False
            search.needs[seq] = self._needs(seq, search)
            search.work += 1
            for need in search.needs[seq]:
                if need not in seen:
                    seen.add(need)
                    search.work += len(need.tasks)
                    due.extend(need.tasks)
        return True

    def _needs(self, seq: int, search: _Search) -> list[_Need]:
        """What this task cannot go on without; nothing if it goes on by itself."""
        waiter = self._waiters.get(seq)
        if waiter is not None and waiter.ended is None and self._still(waiter):
            wait = waiter.assignment.wait
            assert wait is not None, "it waits still"
            if not (wait.endless or seq == search.root):
                return []
            search.work += len(wait.ids)
            standings = self._machine.standings(wait.ids)
            if len(standings) < len(set(wait.ids)) or any(s.state.final for s in standings):
                return []  # it is told of an outcome, or that there will be none
            return [_Need([s.seq for s in standings], Deadlock.CYCLE)]
        standing = self._machine.standing(seq)
        if standing is None or standing.state not in (State.QUEUED, State.BLOCKED):
            return []
        if self._machine.queue_use(standing.queue)[0] is not None:
            search.work += len(self._machine.state.running) // _PASSED_OVER
        needs = [
            _Need(tasks, Deadlock.GATE)
            for holds in (_HOLDS if self._machine.level >= LEVEL_OPTIONS else ())
            for tasks in holds(self._machine.state, standing.seq)
            if tasks
        ]
        if standing.state is State.QUEUED and (slots := self._slots(standing, search)) is not None:
            needs.append(slots)
        return needs

    def _slots(self, standing: Standing, search: _Search) -> _Need | None:
        """The same for all tasks of a queue, or of a queue and one worker."""
        only = worker_of(self._machine.state, standing.seq)
        key = standing.queue, only
        if key not in search.slots:
            holders = self._slot_holders(standing.queue, only)
            search.work += len(self._workers)
            search.slots[key] = _Need(holders, Deadlock.SLOTS) if holders else None
        return search.slots[key]

    def _slot_holders(self, queue: str, only: str) -> list[int]:
        """The tasks in all slots of this queue, or of its only worker; none if one may be had."""
        holders: list[int] = []
        for worker in self._workers.values():
            if queue not in worker.queues or not worker.retained:
                continue
            if only and worker.name != only:
                continue
            # One that rests, or is away, will be there again: but with the slots that it has.
            if worker.slots > worker.busy or worker.routing is None:
                return []
            for assignment in worker.assignments.values():
                if assignment.done or assignment.parked:
                    continue
                waiter = self._waiters.get(assignment.seq)
                if waiter is None or waiter.ended is not None:
                    return []  # its code does something
                holders.append(assignment.seq)
        return holders
