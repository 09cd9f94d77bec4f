"""Rows of things of one kind: which columns have room, in which order, as texts. Without a screen.

Texts come from users and other machines: a cell is what `visible` makes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from raftwork.cli.tables import cells_of, clipped, padded
from raftwork.escapes import visible

T = TypeVar("T")

#: What a table puts beside each cell, on either side together.
PADDING: Final = 2
#: What a column of texts is given at most while others want room, and at least: it may be cut.
_TEXT_MOST: Final = 36
_TEXT_LEAST: Final = 12
#: What names are given before all others.
_FIRST_MOST: Final = 24


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One fact of each. The first column of a listing names the row and is always shown."""

    title: str
    cell: Callable[[T], str]
    #: What rows are sorted by: a number, or a text.
    order: Callable[[T], tuple[float, str]]
    #: The lowest is shown first.
    rank: int
    is_number: bool


def text(title: str, of: Callable[[T], str | None], rank: int = 0) -> Column[T]:
    """A column of texts, sorted without regard to case; None is shown as a dash."""

    def cell(item: T) -> str:
        said = of(item)
        return "–" if said is None else visible(said)

    return Column(title, cell, lambda item: (0, (of(item) or "").casefold()), rank, False)


def number(
    title: str,
    of: Callable[[T], float | None],
    rank: int = 0,
    shown: Callable[[float], str] = "{:,}".format,
) -> Column[T]:
    """A column of numbers; None, a dash, is less than any."""

    def cell(item: T) -> str:
        value = of(item)
        return "–" if value is None else shown(value)

    def order(item: T) -> tuple[float, str]:
        value = of(item)
        return (float("-inf") if value is None else value, "")

    return Column(title, cell, order, rank, True)


class Order(NamedTuple):
    """By which column, and whether the largest comes first."""

    column: int
    descending: bool


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """What is shown of one kind of things."""

    title: str
    columns: Sequence[Column[T]]
    #: What a thing is known by, from one look to the next.
    key: Callable[[T], Hashable]
    order: Order

    def sorted(self, items: Sequence[T], order: Order) -> list[T]:
        """Equal ones are in the order of their names, whichever way the others are."""
        named = sorted(items, key=self.columns[0].order)
        return sorted(named, key=self.columns[order.column].order, reverse=order.descending)

    def ordered_by(self, column: int) -> Order:
        """As one wants to see it first: the largest numbers, the first names."""
        return Order(column, self.columns[column].is_number)

    def layout(self, rows: Sequence[Sequence[str]], width: int) -> Layout:
        """The columns that such a width has room for, taken by their rank."""
        wanted = [
            max(cells_of(column.title) + 2, *(cells_of(row[at]) for row in rows), 0)
            for at, column in enumerate(self.columns)
        ]
        widths = {0: min(wanted[0], _FIRST_MOST)}
        left = width - PADDING - widths[0]
        for at in sorted(range(1, len(wanted)), key=lambda at: self.columns[at].rank):
            most = least = wanted[at]
            if not self.columns[at].is_number:
                most, least = min(most, _TEXT_MOST), min(least, _TEXT_LEAST)
            if least + PADDING <= left:
                widths[at] = min(most, left - PADDING)
                left -= widths[at] + PADDING
        for at in sorted(widths):  # what was cut has what is left
            more = min(wanted[at] - widths[at], max(left, 0))
            widths[at] += more
            left -= more
        shown = sorted(widths)
        return Layout(
            tuple(shown),
            tuple(max(widths[at], 1) for at in shown),
            tuple(self.columns[at].is_number for at in shown),
        )


class Layout(NamedTuple):
    """The columns that are shown, how wide each is, and which are numbers."""

    columns: tuple[int, ...]
    widths: tuple[int, ...]
    numbers: tuple[bool, ...]

    def cells(self, row: Sequence[str]) -> list[str]:
        """What is shown of a row, each cell as wide as its column."""
        return [
            padded(clipped(row[at], width), width, right=right)
            for at, width, right in zip(*self, strict=True)
        ]


def clock(seconds: float) -> str:
    """`0:07`, `12:07`, `3:12:07`: for what goes on."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
