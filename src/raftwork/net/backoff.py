"""Growing pauses between attempts at what failed. Sans-IO.

Times are milliseconds on a monotonic clock.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")

#: Of the keys of one `Pauses`; the one that failed longest ago goes first.
KEYS_MAX = 1_000


@dataclass(slots=True)
class Pause:
    """One pause, doubled at each failure, from `first` up to `longest`."""

    first: int
    longest: int
    until: int = 0
    length: int = 0

    def failed(self, now: int) -> int:
        """Begin the next pause; returns its length (ms)."""
        self.length = min(2 * self.length, self.longest) or self.first
        self.until = now + self.length
        return self.length

    def lasts(self, now: int) -> bool:
        """Whether the pause is not over at `now` (ms)."""
        return now < self.until

    def succeeded(self) -> None:
        """The next failure is the first one."""
        self.until = self.length = 0


class Pauses(Generic[K]):
    """A pause per key. One that has not failed for `longest` after its pause starts anew."""

    def __init__(self, first: int, longest: int) -> None:
        self._first, self._longest = first, longest
        self._pauses: OrderedDict[K, Pause] = OrderedDict()
        #: Whether anything has failed so far, as most often nothing has.
        self.any = False

    def failed(self, key: K, now: int) -> int:
        """Begin the next pause of `key`; returns its length (ms)."""
        self.any = True
        pause = self._pauses.pop(key, None)
        if pause is None or now >= pause.until + self._longest:
            pause = Pause(self._first, self._longest)
        self._pauses[key] = pause
        if len(self._pauses) > KEYS_MAX:
            self._pauses.popitem(last=False)
        return pause.failed(now)

    def __contains__(self, key: K) -> bool:
        """Whether a failure of `key` is on record."""
        return key in self._pauses

    def lasts(self, key: K, now: int) -> bool:
        """Whether the pause of `key` is not over at `now` (ms)."""
        return key in self._pauses and self._pauses[key].lasts(now)
