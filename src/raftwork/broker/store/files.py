"""Files outside SQLite: replaced whole or not at all, and the lock on the directory.

Rule of this package: never open and close a live database file by hand. POSIX drops every lock a
process holds on a file as soon as it closes any descriptor of it, SQLite's among them.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from raftwork.errors import StoreError


def sync_directory(directory: Path) -> None:
    """Make names created, renamed or removed in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a closed file's contents durable."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Give `path` new contents, durably: a crash leaves the old file or the new one, whole."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    sync_file(new)
    new.replace(path)
    sync_directory(path.parent)


class DirectoryLock:
    """One process owns a directory: an exclusive lock on its file `lock`, which holds the pid."""

    def __init__(self, directory: Path) -> None:
        """Raises StoreError if another process (or another store in this one) holds it."""
        self._descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StoreError(f"{directory} is open already, by process {holder}") from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process open the directory."""
        with suppress(OSError):
            os.close(self._descriptor)
