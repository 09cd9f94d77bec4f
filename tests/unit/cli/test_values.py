"""Values on the command line: JSON both ways, and bytes survive."""

import json
import math

import click
import pytest

from raftwork.cli.values import NotJSON, Seconds, parse_argument, parse_json, print_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-2.5", -2.5),
        ("true", True),
        ("null", None),
        ('"1"', "1"),
        ("[1, [2]]", [1, [2]]),
        ('{"a": {"b": 1}}', {"a": {"b": 1}}),
        ("word", "word"),
        ("", ""),
        ("{", "{"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ('{"$bytes": "AP8="}', b"\x00\xff"),
        ('[{"$bytes": ""}]', [b""]),
        ('{"$bytes": "no base64"}', '{"$bytes": "no base64"}'),
        ('{"$bytes": "AP8=", "more": 1}', {"$bytes": "AP8=", "more": 1}),
        ('{"$bytes": 1}', {"$bytes": 1}),
        ('{"$float": "-Infinity"}', -math.inf),
        ('{"$float": "1"}', {"$float": "1"}),
        ('{"$float": ["NaN"]}', {"$float": ["NaN"]}),
    ],
)
def test_an_argument_is_json_if_it_parses_else_the_text(text: str, value: object) -> None:
    assert parse_argument(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "too deep"),
        ("[" * 100_000 + "]" * 100_000, "too deep"),
        ('{"a":' * 100_000, "too deep"),
        ("9" * 5_000, "an integer of 5000 digits"),
        (f"[-{'9' * 5_000}]", "an integer of 5001 digits"),
        ("-1e999", "-1e999 is more than a float can be"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is given twice"),
    ],
    ids=["open", "deep", "deep object", "long", "long in a list", "float", "twice"],
)
def test_json_that_cannot_be_meant_is_an_error_and_no_text(text: str, why: str) -> None:
    """F10: a traceback, a text in place of a number, the last of two values."""
    for parse in (parse_argument, parse_json):
        with pytest.raises(ValueError, match=why) as caught:
            parse(text)
        assert not isinstance(caught.value, NotJSON)


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2} and more', "9" * 5_000 + "x", "1e999x", "[[[[", "-", "- 1"]
)
def test_a_text_that_only_begins_like_json_is_a_text(text: str) -> None:
    assert parse_argument(text) == text
    with pytest.raises(NotJSON):
        parse_json(text)


def test_what_is_printed_is_read_back_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"list": [1, 2.5, None], "bytes": b"\x00\xff", "text": "é\n"}
    print_json(value)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert json.loads(printed)["bytes"] == {"$bytes": "AP8="}
    assert parse_json(printed) == value


def test_what_is_printed_is_json_even_where_a_float_is_no_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json([math.inf, {"x": -math.inf}, math.nan, 1e308])
    printed = capsys.readouterr().out

    def no_json(name: str) -> object:
        raise AssertionError(f"{name} is not JSON")

    json.loads(printed, parse_constant=no_json)
    assert str(parse_json(printed)) == "[inf, {'x': -inf}, nan, 1e+308]"


def test_seconds_are_a_number_that_something_can_wait_for() -> None:
    """Every broker was unreachable within NaN seconds, and within endless ones none ever was."""
    seconds = Seconds()
    assert seconds.convert("1e-320", None, None) > 0
    assert seconds.convert("3162240000", None, None) == 3_162_240_000
    for text in ("nan", "-nan", "inf", "1e400", "-1", "0", "", "x", "1e10"):
        with pytest.raises(click.BadParameter):
            seconds.convert(text, None, None)
