"""The log as the core sees it: terms by ranges, recent entries in memory, older ones in the store.

Rules of this file:
1. Everything the store has not durably written is in memory. `take` hands out each entry once.
2. Below the first entry in memory the store is right; from there on memory is, because a rewind
   may still be on its way to the store.
3. Indexes are dense from 1. Terms never fall along the log.
"""

from bisect import bisect_right
from collections.abc import Sequence

from raftwork.consensus.core import ORIGIN, Entry, Log, Position, Snapshot

#: What an entry costs beside its data, for every bound in bytes.
ENTRY_OVERHEAD_BYTES = 32


class RaftLog:
    """Reads like one log; see the rules at the top of this file."""

    __slots__ = (
        "_ends",
        "_rewind",
        "_start",
        "_starts",
        "_store",
        "_tail",
        "_tail_bytes",
        "_taken",
        "_terms",
        "_trimmed",
        "base",
        "changed",
        "durable",
        "last",
    )

    def __init__(self, store: Log, tail_bytes: int) -> None:
        self._store = store
        self._tail_bytes = tail_bytes
        self.reload()

    def reload(self) -> None:
        """Take everything from the store: at the start and after a snapshot was installed."""
        self.base = self._store.base
        #: The newest entry's position, or `base` if none is kept.
        self.last = self._store.last
        epochs = self._store.epochs()
        self._starts = [at.seq for at in epochs]
        self._terms = [at.epoch for at in epochs]
        self._tail: list[Entry] = []
        #: Bytes in the log up to and with each entry of the tail, counted from the last reload.
        self._ends: list[int] = []
        self._trimmed = 0
        self._start = self.last.seq + 1
        self._taken = self.last.seq
        self._rewind: Position | None = None
        #: Whether `take` has anything.
        self.changed = False
        #: Newest index known to be on our own disk.
        self.durable = self.last.seq

    def term(self, index: int) -> int:
        """The term of the entry at `index`, which is kept or is the base."""
        assert self.base.seq <= index <= self.last.seq, (
            f"index {index} is outside the log ({self.base.seq}, {self.last.seq}]"
        )
        if index == self.base.seq:
            return self.base.epoch
        return self._terms[bisect_right(self._starts, index) - 1]

    def position(self, index: int) -> Position:
        """The position of the entry at `index`, as `term`."""
        if index == self.last.seq:
            return self.last
        if index >= self._start:
            return self._tail[index - self._start].at
        return Position(self.term(index), index)

    def holds(self, at: Position) -> bool:
        """Whether this very entry is in the log, or was the last one compacted away."""
        if at == self.last:
            return True
        return self.base.seq <= at.seq <= self.last.seq and self.term(at.seq) == at.epoch

    def find_conflict_by_term(self, index: int, term: int) -> Position:
        """The newest entry up to `index` whose term is at most `term`; ORIGIN if none is kept."""
        index = min(index, self.last.seq)
        run = bisect_right(self._starts, index) - 1
        while run >= 0 and index > self.base.seq and self._terms[run] > term:
            index = self._starts[run] - 1
            run -= 1
        if index > self.base.seq:
            return Position(self._terms[run], index)
        kept = index == self.base.seq and self.base.epoch <= term
        return self.base if kept else ORIGIN

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries behind the last one; they are unwritten until the Output that has them."""
        self.changed = True
        end = self._ends[-1] if self._ends else self._trimmed
        for entry in entries:
            at = entry.at
            assert at.seq == self.last.seq + 1 and at.epoch >= self.last.epoch, (
                f"{at} does not follow {self.last}"
            )
            if not self._terms or self._terms[-1] != at.epoch:
                self._starts.append(at.seq)
                self._terms.append(at.epoch)
            end += len(entry.data) + ENTRY_OVERHEAD_BYTES
            self._tail.append(entry)
            self._ends.append(end)
            self.last = at

    def truncate(self, to: int) -> None:
        """Forget every entry after index `to`."""
        self.last = self.position(to)
        while self._starts and self._starts[-1] > to:
            self._starts.pop()
            self._terms.pop()
        keep = max(0, to + 1 - self._start)
        del self._tail[keep:], self._ends[keep:]
        self._start = min(self._start, to + 1)
        if to < self._taken:
            self._rewind = self.last
            self._taken = to
            self.changed = True
        self.durable = min(self.durable, to)

    def take(self) -> tuple[Position | None, tuple[Entry, ...]]:
        """What the store must still do: rewind to, then append."""
        rewind, self._rewind = self._rewind, None
        fresh = self._tail[self._taken + 1 - self._start :] if self._taken < self.last.seq else ()
        self._taken = self.last.seq
        self.changed = False
        return rewind, tuple(fresh)

    def written(self, at: Position) -> None:
        """Entries up to `at` are on disk, unless the log has moved on from them since."""
        if at == self.last:
            self.durable = at.seq
        elif self.holds(at):
            self.durable = max(self.durable, at.seq)

    def entries(self, after: int, upto: int, limit_bytes: int) -> Sequence[Entry]:
        """Entries after index `after` up to `upto`: at least one, else at most `limit_bytes`."""
        assert self.base.seq <= after < upto <= self.last.seq
        if upto == after + 1 and upto >= self._start:  # as most are that leave or are applied
            return self._tail[upto - self._start : upto + 1 - self._start]
        if after + 1 < self._start:
            stored = self._store.entries(self.position(after), limit_bytes)
            assert stored and stored[0].at.seq == after + 1, f"the store lost entry {after + 1}"
            return stored[: min(upto + 1, self._start) - after - 1]
        low, high = after + 1 - self._start, upto + 1 - self._start
        before = self._ends[low - 1] if low else self._trimmed
        fit = bisect_right(self._ends, before + limit_bytes, low, high)
        return self._tail[low : max(low + 1, fit)]

    def snapshot_chunk(self, snapshot: Snapshot, offset: int, size: int) -> bytes | None:
        """Bytes of our own snapshot file; None if it cannot be read any more."""
        return self._store.snapshot_chunk(snapshot, offset, size)

    @property
    def grown(self) -> int:
        """Bytes appended since the last reload: only differences mean something."""
        return self._ends[-1] if self._ends else self._trimmed

    def bytes_after(self, index: int) -> int:
        """Size of the entries after `index` that are in memory."""
        if not self._tail:
            return 0
        low = index - self._start
        return self._ends[-1] - (self._ends[low] if low >= 0 else self._trimmed)

    def trim(self, applied: int) -> None:
        """Keep memory bounded: what is durable and applied can be read from the store."""
        if not self._tail or self._ends[-1] - self._trimmed <= 2 * self._tail_bytes:
            return
        # Half of what may be held is let go at once, so that the copying is amortised.
        fit = bisect_right(self._ends, self._ends[-1] - self._tail_bytes)
        drop = min(fit, min(applied, self.durable) + 1 - self._start)
        if drop > 0:
            self._trimmed = self._ends[drop - 1]
            del self._tail[:drop], self._ends[:drop]
            self._start += drop

    def compact(self, base: Position) -> None:
        """The store dropped everything up to `base`."""
        if base.seq <= self.base.seq:
            return
        assert self.holds(base), f"compacted to {base}, which is not in the log"
        self.base = base
        while self._starts and (
            base.seq == self.last.seq or (len(self._starts) > 1 and self._starts[1] <= base.seq + 1)
        ):
            del self._starts[0], self._terms[0]
        drop = base.seq + 1 - self._start
        if drop > 0:
            self._trimmed = self._ends[drop - 1]
            del self._tail[:drop], self._ends[:drop]
            self._start += drop
