"""Values on the command line: JSON both ways, and bytes survive."""

import json
import math

import pytest

from raftwork.cli.values import parse_argument, parse_json, print_json


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
