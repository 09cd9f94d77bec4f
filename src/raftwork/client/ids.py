"""Task ids: UUID version 7 (RFC 9562), growing within a process.

The 74 bits after the time are one counter (RFC 9562 §6.2, method 2): it starts at random in every
new millisecond with its highest bit clear and grows by a random step, so ids of one process sort by
birth and ids of many processes do not meet.
"""

import os
import random
import threading
import time

_STEP_BITS = 32
_COUNTER_BITS = 74
_LOW = (1 << 48) - 1


class IdGenerator:
    """Makes ids; safe to use from several threads."""

    def __init__(self) -> None:
        self.reseed()

    def reseed(self) -> None:
        """Start anew from the system's randomness: two processes never share a state."""
        self._lock = threading.Lock()
        self._random = random.Random(os.urandom(32))
        self._ms = 0
        self._counter = 0

    def make(self, count: int) -> list[str]:
        """`count` new ids, each greater than all before it."""
        ids = []
        with self._lock:
            bits = self._random.getrandbits
            now = time.time_ns() // 1_000_000
            if now > self._ms:
                self._ms, self._counter = now, bits(_COUNTER_BITS - 1)
            counter = self._counter
            time_part = f"{self._ms >> 16:08x}-{self._ms & 0xFFFF:04x}-7"
            for _ in range(count):
                counter += 1 + bits(_STEP_BITS)
                middle, low = 0x8000 | (counter >> 48) & 0x3FFF, counter & _LOW
                ids.append(f"{time_part}{counter >> 62:03x}-{middle:04x}-{low:012x}")
            self._counter = counter
            # 2^41 ids of one millisecond would be needed.
            assert counter >> _COUNTER_BITS == 0
        return ids


_generator = IdGenerator()
os.register_at_fork(after_in_child=_generator.reseed)

new_ids = _generator.make
