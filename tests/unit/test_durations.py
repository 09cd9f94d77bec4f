"""Durations as people read them."""

from datetime import timedelta

import pytest

from raftwork.durations import Duration, in_words


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
