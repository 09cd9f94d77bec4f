"""The newest events of one replica, in its database, as far as a number of bytes goes.

1. A row for each entry that was applied, in the transaction that applies it: so no crash parts the
   events from what they tell of. A replica that applies an entry again has its events once.
2. The table is the store's own (`store_`): neither the digest nor a snapshot has it. After a
   snapshot was installed, and after a release or a setting that kept no events, it begins anew: its
   last row is not the entry that was applied last.
3. The first row is the floor: its own events, and all before it, are gone.
4. Nothing of it ends a broker but the disk. What cannot be noted is a gap.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

import apsw

from raftwork.broker.oldest_waits import oldest_waits
from raftwork.broker.task_counters import TaskCounters
from raftwork.consensus.core import ORIGIN, Kind, Position
from raftwork.consensus.membership import decode_roster
from raftwork.features.event_feed import ALL_OF_IT, Cursor, Page, ToldEvent, Wanted, told
from raftwork.features.event_journal import EVENT_BYTES, EventKind, Happened
from raftwork.messages.facts import NO_DURATIONS, MachineFacts, QueueTimes
from raftwork.wire import maker, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raftwork.broker.containment import Containment
    from raftwork.broker.machine import Machine
    from raftwork.broker.node_setup import Setup
    from raftwork.consensus.core import Entry
    from raftwork.messages.facts import BrokerFacts

#: What a row costs beside its data.
_ROW_BYTES: Final = 32
#: So many pieces it goes by, once it is full.
_SEGMENTS: Final = 64
#: Of one look: rows, and bytes of them.
_LOOK_ROWS: Final = 500
_LOOK_BYTES: Final = 64 * 1024
#: About a millisecond each. However many read, between two turns others are served.
_LOOKS_MAX: Final = 8

# Rows are numbered as they come, and found by halving: a table in the order of (epoch, seq) took
# its pages apart at every few rows, and an entry of ten tasks cost twice as much.
_MAKE: Final = """CREATE TABLE IF NOT EXISTS store_event (
    number INTEGER PRIMARY KEY, -- without a gap
    epoch INTEGER NOT NULL,     -- with `seq` it grows with the number
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,        -- leader time
    events INTEGER NOT NULL,    -- how many
    data BLOB NOT NULL          -- packed: a list of Happened
)"""
_IS_THERE: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'store_event'"
_INSERT: Final = "INSERT INTO store_event (epoch, seq, at, events, data) VALUES (?, ?, ?, ?, ?)"
_SIZES: Final = "SELECT epoch, seq, events, length(data) FROM store_event ORDER BY number"
_DROP: Final = "DELETE FROM store_event WHERE number < ?"
_EMPTY: Final = "UPDATE store_event SET data = x'' WHERE number = ?"
_FLOOR: Final = "SELECT epoch, seq, events FROM store_event ORDER BY number LIMIT 1"
_FROM: Final = """SELECT epoch, seq, at, events, data FROM store_event
    WHERE number >= ? ORDER BY number LIMIT ?"""
_BELOW: Final = """SELECT epoch, seq, at, data FROM store_event
    WHERE number < ? ORDER BY number DESC LIMIT ?"""
_FIRST: Final = "SELECT min(number) FROM store_event"
_LAST: Final = "SELECT max(number) FROM store_event"
_IS_BEFORE: Final = "SELECT (epoch, seq) < (?, ?) FROM store_event WHERE number = ?"
_cursor = maker(Cursor)


class RingStore(Protocol):
    """What it needs of a store."""

    @property
    def connection(self) -> apsw.Connection:
        """The live database."""
        ...

    @property
    def applied(self) -> Position:
        """The position of the newest applied entry."""
        ...


class _Segment(NamedTuple):
    last: Cursor
    size: int  # bytes


class EventRing:
    """See the top of this file. Made anew whenever the store has another database."""

    def __init__(self, store: RingStore, limit_bytes: int = EVENT_BYTES) -> None:
        """It keeps about `limit_bytes`; with 0 none, and what is there goes."""
        self._db = store.connection
        self._limit = limit_bytes
        #: All up to here is gone; up to here it has noted all.
        begun = store.applied > ORIGIN
        self.floor = self.last = Cursor(*store.applied, ALL_OF_IT if begun else 0)
        self._segments: deque[_Segment] = deque()
        self._open = self._size = 0  # bytes of the open segment, and of all
        self._look_time = self._looks = 0
        #: Whether the table is as it should be: without any bytes for it, gone.
        self._there = False
        if limit_bytes and self._db.execute(_IS_THERE).fetchone() is not None:
            self._load(store.applied)

    @property
    def keeps(self) -> bool:
        """Whether it keeps any."""
        return self._limit > 0

    def _load(self, applied: Position) -> None:
        last: Cursor | None = None
        floor: Cursor | None = None
        for epoch, seq, events, size in self._db.execute(_SIZES):
            last = Cursor(epoch, seq, events)
            floor = floor or last
            self._count(last, size)
        if floor is not None and last is not None and last[:2] == tuple(applied):
            self.floor, self.last, self._there = floor, last, True
        else:
            self._segments.clear()
            self._open = self._size = 0

    def _count(self, last: Cursor, size: int) -> None:
        self._size += size + _ROW_BYTES
        self._open += size + _ROW_BYTES
        if self._open * _SEGMENTS >= self._limit:
            self._segments.append(_Segment(last, self._open))
            self._open = 0

    # ---- noting ---------------------------------------------------------------------------------

    def note(self, at: Position, time: int, happened: Sequence[Happened]) -> None:
        """This entry was applied, and brought these about. Inside the open transaction."""
        if not self._there:
            self._begin()
        if not self._limit:
            return
        data, events = b"", 0
        if happened:
            data = pack(happened)
            for event in happened:
                events += len(event.ids) or 1
        last = _cursor((*at, events))
        self._db.execute(_INSERT, (*at, time, events, data))
        self.last = last
        self._count(last, len(data))
        if self._size > self._limit:
            self._trim()

    def lose(self, at: Position) -> None:
        """What this entry brought about could not be noted."""
        self.floor = self.last = Cursor(*at, ALL_OF_IT)
        self._there = False

    def _begin(self) -> None:
        """An empty ring from the floor on; without any bytes for it, none."""
        self._db.execute("DROP TABLE IF EXISTS store_event")
        self._segments.clear()
        self._open = self._size = 0
        self._there = True
        if self.keeps:
            self._db.execute(_MAKE)
            self._db.execute(_INSERT, (*self.floor[:2], 0, self.floor.n, b""))
            self._size = _ROW_BYTES

    def _trim(self) -> None:
        """The oldest piece goes."""
        if not self._segments:
            return
        segment = self._segments.popleft()
        self._size -= segment.size
        self.floor = segment.last
        number = _number(self._db, self.floor)
        self._db.execute(_DROP, (number,))
        self._db.execute(_EMPTY, (number,))

    # ---- reading --------------------------------------------------------------------------------

    def may_look(self, time: int) -> bool:
        """Whether there is room for one more look in this millisecond of leader time."""
        if time != self._look_time:
            self._look_time, self._looks = time, 0
        self._looks += 1
        return self._looks <= _LOOKS_MAX

    def read(
        self, after: Cursor, wanted: Wanted, limit: int, name_of: Callable[[bytes], str]
    ) -> Page:
        """The next events behind a cursor that are wanted, of some hundred entries at most."""
        if not (self._there and self.keeps):
            return Page([], max(after, self.floor), gap=after < self.floor, more=False)
        return read_events(self._db, after, wanted, limit, name_of)

    def newest(
        self, below: tuple[int, int]
    ) -> list[tuple[tuple[int, int], int, Sequence[Happened]]]:
        """The entries before a position, newest first: some hundred, fewer if they are large.

        Of each its position, its leader time and what it brought about.
        """
        found: list[tuple[tuple[int, int], int, Sequence[Happened]]] = []
        if not (self._there and self.keeps):
            return found
        size = 0
        with closing(self._db.execute(_BELOW, (_number(self._db, below), _LOOK_ROWS))) as rows:
            for epoch, seq, at, data in rows:
                found.append(((epoch, seq), at, _unpacked(data)))
                size += len(data)
                if size >= _LOOK_BYTES:
                    break
        return found


class _Nothing(NamedTuple):
    """A store of which nothing is kept."""

    connection: apsw.Connection
    applied: Position


#: Of a leadership without a replica around it.
NO_EVENTS: Final = EventRing(_Nothing(apsw.Connection(""), ORIGIN), 0)


class EventNotes:
    """Has the events of what is applied noted in a ring, and counted, if none are kept, too.

    Made anew whenever the machine is.
    """

    def __init__(
        self, store: RingStore, machine: Machine, containment: Containment, setup: Setup
    ) -> None:
        self.ring = EventRing(store, setup.event_bytes)
        self._ledger = machine.state
        self._ledger.journal.on = True
        self._at = store.applied
        self._boundary = containment.of("noting events", lambda: self.ring.lose(self._at))
        #: The last entry, while it is not noted.
        self.unnoted: Entry | None = None
        self._applied = self._committed = 0
        self._counters = TaskCounters()

    def applied(self, entry: Entry) -> None:
        """The entry, whatever its kind, was applied. What it brought about is to be noted."""
        assert self.unnoted is None, "its events would be taken for this one's"
        self._at, self.unnoted = entry.at, entry
        self._applied += 1

    def note(self) -> None:
        """Note what the last entry brought about, if that is not done.

        To be called inside the transaction that applies it: before that commits, or the next entry
        is applied. So replies may leave first: a row takes longer to write than they to send.
        """
        entry = self.unnoted
        if entry is None:
            return
        self.unnoted = None
        try:
            happened = self._ledger.journal.drain()
            self._counters.take(happened)
            if entry.kind is not Kind.DATA or entry.at.seq == 1:
                happened = [*_of_entry(entry), *happened]
            self.ring.note(entry.at, self._ledger.time, happened)
        except Exception as error:  # noqa: BLE001 - it is what a boundary is for
            self._boundary.stop(error)

    def counted(self, facts: BrokerFacts | None, committed: Position | None) -> BrokerFacts | None:
        """These, and what came of the entries so far; up to `committed` they are committed."""
        if facts is None:
            return None
        if committed is not None:
            backlog = max(0, committed.seq - self._at.seq)
            self._committed = max(self._committed, self._applied + backlog)
        ledger = self._ledger
        waited, oldest = ledger.journal.waits.told(), oldest_waits(ledger)
        dead = {
            ledger.numbered[number].name: count
            for number, count in ledger.dead_in.items()
            if count and number in ledger.numbered
        }
        waits = [
            QueueTimes(
                name,
                waited.get(name, NO_DURATIONS),
                max(0, facts.at - oldest.get(name, facts.at)),
                dead.get(name, 0),
            )
            for name in sorted(waited.keys() | oldest.keys() | dead.keys())
        ]
        kept = (ledger.results, ledger.result_bytes, ledger.tombstones, ledger.dead)
        machine = MachineFacts(self._applied, self._counters.told(), waits, *kept)
        return facts._replace(machine=machine, committed=self._committed)


def _of_entry(entry: Entry) -> list[Happened]:
    """What it says by itself. Of an epoch the first entry comes from its leader: Raft's is empty,
    and Zab counts from 1 in each."""
    if entry.kind is Kind.ROSTER:
        return [Happened(EventKind.ROSTER_CHANGED, text=", ".join(decode_roster(entry.data)))]
    if entry.kind is Kind.NOOP or entry.at.seq == 1:
        return [Happened(EventKind.LEADER_ACTIVATED, text=str(entry.at.epoch))]
    return []


def read_events(
    db: apsw.Connection,
    after: Cursor,
    wanted: Wanted,
    limit: int,
    name_of: Callable[[bytes], str],
) -> Page:
    """The same for any connection to a replica's database that has the table.

    `name_of` is the name of a worker of this incarnation, or empty. A gap is told by itself,
    before what follows it.
    """
    first = db.execute(_FLOOR).fetchone()
    floor = Cursor(*first) if first else after
    if after < floor:
        return Page([], floor, gap=True, more=True)
    events: list[ToldEvent] = []
    size = 0
    with closing(db.execute(_FROM, (_number(db, after), _LOOK_ROWS))) as rows:
        for epoch, seq, at, count, data in rows:
            read = after.n if after[:2] == (epoch, seq) else 0
            if read >= count:
                after = Cursor(epoch, seq, max(read, count))
                continue
            happened = _unpacked(data)
            place, left = Cursor(epoch, seq, read), limit - len(events)
            some, n = told(place, at, happened, wanted, left, name_of)
            events += some
            after = Cursor(epoch, seq, n)
            size += len(data)
            if n < count or size >= _LOOK_BYTES:
                return Page(events, after, gap=False, more=True)
    return Page(events, after, gap=False, more=_goes_on(db, after))


def _number(db: apsw.Connection, position: tuple[int, ...]) -> int:
    """Of the first row that is not before a position (epoch, seq)."""
    low, high = db.execute(_FIRST).get or 0, (db.execute(_LAST).get or -1) + 1
    while low < high:
        middle = (low + high) // 2
        if db.execute(_IS_BEFORE, (*position[:2], middle)).get:
            low = middle + 1
        else:
            high = middle
    return low


def _goes_on(db: apsw.Connection, after: Cursor) -> bool:
    last = db.execute("SELECT epoch, seq FROM store_event ORDER BY number DESC LIMIT 1")
    row = last.get
    return row is not None and after[:2] < tuple(row)


def _unpacked(data: bytes) -> list[Happened]:
    rows = cast("list[list[object]]", unpack(data)) if data else []
    return [Happened(EventKind(row[0]), *row[1:]) for row in rows]  # type: ignore[arg-type]
