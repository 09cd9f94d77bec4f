"""Reports workers that join, rest, leave and are lost, for people. Sans-IO; nothing acts on it.

It looks at each worker at every beat and reports what has changed since, so that no other part need
know what was reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raftwork.broker.events import (
    AttemptFailed,
    AttemptLost,
    TaskOverdue,
    TaskRetried,
    TasksTakenBack,
    WorkerJoined,
    WorkerLeft,
    WorkerLost,
    WorkerRecovered,
    WorkerRefused,
    WorkerRests,
)
from raftwork.messages import decode_failure, decode_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.events import Event
    from raftwork.broker.machine import Running
    from raftwork.broker.workers.worker import Worker
    from raftwork.messages import Outcome


@dataclass(slots=True)
class Announced:
    """What people know of one worker."""

    there: bool = False
    gone: bool = False
    rests: bool = False
    #: It had no connection when it was last looked at.
    closed: bool = False


class WorkerEvents:
    """The worker events of one leadership."""

    def __init__(
        self,
        tell: Callable[[Event], None],
        reason: Callable[[Worker, int], str],
        current: Callable[[int], Running | None],
        *,
        attempts: bool,
    ) -> None:
        """`reason(worker, now)` is why a worker gets less than it could take.

        `current(token)` is the task under a token. `attempts` is whether anything listens to what
        becomes of each attempt.
        """
        self._tell = tell
        self._reason = reason
        self._current = current
        self._attempts = attempts

    def look(self, worker: Worker, now: int) -> None:
        """Tell what is new with it."""
        if worker.lost is not None:
            self._gone(worker)
        elif worker.name:
            self._there(worker, now)
        worker.announced.closed = worker.routing is None

    def _there(self, worker: Worker, now: int) -> None:
        announced = worker.announced
        self._joined(worker)
        rests = worker.breaker.is_open or not worker.slots
        if rests != announced.rests:
            announced.rests = rests
            reason = self._reason(worker, now)
            self._tell(WorkerRests(worker.name, reason) if rests else WorkerRecovered(worker.name))

    def _joined(self, worker: Worker) -> None:
        announced = worker.announced
        if announced.there:
            return
        announced.there, announced.gone = True, False
        queues = tuple(sorted(worker.queues))
        self._tell(WorkerJoined(worker.name, worker.host, worker.pid, worker.slots, queues))

    def _gone(self, worker: Worker) -> None:
        announced = worker.announced
        if announced.gone:
            return
        if worker.name:  # it may have come and gone between two looks
            self._joined(worker)
        closed = announced.closed
        worker.announced = Announced(gone=True)
        if worker.left:
            self._tell(WorkerLeft(worker.name))
        else:
            why = "its connection closed and did not come back" if closed else "it fell silent"
            if worker.killed:
                why = "its process ended"
            tasks = sum(h.lost for h in worker.assignments.values())
            self._tell(WorkerLost(worker.name, why, tasks, not worker.killed))

    def refused(self, worker: str, why: str) -> None:
        """It asked to work here, and may not."""
        self._tell(WorkerRefused(worker, why))

    # ---- tasks ----------------------------------------------------------------------------------

    def attempt_failed(self, worker: Worker, outcome: Outcome, failure: bytes, pause: int) -> None:
        """The worker reports it. Another attempt, if there may be one, comes after `pause` (ms)."""
        if not self._attempts or (run := self._current(outcome.token)) is None:
            return
        found, spec = decode_failure(failure), decode_spec(run.spec)
        why = f"{found.type}: {found.message}"
        self._tell(AttemptFailed(run.id, run.queue, worker.name, run.attempt, why))
        if not (outcome.final or spec.at_most_once or run.failures >= spec.retries):
            self._tell(TaskRetried(run.id, run.queue, pause))

    def attempt_lost(self, worker: Worker, token: int) -> None:
        """The worker reports that the process died."""
        if self._attempts and (run := self._current(token)) is not None:
            self._tell(AttemptLost(run.id, run.queue, worker.name, run.attempt))

    def overdue(self, worker: Worker, token: int, limit: int) -> None:
        """The leader ends it."""
        if (run := self._current(token)) is not None:
            self._tell(TaskOverdue(run.id, run.queue, worker.name, limit))

    def taken_back(self, worker: Worker, tasks: int) -> None:
        """What waited unsent goes to others."""
        if tasks:
            self._tell(TasksTakenBack(worker.name, tasks))
