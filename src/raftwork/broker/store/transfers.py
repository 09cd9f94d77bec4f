"""Snapshots on their way out (made once, served in chunks) and in (staged, then prepared)."""

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw

from raftwork.broker.store.database import Opener
from raftwork.broker.store.directory import Directory
from raftwork.broker.store.guard import as_store_error, out_of_descriptors
from raftwork.broker.store.helper import Helper, Stopped
from raftwork.broker.store.snapshots import (
    CreateMachine,
    Rejected,
    prepare_generation,
    write_snapshot,
)
from raftwork.consensus.core import Snapshot
from raftwork.errors import StoreDamaged

log = logging.getLogger("raftwork.broker.store")


@dataclass(frozen=True, slots=True)
class Made:
    """A snapshot file was written, or could not be (`snapshot` is None)."""

    snapshot: Snapshot | None
    path: Path


@dataclass(frozen=True, slots=True)
class Prepared:
    """A generation was built from `snapshot`; its `number` is None if the file was rejected."""

    snapshot: Snapshot
    number: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The helper met an error that ends the replica."""

    error: Exception


Done = Made | Prepared | Failed


class Serving:
    """The snapshot file made last, kept open; older ones are removed."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._path: Path | None = None
        self._descriptor = -1

    def replace(self, snapshot: Snapshot, path: Path) -> None:
        self.close()
        self._snapshot, self._path = snapshot, path
        self._descriptor = os.open(path, os.O_RDONLY)

    def chunk(self, snapshot: Snapshot, offset: int, size: int) -> bytes:
        assert snapshot == self._snapshot, f"{snapshot} is not the snapshot made last"
        return os.pread(self._descriptor, size, offset)

    def close(self) -> None:
        if self._path is not None:
            os.close(self._descriptor)
            self._path.unlink(missing_ok=True)
            self._snapshot = self._path = None


class Staging:
    """The file an incoming snapshot is collected in. Bytes that belong to none are not kept."""

    def __init__(self, directory: Path, size_max: int) -> None:
        self._directory = directory
        self._size_max = size_max
        self._digest: bytes | None = None
        self._descriptor = -1

    def path(self, snapshot: Snapshot) -> Path:
        return self._directory / f"{snapshot.digest.hex()}.db"

    def write(self, snapshot: Snapshot, offset: int, data: bytes) -> None:
        fits = offset >= 0 and offset + len(data) <= snapshot.size <= self._size_max
        if not fits:
            return
        if snapshot.digest != self._digest and not self._begin(snapshot):
            return
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written

    def _begin(self, snapshot: Snapshot) -> bool:
        self.close()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            self._directory.mkdir(exist_ok=True)
            for path in self._directory.iterdir():
                path.unlink()
            self._descriptor = os.open(self.path(snapshot), flags, 0o600)
        except OSError as error:
            if not out_of_descriptors(error):
                raise
            log.warning("a snapshot cannot be received now: %s", error)
            return False
        self._digest = snapshot.digest
        return True

    def close(self) -> None:
        """Before SQLite opens the file: see the rule in `files.py`."""
        if self._digest is not None:
            os.close(self._descriptor)
            self._digest = None


class Transfers:
    def __init__(self, directory: Directory, opener: Opener, create_machine: CreateMachine) -> None:
        self._directory = directory
        self._opener = opener
        self._create_machine = create_machine
        self._count = 0
        self.helper: Helper[Done] = Helper()
        self.serving = Serving()
        self.staging = Staging(directory.incoming, opener.options.snapshot_bytes_max)

    def make(self, source: Path) -> None:
        """Begin to write a snapshot of the live database `source`."""
        self._count += 1
        target = self._directory.path / f"snapshot-{self._count}.db"
        self.helper.start(lambda stopped: _reporting(lambda: self._make(source, target, stopped)))

    def _make(self, source: Path, target: Path, stopped: Stopped) -> Made:
        size, free = source.stat().st_size, shutil.disk_usage(source.parent).free
        if free < size + 8 * self._opener.options.wal_bytes:
            # The snapshot would take the last of the disk, and the next commit would end us.
            log.warning("no snapshot is made: the disk has %d bytes left for %d", free, size)
            return Made(None, target)
        try:
            return Made(write_snapshot(source, target, self._opener, stopped), target)
        except (apsw.Error, OSError) as error:
            target.unlink(missing_ok=True)
            if isinstance(as_store_error(error), StoreDamaged):
                raise
            # A follower waits longer; whether this replica's disk is fit shows at its next commit.
            log.warning("no snapshot could be made: %s", error)
            return Made(None, target)

    def prepare(self, snapshot: Snapshot) -> None:
        """Begin to build a generation from the staged file."""
        self.staging.close()
        self.helper.start(lambda stopped: _reporting(lambda: self._prepare(snapshot, stopped)))

    def _prepare(self, snapshot: Snapshot, stopped: Stopped) -> Prepared:
        staged = self.staging.path(snapshot)
        number = self._directory.next_number()
        target = self._directory.database(number)
        try:
            prepare_generation(
                snapshot, staged, target, self._opener, self._create_machine, stopped
            )
        except (Rejected, apsw.InterruptError, apsw.CantOpenError, OSError) as error:
            if isinstance(error, OSError) and not out_of_descriptors(error):
                raise
            log.warning("a received snapshot is not installed: %s", error)
            return Prepared(snapshot, None)
        return Prepared(snapshot, number)

    def close(self) -> None:
        self.helper.close()
        self.staging.close()
        self.serving.close()


def _reporting(work: Callable[[], Done]) -> Done:
    """Carry errors over to the loop, which is where a replica stops."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - raised again by the loop
        return Failed(error)
