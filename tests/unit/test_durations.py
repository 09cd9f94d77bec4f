"""Durations as people read them."""

from datetime import timedelta

import pytest

from raftwork.durations import Duration, in_words, instant_in_words, ms_in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 ms"),
        (0.0204, "20 ms"),
        (0.9999, "1 s"),
        (1.5, "1.5 s"),
        (9.96, "10 s"),
        (59.7, "1 min"),
        (timedelta(minutes=12, seconds=5), "12 min 5 s"),
        (7_189.5, "1 h 59 min 50 s"),
        (3_600, "1 h"),
        (90_061, "1 d 1 h 1 min"),
        (7 * 86_400, "7 d"),
    ],
)
def test_a_duration_is_told_in_the_units_people_use(seconds: Duration, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_798_761_600_999, "2027-01-01T00:00:00Z"),
        (10**13, "2286-11-20T17:46:40Z"),
        (10**18, "the year 31690708"),
        (2**63, "the year 292278994"),
    ],
)
def test_an_instant_is_told_as_a_calendar_has_it(ms: int, words: str) -> None:
    assert instant_in_words(ms) == words


def test_ms_are_told_as_people_use_them() -> None:
    assert ms_in_words(90_000) == "1 min 30 s"
