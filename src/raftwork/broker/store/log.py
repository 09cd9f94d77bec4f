"""The stored consensus log: rows in (epoch, seq) order, each chained to the one before by its CRC.

The CRC covers the previous entry's position, so a row that vanished is noticed as surely as one
that changed, without any arithmetic on positions. Every read verifies it.

What is needed every turn is kept in memory: the borders (in `Meta`), the first position of every
epoch, and marks that cut the log into segments of about equal size, which compaction drops whole.
"""

import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple
from zlib import crc32

import apsw

from raftwork.broker.store.meta import Meta
from raftwork.broker.store.options import StoreOptions
from raftwork.consensus.core import Entry, Kind, Position
from raftwork.errors import StoreDamaged
from raftwork.wire import maker

_INSERT: Final = "INSERT INTO store_log VALUES (?, ?, ?, ?, ?)"
_AFTER: Final = "SELECT * FROM store_log WHERE (epoch, seq) > (?, ?) ORDER BY epoch, seq"
_NOT_AFTER: Final = (
    "SELECT epoch, seq FROM store_log WHERE (epoch, seq) <= (?, ?)"
    " ORDER BY epoch DESC, seq DESC LIMIT 1"
)
_SIZES_AFTER: Final = (
    "SELECT epoch, seq, length(data) FROM store_log WHERE (epoch, seq) > (?, ?) ORDER BY epoch, seq"
)
_DELETE_AFTER: Final = "DELETE FROM store_log WHERE (epoch, seq) > (?, ?)"
_DELETE_UPTO: Final = "DELETE FROM store_log WHERE (epoch, seq) <= (?, ?)"

_HEAD: Final = struct.Struct("<QQQQB")


def entry_crc(previous: Position, at: Position, kind: int, data: bytes) -> int:
    """What an entry's row must carry if `previous` is the position before it."""
    return crc32(data, crc32(_HEAD.pack(*previous, *at, kind)))


class Segment(NamedTuple):
    """A run of rows ending at `last`."""

    last: Position
    entries: int
    size: int  # bytes of data


_segment = maker(Segment)


class StoredLog:
    """The log of one open database. Changes belong to the caller's transaction."""

    def __init__(self, connection: apsw.Connection, meta: Meta, options: StoreOptions) -> None:
        """Raises StoreDamaged if the rows are not those `meta` counts."""
        self._connection = connection
        self._meta = meta
        self._options = options
        self._epochs: list[Position] = []
        self._segments: deque[Segment] = deque()
        #: Rows after the last segment's end.
        self._open = Segment(meta.base, 0, 0)
        self._count_after(meta.base)
        counted = (self._open.last, *self._totals())
        if counted != (meta.last, meta.entries, meta.size):
            raise StoreDamaged(
                f"the log ends at {counted[0]} with {counted[1]} entries of {counted[2]} bytes;"
                f" it should end at {meta.last} with {meta.entries} of {meta.size}"
            )

    def _totals(self) -> tuple[int, int]:
        every = (*self._segments, self._open)
        return sum(s.entries for s in every), sum(s.size for s in every)

    def _count_after(self, start: Position) -> None:
        for epoch, seq, size in self._connection.execute(_SIZES_AFTER, start):
            self._count(Position(epoch, seq), size)

    def _count(self, at: Position, size: int) -> None:
        if not self._epochs or at.epoch > self._epochs[-1].epoch:
            self._epochs.append(at)
        _, entries, total = self._open
        self._open = _segment((at, entries + 1, total + size))
        options = self._options
        if entries + 1 >= options.segment_entries or total + size >= options.segment_bytes:
            self._segments.append(self._open)
            self._open = Segment(at, 0, 0)

    @property
    def epochs(self) -> Sequence[Position]:
        """The first kept position of every epoch, ascending."""
        return self._epochs

    def append(self, entries: Sequence[Entry]) -> None:
        """Add rows behind the last one, in order."""
        meta = self._meta
        previous, rows = meta.last, list[tuple[int, int, int, bytes, int]]()
        for at, kind, data in entries:
            assert at > previous, f"{at} appended after {previous}"
            crc, size = entry_crc(previous, at, kind, data), len(data)
            rows.append((at.epoch, at.seq, int(kind), data, crc))
            self._count(at, size)
            meta.entries += 1
            meta.size += size
            previous = at
        self._connection.executemany(_INSERT, rows)
        meta.last = previous

    def rewind(self, to: Position) -> None:
        """Drop every row after `to`."""
        meta = self._meta
        if to >= meta.last:
            return
        assert to >= meta.base, f"rewind to {to}, below the log's base {meta.base}"
        self._connection.execute(_DELETE_AFTER, to)
        del self._epochs[bisect_right(self._epochs, to) :]
        while self._segments and self._segments[-1].last > to:
            self._segments.pop()
        start = self._segments[-1].last if self._segments else meta.base
        self._open = Segment(start, 0, 0)
        self._count_after(start)
        meta.last = self._open.last
        meta.entries, meta.size = self._totals()

    def entries(self, after: Position, limit_bytes: int) -> list[Entry]:
        """As `core.Log.entries`. Raises StoreDamaged for a row that contradicts its CRC."""
        meta = self._meta
        if after >= meta.last:
            return []
        assert after >= meta.base, f"entries after {after}, below the log's base {meta.base}"
        previous = self.floor(after)
        try:
            return self._read(previous, after, limit_bytes)
        except (TypeError, ValueError, struct.error) as error:  # a column of another type
            raise StoreDamaged(f"the log after {after} cannot be read: {error}") from error

    def _read(self, previous: Position, after: Position, limit_bytes: int) -> list[Entry]:
        found: list[Entry] = []
        total = 0
        cursor = self._connection.execute(_AFTER, after)
        for epoch, seq, kind, data, crc in cursor:
            total += len(data)
            if found and total > limit_bytes:
                break
            at = Position(epoch, seq)
            if crc != entry_crc(previous, at, kind, data):
                raise StoreDamaged(f"the log entry at {at} contradicts its checksum")
            found.append(Entry(at, Kind(kind), data))
            previous = at
        else:
            if previous != self._meta.last:
                raise StoreDamaged(f"the log ends at {previous}, not at {self._meta.last}")
        cursor.close()
        return found

    def floor(self, at: Position) -> Position:
        """As `core.Log.floor`."""
        if at == self._meta.base:
            return at
        row = self._connection.execute(_NOT_AFTER, at).fetchone()
        return Position(*row) if row else self._meta.base

    def holds(self, at: Position) -> bool:
        """Whether an entry with this very position is stored."""
        return self._meta.base < at <= self._meta.last and self.floor(at) == at

    def verify_tail(self) -> None:
        """Verify the newest entries, as many as the options say. Raises StoreDamaged."""
        size = self._open.size
        start = self._meta.base
        for segment in reversed(self._segments):
            if size >= self._options.verify_bytes:
                start = segment.last
                break
            size += segment.size
        while start < self._meta.last:
            start = self.entries(start, self._options.segment_bytes)[-1].at

    def droppable(self, limit: Position) -> Segment | None:
        """The oldest segment, if it ends at or before `limit` and the tail remains without it."""
        meta, options = self._meta, self._options
        if not self._segments or self._segments[0].last > limit:
            return None
        oldest = self._segments[0]
        enough = (
            meta.entries - oldest.entries >= options.tail_entries
            or meta.size - oldest.size >= options.tail_bytes
        )
        return oldest if enough else None

    def drop(self, segment: Segment) -> None:
        """Delete the oldest segment's rows."""
        meta = self._meta
        self._segments.popleft()
        self._connection.execute(_DELETE_UPTO, segment.last)
        meta.base = segment.last
        meta.entries -= segment.entries
        meta.size -= segment.size
        self._epochs = self._epochs_after(meta.base)

    def _epochs_after(self, base: Position) -> list[Position]:
        """First kept positions, now that everything up to `base` is gone."""
        kept = self._epochs[bisect_right(self._epochs, base) :]
        row = self._connection.execute(_SIZES_AFTER + " LIMIT 1", base).fetchone()
        first = [Position(row[0], row[1])] if row else []
        return first + [p for p in kept if not first or p > first[0]]
