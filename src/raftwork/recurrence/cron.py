"""Cron expressions, over wall-clock times without a zone.

cronsim is given naive times only. With aware ones it goes back in time when it is started inside a
repeated hour, and a sixth field changes its rule for daylight saving time; what its wall-clock
times mean in a zone is decided in rule.py.
"""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Characters of an expression: far more than anybody writes.
CRON_MAX: Final = 200

_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
#: What each field of five may be.
_FIELDS: Final = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L (the last day) or LW (the last weekday), if its months have it",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT, 5L (the last Friday) or 5#2 (the second one)",
}


class Cron:
    """One expression: 5 fields, 6 with seconds first, or a nickname such as `@daily`.

    Raises ValueError for what is none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > CRON_MAX:
            raise ValueError(f"cron must have at most {CRON_MAX} characters, got {len(text)}")
        fields = _expanded(text).split()
        if len(fields) not in (5, 6):
            raise ValueError(
                f"cron {text!r} has {len(fields)} fields: 5 are minute, hour, day-of-month, month"
                " and day-of-week; of 6 the first is the second"
            )
        self._expression = " ".join(fields)
        #: Whether minute and hour are both given, so that it means times of the day. Where one of
        #: them begins with `*` it means so many minutes of real time.
        self.fixed = not any(field.startswith("*") for field in fields[-5:-3])
        _check(text, self._expression)

    def after(self, wall: datetime) -> Iterator[datetime]:
        """The wall-clock times that match, each later than `wall`, in order. All are naive.

        It ends where none matches in fifty years, or at the end of the calendar.
        """
        times = CronSim(self._expression, wall)
        while True:
            try:
                found = next(times)
            except (StopIteration, OverflowError):
                return
            yield found


@lru_cache(maxsize=1024)
def cron(text: str) -> Cron:
    """The expression, parsed once. Raises ValueError as `Cron`."""
    return Cron(text)


def _expanded(text: str) -> str:
    if not text.startswith("@"):
        return text
    known = _NICKNAMES.get(text.strip().lower())
    if known is None:
        raise ValueError(f"cron {text!r:.80} is none of {', '.join(_NICKNAMES)}")
    return known


def _check(text: str, expression: str) -> None:
    try:
        times = CronSim(expression, datetime(2026, 1, 1))  # noqa: DTZ001 - see above
    except CronSimError as error:
        # Its texts are such as "Bad day-of-month".
        field = str(error).removeprefix("Bad ")
        expected = _FIELDS.get(field)
        raise ValueError(
            f"cron {text!r}: bad {field}" + (f": it may be * or {expected}" if expected else "")
        ) from None
    except (ValueError, AssertionError) as error:
        raise ValueError(f"cron {text!r} cannot be read: {error}") from None
    # To look for the first match would take ten times as long where there is none.
    if not any(day.month in times.months and times.match_day(day) for day in _days()):
        raise ValueError(f"cron {text!r} never matches: no such day ever comes")


@lru_cache(maxsize=1)
def _days() -> tuple[date, ...]:
    """Of all days that there are, one of each month, day, weekday and length of the month."""
    first = date(2000, 1, 1)
    days = (first + timedelta(days=each) for each in range(28 * 366))  # then they come again
    alike = {
        (d.month, d.day, d.weekday(), calendar.isleap(d.year) and d.month == 2): d for d in days
    }
    return tuple(alike.values())
