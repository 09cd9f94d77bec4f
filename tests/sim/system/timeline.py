"""Virtual time: one heap of events, one Random, one hash over all that happened.

Time is integer milliseconds and jumps from event to event. Nothing here reads a clock, and nothing
is ordered by a hash, so a seed is a history: the same one on every run and every Python.
"""

from collections import Counter, deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from zlib import crc32

#: Lines of the trace that are kept for whoever has to find out what went wrong.
TRACE_LINES = 20_000


class Timeline:
    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        #: What was added to the worlds later draws from here, so that those without it are still
        #: the histories that they were.
        self.second = Random(f"second stream of {seed}")
        self.third = Random(f"third stream of {seed}")
        self.fourth = Random(f"fourth stream of {seed}")
        self.bugs = Random(f"bugs of {seed}")
        self.waits = Random(f"waits of {seed}")
        self.fifth = Random(f"fifth stream of {seed}")
        self.now = 0
        self.hash = 0
        #: How often each kind of event was noted.
        self.reached: Counter[str] = Counter()
        self.trace: deque[tuple[int, tuple[object, ...]]] = deque(maxlen=TRACE_LINES)
        self._heap: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._count = 0

    def after(self, delay: int, action: Callable[..., None], *args: object) -> None:
        """Call `action(*args)` in `delay` ms; of the same time, what was asked for first."""
        self._count += 1
        heappush(self._heap, (self.now + delay, self._count, action, args))

    def run(self, until: int, done: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass up to `until`; True as soon as `done` (asked every 50 ms) says so."""
        heap, ask_at = self._heap, self.now
        while heap and heap[0][0] <= until:
            if heap[0][0] >= ask_at:
                ask_at = heap[0][0] + 50
                if done():
                    return True
            self.now, _, action, args = heappop(heap)
            action(*args)
        self.now = until
        return done()

    def chance(self, share: float) -> bool:
        return share > 0 and self.rng.random() < share

    def note(self, kind: str, *what: object) -> None:
        """Something worth a line of the trace happened."""
        self.reached[kind] += 1
        self.trace.append((self.now, (kind, *what)))
        self.hash = crc32(repr((self.now, kind, what)).encode(), self.hash)

    def mix(self, data: bytes) -> None:
        """Bytes that are part of this history: the hash is over them, too."""
        self.hash = crc32(data, self.hash)

    def lines(self) -> list[str]:
        return [f"{now:6} {' '.join(map(str, what))}" for now, what in self.trace]
