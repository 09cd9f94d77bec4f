"""What each child is running, in memory that it shares with the worker and the fork server.

A child writes, the others read, and it stays readable when the child is dead: so that a death is
charged to the task that ran, and the code of one task is never killed for another's.
"""

import mmap
from typing import NamedTuple

from raftwork.messages import Deadlock

_WORDS = 8  # a cache line each
_WHY_BITS = 4


class Entry(NamedTuple):
    """What one child is running."""

    token: int
    since: int  # ns on the monotonic clock, which is one for all processes of a machine


class SharedSlots:
    """One entry per slot. Create it before forking."""

    def __init__(self, slots: int) -> None:
        self._words = memoryview(mmap.mmap(-1, slots * _WORDS * 8)).cast("Q")

    def write(self, slot: int, token: int, since: int) -> None:
        """The child of `slot` begins a task at `since` (ns)."""
        # The token last: it says that the time is valid.
        self._words[slot * _WORDS + 1] = since
        self._words[slot * _WORDS + 2] = 0
        self._words[slot * _WORDS] = token

    def end_wait(self, slot: int, turn: int, why: Deadlock) -> None:
        """The worker asks the child of `slot` to end what its task has waited for since `turn`."""
        self._words[slot * _WORDS + 2] = turn << _WHY_BITS | why

    def hopeless(self, slot: int) -> tuple[int, Deadlock] | None:
        """What the worker asked for last, with its turn."""
        word = self._words[slot * _WORDS + 2]
        return (word >> _WHY_BITS, Deadlock(word & (1 << _WHY_BITS) - 1)) if word else None

    def clear(self, slot: int) -> None:
        """The child of `slot` runs nothing."""
        self._words[slot * _WORDS] = 0

    def read(self, slot: int) -> Entry | None:
        """What the child of `slot` runs; None between two tasks."""
        words, at = self._words, slot * _WORDS
        while token := words[at]:
            since = words[at + 1]
            if words[at] == token:
                return Entry(token, since)
        return None
