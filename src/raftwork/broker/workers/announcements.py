"""Tells of workers that join, rest, leave and are lost, for people. Sans-IO; nothing acts on it.

It looks at each worker at every beat and tells what has changed since, so that no other part need
know what was told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raftwork.broker.events import (
    WorkerJoined,
    WorkerLeft,
    WorkerLost,
    WorkerRecovered,
    WorkerRests,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.events import Event
    from raftwork.broker.workers.worker import Worker


@dataclass(slots=True)
class Told:
    """What people know of one worker."""

    there: bool = False
    gone: bool = False
    rests: bool = False
    #: It had no connection when it was last looked at.
    closed: bool = False


class WorkerEvents:
    """Of one leadership."""

    def __init__(self, tell: Callable[[Event], None], reason: Callable[[Worker, int], str]) -> None:
        """`reason(worker, now)` is why a worker gets less than it could take."""
        self._tell = tell
        self._reason = reason

    def look(self, worker: Worker, now: int) -> None:
        """Tell what is new with it."""
        if worker.lost is not None:
            self._gone(worker)
        elif worker.name:
            self._there(worker, now)
        worker.told.closed = worker.routing is None

    def _there(self, worker: Worker, now: int) -> None:
        told = worker.told
        if not told.there:
            told.there, told.gone = True, False
            queues = tuple(sorted(worker.queues))
            joined = WorkerJoined(worker.name, worker.host, worker.pid, worker.slots, queues)
            self._tell(joined)
        rests = worker.breaker.is_open or not worker.slots
        if rests != told.rests:
            told.rests = rests
            reason = self._reason(worker, now)
            self._tell(WorkerRests(worker.name, reason) if rests else WorkerRecovered(worker.name))

    def _gone(self, worker: Worker) -> None:
        told = worker.told
        if told.gone:
            return
        closed = told.closed
        worker.told = Told(gone=True)
        if worker.left:
            self._tell(WorkerLeft(worker.name))
        else:
            why = "its connection closed and did not come back" if closed else "it fell silent"
            self._tell(
                WorkerLost(worker.name, why, sum(h.lost for h in worker.assignments.values()))
            )
