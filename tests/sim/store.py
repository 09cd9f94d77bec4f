"""A replica's store in memory, with a disk that forgets what was not synced.

`MemoryStore` is what the running replica writes to. `Disk` outlives it: it holds the image of the
last commit and of the last synced commit. A killed process finds the former, a power cut may leave
either.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgpack

from raftwork.consensus.core import ORIGIN, Entry, Position, Restored, Roster, Snapshot
from raftwork.consensus.durable_replica import Background


class Machine(NamedTuple):
    """The state machine: how many DATA entries were applied, and the hash over all of them."""

    length: int
    chain: bytes

    def after(self, data: bytes) -> "Machine":
        chain = blake2b(self.chain + data, digest_size=8).digest()
        return Machine(self.length + 1, chain)


class Image(NamedTuple):
    """Everything a commit makes visible."""

    base: Position = ORIGIN
    entries: tuple[Entry, ...] = ()
    state: bytes | None = None
    applied: Position = ORIGIN
    roster: tuple[tuple[str, bytes], ...] = ()
    machine: Machine = Machine(0, b"")


class Disk:
    """What is left when the process is gone."""

    def __init__(self, image: Image) -> None:
        self.committed = image
        self.synced = image

    def power_cut(self, rng: random.Random) -> None:
        """Commits after the last synced one may be lost."""
        self.committed = rng.choice((self.committed, self.synced))
        self.synced = self.committed


def _no_delay(synced: bool) -> None:
    """A commit takes no time."""


class MemoryStore:
    """Implements `raftwork.consensus.durable_replica.Store`; asserts what a store may assume."""

    def __init__(
        self,
        disk: Disk,
        *,
        tail: int = 1_000_000,
        padding: int = 0,
        on_commit: Callable[[bool], None] = _no_delay,
        background_turns: int = 1,
    ) -> None:
        self._disk = disk
        self._tail = tail
        self._padding = padding
        self._on_commit = on_commit
        self._background_turns = background_turns
        self._pending: list[tuple[int, Background]] = []
        self._file: tuple[Snapshot, bytes] | None = None
        self._staged = bytearray()
        self._staging: Snapshot | None = None
        self._built: tuple[Snapshot, Image] | None = None
        self._load(disk.committed)
        self._sync: bool | None = None

    def _load(self, image: Image) -> None:
        self.base = image.base
        self._entries = list(image.entries)
        self._state = image.state
        self.applied = image.applied
        self._roster = dict(image.roster)
        self.machine = image.machine

    def image(self) -> Image:
        roster = tuple(sorted(self._roster.items()))
        return Image(
            self.base, tuple(self._entries), self._state, self.applied, roster, self.machine
        )

    def restored(self) -> Restored:
        return Restored(self._state, self.applied, dict(self._roster))

    # ---- Log ------------------------------------------------------------------------------------

    @property
    def last(self) -> Position:
        return self._entries[-1].at if self._entries else self.base

    def epochs(self) -> Sequence[Position]:
        firsts: list[Position] = []
        for entry in self._entries:
            if not firsts or firsts[-1].epoch != entry.at.epoch:
                firsts.append(entry.at)
        return firsts

    def floor(self, at: Position) -> Position:
        index = self._index(at)
        return self._entries[index - 1].at if index else self.base

    def _index(self, at: Position) -> int:
        """How many of the kept entries are not after `at`."""
        return bisect_right(self._entries, at, key=lambda entry: entry.at)

    def entries(self, after: Position, limit_bytes: int) -> list[Entry]:
        assert after >= self.base, f"{after} is compacted"
        assert after == self.floor(after), f"{after} is not in the log"
        start = self._index(after)
        found: list[Entry] = []
        for entry in self._entries[start:]:
            limit_bytes -= len(entry.data)
            if found and limit_bytes < 0:
                break
            found.append(entry)
        return found

    def snapshot_chunk(self, snapshot: Snapshot, offset: int, size: int) -> bytes:
        assert self._file is not None and self._file[0] == snapshot
        return self._file[1][offset : offset + size]

    # ---- a turn's transaction -------------------------------------------------------------------

    def begin(self, *, sync: bool = True) -> None:
        assert self._sync is None, "one transaction at a time"
        self._sync = sync

    def rewind(self, to: Position) -> None:
        assert self._sync, "a rewind must be synced"
        assert self.applied <= to, f"rewind to {to} below applied {self.applied}"
        del self._entries[self._index(to) :]
        assert self.last == to

    def append(self, entries: tuple[Entry, ...]) -> None:
        assert self._sync, "appends must be synced"
        before = self.last
        for entry in entries:
            dense = entry.at.seq == before.seq + 1 and entry.at.epoch >= before.epoch
            first = entry.at.seq == 1 and entry.at.epoch > before.epoch
            assert dense or first, f"{entry.at} cannot follow {before}"
            before = entry.at
        self._entries.extend(entries)

    def save_state(self, state: bytes) -> None:
        assert self._sync, "hard state must be synced"
        self._state = state

    def save_applied(self, at: Position) -> None:
        assert self.applied < at <= self.last, f"applied went from {self.applied} to {at}"
        self.applied = at

    def save_roster(self, roster: Roster) -> None:
        self._roster = dict(roster)

    def commit(self) -> None:
        assert self._sync is not None
        self._on_commit(self._sync)
        self._disk.committed = self.image()
        if self._sync:
            self._disk.synced = self._disk.committed
        self._sync = None

    def rollback(self) -> None:
        self._load(self._disk.committed)
        self._sync = None

    # ---- compaction and snapshots ---------------------------------------------------------------

    def compact(self, upto: Position) -> Position:
        assert upto <= self.applied, f"compact to {upto} beyond applied {self.applied}"
        drop = self._index(upto) - self._tail
        if drop > 0:
            self.base = self._entries[drop - 1].at
            del self._entries[:drop]
            self._disk.committed = self.image()
        return self.base

    def start_snapshot(self) -> None:
        roster = sorted(self._roster.items())
        content: bytes = msgpack.packb(
            [self.applied, self.machine, roster, bytes(self._padding)], use_bin_type=True
        )
        digest = blake2b(content, digest_size=16).digest()
        snapshot = Snapshot(self.applied, len(content), digest)
        self._file = (snapshot, content)
        self._pending.append((self._background_turns, Background(made=True, snapshot=snapshot)))

    def stage(self, snapshot: Snapshot, offset: int, data: bytes) -> None:
        if snapshot != self._staging:
            self._staging, self._staged = snapshot, bytearray()
        assert offset <= len(self._staged), "a hole in the staged file"
        self._staged[offset:] = data

    def start_install(self, snapshot: Snapshot) -> None:
        content = bytes(self._staged)
        good = (
            snapshot == self._staging
            and snapshot.digest == blake2b(content, digest_size=16).digest()
            and snapshot.at > self.applied
            and snapshot.at != self.floor(snapshot.at)
        )
        if good:
            applied, machine, roster, _ = msgpack.unpackb(content, use_list=False)
            image = Image(
                base=Position(*applied),
                applied=Position(*applied),
                roster=tuple((name, incarnation) for name, incarnation in roster),
                machine=Machine(*machine),
            )
            self._built = (snapshot, image)
        done = Background(made=False, snapshot=snapshot if good else None)
        self._pending.append((self._background_turns, done))

    def background(self) -> Background | None:
        self._pending = [(turns - 1, done) for turns, done in self._pending]
        if self._pending and self._pending[0][0] <= 0:
            return self._pending.pop(0)[1]
        return None

    def switch(self, snapshot: Snapshot) -> Roster:
        assert self._built is not None and self._built[0] == snapshot
        image = self._built[1]._replace(state=self._state)
        assert image.applied > self.applied, "a stale install must be dropped before"
        self._built, self._file, self._staging = None, None, None
        self._load(image)
        self._disk.committed = self._disk.synced = image
        return dict(image.roster)
