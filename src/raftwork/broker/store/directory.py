"""The data directory: which generation is live, which files belong to it, what was put aside.

    lock  identity.json  promised      the owner, who it is, what it has promised
    CURRENT                            the name of the live generation's database
    state-000001.db (-wal, -shm)       a generation; any but the live one is a leftover
    damaged                            the live generation is not to be trusted, and why
    damaged-000001/                    the newest generation that was put aside
    snapshot-*.db  incoming/           snapshots being served and received; gone at every start

A generation is only ever built under a new number and made live by replacing CURRENT: a database
renamed over another, or copied into it, meets the other's old write-ahead log.
"""

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from raftwork.broker.store.files import replace_file, sync_directory
from raftwork.errors import StoreDamaged

_NAME: Final = re.compile(r"state-([0-9]{6,})\.db")
#: Of the files of one database.
SUFFIXES: Final = ("", "-wal", "-shm", "-journal")


class Directory:
    """One replica's data directory. Its methods raise OSError where the file system does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.promised = path / "promised"
        self._current = path / "CURRENT"
        self._damaged = path / "damaged"

    def database(self, number: int) -> Path:
        """The path of a generation's database file."""
        return self.path / f"state-{number:06}.db"

    def generations(self) -> list[int]:
        """The numbers of all generations that have a database file."""
        found = (_NAME.fullmatch(path.name) for path in self.path.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def current(self) -> int | None:
        """The live generation's number; None if none was ever made live.

        Raises StoreDamaged if CURRENT is not readable as such.
        """
        try:
            data = self._current.read_bytes()
        except FileNotFoundError:
            return None
        match = _NAME.fullmatch(data.decode("ascii", "replace").strip())
        if match is None:
            raise StoreDamaged(f"CURRENT names no generation: {data[:80]!r}")
        return int(match[1])

    def set_current(self, number: int) -> None:
        """Make a generation the live one, durably and at once."""
        replace_file(self._current, f"{self.database(number).name}\n".encode())

    def remove(self, number: int) -> None:
        """Delete a generation's files, as far as they exist."""
        for suffix in SUFFIXES:
            self._with_suffix(number, suffix).unlink(missing_ok=True)

    def remove_leftovers(self, live: int) -> None:
        """Delete what a crash or an earlier run left beside the live generation."""
        for number in self.generations():
            if number != live:
                self.remove(number)
        for path in self.path.glob("snapshot-*"):
            _remove(path)
        shutil.rmtree(self.incoming, ignore_errors=True)

    @property
    def incoming(self) -> Path:
        """Where snapshots are received."""
        return self.path / "incoming"

    def next_number(self) -> int:
        """A number no generation here has had."""
        aside = (int(p.name.removeprefix("damaged-")) for p in self.path.glob("damaged-*"))
        current = 0
        with suppress(StoreDamaged):
            current = self.current() or 0
        return max(0, current, *self.generations(), *aside) + 1

    def mark_damaged(self, number: int, reason: str) -> None:
        """Have the next open treat a generation as damaged."""
        replace_file(self._damaged, f"{self.database(number).name}: {reason}\n".encode())

    def damage(self, number: int | None) -> str | None:
        """Why generation `number` was marked as damaged, if it was."""
        try:
            text = self._damaged.read_text(errors="replace").strip()
        except FileNotFoundError:
            return None
        name, _, reason = text.partition(": ")
        if number is not None and _NAME.fullmatch(name) and name != self.database(number).name:
            return None  # the one it speaks of was put aside before a crash
        return reason or "it was marked as damaged"

    def clear_damage(self) -> None:
        """Forget that a generation was marked as damaged."""
        self._damaged.unlink(missing_ok=True)

    def suspect(self) -> int:
        """The generation that damage is about: the live one, or the newest if that is unknown."""
        with suppress(StoreDamaged):
            if (number := self.current()) is not None:
                return number
        return max(self.generations(), default=0)

    def put_aside(self, number: int) -> None:
        """Move a generation's files where nothing opens them; those put aside before are removed.

        May be repeated after a crash, and then moves what is left.
        """
        target = self.path / f"damaged-{number:06}"
        target.mkdir(exist_ok=True)
        if self.promised.exists() and not (target / self.promised.name).exists():
            shutil.copyfile(self.promised, target / self.promised.name)
        for suffix in SUFFIXES:
            path = self._with_suffix(number, suffix)
            if path.exists():
                path.replace(target / path.name)
        sync_directory(self.path)
        for other in self.path.glob("damaged-*"):
            if other != target:
                shutil.rmtree(other)

    def _with_suffix(self, number: int, suffix: str) -> Path:
        path = self.database(number)
        return path.with_name(path.name + suffix)


def _remove(path: Path) -> None:
    """Whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
