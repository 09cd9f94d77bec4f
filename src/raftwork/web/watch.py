"""Asks every broker once a second what it says of itself, for all who ask us."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from raftwork.broker.access.access_list import read_access
from raftwork.client.cluster_status import Answers, gather
from raftwork.client.may_stop import by_name
from raftwork.client.overview import Overview, overview
from raftwork.errors import AccessListRefused, RaftworkError
from raftwork.keys import Key, renewed
from raftwork.web.health import Health
from raftwork.web.queue_rates import QueueRates
from raftwork.web.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from raftwork.messages import BrokerStatus

log = logging.getLogger("raftwork.web")

#: Between two questions, and for an answer, s.
EVERY_S: Final = 1.0


def now_ms() -> int:
    """Milliseconds on the monotonic clock."""
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What the brokers said last."""

    #: When, s since 1970.
    at: float = 0.0
    #: By name; None of one that does not answer.
    statuses: Mapping[str, BrokerStatus | None] = field(default_factory=dict)
    #: The same, judged.
    overview: Overview = field(default_factory=lambda: overview({}))
    #: Why nothing is known; empty if something is.
    failure: str = ""
    #: Of the disk that the own broker's directory is on; None if there is none.
    free_bytes: int | None = None


class Watch:
    """A thread that asks. Read `seen`, which is replaced as a whole; the rest under `lock`."""

    def __init__(
        self,
        brokers: Sequence[str],
        name: str = "",
        data: str = "",
        key: Key | None = None,
        access: str = "",
        ask: Callable[..., Answers] = gather,
    ) -> None:
        """`brokers` are addresses; of a child of a broker that broker's own comes first.

        `name` and `data` are that broker's name and directory, and `access` its access list, which
        has the brokers' public keys; empty if there is none. `key` is who asks.
        """
        self.name = name
        self.health = Health(name, now_ms())
        self.samples = Samples()
        self.queue_rates = QueueRates()
        self.seen = Seen()
        self.lock = threading.Lock()
        self._key, self._access = key, access
        self._renew_key()
        self._brokers, self._data, self._gather = list(brokers), data, ask
        #: Called after each look, in this thread.
        self.on_look: Callable[[], None] = _nothing
        self._over = False
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._over = True
        self._hurry.set()

    def hurry(self) -> None:
        """Something has happened that people wait to see: ask now."""
        self._hurry.set()

    def _run(self) -> None:
        while not self._over:
            began = time.monotonic()
            self._hurry.clear()
            self.look()
            try:
                self.on_look()
            except Exception:
                log.exception("who looks could not be told")
            self._hurry.wait(max(0.0, began + EVERY_S - time.monotonic()))

    def look(self) -> None:
        """Ask once."""
        with suppress(AccessListRefused):  # as the broker does with a list that cannot be read
            self._renew_key()
        failure = ""
        try:
            # What its broker reaches has heard from that which key this process has.
            own = self._brokers[:1] if self._access else self._brokers
            answers = self._gather(
                own, EVERY_S, follow=True, key=self._key, facts=True, reached=bool(self._access)
            )
            judged = overview(answers.statuses, answers.failures)
        except Exception as error:  # noqa: BLE001 - without this thread a broker looks dead for good
            answers, judged, failure = Answers(), overview({}), _why(error)  # nothing is known
        free = _free_bytes(self._data) if self._data else None
        seen = Seen(time.time(), by_name(answers.statuses), judged, failure, free)
        with self.lock:
            self.seen = seen
            self.health.look(seen.statuses, now_ms())
            self.samples.add(seen.at, judged)
            self.queue_rates.add(seen.at, judged)

    def _renew_key(self) -> None:
        """Keys may have been replaced: ours, and brokers'. Raises AccessListRefused."""
        if self._key is not None:
            self._key = renewed(self._key)
            if self._access:
                self._key = replace(self._key, brokers=read_access(self._access).broker_keys)


def _nothing() -> None:
    """Nobody wants to know."""


def _why(error: Exception) -> str:
    if isinstance(error, RaftworkError):
        return str(error)  # such as: it is not let in
    return f"the brokers could not be asked: {type(error).__name__} {error}".rstrip()


def _free_bytes(data: str) -> int | None:
    """Room for who is not root, on the disk of that directory."""
    try:
        found = os.statvfs(data)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
