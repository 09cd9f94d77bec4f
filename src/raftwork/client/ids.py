"""Task ids: UUID version 7 (RFC 9562), growing within a process.

The 74 bits after the time are one counter (RFC 9562 §6.2, method 2): it starts at random in every
new millisecond with its highest bit clear and grows by a random step, so ids of one process sort by
birth and ids of many processes do not meet.

No lock guards the counter: a signal handler that makes an id while one is being made would wait for
the code it interrupted. Each call appends a mark to a chain instead; what comes first stays.
"""

import os
import random
import time

_STEP_BITS = 32
_COUNTER_BITS = 74
_LOW = (1 << 48) - 1


class _Mark:
    """How far the ids have come: everything up to `counter` of `ms` is taken."""

    __slots__ = ("after", "counter", "ms")

    def __init__(self, ms: int, counter: int) -> None:
        self.ms = ms
        self.counter = counter
        self.after: dict[None, _Mark] = {}


class IdGenerator:
    """Makes ids; safe to use from several threads, signal handlers and finalizers."""

    def __init__(self) -> None:
        self.reseed()

    def reseed(self) -> None:
        """Start anew from the system's randomness: two processes never share a state."""
        self._random = random.Random(os.urandom(32))
        self._last = _Mark(0, 0)

    def make(self, count: int) -> list[str]:
        """`count` new ids, each greater than all before it."""
        ms, counter = self._take(count)
        bits = self._random.getrandbits
        time_part = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7"
        ids = []
        for start in range(counter + 1, counter + 1 + (count << _STEP_BITS), 1 << _STEP_BITS):
            at = start + bits(_STEP_BITS)
            middle, low = 0x8000 | (at >> 48) & 0x3FFF, at & _LOW
            ids.append(f"{time_part}{at >> 62:03x}-{middle:04x}-{low:012x}")
        return ids

    def _take(self, count: int) -> tuple[int, int]:
        """The millisecond, and the counter after which so many steps are now the caller's."""
        mark = self._last
        while True:
            now = time.time_ns() // 1_000_000
            if now > mark.ms:
                ms, counter = now, self._random.getrandbits(_COUNTER_BITS - 1)
            else:
                ms, counter = mark.ms, mark.counter
            mine = _Mark(ms, counter + (count << _STEP_BITS))
            # 2^41 ids of one millisecond would be needed.
            assert mine.counter >> _COUNTER_BITS == 0
            first = mark.after.setdefault(None, mine)  # atomic
            # Where to look first, no more: it may fall behind, and the chain leads on from there.
            self._last = first
            if first is mine:
                return ms, counter
            mark = first


_generator = IdGenerator()
os.register_at_fork(after_in_child=_generator.reseed)

new_ids = _generator.make
