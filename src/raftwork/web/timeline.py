"""Attempts that ended in the last minute, kept for all who look: the leader tells what is new."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.features.ended_attempts import ATTEMPTS_MAX, EndedTold, ListEnded
from raftwork.features.event_journal import EventKind

if TYPE_CHECKING:
    from raftwork.client.app import App

WINDOW_MS: Final = 60_000
#: The newest; more are drawn by nobody.
BARS_MAX: Final = 2_000
_OUTCOMES: Final = {
    EventKind.FINISHED: "succeeded",
    EventKind.FAILED: "failed",
    EventKind.LOST: "lost",
    EventKind.CANCELLED: "cancelled",
}


class Bar(NamedTuple):
    """One attempt that is over. Times are the cluster's, ms since 1970."""

    began: int
    ended: int
    worker: str
    name: str
    outcome: str  # succeeded, failed, lost or cancelled
    id: str


class Window(NamedTuple):
    """The newest bars of the last minute before `now`."""

    now: int  # the cluster's time
    bars: list[Bar]
    more: bool  # more attempts ended than there are bars


class Timeline:
    """Of one cluster. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bars: deque[Bar] = deque(maxlen=BARS_MAX)
        self._known = 0, 0
        self._now = 0
        self._passed_over = 0  # when more came than could be told: the time of the oldest told then

    def window(self, app: App) -> Window:
        """As it is now. Raises Unavailable, ProtocolError where the leader keeps no events."""
        with self._lock:
            since = (self._now or time.time_ns() // 1_000_000) - WINDOW_MS
            asked = ListEnded(0, *self._known, since, ATTEMPTS_MAX)
            self._take(app.call(asked, EndedTold).result())
            first = self._now - WINDOW_MS
            bars = [bar for bar in self._bars if bar.ended > first]
            return Window(self._now, bars, self._passed_over > first)

    def _take(self, told: EndedTold) -> None:
        self._known, self._now = (told.epoch, told.seq), told.time
        new = [
            Bar(began, each.ended, each.worker, each.name, _outcome(each.kind), id_)
            for each in told.attempts
            for id_, began in zip(each.ids, each.began, strict=True)
        ]
        new.sort(key=lambda bar: bar.ended)
        dropped = len(self._bars) + len(new) - BARS_MAX
        if told.more and new:
            self._passed_over = new[0].ended
        if dropped > 0:
            self._passed_over = max(self._passed_over, [*self._bars, *new][dropped - 1].ended)
        self._bars.extend(new)


def _outcome(kind: int) -> str:
    return _OUTCOMES.get(EventKind(kind), "succeeded")
