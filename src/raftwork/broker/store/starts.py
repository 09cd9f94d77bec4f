"""When a replica was started last: a broker that is started again and again is to be noticed.

The file `starts` has a line each, seconds since 1970. It is for people, and nothing rests on it.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

NAME: Final = "starts"
#: Of the newest ones.
KEPT: Final = 100


def note_start(directory: Path, wall_s: int) -> None:
    """A broker starts on this directory now. Never raises OSError: it can do without."""
    lines = [str(each) for each in [*read_starts(directory), wall_s][-KEPT:]]
    with suppress(OSError):
        new = directory / f"{NAME}.new"
        new.write_text("\n".join(lines) + "\n")
        new.replace(directory / NAME)


def read_starts(directory: Path) -> list[int]:
    """The newest starts, in order, seconds since 1970."""
    try:
        lines = (directory / NAME).read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [int(line) for line in lines if line.isdecimal()]
