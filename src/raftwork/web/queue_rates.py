"""How many tasks of each queue came in, ended and failed in the last minute. In this process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from raftwork.client.overview import Overview
    from raftwork.messages import QueueStatus

#: Between two looks that are kept, s, and how many are: a minute.
STEP_S: Final = 5.0
_KEPT: Final = 13
#: Queues that are counted, the busiest: a look has a number of each.
QUEUES_MAX: Final = 1_000


class Rates(NamedTuple):
    """Tasks a second over the last minute, or as long as this process has looked."""

    entered: float = 0.0
    ended: float = 0.0
    failed: float = 0.0  # of those that ended, without a value


class _Totals(NamedTuple):
    entered: int
    ended: int
    failed: int


class QueueRates:
    """Looks at the queues' counters, now and then."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, dict[str, _Totals]]] = deque(maxlen=_KEPT)

    def add(self, at: float, seen: Overview) -> None:
        """What was seen then; most of what comes is between two looks, and passed over."""
        if seen.leader is None or (self._looks and at - self._looks[-1][0] < STEP_S):
            return
        queues = seen.queues
        if len(queues) > QUEUES_MAX:
            queues = sorted(queues, key=lambda q: -(q.succeeded + q.failed))[:QUEUES_MAX]
        self._looks.append((at, {queue.name: _totals(queue) for queue in queues}))

    def of(self, queue: str) -> Rates:
        """All 0 for a queue that is not known, or was seen once."""
        looks = [(at, totals[queue]) for at, totals in self._looks if queue in totals]
        if len(looks) < 2:
            return Rates()
        (began, old), (until, new) = looks[0], looks[-1]
        # One that was deleted, and made anew, has less than before.
        return Rates(*(max(0, n - o) / (until - began) for o, n in zip(old, new, strict=True)))


def _totals(queue: QueueStatus) -> _Totals:
    failed = queue.failed + queue.lost
    ended = failed + queue.succeeded + queue.cancelled
    there = queue.queued + queue.running + queue.scheduled + queue.blocked
    return _Totals(ended + there, ended, failed)
