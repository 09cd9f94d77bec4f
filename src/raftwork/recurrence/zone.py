"""Time zones: wall-clock times and the instants at which clocks show them.

Zones come from the system's tz database or, where it has none, from the package `tzdata`. UTC needs
neither.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

#: Characters of a zone's name; the longest of the tz database has 32.
ZONE_MAX: Final = 64
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - of wall-clock times
_SECOND: Final = timedelta(seconds=1)


class Zone:
    """One zone. Instants are in s since 1970, wall-clock times naive datetimes."""

    def __init__(self, name: str, rules: tzinfo) -> None:
        self.name = name
        self._rules = rules

    def wall(self, instant: int) -> datetime:
        """What clocks show then."""
        return datetime.fromtimestamp(instant, self._rules).replace(tzinfo=None)

    def instants(self, wall: datetime) -> tuple[int, ...]:
        """When clocks show this: once, twice where they were set back, never where set forward."""
        first, second = self._offsets(wall)
        shown = (wall - _EPOCH) // _SECOND
        if first == second:
            return (shown - first,)
        # PEP 495: of a time that is shown twice the first offset is the larger one; of one that is
        # never shown they are those before and after the gap.
        return (shown - first, shown - second) if first > second else ()

    def after_gap(self, wall: datetime) -> int:
        """The first instant after the gap in which this wall-clock time was never shown."""
        before, after = self._offsets(wall)
        shown = (wall - _EPOCH) // _SECOND
        low, high = shown - after, shown - before  # before the change, and not before it
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == before:
                low = middle
            else:
                high = middle
        return high

    def repeated(self, wall: datetime) -> int:
        """By how many seconds clocks were set back, of a time that is shown twice; else 0."""
        first, second = self._offsets(wall)
        return max(0, first - second)

    def _offsets(self, wall: datetime) -> tuple[int, int]:
        first = wall.replace(tzinfo=self._rules).utcoffset()
        second = wall.replace(tzinfo=self._rules, fold=1).utcoffset()
        assert first is not None and second is not None
        return first // _SECOND, second // _SECOND

    def _offset(self, instant: int) -> int:
        offset = datetime.fromtimestamp(instant, self._rules).utcoffset()
        assert offset is not None
        return offset // _SECOND


@lru_cache(maxsize=1024)
def zone(name: str) -> Zone:
    """The zone of this name, such as Europe/Berlin. Raises ValueError."""
    if name == "UTC":
        return Zone(name, UTC)
    from zoneinfo import ZoneInfo

    try:
        if len(name) > ZONE_MAX:
            raise ValueError("too long")  # noqa: TRY301
        return Zone(name, ZoneInfo(name))
    except (ValueError, OSError, ModuleNotFoundError, KeyError):
        # The error of a name that is none depends on what file of the system it happens to be.
        if has_zones():
            text = f"no time zone {name!r:.100} in this machine's tz database"
        else:
            text = (
                f"no time zone {name!r:.100}: this machine has no tz database (install the system's"
                " package tzdata, or `pip install tzdata`)"
            )
        raise ValueError(text) from None


def has_zones() -> bool:
    """Whether this machine has a tz database."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo("Europe/London")
    except (ValueError, OSError, ModuleNotFoundError, KeyError):
        return False
    return True
