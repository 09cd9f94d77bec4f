"""Asks a broker, and the others, once a second what they say of themselves, for all who ask us."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from raftwork.broker.access.access_list import read_access
from raftwork.client.cluster_status import gather
from raftwork.client.may_stop import by_name
from raftwork.errors import AccessListRefused, KeyRefused, RaftworkError
from raftwork.keys import Key, read_key
from raftwork.web.health import Health

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Between two questions, and for an answer, s.
EVERY_S: Final = 1.0


def now_ms() -> int:
    """Milliseconds on the monotonic clock."""
    return time.monotonic_ns() // 1_000_000


class Watch:
    """A thread that keeps a Health up to date. Read it under `lock`."""

    def __init__(
        self, name: str, brokers: Sequence[str], data: str, keys: tuple[str, str] | None = None
    ) -> None:
        """`brokers` are addresses, the broker's own first; `data` is its directory.

        `keys` are the broker's own key file, and its access list.
        """
        self.health = Health(name, now_ms())
        self.lock = threading.Lock()
        self._keys, self._key = keys, None if keys is None else _read_key(*keys)
        self._brokers, self._data = list(brokers), data
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            self.look()
            self._over.wait(max(0.0, began + EVERY_S - time.monotonic()))

    def look(self) -> None:
        """Ask once."""
        try:
            if self._keys is not None:
                self._key = _read_key(*self._keys)  # it may have been replaced
        except (AccessListRefused, KeyRefused):
            pass  # as the broker does with a list that cannot be read
        try:
            answers = gather(self._brokers, EVERY_S, follow=True, key=self._key)
            found = by_name(answers.statuses)
        except RaftworkError:
            found = {}  # it is not let in: nothing is known
        free = _free_bytes(self._data)
        with self.lock:
            self.health.look(found, free, now_ms())


def _read_key(key: str, access: str) -> Key:
    """A broker's key, with the others' public ones: its file need not have these."""
    return replace(read_key(key), brokers=read_access(access).broker_keys)


def _free_bytes(data: str) -> int | None:
    """Room for who is not root, on the disk of that directory."""
    try:
        found = os.statvfs(data)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
