"""At which instants a schedule ticks: cron in a zone, or every so many ms.

Daylight saving time, as Debian's cron has it. Where an expression gives minute and hour, each wall
time counts once a day: one that is repeated at its first occurrence, one that is skipped at the
first instant after the gap (several in one gap: once). Where minute or hour begins with `*` it
counts real time: a repeated hour counts twice, a skipped one does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zlib import crc32

from raftwork.recurrence.cron import cron
from raftwork.recurrence.zone import zone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raftwork.recurrence.cron import Cron
    from raftwork.recurrence.zone import Zone

#: The year 2286: no tick is later.
_LAST_MS: Final = 10**13
#: Before 1970 there is no tick.
_EVERY_MIN_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Rule:
    """Instants, in ms since 1970. Exactly one of `cron` and `every` is given.

    `every` counts from `anchor`. `start` and `end` belong to what may tick; 0 is none.
    """

    cron: str = ""
    every: int = 0
    tz: str = "UTC"
    anchor: int = 0
    start: int = 0
    end: int = 0

    def check(self) -> None:
        """Raise ValueError for what can never be read, and for a zone that is unknown here."""
        if bool(self.cron) == bool(self.every):
            raise ValueError("a schedule has either cron or every")
        if self.cron:
            cron(self.cron)
        elif not _EVERY_MIN_MS <= self.every <= _LAST_MS:
            raise ValueError(f"every must be at least 1 s, got {self.every / 1000:g}")
        zone(self.tz)

    def after(self, instant: int) -> Iterator[int]:
        """The ticks later than `instant`, in order. Raises ValueError."""
        instant = max(instant, self.start - 1)
        last = min(self.end or _LAST_MS, _LAST_MS)
        for tick in self._every(instant) if self.every else self._cron(instant):
            if tick > last:
                return
            yield tick

    def next(self, instant: int) -> int:
        """The first tick later than `instant`; 0 if there is none."""
        return next(self.after(instant), 0)

    def two_after(self, instant: int) -> tuple[int, int]:
        """The first two ticks later than `instant`; 0 for one that there is not.

        Remembered, as many schedules tick alike. Raises as `after`.
        """
        return _two_after(self, instant)

    def _every(self, instant: int) -> Iterator[int]:
        tick = self.anchor + ((instant - self.anchor) // self.every + 1) * self.every
        while True:
            yield tick
            tick += self.every

    def _cron(self, instant: int) -> Iterator[int]:
        expression, where = cron(self.cron), zone(self.tz)
        second = instant // 1000
        found = _times_of_day if expression.fixed else _real_time
        return (1000 * tick for tick in found(expression, where, second))


@lru_cache(maxsize=4096)
def _two_after(rule: Rule, instant: int) -> tuple[int, int]:
    ticks = rule.after(instant)
    return next(ticks, 0), next(ticks, 0)


def _times_of_day(expression: Cron, where: Zone, last: int) -> Iterator[int]:
    # An earlier wall time is never at a later instant, so none before the present one counts.
    for wall in expression.after(where.wall(last)):
        instants = where.instants(wall)
        tick = instants[0] if instants else where.after_gap(wall)
        if tick > last:
            last = tick
            yield tick


def _real_time(expression: Cron, where: Zone, last: int) -> Iterator[int]:
    wall = where.wall(last)
    if back := where.repeated(wall):
        wall -= timedelta(seconds=back + 1)  # to be shown again
    again: list[int] = []
    for each in expression.after(wall):
        first, *second = where.instants(each) or (None,)
        if first is None:
            continue
        if not second:  # the repeated times are over, if there were any
            yield from (tick for tick in again if tick > last)
            again = []
        again += second
        if first > last:
            yield first
    yield from (tick for tick in again if tick > last)


def jittered(id_: str, tick: int, following: int, jitter: int) -> int:
    """When a tick is due: up to `jitter` ms later, always as much, never at the following tick.

    `following` is 0 if none follows.
    """
    span = jitter + 1 if not following else min(jitter + 1, following - tick)
    return tick + crc32(f"{id_}@{tick}".encode()) % span
