"""A replica's store in memory, over a disk that knows what was synced.

The machine's tables live in one `:memory:` database whose transaction *is* the unsynced part: a
synced commit commits it, any other commit only sets a savepoint. So a killed process leaves
everything, and a power cut rolls back to the last synced commit or to any savepoint after it, at
no cost to the turns in between.
"""

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, NamedTuple, cast

import apsw

from raftwork.broker.machine import create_or_migrate
from raftwork.broker.store import Identity
from raftwork.consensus.core import ORIGIN, Entry, Position, Restored, Roster, Snapshot
from raftwork.consensus.durable_replica import Background
from raftwork.errors import StoreDamaged, StoreError
from raftwork.wire import pack, unpack
from tests.sim.system.disk import Disk, Facts, Notes

if TYPE_CHECKING:
    from tests.sim.system.watched import Inner


class Image(NamedTuple):
    """All of a replica's durable state but the machine's tables."""

    base: Position = ORIGIN
    entries: tuple[Entry, ...] = ()
    state: bytes | None = None
    applied: Position = ORIGIN
    roster: "Members" = ()


Members = tuple[tuple[str, bytes], ...]


class _Prepared(NamedTuple):
    """A snapshot that was received and found to be what it should be."""

    snapshot: Snapshot
    roster: Members
    tables: bytes


def _contents(data: bytes) -> tuple[Members, bytes]:
    roster, tables = cast("tuple[list[tuple[str, bytes]], bytes]", unpack(data))
    return tuple((name, incarnation) for name, incarnation in roster), tables


def _blank() -> apsw.Connection:
    return apsw.Connection(":memory:", statementcachesize=256)


class MemoryDisk(Disk):
    def __init__(self, name: str, rng: Random, notes: Notes, consensus: str, *, tail: int) -> None:
        super().__init__(name, rng, notes, consensus)
        self.tail = tail
        self.identity: Identity | None = None
        self._store: MemoryStore | None = None
        self._clear()

    def _clear(self) -> None:
        self.db = _blank()
        create_or_migrate(self.db)
        #: The last synced commit, and those after it.
        self.commits: list[Image] = [Image()]
        self.facts = Facts()

    @property
    def incarnation(self) -> bytes:
        return self.identity.incarnation if self.identity else b""

    def open(self) -> "MemoryStore":
        if self.faults.failing:
            raise StoreError(f"the disk fails: {self.faults.failing}")
        if self.identity is None:
            new = self.new_incarnation()
            self.identity = Identity(self.name, new, b"", self.consensus, self.cluster)
        elif self.rotten:
            self.notes.note("checksum refusal")
            self.identity = replace(self.identity, incarnation=self.new_incarnation())
            self._clear()
        self.rotten = False
        self.settle()
        self._store = MemoryStore(self, self.identity)
        return self._store

    def settle(self) -> None:
        """Everything written so far is synced."""
        if self.db.in_transaction:
            self.db.execute("COMMIT")
        del self.commits[:-1]

    def commit_unsynced(self, store: "Inner") -> None:
        assert isinstance(store, MemoryStore)
        store.write_unsynced()

    def switch_unsynced(self, store: "Inner", snapshot: Snapshot) -> None:
        """Here it is one assignment: whoever dies on the way has done nothing yet."""

    def close(self) -> None:
        self.release()
        self.settle()

    def release(self) -> None:
        """What a killed process has not committed was never written."""
        if self._store is not None:
            self._store.rollback()
            self._store = None

    def power_cut(self) -> None:
        keep = self.rng.randrange(len(self.commits))
        if keep < len(self.commits) - 1:
            self.notes.note("unsynced commits lost")
            self.db.execute(f"ROLLBACK TO t{keep}" if keep else "ROLLBACK")
        del self.commits[keep + 1 :]
        self.settle()

    def wipe(self) -> None:
        self.identity = None
        self.rotten = False
        self._clear()

    def flip(self, *, ends: bool) -> None:
        self.rotten = True

    def noticed(self) -> None:
        """It is noticed at the next start, too: nothing here says what rotted."""


class MemoryStore:
    """Implements `raftwork.broker.node.NodeStore`; asserts what a store may assume."""

    def __init__(self, disk: MemoryDisk, identity: Identity) -> None:
        self._disk = disk
        self.identity = identity
        self.tables_guard = nullcontext()
        self.damage: str | None = None
        self._staging: Snapshot | None = None
        self._staged = bytearray()
        self._serving: tuple[Snapshot, bytes] | None = None
        self._built: _Prepared | None = None
        self._done: list[Background] = []
        self._open = False
        self._load(disk.commits[-1])

    def _load(self, image: Image) -> None:
        self.base = image.base
        self._entries = list(image.entries)
        self._state = image.state
        self.applied = image.applied
        self._roster = image.roster

    def _image(self) -> Image:
        return Image(self.base, tuple(self._entries), self._state, self.applied, self._roster)

    @property
    def connection(self) -> apsw.Connection:
        return self._disk.db

    @property
    def roster(self) -> Roster:
        return dict(self._roster) if self.identity.cluster_id else {}

    @property
    def restored(self) -> Restored:
        return Restored(self._state, self.applied, self.roster)

    def form(self, cluster_id: bytes, roster: Roster) -> None:
        held = self.identity.cluster_id
        if held and held != cluster_id:
            raise StoreError("this replica belongs to another cluster")
        assert self.applied == ORIGIN
        self.begin(sync=True)
        self.save_roster(roster)
        self.commit()
        self.identity = self._disk.identity = replace(self.identity, cluster_id=cluster_id)

    def found(self, name: str, address: str) -> None:
        raise AssertionError(f"nobody moves here, but {name} was found at {address}")

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
        if self._disk.rotten:
            raise StoreDamaged("the log contradicts its checksum")
        assert after >= self.base, f"{after} is compacted"
        start = self._index(after)
        assert after == self.floor(after)
        found: list[Entry] = []
        for entry in self._entries[start:]:
            limit_bytes -= len(entry.data)
            if found and limit_bytes < 0:
                break
            found.append(entry)
        return found

    # ---- a turn ---------------------------------------------------------------------------------

    def begin(self, *, sync: bool = True) -> None:
        assert not self._open, "one transaction at a time"
        self._open, self._sync = True, sync
        unsynced = len(self._disk.commits) - 1
        self._disk.db.execute(f"SAVEPOINT t{unsynced}" if unsynced else "BEGIN")

    def rewind(self, to: Position) -> None:
        assert self._sync, "a rewind must be synced"
        assert self.applied <= to, f"rewind to {to}, below applied {self.applied}"
        assert to >= self.base, f"{to} is compacted"
        del self._entries[self._index(to) :]
        assert self.last == to

    def append(self, entries: tuple[Entry, ...]) -> None:
        assert self._sync, "appends must be synced"
        first, before = entries[0].at, self.last
        dense = first.seq == before.seq + 1 and first.epoch >= before.epoch
        assert dense or (first.seq == 1 and first.epoch > before.epoch)
        if self._disk.rotten and self._disk.rng.random() < 0.3:
            raise StoreDamaged("a page that is to take more contradicts its checksum")
        self._entries.extend(entries)

    def save_state(self, state: bytes) -> None:
        assert self._sync, "hard state must be synced"
        self._state = state

    def save_applied(self, at: Position) -> None:
        assert self.applied < at <= self.last
        self.applied = at

    def save_roster(self, roster: Roster) -> None:
        self._roster = tuple(sorted(roster.items()))

    def commit(self) -> None:
        assert self._open
        if self._disk.faults.failing:
            raise StoreError(f"the disk fails: {self._disk.faults.failing}")
        self._open = False
        self._disk.commits.append(self._image())
        if self._sync:
            self._disk.settle()

    def write_unsynced(self) -> None:
        self._sync = False
        self.commit()

    def rollback(self) -> None:
        if not self._open:
            return
        self._open = False
        unsynced = len(self._disk.commits) - 1
        self._disk.db.execute(f"ROLLBACK TO t{unsynced}" if unsynced else "ROLLBACK")
        if unsynced:
            self._disk.db.execute(f"RELEASE t{unsynced}")
        self._load(self._disk.commits[-1])

    def compact(self, upto: Position) -> Position:
        assert upto <= self.applied, f"compact to {upto} beyond applied {self.applied}"
        tail = 0 if self._disk.faults.greedy else self._disk.tail
        drop = self._index(upto) - tail
        if drop > tail // 2:
            self.begin(sync=False)
            self.base = self._entries[drop - 1].at
            del self._entries[:drop]
            self.commit()
        return self.base

    # ---- snapshots ------------------------------------------------------------------------------

    def start_snapshot(self) -> None:
        if self._fails(made=True):
            return
        content = pack((self._roster, self._disk.db.serialize("main")))
        digest = blake2b(content, digest_size=32).digest()
        snapshot = Snapshot(self.applied, len(content), digest)
        self._serving = (snapshot, content)
        self._done.append(Background(made=True, snapshot=snapshot))

    def snapshot_chunk(self, snapshot: Snapshot, offset: int, size: int) -> bytes:
        assert self._serving is not None and self._serving[0] == snapshot
        return self._serving[1][offset : offset + size]

    def stage(self, snapshot: Snapshot, offset: int, data: bytes) -> None:
        if snapshot != self._staging:
            self._staging, self._staged = snapshot, bytearray()
        assert offset <= len(self._staged), "a hole in the staged file"
        self._staged[offset:] = data

    def start_install(self, snapshot: Snapshot) -> None:
        if self._fails(made=False):
            return
        content = bytes(self._staged)
        good = (
            snapshot == self._staging
            and snapshot.digest == blake2b(content, digest_size=32).digest()
            and snapshot.at > self.applied
            and not self._holds(snapshot.at)
        )
        if good:
            self._built = _Prepared(snapshot, *_contents(content))
        self._done.append(Background(made=False, snapshot=snapshot if good else None))

    def _fails(self, *, made: bool) -> bool:
        if self._disk.faults.bug:
            self._disk.notes.note("contained: a helper")
            self._done.append(Background(made=made, snapshot=None))
        return self._disk.faults.bug

    def _holds(self, at: Position) -> bool:
        index = self._index(at)
        return index > 0 and self._entries[index - 1].at == at

    def background(self) -> Background | None:
        return self._done.pop(0) if self._done else None

    def switch(self, snapshot: Snapshot) -> Roster:
        assert self._built is not None and self._built.snapshot == snapshot
        assert not self._open
        received, target = apsw.Connection(":memory:"), _blank()
        received.deserialize("main", self._built.tables)
        with target.backup("main", received, "main") as copy:
            copy.step()
        received.close()
        target.execute("DROP TABLE IF EXISTS store_event")  # a snapshot has no table of the store
        self._disk.db = target
        image = Image(snapshot.at, (), self._state, snapshot.at, self._built.roster)
        self._disk.commits = [image]
        self._load(image)
        self._built = None
        return self.roster
