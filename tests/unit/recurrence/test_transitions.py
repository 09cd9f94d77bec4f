"""Every change of every zone's clocks in ten years, against a scan minute by minute."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest

from raftwork.recurrence import Rule

_FROM = int(datetime(2018, 1, 1, tzinfo=UTC).timestamp())
_TO = int(datetime(2028, 1, 1, tzinfo=UTC).timestamp())
#: So long before and after a change is scanned, s. No clock is moved by more than three hours.
_AROUND = 4 * 3600
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Change:
    """Clocks are set at `at`, s since 1970, by `by` s; `zone` is one that has it."""

    zone: str
    at: int
    by: int


def _offset(zone: ZoneInfo, instant: int) -> int:
    offset = datetime.fromtimestamp(instant, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _changes_of(name: str) -> Iterator[tuple[int, int, int]]:
    zone = ZoneInfo(name)
    for low, high in pairwise(range(_FROM, _TO, 5 * 86_400)):
        before, after = _offset(zone, low), _offset(zone, high)
        if before == after:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            if _offset(zone, middle) == before:
                low = middle
            else:
                high = middle
        yield high, before, after


@cache
def changes() -> tuple[Change, ...]:
    """Each once, whatever number of zones has it."""
    found = {change: name for name in sorted(available_timezones()) for change in _changes_of(name)}
    return tuple(Change(name, at, after - before) for (at, before, after), name in found.items())


@dataclass(frozen=True, slots=True)
class Times:
    """Minutes and hours that match, as sets, and how cron says it."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    fixed: bool

    def match(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours


def _draw(rng: Random, near: int) -> Times:
    """`near` is the hour of the change."""
    step = rng.choice((1, 5, 7, 15, 30))
    minute, hour = rng.choice((0, 0, 1, 15, 30, 59)), (near + rng.randint(-2, 2)) % 24
    hours = sorted({(near + rng.randint(-2, 2)) % 24 for _ in range(3)})
    all_minutes, all_hours = frozenset(range(60)), frozenset(range(24))
    steps = frozenset(range(0, 60, step))
    listed = ",".join(map(str, hours))
    return rng.choice(
        (
            Times(f"{minute} {hour} * * *", frozenset({minute}), frozenset({hour}), fixed=True),
            Times(f"0,30 {listed} * * *", frozenset({0, 30}), frozenset(hours), fixed=True),
            Times("10-50/10 0-23 * * *", frozenset(range(10, 51, 10)), all_hours, fixed=True),
            Times(f"*/{step} {listed} * * *", steps, frozenset(hours), fixed=False),
            Times(f"{minute} * * * *", frozenset({minute}), all_hours, fixed=False),
            Times("* * * * *", all_minutes, all_hours, fixed=False),
            Times(f"{minute} */2 * * *", frozenset({minute}), frozenset(range(0, 24, 2)), False),
        )
    )


def _scanned(times: Times, change: Change) -> list[int]:
    """The ticks around a change, by looking at each minute."""
    zone, ticks, seen = ZoneInfo(change.zone), [], set[datetime]()
    start = (change.at - _AROUND) // 60 * 60
    before = None
    for instant in range(start, change.at + _AROUND, 60):
        wall = datetime.fromtimestamp(instant, zone).replace(tzinfo=None)
        if not times.fixed:
            ticks += [instant] if times.match(wall) else []
            continue
        skipped: list[datetime] = [] if before is None else list(_between(before, wall))
        first = wall not in seen and times.match(wall)
        if first or any(times.match(each) for each in skipped):
            ticks.append(instant)
        seen.update(skipped, (wall,))
        before = wall
    return ticks


def _between(before: datetime, wall: datetime) -> Iterator[datetime]:
    before += _MINUTE
    while before < wall:
        yield before
        before += _MINUTE


def _compare(change: Change, rng: Random) -> None:
    near = datetime.fromtimestamp(change.at, ZoneInfo(change.zone)).hour
    times = _draw(rng, near)
    expected = [1000 * tick for tick in _scanned(times, change)]
    start, end = 1000 * (change.at - _AROUND), 1000 * (change.at + _AROUND)
    rule = Rule(cron=times.text, tz=change.zone, end=end - 1)
    about = f"{times.text} in {change.zone} around {datetime.fromtimestamp(change.at, UTC)}"
    assert list(rule.after(start - 1)) == expected, about
    for _ in range(4):
        since = rng.randrange(start, end)
        following = [tick for tick in expected if tick > since]
        assert rule.next(since) == (following[0] if following else 0), f"{about}, since {since}"


@pytest.mark.timeout(300)
def test_all_of_them_agree_with_a_scan() -> None:
    rng = Random(1)
    assert len(changes()) > 400
    for change in changes():
        _compare(change, rng)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Antarctica/Troll"])
def test_more_of_some_that_are_odd(zone: str) -> None:
    rng = Random(2)
    mine = [Change(zone, at, after - before) for at, before, after in _changes_of(zone)]
    assert mine
    for change in mine:
        for _ in range(20):
            _compare(change, rng)
