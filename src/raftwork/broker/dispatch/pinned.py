"""Waiting tasks that one worker alone may have, by its name. Sans-IO.

What waits for one worker in one queue is a `QueueBacklog` by itself: priority, limits, fairness and
patience hold in it as they do in the queue, and nothing that waits there holds up any other task.

On its worker such a task has less choice than others, so it goes before those of its queue that
have the same priority or a lower one. Behind higher ones it waits, but not for ever: of `patience`
tasks of its queue one gives way to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.broker.dispatch.queue_backlog import PATIENCE, QueueBacklog

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from raftwork.broker.dispatch.gate_room import GateRoom, Waiter
    from raftwork.broker.dispatch.in_flight import InFlight
    from raftwork.broker.machine import Machine
    from raftwork.broker.workers.worker import Worker


class WorkerBacklog:
    """What waits in one queue for one worker."""

    def __init__(self, backlog: QueueBacklog, patience: int) -> None:
        self.backlog = backlog
        self._patience = patience
        #: Tasks of the queue that went before since one of these was taken.
        self.passed = 0

    def precedes(self, priority: int | None) -> bool:
        """Whether its first goes before the queue's first, which has this priority, if any."""
        if priority is None or (self._patience and self.passed >= self._patience):
            return True
        mine = self.backlog.priority
        return mine is not None and mine >= priority


class PinnedBacklogs:
    """All of one leadership."""

    def __init__(self, machine: Machine, in_flight: InFlight, room: GateRoom) -> None:
        self._machine, self._in_flight, self._room = machine, in_flight, room
        #: By queue and worker. Dispatchers look into it for themselves: nearly always it is empty.
        self.by_queue: dict[str, dict[str, WorkerBacklog]] = {}
        for queue in machine.queues() if machine.state.links.pins else ():
            for number, lane, first in machine.lanes(queue.name):
                if lane.worker:
                    self._get(queue.name, lane.worker).backlog.add(number, lane, first)

    @property
    def workers(self) -> set[str]:
        """The names of those that any task waits for."""
        return {worker for backlogs in self.by_queue.values() for worker in backlogs}

    def _get(self, queue: str, worker: str) -> WorkerBacklog:
        backlogs = self.by_queue.setdefault(queue, {})
        if worker not in backlogs:
            made = QueueBacklog(
                *(queue, self._machine, self._in_flight, self._room), more=False, worker=worker
            )
            set_ = self._machine.settings_of(queue).patience
            backlogs[worker] = WorkerBacklog(made, PATIENCE if set_ is None else set_)
        return backlogs[worker]

    # ---- what comes and goes --------------------------------------------------------------------

    def backlog(self, queue: str, worker: str) -> QueueBacklog:
        """Of what waits in this queue for one worker."""
        return self._get(queue, worker).backlog

    def ended(self, queue: str, seqs: Collection[int]) -> None:
        """These tasks wait no more."""
        for each in self.by_queue.get(queue, {}).values():
            each.backlog.ended(seqs)
            each.backlog.forget_gone()  # no worker that may never come has to look at it
        self.forget_empty(queue)

    def changed(self, queue: str, tenant: str) -> None:
        """A task of this tenant of a fair queue is in flight no more."""
        for each in self.by_queue.get(queue, {}).values():
            each.backlog.changed(tenant)

    def at(self, waiter: Waiter) -> QueueBacklog | None:
        """What waits at a gate under this name."""
        queue, worker = waiter
        found = self.by_queue.get(queue, {}).get(worker)
        return None if found is None else found.backlog

    def forget_empty(self, queue: str) -> None:
        """Drop those of a queue in which nothing waits."""
        backlogs = self.by_queue.get(queue, {})
        for worker in [worker for worker, each in backlogs.items() if not each.backlog]:
            backlogs.pop(worker).backlog.leave_gates()
        if not backlogs:
            self.by_queue.pop(queue, None)

    # ---- what may be taken ----------------------------------------------------------------------

    def for_workers(
        self, queue: str, workers: Sequence[Worker]
    ) -> Iterator[tuple[WorkerBacklog, Worker]]:
        """What waits in a queue for each of these workers that serves it."""
        backlogs = self.by_queue[queue]
        for worker in workers:
            if worker.name in backlogs and queue in worker.queues:
                yield backlogs[worker.name], worker

    def needing_free_slot(self, queues: Iterable[str], workers: Sequence[Worker]) -> set[str]:
        """The names of those of these that a task waits for which needs a free slot."""
        return {
            worker.name
            for queue in queues
            if queue in self.by_queue
            for line, worker in self.for_workers(queue, workers)
            if line.backlog.needs_free_slot
        }
