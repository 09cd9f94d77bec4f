"""Durations as users write them: seconds, or a timedelta."""

import math
from datetime import timedelta

Duration = float | timedelta
#: A century, in seconds: what is longer is a mistake.
DURATION_MAX_S = 100 * 366 * 86_400


def milliseconds(what: str, value: Duration, *, endless: str = "") -> int:
    """As `seconds`, in whole ms, rounded up."""
    return math.ceil(seconds(what, value, endless=endless) * 1000)


def seconds(what: str, value: Duration, *, endless: str = "") -> float:
    """A duration in seconds. Raises TypeError, ValueError.

    `endless` is what to say of a value that means no end.
    """
    if type(value) is float or type(value) is int:
        seconds: float = value
    elif isinstance(value, timedelta):
        seconds = value.total_seconds()
    else:
        also = f" ({endless})" if endless else ""
        raise TypeError(f"{what} must be seconds or a timedelta, got {type(value).__name__}{also}")
    if not 0 <= seconds <= DURATION_MAX_S:  # false for NaN too
        also = f" ({endless})" if endless and seconds > 0 else ""
        raise ValueError(
            f"{what} must be between 0 and {DURATION_MAX_S} seconds, got {seconds}{also}"
        )
    return seconds
