"""The directory of `raftwork dev`: one at a time, and out of the way of version control."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self


class Taken(Exception):
    """Another `raftwork dev` has the directory."""


class Place:
    """The directory, held from `__enter__` to `__exit__`, or to the end of the process."""

    def __init__(self, data: Path, address: str) -> None:
        self._data = data
        self._address = address
        self._file = -1

    def __enter__(self) -> Self:
        """Make the directory and hold it. Raises Taken, and OSError."""
        self._data.mkdir(parents=True, exist_ok=True)
        ignore = self._data / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# Made by raftwork dev.\n*\n")
        self._file = os.open(self._data / "dev.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise Taken(self._first()) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()} {self._address}\n".encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            os.ftruncate(self._file, 0)
        os.close(self._file)

    def _first(self) -> str:
        said = os.pread(self._file, 400, 0).decode(errors="replace").split()
        os.close(self._file)
        pid, address = said if len(said) == 2 else ("unknown", "unknown")
        return (
            f"raftwork dev runs already in {self._data}: process {pid}, its broker at {address}."
            " Use that one, or end it first (Ctrl-C there); --data and --port are for a second one"
        )
