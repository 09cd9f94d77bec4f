"""Durations as users write them, seconds or a timedelta, and as they read them."""

import math
from datetime import UTC, datetime, timedelta

Duration = float | timedelta
#: A century, in seconds: what is longer is a mistake.
DURATION_MAX_S = 100 * 366 * 86_400
#: For longer no code may hold up the tasks of a limit.
RETRY_AFTER_MAX_S = 31 * 86_400
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


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


def in_words(duration: Duration) -> str:
    """For people: `340 ms`, `1.5 s`, `12 min 5 s`, `1 h 59 min 49 s`, `3 d 4 h 5 min`."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < 0.9995:
        return f"{seconds * 1_000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    left, said = round(seconds), list[str]()
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count and not (unit == "s" and seconds >= 86_400):
            said.append(f"{count} {unit}")
    return " ".join(said)


def ms_in_words(ms: int) -> str:
    """As `in_words`, of ms."""
    return in_words(ms / 1_000)


def instant_in_words(ms: int) -> str:
    """An instant, in ms since 1970, as ISO 8601 in UTC: `2027-01-31T01:30:00Z`."""
    try:
        at = datetime.fromtimestamp(ms // 1_000, UTC)
    except (ValueError, OverflowError, OSError):  # the calendar ends with the year 9999
        return f"the year {1970 + ms // 31_556_952_000}"
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"
