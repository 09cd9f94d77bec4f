"""Which columns a table keeps, and where the rest goes."""

import pytest
from rich.cells import cell_len

from raftwork.cli.tables import VERDICT, Column, Overflow, layout

COLUMNS = (
    Column("name"),
    Column("queue", 3, Overflow.WHOLE),
    Column("count", 1, right=True),
    Column("bytes", 2, right=True),
    Column("why", 4, Overflow.WRAPPED),
    Column("error", 5, Overflow.CLIPPED),
)
ROW = ("w1", "mail", "7", "1024", "", "")


def test_without_a_width_everything_is_on_one_line() -> None:
    long = "x" * 500
    assert layout(COLUMNS, [("w1", long, "7", "1024", "so", long)], None)[1].split() == [
        *("w1", long, "7", "1024", "so", long)
    ]


def test_what_fits_is_all_there_in_columns() -> None:
    assert layout(COLUMNS, [ROW, ("w22", "q", "10", "9", "", "")], 40) == [
        "name  queue  count  bytes",
        "w1    mail       7   1024",
        "w22   q         10      9",
    ]


def test_columns_without_any_content_take_no_room() -> None:
    assert layout(COLUMNS, [ROW], 80)[0] == "name  queue  count  bytes"


def test_columns_leave_by_their_rank_and_names_go_below() -> None:
    assert layout(COLUMNS, [ROW], 20) == [
        "name  count  bytes",
        "w1        7   1024",
        "    queue: mail",
    ]
    assert layout(COLUMNS, [ROW], 15) == ["name  count", "w1        7", "    queue: mail"]


def test_a_long_cell_goes_below_its_row_and_no_other() -> None:
    long = "a-long-name-of-a-queue"
    assert layout(COLUMNS, [ROW, ("w2", long, "8", "1", "", "")], 30) == [
        "name  queue  count  bytes",
        "w1    mail       7   1024",
        "w2               8      1",
        f"    queue: {long}",
    ]


def test_a_long_name_has_a_line_of_its_own() -> None:
    long = "n" * 50
    assert layout(COLUMNS, [ROW, (long, "q", "8", "1", "", "")], 40) == [
        "name  queue  count  bytes",
        "w1    mail       7   1024",
        long,
        "      q          8      1",
    ]


def test_a_reason_is_wrapped_and_an_error_is_cut() -> None:
    row = ("w1", "q", "7", "1", "one two three four five", "Error: " + "e" * 99)
    lines = layout(COLUMNS, [row], 26)
    assert lines == [
        "name  queue  count  bytes",
        "w1    q          7      1",
        "    why: one two three",
        "    four five",
        "    Error: eeeeeeeeeeeeee…",
    ]


def test_an_error_takes_what_others_leave_of_the_line() -> None:
    row = ("n" * 30, "q" * 44, "7", "1", "", "e" * 99)
    *_, line = layout(COLUMNS, [row], 80)
    assert line == f"    queue: {'q' * 44}  {'e' * 22}…"
    assert len(line) == 80


@pytest.mark.parametrize("width", range(1, 90))
def test_whatever_the_width_names_are_whole_and_nothing_else_is_wider(width: int) -> None:
    wide = "仕事場の名前"
    rows = [
        ("w1", "mail", "7", "1024", "", ""),
        (wide, wide * 3, "7", "1", "rests for 8 s", "ValueError: " + wide * 9),
        ("n" * 64, "q" * 64, "123456", "12345678", "a, b", "e"),
    ]
    lines = layout(COLUMNS, rows, width)
    for row in rows:
        for name in row[:2]:
            assert any(name in line for line in lines)
    longest = max(len("title: rests"), width)
    for line in lines:
        assert cell_len(line) <= longest or line.split()[-1] in {c for row in rows for c in row}


def test_a_verdict_has_no_header() -> None:
    assert layout(VERDICT, [("lost", "0"), ("tasks/s", "512")], 80) == [
        "",
        "lost       0",
        "tasks/s  512",
    ]
    assert layout(VERDICT, [("a long name of a number", "1 / 2")], 20) == [
        "",
        "a long name of a number",
        "  1 / 2",
    ]
