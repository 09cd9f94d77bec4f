"""The last hour of a cluster's counters, for charts. In this process's memory, and no longer."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from raftwork.client.overview import Overview

#: Between two points, s, and how many are kept: an hour.
STEP_S: Final = 5.0
POINTS_MAX: Final = 720


class Point(NamedTuple):
    """Between the point before and this one; `queued` and `running` are of this moment."""

    at: float  # s since 1970
    ended: float  # tasks a second
    failed: float  # of these, without a value
    queued: int
    running: int


class _Totals(NamedTuple):
    at: float
    ended: int
    failed: int


class Samples:
    """Points of the last hour, oldest first. Where there was no leader there is none."""

    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=POINTS_MAX)
        self._last: _Totals | None = None
        self._recent: deque[_Totals] = deque(maxlen=11)

    def add(self, at: float, seen: Overview) -> None:
        """What was seen then; most of what comes is between two points, and passed over."""
        if seen.leader is None:
            return
        failed = sum(q.failed + q.lost for q in seen.queues)
        ended = failed + sum(q.succeeded + q.cancelled for q in seen.queues)
        now = _Totals(at, ended, failed)
        self._recent.append(now)
        last = self._last
        if last is not None and at - last.at < STEP_S:
            return
        self._last = now
        if last is not None:
            queued = sum(q.queued for q in seen.queues)
            running = sum(q.running for q in seen.queues)
            self.points.append(Point(at, *_rates(last, now), queued, running))

    def now(self) -> tuple[float, float]:
        """Tasks a second that ended, and that failed, in the last ten seconds."""
        if len(self._recent) < 2:
            return 0.0, 0.0
        return _rates(self._recent[0], self._recent[-1])


def _rates(old: _Totals, new: _Totals) -> tuple[float, float]:
    """A queue that was deleted took its totals with it: then less than nothing ended."""
    seconds = max(new.at - old.at, 0.001)
    ended, failed = new.ended - old.ended, new.failed - old.failed
    return max(0, ended) / seconds, max(0, failed) / seconds
