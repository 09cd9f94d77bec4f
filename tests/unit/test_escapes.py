"""Texts of strangers: every character can be seen."""

import json

import pytest

from raftwork.escapes import visible, visible_json, visible_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain [red] :bug: é 仕事 🎉 \\n", "plain [red] :bug: é 仕事 🎉 \\n"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x1b[2J\x9b1m\x7f\x00", r"\x1b[2J\x9b1m\x7f\x00"),
        ("\u202eevil\u2066\u200f", r"\u202eevil\u2066\u200f"),
        ("\ufeff\u200b\u2028\u00ad", r"\ufeff\u200b\u2028\xad"),
        ("\ud800\U000e0041", r"\ud800\U000e0041"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_lines_of_a_traceback_stay_lines() -> None:
    assert visible_lines("a\n\tb\x1b\r\n") == "a\n\tb\\x1b\\r\n"


@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_document_in_json_stays_the_same_document(ascii_only: bool) -> None:
    value = {"\x1b\x9b": ["\u202e\ud800", "é 仕事 🎉", "\U000e0041", 'a"\\\n']}
    shown = visible_json(json.dumps(value, ensure_ascii=False), ascii_only=ascii_only)
    assert json.loads(shown) == value
    assert shown.isprintable()
    assert shown.isascii() == ascii_only
