"""Which rows come first, which columns have room, and that no cell does anything to a terminal."""

from typing import NamedTuple

from rich.cells import cell_len

from raftwork.cli.top.listing import PADDING, Listing, Order, clock, number, text
from tests.unit.cli.crowded import LONG, WIDE
from tests.unit.cli.test_hostile_names import HOSTILE, SHOWN


class Thing(NamedTuple):
    name: str
    size: float | None = None
    where: str = "here"


LISTING: Listing[Thing] = Listing(
    "Things",
    (
        text("thing", lambda t: t.name),
        number("size", lambda t: t.size, 1),
        text("where", lambda t: t.where, 2),
    ),
    lambda t: t.name,
    Order(1, descending=True),
)


def names(order: Order, *things: Thing) -> list[str]:
    return [thing.name for thing in LISTING.sorted(things, order)]


def test_the_largest_come_first_and_equal_ones_by_name_either_way() -> None:
    things = (Thing("b", 2), Thing("C", 1), Thing("a", 2), Thing("d"), Thing("e", 10))
    assert names(Order(1, descending=True), *things) == ["e", "a", "b", "C", "d"]
    assert names(Order(1, descending=False), *things) == ["d", "C", "a", "b", "e"]
    assert names(Order(0, descending=False), *things) == ["a", "b", "C", "d", "e"]


def test_a_column_is_first_seen_with_the_largest_numbers_or_the_first_names() -> None:
    assert LISTING.ordered_by(1) == Order(1, descending=True)
    assert LISTING.ordered_by(2) == Order(2, descending=False)


def test_columns_are_left_out_by_their_rank_and_names_never() -> None:
    rows = [["a-thing-with-a-name", "1,000", "here"]]
    assert LISTING.layout(rows, 80).columns == (0, 1, 2)
    assert LISTING.layout(rows, 30).columns == (0, 1)
    assert LISTING.layout(rows, 20).columns == (0,)
    for width in range(1, 90):
        layout = LISTING.layout(rows, width)
        assert 0 in layout.columns
        if width >= 23:
            assert sum(layout.widths) + PADDING * len(layout.widths) <= width, width


def test_a_name_has_the_room_that_others_leave() -> None:
    rows = [[LONG, "1", "here"]]
    assert LISTING.layout(rows, 200).cells(rows[0])[0] == LONG
    (cut, *_) = LISTING.layout(rows, 40).cells(rows[0])
    assert cut.rstrip().endswith("…") and LONG.startswith(cut.rstrip()[:-1])


def test_cells_are_as_wide_as_their_columns_whatever_they_are_written_in() -> None:
    rows = [[WIDE, "7", WIDE], ["a", "1,234", ""]]
    for width in (24, 40, 60, 100):
        layout = LISTING.layout(rows, width)
        for row in rows:
            assert tuple(map(cell_len, layout.cells(row))) == layout.widths


def test_what_others_wrote_is_shown_and_does_nothing() -> None:
    thing = Thing(HOSTILE, None, HOSTILE)
    assert [column.cell(thing) for column in LISTING.columns] == [SHOWN, "–", SHOWN]


def test_a_clock_grows_with_what_it_shows() -> None:
    assert [clock(s) for s in (-1, 7, 60, 3_599, 11_527)] == [
        "0:00",
        "0:07",
        "1:00",
        "59:59",
        "3:12:07",
    ]
