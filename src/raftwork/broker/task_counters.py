"""Counts what becomes of tasks, by their queues and names, on every replica alike. Sans-IO.

It reads the events of each entry that is applied (features/event_journal.py), in which tasks that
are alike are one: so it is an addition or two a batch. Counts are of this process, since its start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.features.event_journal import ENDS, EventKind
from raftwork.features.wait_times import DurationCounter
from raftwork.messages.facts import TaskTotals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.features.event_journal import Happened

#: Names of tasks, each with its queue, that are told apart: the first ones. Others are `OTHER`.
NAMES_MAX: Final = 200
OTHER: Final = "other"

#: By the number of its kind, whether an event is counted.
_COUNTED: Final = tuple(
    EventKind(number) in {EventKind.ENQUEUED, EventKind.RETRIED, *ENDS}
    for number in range(max(EventKind) + 1)
)
_TIME_LIMIT: Final = "TimeLimitExceeded:"
_LOST: Final = "WorkerLost:"


class _Counts:
    """Of the tasks of one name in one queue."""

    def __init__(self) -> None:
        self.enqueued = self.succeeded = self.failed = self.lost = self.cancelled = 0
        self.errors = self.timeouts = self.losses = self.retried = 0
        self.runs = DurationCounter()

    def take(self, event: Happened) -> None:
        kind, tasks = event.kind, len(event.ids) or 1
        if kind is EventKind.FINISHED:
            self.succeeded += tasks
            self._ran(event)
        elif kind is EventKind.ENQUEUED:
            self.enqueued += tasks
        elif kind is EventKind.RETRIED:
            self.retried += tasks
            self._attempt_failed(event)
        elif kind is EventKind.FAILED:
            self.failed += tasks
            self._attempt_failed(event)
        elif kind is EventKind.LOST:
            self.lost += tasks
            self._attempt_failed(event)
        else:
            self.cancelled += tasks

    def _ran(self, event: Happened) -> None:
        """Of what ran for some milliseconds only that is known."""
        short = event.runs_ms.count(0) if event.runs_ms else event.events
        self.runs.add(0, short)
        if short < event.events:
            for ms in filter(None, event.runs_ms):
                self.runs.add(ms)

    def _attempt_failed(self, event: Happened) -> None:
        if not event.worker:
            return  # it ended without one
        if event.kind is EventKind.LOST or event.text.startswith(_LOST):
            self.losses += event.events
        elif event.text.startswith(_TIME_LIMIT):
            self.timeouts += event.events
        else:
            self.errors += event.events

    def told(self, queue: str, name: str) -> TaskTotals:
        ends = (self.succeeded, self.failed, self.lost, self.cancelled)
        attempts = (self.errors, self.timeouts, self.losses, self.retried)
        return TaskTotals(queue, name, self.enqueued, *ends, *attempts, self.runs.told())


class TaskCounters:
    """Of one replica."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str], _Counts] = {}
        self._queues: set[str] = set()

    def take(self, happened: Sequence[Happened]) -> None:
        """These came about."""
        counted = self._counted
        for event in happened:
            if _COUNTED[event.kind] and event.queue:
                found = counted.get((event.queue, event.name))
                if found is None:
                    found = self._of(event.queue, event.name)
                found.take(event)

    def _of(self, queue: str, name: str) -> _Counts:
        """A new one's, while there is room; else the others'."""
        if len(self._counted) >= NAMES_MAX:
            name = OTHER
            if queue not in self._queues:
                queue = OTHER
        self._queues.add(queue)
        return self._counted.setdefault((queue, name), _Counts())

    def told(self) -> list[TaskTotals]:
        """All of them so far."""
        return [counts.told(*of) for of, counts in self._counted.items()]
