"""What each child is running, in memory that it shares with the worker and the fork server.

A child writes what it runs, the others read, and it stays readable when the child is dead: so that
a death is charged to the task that ran, and the code of one task is never killed for another's. The
worker writes which tasks are asked to end.
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
        self._words = memoryview(mmap.mmap(-1, (slots + 1) * _WORDS * 8)).cast("Q")
        self._stops = slots * _WORDS  # behind the last entry

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

    def cancel(self, slot: int, token: int) -> None:
        """This token, which the child of `slot` has, is asked to end."""
        self._words[slot * _WORDS + 3] = token

    def cancelled(self, slot: int) -> int:
        """The last token of `slot` that was asked to end."""
        return self._words[slot * _WORDS + 3]

    def stop(self) -> None:
        """The worker takes nothing new any more."""
        self._words[self._stops] = 1

    @property
    def stopping(self) -> bool:
        """Whether the worker takes nothing new any more."""
        return bool(self._words[self._stops])

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


class SlotNotices:
    """What a child's code is to heed (`Notices`), by what the worker writes."""

    def __init__(self, shared: SharedSlots, slot: int) -> None:
        self._shared, self._slot = shared, slot

    def cancelled(self, token: int) -> bool:
        """Whether the task under this token is asked to end."""
        return self._shared.cancelled(self._slot) == token

    @property
    def stopping(self) -> bool:
        """Whether the worker takes nothing new any more."""
        return self._shared.stopping
