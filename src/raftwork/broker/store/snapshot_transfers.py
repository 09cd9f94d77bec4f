"""Snapshots on their way out (made once, served in chunks) and in (staged, then prepared).

All of it is work for another replica, or for a state that this one does not have yet. So nothing
that goes wrong here ends the replica: it is logged, the core is told that there is no snapshot, and
asks again after a pause. Whether this replica's own disk is fit shows at its next commit. The one
exception is damage found in the live database while it is copied.
"""

import logging
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import apsw

from raftwork.broker.store.background import Helper, Stopped
from raftwork.broker.store.database import Opener
from raftwork.broker.store.directory import SUFFIXES, Directory
from raftwork.broker.store.snapshots import (
    CreateMachine,
    prepare_generation,
    write_snapshot,
)
from raftwork.broker.store.storage_errors import as_store_error
from raftwork.consensus.core import Snapshot
from raftwork.errors import RaftworkError, StoreDamaged
from raftwork.logs import alike

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
    """The live database was found damaged while it was copied, which ends the replica."""

    error: StoreDamaged


Done = Made | Prepared | Failed


class Serving:
    """The snapshot file made last, kept open; older ones are removed."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._path: Path | None = None
        self._descriptor = -1

    def replace(self, snapshot: Snapshot, path: Path) -> bool:
        """Serve this one from now on. False if it cannot be opened."""
        self.close()
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            _complain("a snapshot cannot be served", error)
            return False
        self._snapshot, self._path = snapshot, path
        return True

    def chunk(self, snapshot: Snapshot, offset: int, size: int) -> bytes | None:
        """None if it cannot be read (any more)."""
        assert snapshot == self._snapshot, f"{snapshot} is not the snapshot made last"
        try:
            data = os.pread(self._descriptor, size, offset)
        except OSError as error:
            _complain("a snapshot cannot be served", error)
            return None
        if len(data) < min(size, snapshot.size - offset):
            log.warning("a snapshot cannot be served: its file was cut short")
            return None
        return data

    def close(self) -> None:
        """Remove the snapshot file that is served."""
        if self._path is not None:
            os.close(self._descriptor)
            _remove(self._path)
            self._snapshot = self._path = None


class Staging:
    """The file an incoming snapshot is collected in. Bytes that belong to none are not kept."""

    def __init__(self, directory: Path, size_max: int) -> None:
        self._directory = directory
        self._size_max = size_max
        self._digest: bytes | None = None
        #: Of a snapshot that could not be kept: the rest of it is not tried.
        self._given_up = b""
        self._descriptor = -1

    def path(self, snapshot: Snapshot) -> Path:
        """Where the bytes of this snapshot are collected."""
        return self._directory / f"{snapshot.digest.hex()}.db"

    def write(self, snapshot: Snapshot, offset: int, data: bytes) -> None:
        """Keep bytes of a snapshot at `offset`; those of another one take its place."""
        fits = offset >= 0 and offset + len(data) <= snapshot.size <= self._size_max
        if not fits or (snapshot.digest == self._given_up and offset):
            return
        try:
            if snapshot.digest != self._digest:
                self._begin(snapshot)
            view = memoryview(data)
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            _complain("a snapshot cannot be received now", error)
            self.close()
            self._given_up = snapshot.digest

    def _begin(self, snapshot: Snapshot) -> None:
        self.close()
        self._given_up = b""
        self._directory.mkdir(exist_ok=True)
        for path in self._directory.iterdir():
            path.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        self._descriptor = os.open(self.path(snapshot), flags, 0o600)
        self._digest = snapshot.digest

    def close(self) -> None:
        """Before SQLite opens the file: see the rule in `files.py`."""
        if self._digest is not None:
            with suppress(OSError):  # what is lost by it is missed by the digest
                os.close(self._descriptor)
            self._digest = None


class Transfers:
    """Snapshots being made, served, received and prepared for install."""

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
        self.helper.start(
            lambda stopped: self._make(source, target, stopped),
            lambda error: _not_made(target, error),
        )

    def _make(self, source: Path, target: Path, stopped: Stopped) -> Made:
        size, free = source.stat().st_size, shutil.disk_usage(source.parent).free
        if free < size + 16 * self._opener.options.wal_bytes:
            # The snapshot would take the last of the disk, and the next commit would end us.
            text = "no snapshot is made: the disk has %d bytes left for %d"
            log.warning(text, free, size, extra=alike("no room"))
            return Made(None, target)
        return Made(write_snapshot(source, target, self._opener, stopped), target)

    def prepare(self, snapshot: Snapshot) -> None:
        """Begin to build a generation from the staged file."""
        self.staging.close()
        self.helper.start(
            lambda stopped: self._prepare(snapshot, stopped),
            lambda error: _not_prepared(snapshot, self.staging.path(snapshot), error),
        )

    def _prepare(self, snapshot: Snapshot, stopped: Stopped) -> Prepared:
        staged = self.staging.path(snapshot)
        number = self._directory.next_number()
        target = self._directory.database(number)
        prepare_generation(snapshot, staged, target, self._opener, self._create_machine, stopped)
        return Prepared(snapshot, number)

    def take(self) -> Made | Prepared | None:
        """A finished piece of work, if there is one. Raises StoreDamaged; see `Failed`."""
        done = self.helper.take()
        if isinstance(done, Failed):
            raise done.error
        if isinstance(done, Made) and done.snapshot is not None:
            served = self.serving.replace(done.snapshot, done.path)
            return done if served else Made(None, done.path)
        return done

    def close(self) -> None:
        """Stop the work off the loop, and remove what was served or staged."""
        self.helper.close()
        self.staging.close()
        self.serving.close()


def _not_made(target: Path, error: Exception) -> Made | Failed:
    _remove(target)
    meaning = as_store_error(error)
    if isinstance(meaning, StoreDamaged):
        return Failed(meaning)
    _complain("no snapshot could be made", error)
    return Made(None, target)


def _not_prepared(snapshot: Snapshot, staged: Path, error: Exception) -> Prepared:
    for suffix in SUFFIXES:  # a disk that is full must not stay so
        _remove(staged.with_name(staged.name + suffix))
    _complain("a received snapshot is not installed", error)
    return Prepared(snapshot, None)


def _complain(what: str, error: Exception) -> None:
    expected = isinstance(error, (OSError, apsw.Error, RaftworkError))
    log.warning("%s: %s", what, error, exc_info=None if expected else error)


def _remove(path: Path) -> None:
    """What is left is removed at the next start."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
