"""A store with a small machine, on real files; images of its directory; disks that fail."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from select import select

import apsw
import pytest

from raftwork.broker.store import Store, StoreOptions, open_store
from raftwork.broker.store.database import checksum_vfs
from raftwork.consensus.core import Entry, Kind, Position, Snapshot
from raftwork.consensus.durable_replica import Background

THREE = {"a": "127.0.0.1:1", "b": "127.0.0.1:2", "c": "127.0.0.1:3"}
CLUSTER_ID = b"cluster-id-16byt"
_incarnations = count(1)


def create_machine(connection: apsw.Connection) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS task (id TEXT PRIMARY KEY, payload BLOB) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS done (id TEXT, at INTEGER);"
        "CREATE INDEX IF NOT EXISTS done_at ON done (at);"
    )


def open_at(
    directory: Path,
    *,
    name: str = "a",
    consensus: str = "raft",
    cluster: Mapping[str, str] = THREE,
    readdress: bool = False,
    checksums: bool = True,
    options: StoreOptions | None = None,
) -> Store:
    return open_store(
        directory,
        name=name,
        consensus=consensus,
        cluster=cluster,
        create_machine=create_machine,
        readdress=readdress,
        checksums=checksums,
        options=options,
        new_incarnation=lambda: next(_incarnations).to_bytes(16, "big"),
    )


def formed(directory: Path, options: StoreOptions | None = None, name: str = "a") -> Store:
    store = open_at(directory, options=options, name=name)
    store.form(CLUSTER_ID, {name: store.incarnation})
    return store


def entry(seq: int, data: bytes | None = None, epoch: int = 1) -> Entry:
    return Entry(Position(epoch, seq), Kind.DATA, b"data %d" % seq if data is None else data)


def turn(
    store: Store,
    *entries: Entry,
    state: bytes | None = None,
    applied: Position | None = None,
    tasks: Mapping[str, bytes] | None = None,
) -> None:
    """One turn as Replica makes it; synced if it promises anything."""
    store.begin(sync=bool(entries) or state is not None)
    if entries:
        store.append(entries)
    if state is not None:
        store.save_state(state)
    for task in (tasks or {}).items():
        store.connection.execute("INSERT INTO task VALUES (?, ?)", task)
    if applied is not None:
        store.save_applied(applied)
    store.commit()


def tasks(store: Store) -> dict[str, bytes]:
    with store.guard:
        rows = store.connection.execute("SELECT id, payload FROM task").fetchall()
    found = {}
    for name, payload in rows:
        assert isinstance(name, str)
        assert isinstance(payload, bytes)
        found[name] = payload
    return found


def log(store: Store) -> list[Entry]:
    return store.entries(store.base, 1 << 40)


def contents(store: Store) -> tuple[object, ...]:
    """All a replica would act on."""
    return (store.restored, store.base, store.last, log(store), tasks(store))


_images = count()


def image(directory: Path) -> Path:
    """What a kill -9 at this moment would leave: a copy of the directory as the kernel sees it."""
    target = directory.with_name(f"{directory.name}-image-{next(_images)}")
    return shutil.copytree(directory, target)


def finished(store: Store) -> Background:
    """Wait for the background work to be done."""
    readable, _, _ = select([store.wake_fd], [], [], 30)
    assert readable, "the background work takes too long"
    done = store.background()
    assert done is not None
    return done


def snapshot_of(store: Store) -> Snapshot:
    store.start_snapshot()
    done = finished(store)
    assert done.made
    assert done.snapshot is not None
    return done.snapshot


def transfer(source: Store, target: Store, snapshot: Snapshot, chunk: int = 10_000) -> None:
    for offset in range(0, snapshot.size, chunk):
        data = source.snapshot_chunk(snapshot, offset, chunk)
        assert data is not None
        target.stage(snapshot, offset, data)


@dataclass
class Disk:
    """What a disk under test does; `vfs` is the name SQLite knows it by."""

    vfs: str
    #: Operations so far, such as "sync state-000001.db-wal".
    operations: list[str] = field(default_factory=list)
    #: Called before each operation; raises to make it fail.
    on_operation: Callable[[str], None] = lambda operation: None
    #: Called after each sync with the file's path.
    on_synced: Callable[[Path], None] = lambda path: None

    @property
    def options(self) -> StoreOptions:
        return StoreOptions(vfs=self.vfs)

    def fail(self, operation: str, error: Callable[[], BaseException]) -> None:
        """Have every operation that begins so fail from here on."""

        def check(now: str) -> None:
            if now.startswith(operation):
                raise error()

        self.on_operation = check


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, filename: str | apsw.URIFilename | None, flags: list[int]):
        self._disk = disk
        name = filename.filename() if isinstance(filename, apsw.URIFilename) else filename
        self._path = Path(name or "temporary")
        super().__init__("cksmvfs", filename, flags)

    def _note(self, operation: str) -> None:
        text = f"{operation} {self._path.name}"
        self._disk.operations.append(text)
        self._disk.on_operation(text)

    def xWrite(self, data: object, offset: int) -> None:  # noqa: N802
        self._note("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._note("sync")
        super().xSync(flags)
        self._disk.on_synced(self._path)


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        checksum_vfs()
        super().__init__(disk.vfs, base="cksmvfs")

    def xOpen(  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        return _File(self._disk, name, flags)


@contextmanager
def simulated_disk() -> Iterator[Disk]:
    disk = Disk(f"disk-{os.getpid()}-{next(_images)}")
    vfs = _Vfs(disk)
    try:
        yield disk
    finally:
        vfs.unregister()


def at_every_step(disk: Disk, patch: pytest.MonkeyPatch, note: Callable[[], None]) -> None:
    """Call `note` before every write and sync of SQLite's, and around those of the store's own."""
    disk.on_operation = lambda operation: note()
    for owner, name in ((os, "fsync"), (os, "rename"), (Path, "replace"), (Path, "unlink")):
        patch.setattr(owner, name, _noting(getattr(owner, name), note))


def _noting(real: Callable[..., object], note: Callable[[], None]) -> Callable[..., object]:
    def call(*args: object, **options: object) -> object:
        note()
        done = real(*args, **options)
        note()
        return done

    return call


class Platter:
    """What of a directory would be left after a power loss: only what was synced, by name."""

    def __init__(self, directory: Path, disk: Disk, patch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._contents: dict[int, bytes] = {}
        self._names: dict[str, int] = {}
        disk.on_synced = self._sqlite_synced
        real = os.fsync

        def fsync(descriptor: int) -> None:
            real(descriptor)
            self._synced(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

        patch.setattr(os, "fsync", fsync)

    def _sqlite_synced(self, path: Path) -> None:
        self._synced(path)
        if path.name.endswith(("-wal", "-journal")):
            self._synced(path.parent)  # SQLite sees to its logs' names itself

    def _synced(self, path: Path) -> None:
        if path == self._directory:
            self._names = {p.name: p.stat().st_ino for p in path.iterdir() if p.is_file()}
        elif path.is_file():
            self._contents[path.stat().st_ino] = path.read_bytes()

    def image(self) -> Path:
        target = self._directory.with_name(f"{self._directory.name}-image-{next(_images)}")
        target.mkdir()
        for name, inode in self._names.items():
            (target / name).write_bytes(self._contents.get(inode, b""))
        return target
