"""What is on its way to one session, in order. Sans-IO.

What its connection has not taken is kept by keys, not as data: the data are read from the machine
again when it takes more. So a session that never reads costs the broker keys, whatever the size of
what they stand for.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

K = TypeVar("K")
T = TypeVar("T")

#: Bytes that leave in one turn, about; what is beyond waits as keys.
TURN_BYTES = 4 * 1024 * 1024
#: So many are counted for each key that is read, so that a turn is short also if none is sent.
KEY_BYTES = 64


class Outbox(Generic[K, T]):
    """What is to be sent to a session and is not sent yet."""

    def __init__(self, key: Callable[[T], K], size: Callable[[T], int]) -> None:
        """`key(item)` is that by which it is read again, `size(item)` its bytes."""
        self._key, self._size = key, size
        self._ready: list[T] = []  # before all that is owed
        self._bytes = 0  # in _ready
        #: Keys of what waits for a later turn.
        self.owed: deque[K] = deque()

    def add(self, item: T) -> None:
        """It came to be just now."""
        if self.owed or self._bytes >= TURN_BYTES:
            self.owed.append(self._key(item))
        else:
            self._ready.append(item)
            self._bytes += self._size(item)

    def hold(self) -> None:
        """Nothing can be sent now: keep no data."""
        self.owed.extendleft(map(self._key, reversed(self._ready)))
        self._ready, self._bytes = [], 0

    def clear(self) -> list[K]:
        """Drop everything; returns the keys of it, in order."""
        self.hold()
        dropped, self.owed = self.owed, deque()
        return list(dropped)

    def take(self, read: Callable[[deque[K]], Iterable[T]]) -> list[T]:
        """Remove and return what may leave in one turn.

        `read(owed)` takes some keys off the left, and returns those of their items that are to be
        sent.
        """
        items, size = self._ready, self._bytes
        self._ready, self._bytes = [], 0
        while self.owed and size < TURN_BYTES:
            keys, more = len(self.owed), list(read(self.owed))
            items += more
            size += sum(map(self._size, more)) + KEY_BYTES * (keys - len(self.owed))
        return items
