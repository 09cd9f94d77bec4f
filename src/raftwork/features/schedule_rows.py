"""The tables of schedules and of the tasks that they made, on every replica."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.errors import ProtocolError, QueueFull, UnknownSchedule
from raftwork.features.effects import ScheduleMoved
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.schedule_plan import Plan, plan_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from raftwork.broker.machine.state import Ledger
    from raftwork.features.effects import Effect
    from raftwork.features.event_journal import Journal

#: Of the whole cluster.
SCHEDULES_MAX: Final = 100_000
#: … and of all that is said of them, and the tasks' arguments.
SCHEDULES_BYTES_MAX: Final = 64 * 1024 * 1024

_COLUMNS: Final = """number, id, source, declared, override, version, anchor, decided, next, last,
    paused, held_decided, held_ticks, fired, overlap, late, paused_ticks, full"""
_BY_NUMBER: Final = f"SELECT {_COLUMNS} FROM schedule WHERE number = ?"  # noqa: S608 - of constants
_BY_NUMBERS: Final = f"""SELECT {_COLUMNS} FROM schedule
    WHERE number IN (SELECT value FROM json_each(?))"""  # noqa: S608
_BY_ID: Final = f"SELECT {_COLUMNS} FROM schedule WHERE id = ?"  # noqa: S608
_AFTER: Final = f"SELECT {_COLUMNS} FROM schedule WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608
_OF: Final = "SELECT id FROM schedule WHERE source = ? ORDER BY id"
_DUE: Final = "SELECT next, number FROM schedule ORDER BY next, number"
_TOTALS: Final = """SELECT count(*), coalesce(sum(length(declared) + length(override)), 0)
    FROM schedule"""
_UNFINISHED: Final = "SELECT seq FROM tick WHERE schedule = ? ORDER BY seq LIMIT ?"
_BUSY: Final = "SELECT DISTINCT schedule FROM json_each(?) CROSS JOIN tick ON schedule = value"
_TICK: Final = "SELECT at FROM tick WHERE seq = ?"


class Row(NamedTuple):
    """A schedule. Instants are machine time, ms."""

    number: int
    id: str
    source: str
    declared: bytes
    override: bytes
    version: int
    anchor: int
    decided: int
    next: int
    last: int
    paused: int = 0
    held_decided: int = 0
    held_ticks: int = 0
    fired: int = 0
    overlap: int = 0
    late: int = 0
    paused_ticks: int = 0
    full: int = 0

    @property
    def plan(self) -> Plan:
        """What holds of it."""
        return plan_of(self.declared, self.override)

    def exhausted(self, plan: Plan) -> bool:
        """Whether it has made as many tasks as `plan`, which holds of it, allows."""
        return 0 < plan.limit <= self.fired

    def check_limit(self, plan: Plan) -> None:
        """Raise ProtocolError if it may make no more tasks."""
        if self.exhausted(plan):
            raise ProtocolError(
                f"schedule {self.id!r} has made {self.fired} tasks, by itself and by hand, and its"
                f" limit is {plan.limit}: raise the limit (`raftwork schedule update --limit N`)"
            )

    @property
    def size(self) -> int:
        """Bytes of what is said of it."""
        return len(self.declared) + len(self.override)


_PUT: Final = """INSERT OR REPLACE INTO schedule
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
# By itself, as `_PUT` would write the index of ids, too.
_TICKED: Final = """UPDATE schedule SET decided = ?, next = ?, last = ?, fired = ?, overlap = ?,
    late = ?, paused_ticks = ?, full = ? WHERE number = ?"""
_ticked = attrgetter(
    *("decided", "next", "last", "fired", "overlap", "late", "paused_ticks", "full", "number")
)


class Schedules:
    """The table, with its totals in memory."""

    def __init__(self, db: apsw.Connection, journal: Journal, *, there: bool) -> None:
        """`there` is whether the cluster's level has the table."""
        self._db, self._journal = db, journal
        self.count = self.bytes = 0
        if there:
            ((self.count, self.bytes),) = db.execute(_TOTALS)

    def read(self, number: int) -> Row | None:
        """The schedule of this number, if it is there."""
        row = self._db.execute(_BY_NUMBER, (number,)).fetchone()
        return None if row is None else Row(*row)

    def read_all(self, numbers: Sequence[int]) -> dict[int, Row]:
        """Those of these that are there, by their numbers."""
        rows = map(Row._make, self._db.execute(_BY_NUMBERS, (str(list(numbers)),)))
        return {row.number: row for row in rows}

    def find(self, id_: str) -> Row | None:
        """The schedule of this id, if it is there."""
        row = self._db.execute(_BY_ID, (id_,)).fetchone()
        return None if row is None else Row(*row)

    def get(self, id_: str) -> Row:
        """The schedule of this id. Raises UnknownSchedule."""
        row = self.find(id_)
        if row is None:
            raise UnknownSchedule(f"there is no schedule {id_!r}")
        return row

    def after(self, id_: str, limit: int) -> list[Row]:
        """The schedules with greater ids, in their order."""
        return [Row(*row) for row in self._db.execute(_AFTER, (id_, limit))]

    def of(self, source: str) -> list[str]:
        """The ids of those that this code declares."""
        return [id_ for (id_,) in self._db.execute(_OF, (source,))]

    def due(self) -> list[tuple[int, int]]:
        """The next tick and the number of each, in that order."""
        return list(self._db.execute(_DUE))

    def check_room(self, more: int, size: int) -> None:
        """Raise QueueFull unless there is room for so many more, and so many bytes."""
        for what, count, limit in (
            ("schedules", self.count + more, SCHEDULES_MAX),
            ("bytes of schedules", self.bytes + size, SCHEDULES_BYTES_MAX),
        ):
            if count > limit:
                raise QueueFull(
                    f"no room: this would make {count} {what}, {limit} are allowed: delete those"
                    " that are not needed any more"
                )

    def put(self, row: Row, old: Row | None, effects: list[Effect]) -> None:
        """It is like this from now on; `old` is how it was."""
        self._db.execute(_PUT, row)
        self.count += old is None
        self.bytes += row.size - (old.size if old is not None else 0)
        effects.append(ScheduleMoved(row.number, row.next))
        if old is None or (old.version, old.paused) != (row.version, row.paused):
            self._journal.note(Happened(EventKind.SCHEDULE_CHANGED, [row.id]))

    def ticked(self, rows: Sequence[Row], effects: list[Effect]) -> None:
        """They have ticked, or ticks of them were missed, and they are like this from now on."""
        self._db.executemany(_TICKED, map(_ticked, rows))
        effects += [ScheduleMoved(row.number, row.next) for row in rows]

    def drop(self, row: Row, effects: list[Effect]) -> None:
        """It is gone; the tasks that it made are not."""
        self._db.execute("DELETE FROM schedule WHERE number = ?", (row.number,))
        self.count -= 1
        self.bytes -= row.size
        effects.append(ScheduleMoved(row.number, 0))
        self._journal.note(Happened(EventKind.SCHEDULE_DELETED, [row.id]))


def busy(ledger: Ledger, numbers: Sequence[int]) -> set[int]:
    """Those of these schedules that have made tasks without an outcome."""
    return {number for (number,) in ledger.db.execute(_BUSY, (str(list(numbers)),))}


def unfinished(ledger: Ledger, number: int, limit: int) -> list[int]:
    """The first tasks without an outcome that a schedule made, in order."""
    return [seq for (seq,) in ledger.db.execute(_UNFINISHED, (number, limit))]


def made(ledger: Ledger, tasks: Sequence[tuple[int, int, int]]) -> None:
    """Schedules made these tasks: each one's number, that of its schedule, and its instant."""
    ledger.db.executemany("INSERT INTO tick VALUES (?, ?, ?)", tasks)


def tick_of(ledger: Ledger, seq: int) -> int:
    """For which instant a task without an outcome was made; 0 if no schedule made it."""
    row: tuple[int] | None = ledger.db.execute(_TICK, (seq,)).fetchone()
    return 0 if row is None else row[0]
