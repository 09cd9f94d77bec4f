"""A file that is only there to be deleted: room for what a full disk needs to get empty again.

A replica that met a full disk has ended, and could not open its own database without a little room.
"""

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


def keep_ballast(directory: Path) -> None:
    """Make the file, if it is not there. Where there is no room, or no such call, there is none."""
    path = directory / NAME
    try:
        if path.exists() and path.stat().st_size >= BALLAST_BYTES:
            return  # else it was not finished
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
        finally:
            os.close(descriptor)
    except OSError:
        with suppress(OSError):
            path.unlink(missing_ok=True)


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
