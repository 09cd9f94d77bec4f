"""The real store over files whose disk is not to be trusted.

A VFS written in Python stands *under* the one that checks pages, so that what it loses, tears or
flips is what the checksums are there to find. It remembers every write that was not synced: a
power cut keeps any subset of them, and may tear the last one kept. Files outside SQLite are
replaced whole and synced by the store itself; only `promised` may lag behind after a power cut.
"""

import shutil
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import apsw

from raftwork.broker.machine import create_or_migrate
from raftwork.broker.store import Store, StoreOptions, open_store
from raftwork.broker.store.background import Stopped, outcome
from raftwork.broker.store.database import checksum_vfs
from raftwork.broker.store.snapshot_transfers import Done
from raftwork.broker.store.watermark import _encode, read_promised
from raftwork.consensus.core import Snapshot
from raftwork.errors import StoreDamaged, StoreError
from tests.sim.system.bugs import fails
from tests.sim.system.disk import Disk, Facts, Notes
from tests.sim.system.promises import require

if TYPE_CHECKING:
    from tests.sim.system.watched import Inner

_SECTOR, _PAGE = 512, 4_096
_DISKS: dict[str, "SqliteDisk"] = {}


class Write(NamedTuple):
    """What a write, or (with no new bytes) a truncation to `offset`, did to a file."""

    offset: int
    old: bytes
    new: bytes
    old_size: int

    def undo(self, content: bytearray) -> None:
        content[self.offset : self.offset + max(len(self.new), len(self.old))] = self.old
        del content[self.old_size :]

    def redo(self, content: bytearray, length: int) -> None:
        if not self.new:
            del content[self.offset :]
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + length] = self.new[:length]


@dataclass(frozen=True)
class Rot:
    """A page of a file that has rotted."""

    path: Path
    at: int
    good: bytes
    bad: bytes

    def undo(self) -> None:
        """Unless something else has been written there."""
        if self.path.exists():
            with self.path.open("r+b") as file:
                file.seek(self.at)
                if file.read(len(self.bad)) == self.bad:
                    file.seek(self.at)
                    file.write(self.good)


class File(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._path = Path(path or "temporary")
        self._disk = _DISKS.get(str(self._path.parent))
        if self._disk is not None and not self._path.exists():
            self._unsynced.clear()  # of another file of this name
        super().__init__("unix", name, flags)

    @cached_property
    def _unsynced(self) -> list[Write]:
        """Of a file below a simulated disk."""
        assert self._disk is not None
        return self._disk.unsynced(self._path)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self._disk is not None:
            self._disk.check("write")
            size = self.xFileSize()
            old = self.xRead(min(len(data), size - offset), offset) if offset < size else b""
            self._unsynced.append(Write(offset, old, bytes(data), size))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        if self._disk is not None:
            self._disk.check("write")
            size = self.xFileSize()
            old = self.xRead(max(0, size - newsize), newsize)
            self._unsynced.append(Write(newsize, old, b"", size))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._disk is not None:
            self._disk.check("sync")
            self._unsynced.clear()
        super().xSync(flags)


class Vfs(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("sim-disk", base="unix", makedefault=True)

    def xOpen(  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        return File(name, flags)


class Registered:
    """Our VFS, once a process, and first: the checksum VFS stands on what is the default then."""

    vfs: Vfs | None = None

    @classmethod
    def ensure(cls) -> None:
        if cls.vfs is None:
            assert "cksmvfs" not in apsw.vfs_names(), "page checksums are in use already"
            cls.vfs = Vfs()
            checksum_vfs()


@dataclass
class Synchronous:
    """Stands in for `store.helper.Helper`: a thread of its own would make histories differ."""

    disk: "SqliteDisk"

    def __post_init__(self) -> None:
        self.wake_fd = -1
        self._results: deque[Done] = deque()

    def start(self, work: Callable[[Stopped], Done], failed: Callable[[Exception], Done]) -> None:
        if self.disk.faults.bug:
            self.disk.notes.note("contained: a helper")
        broken = fails if self.disk.faults.bug else work
        self._results.append(outcome(broken, failed, lambda: False))

    def take(self) -> Done | None:
        return self._results.popleft() if self._results else None

    def interrupt(self) -> None:
        """Whatever was begun is over already."""

    def close(self) -> None:
        self._results.clear()


class SqliteDisk(Disk):
    def __init__(
        self, name: str, rng: Random, notes: Notes, consensus: str, root: Path, *, tail: int
    ) -> None:
        super().__init__(name, rng, notes, consensus)
        Registered.ensure()
        self._path = root / name
        self._options = StoreOptions(
            tail_entries=tail,
            segment_entries=rng.choice((3, 20)),
            wal_bytes=rng.choice((40_000, 300_000)),
            cache_bytes=rng.choice((16 * 1024, 64 * 1024)),  # most pages are read again and again
            spare_bytes=8 * 4_096,
            give_back_bytes=4 * 4_096,
        )
        self._store: Store | None = None
        self._unsynced: dict[Path, list[Write]] = {}
        self._incarnation = b""
        self._dying = False
        self._lags = False
        self._rot: list[Rot] = []
        _DISKS[str(self._path)] = self

    @property
    def incarnation(self) -> bytes:
        return self._incarnation

    def forget(self) -> None:
        """The world is over."""
        self.release()
        del _DISKS[str(self._path)]

    # ---- what the VFS asks ----------------------------------------------------------------------

    def check(self, operation: str) -> None:
        if self._dying and operation == "sync":
            raise apsw.IOError("simulated: the process dies")
        if self.faults.failing == "eio":
            raise apsw.IOError(f"simulated: the {operation} fails")
        if self.faults.failing == "full" and operation == "write":
            raise apsw.FullError("simulated: the disk is full")

    def unsynced(self, path: Path) -> list[Write]:
        return self._unsynced.setdefault(path, [])

    # ---- what the broker asks -------------------------------------------------------------------

    def open(self) -> Store:
        if self.faults.failing:
            raise StoreError(f"the disk fails: {self.faults.failing}")
        store = open_store(
            self._path,
            name=self.name,
            consensus=self.consensus,
            cluster=self.cluster,
            create_machine=create_or_migrate,
            options=self._options,
            new_incarnation=self.new_incarnation,
        )
        if store.damage is not None:
            self.notes.note("checksum refusal")
            self.rotten = False
        pending = [
            path.name
            for path, writes in self._unsynced.items()
            if path.name.startswith("state-") and path.exists() and path.stat().st_size
            if any(write.new for write in writes)
        ]
        require(not pending, "durable at open", f"{self.name} acts on unsynced {pending}")
        store._transfers.helper.close()
        store._transfers.helper = Synchronous(self)  # type: ignore[assignment]
        self._lags = False
        self._store, self._incarnation = store, store.incarnation
        return store

    def commit_unsynced(self, store: "Inner") -> None:
        self._dying = True
        with suppress(StoreError):
            store.commit()

    def switch_unsynced(self, store: "Inner", snapshot: Snapshot) -> None:
        self._dying = True
        with suppress(StoreError):
            store.switch(snapshot)

    def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            with suppress(StoreError):  # it says so and exits all the same
                store.close()
            store._live.connection.close()

    def release(self) -> None:
        store, self._store = self._store, None
        self._dying = False
        if store is None:
            return
        store._live.connection.close()
        store._transfers.close()
        store._promised.close()
        store._parts.lock.release()

    def power_cut(self) -> None:
        assert self._store is None
        for path, writes in self._unsynced.items():
            if writes and path.exists():
                self._lose(path, writes)
            writes.clear()
        for path in self._path.glob("*-shm"):
            path.unlink()
        self._let_promise_lag()

    def _lose(self, path: Path, writes: list[Write]) -> None:
        content = bytearray(path.read_bytes())
        for write in reversed(writes):
            write.undo(content)
        share = self.rng.choice((0.0, 0.5, 1.0))
        kept = [write for write in writes if self.rng.random() < share]
        for write in kept:
            torn = write is kept[-1] and self.rng.random() < 0.5
            length = len(write.new)
            if torn:
                self.notes.note("torn write")
                length = self.rng.randrange(0, length + 1, _SECTOR) if length else 0
            write.redo(content, length)
        if len(kept) < len(writes):
            self.notes.note("unsynced writes lost")
        path.write_bytes(content)

    def _let_promise_lag(self) -> None:
        """Not together with damage: what both hide nobody can notice (docs/guarantees.md)."""
        if self.rotten:
            return
        self._lags = True
        promised = self._path / "promised"
        try:
            turn = read_promised(promised)
        except StoreDamaged:
            return
        promised.write_bytes(_encode(max(0, turn - self.rng.choice((0, 0, 3, 40)))))

    def wipe(self) -> None:
        self._unsynced.clear()
        self.rotten, self._incarnation, self.facts = False, b"", Facts()
        shutil.rmtree(self._path, ignore_errors=True)

    def flip(self, *, ends: bool) -> None:
        """A bit or a few, in the live database, its write-ahead log or the file of promised turns.

        Where something is stored: most of a small database is zeros that nobody reads. In the log
        only if its process ends: SQLite looks at the checksums of frames when it opens them, and at
        no other time (docs/reliability.md). While it runs, the promised turns are not read either.
        """
        often = {".db": 1, ".db-wal": 2} if ends else {".db": 4}
        found = sorted(p for p in self._path.glob("state-*.db*") if p.suffix in often)
        if self._lags:
            return
        files = [p for p in [*found, self._path / "promised"] if p.exists() and p.stat().st_size]
        if not files:
            return
        (path,) = self.rng.choices(files, [often.get(p.suffix, 1) for p in files])
        sound = path.read_bytes()
        content = bytearray(sound)
        stored = [at for at, byte in enumerate(content) if byte]
        for _ in range(self.rng.choice((1, 8))):
            content[self.rng.choice(stored)] ^= 1 << self.rng.randrange(8)
        with path.open("r+b") as file:
            file.write(content)
        for at in range(0, len(sound), _PAGE):
            good, bad = sound[at : at + _PAGE], bytes(content[at : at + _PAGE])
            if good != bad:
                self._rot.append(Rot(path, at, good, bad))
        self.rotten = True

    def noticed(self) -> None:
        rot, self._rot = self._rot[::-1], []
        if self.rng.random() < 0.5:
            for each in rot:
                each.undo()
