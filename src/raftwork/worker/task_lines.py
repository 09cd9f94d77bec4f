"""Lines that running code logs or prints, as the worker keeps them for whoever follows a task."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from raftwork.features.task_log import LINE_BYTES_MAX, LINES_BYTES_MAX, LINES_MAX


class Line(NamedTuple):
    """One line: when (ms on the monotonic clock), and its text in UTF-8, or sealed."""

    at: int
    data: bytes
    sealed: bool = False


def line_of(text: str, at: int) -> Line:
    """A line of this text, cut to its bound."""
    return Line(at, text.encode("utf-8", "backslashreplace")[:LINE_BYTES_MAX])


#: How far the lines of a task were read: opaque, and BEGINNING at first.
Read = tuple[int, int]
BEGINNING: Read = (0, 0)


class NewLines(NamedTuple):
    """What came of a task since it was read last."""

    read: Read
    lines: Sequence[Line]
    #: Lines between are gone.
    lost: bool = False


class KeptLines:
    """The end of a log. Its lines are numbered, the first with `last` + 1."""

    __slots__ = ("_bytes", "_last", "_lines")

    def __init__(self, last: int = 0) -> None:
        self._lines: deque[Line] = deque()
        self._bytes = 0
        self._last = last

    def add(self, line: Line) -> None:
        """One more; the oldest go."""
        self._lines.append(line)
        self._last += 1
        self._bytes += len(line.data)
        while len(self._lines) > LINES_MAX or self._bytes > LINES_BYTES_MAX:
            self._bytes -= len(self._lines.popleft().data)

    def skip(self) -> None:
        """Lines are missing here: those before are let go of, and one number is of none."""
        self._lines.clear()
        self._bytes = 0
        self._last += 1

    @property
    def before(self) -> int:
        """The number of the last line that is not kept any more."""
        return self._last - len(self._lines)

    def since(self, after: int) -> tuple[int, Sequence[Line]]:
        """The number of the last line, and the lines behind number `after` that are kept."""
        lines = self._lines.copy()  # others may add meanwhile
        last = self._last
        skip = max(0, after - (last - len(lines)))
        return last, list(islice(lines, skip, None))
