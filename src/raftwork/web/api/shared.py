"""One answer for all who ask the same within a second: ten viewers cost what one does."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Answers that are kept: the oldest goes.
KEPT_MAX: Final = 256
#: Of all of these together: a task's contents alone may have megabytes.
KEPT_BYTES_MAX: Final = 64 * 1024 * 1024


class _Kept:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.until = 0.0
        self.value: object = None
        self.error: Exception | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.value) if isinstance(self.value, bytes) else 0


class Shared:
    """By what was asked. Safe for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def answer(self, key: str, make: Callable[[], object], lasts_s: float) -> object:
        """A value of `make`, up to `lasts_s` old. Who comes meanwhile waits for it, or its error.

        So a leader that does not answer is waited for once, not by one after the other.
        """
        with self._lock:
            kept = self._kept.setdefault(key, _Kept())
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        with kept.lock:
            if self._clock() >= kept.until:
                try:
                    kept.value, kept.error = make(), None
                except Exception as error:  # noqa: BLE001 - it is raised below, to all who wait
                    kept.value, kept.error = None, error
                kept.until = self._clock() + lasts_s
                self._make_room(key, kept)
            if kept.error is not None:
                raise kept.error
            return kept.value

    def ready(self, key: str) -> object:
        """What `answer` would return at once; None if it has to be made, or waited for."""
        kept = self._kept.get(key)
        if kept is None or kept.error is not None or self._clock() >= kept.until:
            return None
        return kept.value

    def _make_room(self, key: str, made: _Kept) -> None:
        with self._lock:
            if made.size > KEPT_BYTES_MAX and self._kept.get(key) is made:
                del self._kept[key]
            too_many = sum(kept.size for kept in self._kept.values()) - KEPT_BYTES_MAX
            while too_many > 0:
                too_many -= self._kept.popitem(last=False)[1].size

    def forget(self) -> None:
        """Something was changed: who asks now is to see it."""
        with self._lock:
            self._kept.clear()
