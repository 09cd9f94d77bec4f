"""The history as the core sees it: epochs by their first and last zxid, recent entries in memory.

Rules of this file:
1. Everything the store has not durably written is in memory. `take` hands out each entry once.
2. Up to `_floor` the store is right; behind it memory is, because a rewind may still be on its way
   to the store.
3. Counters are dense within an epoch and begin at 1, so an epoch's first and last zxid tell all.
"""

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter

from raftwork.consensus.core import Entry, Log, Position, Snapshot
from raftwork.consensus.zab.messages import follows

#: What an entry costs beside its data, for every bound in bytes.
ENTRY_OVERHEAD_BYTES = 32

_at = attrgetter("at")


class History:
    """Reads like one log; see the rules at the top of this file."""

    __slots__ = (
        "_firsts",
        "_floor",
        "_last",
        "_lasts",
        "_rewind",
        "_store",
        "_sums",
        "_tail",
        "_tail_bytes",
        "_taken",
        "_trimmed",
        "base",
        "durable",
    )

    def __init__(self, store: Log, tail_bytes: int) -> None:
        self._store = store
        self._tail_bytes = tail_bytes
        self.reload()

    def reload(self) -> None:
        """Take everything from the store: at the start and after a snapshot was installed."""
        store = self._store
        self.base, self._last = store.base, store.last
        self._firsts = list(store.epochs())
        self._lasts = [store.floor(Position(at.epoch, at.seq - 1)) for at in self._firsts[1:]]
        if self._firsts:
            self._lasts.append(self._last)
        self._tail: list[Entry] = []
        #: Bytes in the log up to and with each entry of the tail, counted from the last reload.
        self._sums: list[int] = []
        self._trimmed = 0
        self._floor = self._taken = self._last
        self._rewind: Position | None = None
        #: Newest zxid known to be on our own disk.
        self.durable = self._last

    @property
    def last(self) -> Position:
        """The newest entry's zxid, or `base` if none is kept."""
        return self._last

    # ---- which zxids there are ------------------------------------------------------------------

    def floor(self, at: Position) -> Position:
        """The newest zxid in the log that is not after `at`, or `base`."""
        run = bisect_right(self._firsts, at) - 1
        return min(at, self._lasts[run]) if run >= 0 else self.base

    def holds(self, at: Position) -> bool:
        """Whether this very entry is in the log, or was the last one compacted away."""
        return self.floor(at) == at

    def precedes(self, at: Position) -> bool:
        """Whether the log ends right before this zxid."""
        return follows(at, self._last)

    def ends(self, after: Position) -> tuple[Position, ...]:
        """`after`, then the last zxid of every epoch behind it."""
        return after, *(last for last in self._lasts if last > after)

    def common(self, ends: Sequence[Position]) -> Position | None:
        """The newest zxid this log shares with one whose epochs end so; None if it is compacted.

        An epoch's proposals come from its one leader in one order, so two logs that both hold a
        zxid are the same up to it: the shorter one of an epoch is the beginning of the longer.
        """
        for end in reversed(ends):
            mine = self.floor(end)
            if end >= self.base and mine.epoch == end.epoch:
                return mine
        return None

    # ---- changes --------------------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries behind the last one; they are unwritten until the Output that has them."""
        total = self._sums[-1] if self._sums else self._trimmed
        for entry in entries:
            at = entry.at
            assert follows(at, self._last), f"{at} does not follow {self._last}"
            if self._firsts and self._firsts[-1].epoch == at.epoch:
                self._lasts[-1] = at
            else:
                self._firsts.append(at)
                self._lasts.append(at)
            total += len(entry.data) + ENTRY_OVERHEAD_BYTES
            self._tail.append(entry)
            self._sums.append(total)
            self._last = at

    def truncate(self, to: Position) -> None:
        """Forget every entry after `to`, which is in the log."""
        assert self.holds(to), f"{to} is not in the log"
        self._last = to
        while self._firsts and self._firsts[-1] > to:
            self._firsts.pop()
            self._lasts.pop()
        if self._lasts:
            self._lasts[-1] = to
        keep = bisect_right(self._tail, to, key=_at)
        del self._tail[keep:], self._sums[keep:]
        self._floor = min(self._floor, to)
        if to < self._taken:
            self._rewind = self._taken = to
        self.durable = min(self.durable, to)

    def take(self) -> tuple[Position | None, tuple[Entry, ...]]:
        """What the store must still do: rewind to, then append."""
        rewind, self._rewind = self._rewind, None
        if self._taken == self._last:
            return rewind, ()
        fresh = tuple(self._tail[bisect_right(self._tail, self._taken, key=_at) :])
        self._taken = self._last
        return rewind, fresh

    def written(self, at: Position) -> None:
        """Entries up to `at` are on disk, unless the log has moved on from them since."""
        if self.holds(at):
            self.durable = max(self.durable, at)

    # ---- contents -------------------------------------------------------------------------------

    def entries(self, after: Position, upto: Position, limit_bytes: int) -> Sequence[Entry]:
        """Entries after `after` up to `upto`: at least one, else at most `limit_bytes`."""
        assert self.base <= after < upto <= self._last, f"no entries after {after} up to {upto}"
        if after < self._floor:
            stored = self._store.entries(after, limit_bytes)
            assert stored, f"the store lost what follows {after}"
            return stored[: bisect_right(stored, min(upto, self._floor), key=_at)]
        low = bisect_right(self._tail, after, key=_at)
        high = bisect_right(self._tail, upto, low, key=_at)
        before = self._sums[low - 1] if low else self._trimmed
        fit = bisect_right(self._sums, before + limit_bytes, low, high)
        return self._tail[low : max(low + 1, fit)]

    def snapshot_chunk(self, snapshot: Snapshot, offset: int, size: int) -> bytes | None:
        """Bytes of our own snapshot file; None if it cannot be read any more."""
        return self._store.snapshot_chunk(snapshot, offset, size)

    @property
    def grown(self) -> int:
        """Bytes appended since the last reload: only differences mean something."""
        return self._sums[-1] if self._sums else self._trimmed

    def bytes_after(self, at: Position) -> int:
        """Size of the entries after `at` that are in memory."""
        if not self._tail:
            return 0
        low = bisect_right(self._tail, at, key=_at)
        return self._sums[-1] - (self._sums[low - 1] if low else self._trimmed)

    # ---- bounds ---------------------------------------------------------------------------------

    def trim(self, applied: Position) -> None:
        """Keep memory bounded: what is durable and applied can be read from the store."""
        if not self._tail or self._sums[-1] - self._trimmed <= 2 * self._tail_bytes:
            return
        # Half of what may be held is let go at once, so that the copying is amortised.
        fit = bisect_right(self._sums, self._sums[-1] - self._tail_bytes)
        self._forget(min(fit, bisect_right(self._tail, min(applied, self.durable), key=_at)))

    def compact(self, base: Position) -> None:
        """The store dropped everything up to `base`."""
        if base <= self.base:
            return
        assert self.holds(base), f"compacted to {base}, which is not in the log"
        self.base = base
        while self._lasts and self._lasts[0] <= base:
            del self._firsts[0], self._lasts[0]
        if self._firsts and self._firsts[0] <= base:
            self._firsts[0] = Position(base.epoch, base.seq + 1)
        self._forget(bisect_right(self._tail, base, key=_at))
        self._floor = max(self._floor, base)

    def _forget(self, count: int) -> None:
        if count > 0:
            self._floor = self._tail[count - 1].at
            self._trimmed = self._sums[count - 1]
            del self._tail[:count], self._sums[:count]
