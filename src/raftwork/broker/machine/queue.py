"""A queue in memory, and its row."""

import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from raftwork.broker.machine import level_two
from raftwork.features.limit_settings import Quota
from raftwork.features.queue_settings import (
    NOTHING_SET,
    QueueSettings,
    packed,
    quota_of,
    settings_of,
)
from raftwork.features.task_row import DELAYED

if TYPE_CHECKING:
    import apsw

_NOTHING_PACKED = packed(NOTHING_SET)


@dataclass(slots=True)
class Queue:
    """A queue's counters and settings, as in its row."""

    number: int
    name: str
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    lost: int = 0
    #: Of the payloads of what is queued, scheduled and blocked.
    bytes: int = 0
    scheduled: int = 0
    blocked: int = 0
    cancelled: int = 0
    #: Machine time until which nothing of it is handed out; 0 while it is not paused.
    paused_until: int = 0
    #: Of those that are queued, how many wait for a retry.
    delayed: int = 0
    #: What was set for it, and the same packed; changed by `set` alone.
    settings: QueueSettings = NOTHING_SET
    packed_settings: builtins.bytes = _NOTHING_PACKED
    #: How many of its tasks may run, and how fast; None for as many as there are.
    quota: Quota | None = None

    def set(self, settings: QueueSettings) -> None:
        """These hold for it from now on."""
        self.settings, self.packed_settings = settings, packed(settings)
        self.quota = quota_of(settings)

    @property
    def unstarted(self) -> int:
        """Its tasks without an outcome that do not run."""
        return self.queued + self.scheduled + self.blocked


_QUEUE = ("number", "name", "queued", "running", "succeeded", "failed", "lost", "bytes")
_queue_row = attrgetter(*_QUEUE, "packed_settings")
_queue_row_two = attrgetter(
    *(*_QUEUE, "packed_settings", "scheduled", "blocked", "cancelled", "paused_until", "delayed")
)
_PUT_QUEUE = "INSERT OR REPLACE INTO queue VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_QUEUE_TWO = "INSERT OR REPLACE INTO queue VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DELAYED = """SELECT queue, count(*) FROM task
    WHERE phase = ? AND due IS NOT NULL GROUP BY queue"""


def load_queues(db: "apsw.Connection", level: int) -> Iterator[Queue]:
    """All there are, in the order of their numbers."""
    # From LEVEL on it stands in the row.
    delayed = dict(db.execute(_DELAYED, (DELAYED,))) if level < level_two.LEVEL else {}
    for row in db.execute("SELECT * FROM queue ORDER BY number"):
        queue = Queue(*row[:8], *row[9:])
        queue.set(settings_of(row[8]))
        queue.delayed = delayed.get(queue.number, queue.delayed)
        yield queue


def put_queues(db: "apsw.Connection", queues: Iterable[Queue], level: int) -> None:
    """Write their rows."""
    two = level >= level_two.LEVEL
    put, row = (_PUT_QUEUE_TWO, _queue_row_two) if two else (_PUT_QUEUE, _queue_row)
    db.executemany(put, map(row, queues))
