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
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from raftwork.features.catalogue import FEATURES
from raftwork.features.pins import worker_of
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.messages import Deadlock, Hopeless, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from raftwork.broker.machine import Machine
    from raftwork.broker.machine.queries import Standing
    from raftwork.broker.workers.worker import Assignment, Worker
    from raftwork.messages import Wait

#: Tasks looked at for one wait; behind more of them nothing is found to be stuck.
TASKS_MAX = 1_000
#: Waits that are looked at with each beat.
WAITS_A_BEAT = 20
#: Tasks whose waits are known here; further ones are taken for such as do not wait.
WAITS_KNOWN = 10_000

_HOLDS = tuple(feature.holds for feature in FEATURES if feature.holds is not None)


class _Waiter(NamedTuple):
    worker: Worker
    assignment: Assignment
    #: Why its wait was ended. Until its worker says more, which may never have got that, it is told
    #: so again, and counts for others as one that goes on.
    ended: Deadlock | None = None


class _Need(NamedTuple):
    """It is stuck if all of these are."""

    tasks: Sequence[int]
    why: Deadlock


class Deadlocks:
    """The waits of one leadership."""

    def __init__(self, machine: Machine, workers: Mapping[bytes, Worker]) -> None:
        self._machine = machine
        self._workers = workers
        #: By the waiting task's number, in the order in which they are looked at.
        self._waiters: dict[int, _Waiter] = {}

    def take(self, worker: Worker, waits: Iterable[Wait]) -> None:
        """What the code of some of this worker's tasks waits for from now on."""
        begun: list[int] = []
        for wait in waits:
            assignment = worker.assignments.get(wait.token)
            if assignment is None or not assignment.undecided:
                continue
            worker.waits(assignment, wait if wait.ids or wait.parked else None)
            self._waiters.pop(assignment.seq, None)
            # Else it waits no more, or for too many to be told of them.
            if wait.ids and len(self._waiters) < WAITS_KNOWN:
                self._waiters[assignment.seq] = _Waiter(worker, assignment)
                begun.append(assignment.seq)
        for seq in begun:
            self._judge(seq)

    def look(self) -> list[Worker]:
        """Look at some waits again; the workers that there is something to tell."""
        told: list[Worker] = []
        for seq in list(islice(self._waiters, WAITS_A_BEAT)):
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
        needs: dict[int, list[_Need]] = {}
        found: deque[int] = deque([root])
        while found:
            seq = found.popleft()
            if seq in needs:
                continue
            if len(needs) >= TASKS_MAX:
                return None
            needs[seq] = self._needs(seq, root)
            for need in needs[seq]:
                found.extend(need.tasks)
        stuck = dict.fromkeys(needs)
        changed = True
        while changed:
            changed = False
            for seq in reversed(list(stuck)):  # those that were found last hang on nothing else
                if not any(all(each in stuck for each in need.tasks) for need in needs[seq]):
                    del stuck[seq]
                    changed = True
        if root not in stuck:
            return None
        return max(
            need.why
            for seq in stuck
            for need in needs[seq]
            if all(each in stuck for each in need.tasks)
        )

    def _needs(self, seq: int, root: int) -> list[_Need]:
        """What this task cannot go on without; nothing if it goes on by itself."""
        waiter = self._waiters.get(seq)
        if waiter is not None and waiter.ended is None and self._still(waiter):
            wait = waiter.assignment.wait
            assert wait is not None, "it waits still"
            if not (wait.endless or seq == root):
                return []
            standings = self._machine.standings(wait.ids)
            if len(standings) < len(set(wait.ids)) or any(s.state.final for s in standings):
                return []  # it is told of an outcome, or that there will be none
            return [_Need([s.seq for s in standings], Deadlock.CYCLE)]
        standing = self._machine.standing(seq)
        if standing is None or standing.state not in (State.QUEUED, State.BLOCKED):
            return []
        needs = [
            _Need(tasks, Deadlock.GATE)
            for holds in (_HOLDS if self._machine.level >= LEVEL_OPTIONS else ())
            for tasks in holds(self._machine.state, standing.seq)
            if tasks
        ]
        if standing.state is State.QUEUED and (holders := self._slot_holders(standing)):
            needs.append(_Need(holders, Deadlock.SLOTS))
        return needs

    def _slot_holders(self, standing: Standing) -> list[int]:
        """The tasks in all slots that this one could run in; none if it may get one anyway."""
        holders: list[int] = []
        only = worker_of(self._machine.state, standing.seq)
        for worker in self._workers.values():
            if standing.queue not in worker.queues or not worker.retained:
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
