"""For how long tasks that were ready waited for a worker, by leader time.

A task becomes ready at its enqueue, or once its delay, its backoff, or what it waited for is over.
No row says when. Ordinary tasks become ready in the order of their numbers, so those of an entry
are one number and one time here; the others are noted one by one. What is not known (any more) is
not counted.

1. It costs an addition for each batch that is handed out, where its tasks became ready together.
2. It is bounded: of old numbers every other one goes, so that of what has waited long the time is
   less exact; of others the oldest are forgotten.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Final

from raftwork.messages.facts import DURATION_BOUNDS_MS, Durations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Numbers with the times from which they and those behind them were ready.
SPANS_MAX: Final = 16_384
#: Tasks that are noted one by one.
OTHERS_MAX: Final = 100_000
#: Queues that are told apart.
QUEUES_MAX: Final = 1_000
_UNKNOWN: Final = -1
#: What most take.
_SHORT_MS: Final = DURATION_BOUNDS_MS[0]


class WaitTimes:
    """Of one replica, whose machine time was `began` at its start."""

    def __init__(self, began: int = 0) -> None:
        self._firsts, self._times = array("q"), array("q")
        self._others: dict[int, int] = {}
        self._counted: dict[str, DurationCounter] = {}
        self._began = began

    def entered(self, first: int, time: int) -> None:
        """New tasks, numbered from `first`, are ready at this time."""
        if self._times and self._times[-1] == time:
            return
        self._firsts.append(first)
        self._times.append(time)
        if len(self._firsts) > SPANS_MAX:
            half = SPANS_MAX // 2
            del self._firsts[1:half:2], self._times[1:half:2]

    def entered_otherwise(self, first: int) -> None:
        """New tasks, numbered from `first`, may be ready later."""
        self.entered(first, _UNKNOWN)

    def ready(self, seqs: Sequence[int], time: int) -> None:
        """These are ready from this time on."""
        others = self._others
        for seq in seqs:
            others[seq] = time
        if len(others) > OTHERS_MAX:  # many at once: to find the oldest passes by all that went
            for seq in list(islice(others, len(others) - OTHERS_MAX + OTHERS_MAX // 4)):
                del others[seq]

    def begun(self, queue: str, seqs: Sequence[int], time: int, *, first: bool) -> None:
        """These tasks of a queue were handed out; `first`: for the first time."""
        counted = self._counted.get(queue)
        if counted is None:
            if len(self._counted) >= QUEUES_MAX:
                return
            counted = self._counted[queue] = DurationCounter()
        others, firsts = self._others, self._firsts
        place = bisect_right(firsts, min(seqs) if len(seqs) > 1 else seqs[0]) - 1
        together = place + 1 == len(firsts) or max(seqs) < firsts[place + 1]
        if first and together and (not others or others.keys().isdisjoint(seqs)):
            self._add(counted, place, time, len(seqs))
            return
        there = sorted(seqs)
        if others:
            noted = others.keys() & there
            for since, count in Counter([others.pop(seq) for seq in noted]).items():
                counted.add(time - since, count)
            there = [seq for seq in there if seq not in noted]
        begin = 0 if first else len(there)
        while begin < len(there):  # those of each span together
            place = bisect_right(firsts, there[begin])
            end = bisect_left(there, firsts[place], begin) if place < len(firsts) else len(there)
            self._add(counted, place - 1, time, end - begin)
            begin = end

    def _add(self, counted: DurationCounter, place: int, time: int, count: int) -> None:
        since = self._times[place] if place >= 0 else _UNKNOWN
        if since != _UNKNOWN:
            counted.add(time - since, count)

    def since(self, seq: int) -> int:
        """Since when this task is ready; of one that is not known, the first time that is."""
        if (since := self._others.get(seq)) is None:
            place = bisect_right(self._firsts, seq) - 1
            since = self._times[place] if place >= 0 else _UNKNOWN
        return self._began if since == _UNKNOWN else since

    def told(self) -> Mapping[str, Durations]:
        """By queue."""
        return {queue: counted.told() for queue, counted in self._counted.items()}


class DurationCounter:
    """How often something took how long, ms."""

    def __init__(self) -> None:
        self._counts = [0] * (len(DURATION_BOUNDS_MS) + 1)
        self._sum_ms = 0

    def add(self, ms: int, count: int = 1) -> None:
        """It took so long, so many times."""
        self._counts[0 if ms <= _SHORT_MS else bisect_left(DURATION_BOUNDS_MS, ms)] += count
        self._sum_ms += ms * count

    def told(self) -> Durations:
        """The counts so far."""
        return Durations(list(self._counts), self._sum_ms)
