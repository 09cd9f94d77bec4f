"""What each child is running, in memory that it shares with the worker and the fork server.

A child writes, the others read, and it stays readable when the child is dead: so that a death is
charged to the task that ran, and the code of one task is never killed for another's.
"""

import mmap
from typing import NamedTuple

_WORDS = 8  # a cache line each


class Entry(NamedTuple):
    """What one child is running."""

    token: int
    since: int  # ns on the monotonic clock, which is one for all processes of a machine
    waits: bool = False  # for the outcome of another task


class SharedSlots:
    """One entry per slot. Create it before forking."""

    def __init__(self, slots: int) -> None:
        self._words = memoryview(mmap.mmap(-1, slots * _WORDS * 8)).cast("Q")

    def write(self, slot: int, token: int, since: int) -> None:
        """The child of `slot` begins a task at `since` (ns)."""
        # The token last: it says that the time is valid.
        self._words[slot * _WORDS + 1] = since
        self._words[slot * _WORDS + 2] = False
        self._words[slot * _WORDS] = token

    def wait(self, slot: int, waits: bool) -> None:
        """The slot's task begins, or ends, a wait for the outcome of another one."""
        self._words[slot * _WORDS + 2] = waits

    def clear(self, slot: int) -> None:
        """The child of `slot` runs nothing."""
        self._words[slot * _WORDS] = 0

    def read(self, slot: int) -> Entry | None:
        """What the child of `slot` runs; None between two tasks."""
        words, at = self._words, slot * _WORDS
        while token := words[at]:
            since, waits = words[at + 1], words[at + 2]
            if words[at] == token:
                return Entry(token, since, bool(waits))
        return None
