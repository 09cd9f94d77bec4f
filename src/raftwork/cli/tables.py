"""Tables that a terminal of any width can show.

1. Names and ids are never cut: they are what the next command is given.
2. Columns are taken by their rank while there is room. Of the others, names and texts go below
   their row; numbers are left out.
3. A first cell that takes too much of the width stands on a line of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_GAP = 2
_INDENT = 4
#: What a text that may be cut needs at the end of a line; with less it gets a line of its own.
_CLIP_LEAST = 20


class Overflow(enum.Enum):
    """What becomes of a cell that its row has no room for."""

    LEFT_OUT = enum.auto()  # a number, which --json tells
    WHOLE = enum.auto()  # a name or an id: goes below
    WRAPPED = enum.auto()  # several names, or a reason: goes below, on as many lines as it takes
    CLIPPED = enum.auto()  # a text that another command shows in full: what fits on a line, below


class Column(NamedTuple):
    """The first column of a table names the row; its rank and overflow mean nothing."""

    title: str
    #: In which order columns are taken: the lowest first, which must be unique in a table.
    rank: int = 0
    overflow: Overflow = Overflow.LEFT_OUT
    right: bool = False


#: A name and a value a row, without a header.
VERDICT = (Column(""), Column("", overflow=Overflow.WHOLE, right=True))


def layout(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    """The header (empty without titles) and the lines of a table; cells must be printable.

    Without a width every row is one line with every column.
    """
    whole = {
        at: _width_of(column, [row[at] for row in rows])
        for at, column in enumerate(columns)
        if width is None or not at or any(row[at] for row in rows)
    }
    if width is None or sum(whole.values()) + _GAP * (len(whole) - 1) <= width:
        plan = _Plan(columns, whole, 0)
    else:
        plan = _fit(columns, rows, width)
    titles = [column.title for column in columns]
    return [plan.line(titles), *(line for row in rows for line in plan.lines(row))]


class _Plan(NamedTuple):
    """The columns that were taken, with their widths."""

    columns: Sequence[Column]
    widths: dict[int, int]
    #: Of the terminal; 0 if everything fits.
    width: int

    def line(self, cells: Sequence[str]) -> str:
        parts = [
            padded(cells[at], self.widths[at], right=column.right)
            for at, column in enumerate(self.columns)
            if at in self.widths
        ]
        return (" " * _GAP).join(parts).rstrip()

    def lines(self, row: Sequence[str]) -> Iterator[str]:
        cells, below = list(row), []
        for at, column in enumerate(self.columns):
            if cells_of(row[at]) <= self.widths.get(at, 0):
                continue
            cells[at] = ""
            if at and column.overflow is not Overflow.LEFT_OUT:
                below.append((column, row[at]))
        if not cells[0] and row[0]:
            yield row[0]
        if rest := self.line(cells):
            yield rest
        # What may be cut takes what the others leave of a line.
        below.sort(key=lambda part: part[0].overflow is Overflow.CLIPPED)
        yield from _flow(below, self.width)


def _fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> _Plan:
    first, *others = range(len(columns))
    widths = {first: _width_of(columns[first], [row[first] for row in rows], width // 2)}
    left = width - widths[first]
    for at in sorted(others, key=lambda at: columns[at].rank):
        column, cells = columns[at], [row[at] for row in rows]
        wanted = _width_of(column, cells)
        if wanted + _GAP > left and column.overflow is not Overflow.LEFT_OUT:
            # The long ones go below, which is no reason that the short ones should.
            wanted = _width_of(column, cells, min(width // 3, left - _GAP))
        if any(0 < cells_of(cell) <= wanted for cell in cells) and wanted + _GAP <= left:
            widths[at] = wanted
            left -= wanted + _GAP
    return _Plan(columns, widths, width)


def _flow(parts: list[tuple[Column, str]], width: int) -> Iterator[str]:
    """Lines of `title: value`, as many on each as fit; what may be cut needs no title."""
    line, room = "", width - _INDENT
    for column, value in parts:
        named = column.title and column.overflow is not Overflow.CLIPPED
        part = f"{column.title}: {value}" if named else value
        left = room - (cells_of(line) + _GAP if line else 0)
        if column.overflow is Overflow.CLIPPED and cells_of(part) > left and left >= _CLIP_LEAST:
            part = clipped(part, left)
        if line and cells_of(part) > left:
            yield " " * _INDENT + line
            line = ""
        if column.overflow is Overflow.CLIPPED:
            part = clipped(part, room)
        if column.overflow is Overflow.WRAPPED and not line:
            *before, part = _wrapped(part, room)
            yield from (" " * _INDENT + wrapped for wrapped in before)
        line = f"{line}{' ' * _GAP}{part}" if line else part
    if line:
        yield " " * _INDENT + line


def _wrapped(text: str, room: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and cells_of(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def clipped(text: str, room: int) -> str:
    """As much of a text as a terminal has room for, with an ellipsis if that is not all."""
    from rich.cells import set_cell_size

    return text if cells_of(text) <= room else set_cell_size(text, max(room - 1, 0)).rstrip() + "…"


def padded(text: str, width: int, *, right: bool) -> str:
    """With spaces, as wide as that: the text at the left, or at the right."""
    padding = " " * (width - cells_of(text))
    return padding + text if right else text + padding


def _width_of(column: Column, cells: Sequence[str], most: int | None = None) -> int:
    """Of the widest cell, or the widest of no more than `most`; at least the title's."""
    widths = map(cells_of, cells)
    fitting = [width for width in widths if most is None or width <= most]
    return max(cells_of(column.title), *fitting, 0)


def cells_of(text: str) -> int:
    """How wide a terminal shows it: some characters take two columns, some none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
