"""A file that is only there to be deleted: room for what a full disk needs to get empty again.

A replica that met a full disk has ended, and could not open its own database without a little room.
"""

import ctypes
import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

NAME: Final = "ballast"
#: What it takes to open a database of any size and to compact it, with some to spare.
BALLAST_BYTES: Final = 64 * 1024 * 1024


def free_bytes(directory: Path) -> int | None:
    """Room on its disk for who is not root; None if that cannot be found out."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def keep_ballast(directory: Path) -> bool:
    """Make the file, if it is not there and there is room.

    False where the file system cannot set space aside: then there is never one.
    """
    path = directory / NAME
    try:
        if path.exists() and path.stat().st_size >= BALLAST_BYTES:
            return True  # else it was not finished
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _set_aside(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return error.errno not in {errno.EOPNOTSUPP, errno.ENOSYS}
    return True


def _set_aside(descriptor: int) -> None:
    """Have the file system reserve the bytes, none of which are written. Raises OSError.

    `os.posix_fallocate` writes to every block where the file system cannot, which would hold up a
    broker's loop.
    """
    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if call is None:
        raise OSError(errno.EOPNOTSUPP, "no fallocate here")
    if call(descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(BALLAST_BYTES)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def drop_ballast(directory: Path) -> bool:
    """Delete it if the disk is full otherwise; whether it did. Never raises."""
    free = free_bytes(directory)
    if free is None or free >= BALLAST_BYTES:
        return False
    try:
        (directory / NAME).unlink()
    except OSError:
        return False
    return True
