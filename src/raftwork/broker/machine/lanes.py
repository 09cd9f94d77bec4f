"""The lanes: tasks of one queue, priority, tenant, set of gates and worker wait in one, by place.

1. A lane's row is there while an unfinished task bears its number, waiting or not, so a task that
   waits again finds its lane; with the last of them it goes.
2. A lane has the number of the task that opened it, so none is ever used for another lane.
3. A row comes and goes at once; how many tasks the lane has is written only at `flush`.
"""

from typing import NamedTuple

import apsw

#: Lanes kept in memory between transactions; the rest is read when it is needed.
_KEPT_MAX = 10_000

_FIND = """SELECT number, tasks FROM lane
    WHERE queue = ? AND priority = ? AND tenant = ? AND gates = ? AND worker = ?"""
_KNOWN = """SELECT 1 FROM lane
    WHERE queue = ? AND priority = ? AND tenant = ? AND gates = ? AND worker = ?"""
_READ = "SELECT queue, priority, tenant, gates, worker, tasks FROM lane WHERE number = ?"
_NEW = "INSERT INTO lane VALUES (?, ?, ?, ?, ?, ?, ?)"
_COUNT = "UPDATE lane SET tasks = ? WHERE number = ?"
_DROP = "DELETE FROM lane WHERE number = ?"


class Lane(NamedTuple):
    """What all tasks of a lane have in common."""

    queue: int
    priority: int
    tenant: str
    gates: str
    worker: str = ""  # the name of the only one that may have them; empty: any may


class Lanes:
    """The rows of `lane`, and how many tasks each has."""

    def __init__(self, db: apsw.Connection, *, tables: bool = True) -> None:
        """`tables`: they are there."""
        self._db = db
        #: How many there are (features/queue_limits.py bounds them).
        self.count = int(db.execute("SELECT count(*) FROM lane").get) if tables else 0
        self._numbers: dict[Lane, int] = {}
        self._lanes: dict[int, Lane] = {}
        self._tasks: dict[int, int] = {}
        #: What `flush` is to write, in the order of the numbers.
        self.changed: set[int] = set()

    def enter(
        self,
        queue: int,
        priority: int,
        tenant: str,
        gates: str,
        worker: str = "",
        *,
        number: int,
        tasks: int = 1,
    ) -> int:
        """So many more unfinished tasks are of this lane. Its number: that given if it is new."""
        lane = Lane(queue, priority, tenant, gates, worker)
        known = self._numbers.get(lane)
        if known is None:
            row = self._db.execute(_FIND, lane).fetchone()
            if row is None:
                self._db.execute(_NEW, (number, *lane, 0))
                self.count += 1
                row = (number, 0)
            known = row[0]
            self._keep(known, lane, row[1])
        self._tasks[known] += tasks
        self.changed.add(known)
        return known

    def leave(self, number: int, tasks: int = 1) -> None:
        """So many of its tasks have their outcomes."""
        lane = self.read(number)
        assert lane is not None, "a task is of no lane"
        self._tasks[number] -= tasks
        if self._tasks[number]:
            self.changed.add(number)
            return
        # At once: where transactions begin and end is each replica's business, and one that still
        # had the row would give the next task of this lane another number than the others.
        self._db.execute(_DROP, (number,))
        self.count -= 1
        del self._numbers[lane], self._lanes[number], self._tasks[number]
        self.changed.discard(number)

    def knows(self, queue: int, priority: int, tenant: str, gates: str, worker: str = "") -> bool:
        """Whether there is such a lane."""
        lane = (queue, priority, tenant, gates, worker)
        return self._db.execute(_KNOWN, lane).fetchone() is not None

    def read(self, number: int) -> Lane | None:
        """The lane of this number, if there is one."""
        if number not in self._lanes:
            row = self._db.execute(_READ, (number,)).fetchone()
            if row is None:
                return None
            self._keep(number, Lane(*row[:5]), row[5])
        return self._lanes[number]

    def flush(self) -> None:
        """Write what changed since the last time."""
        counts = [(self._tasks[number], number) for number in sorted(self.changed)]
        self._db.executemany(_COUNT, counts)
        self.changed = set()
        if len(self._lanes) > _KEPT_MAX:
            self._numbers, self._lanes, self._tasks = {}, {}, {}

    def _keep(self, number: int, lane: Lane, tasks: int) -> None:
        self._numbers[lane], self._lanes[number], self._tasks[number] = number, lane, tasks
