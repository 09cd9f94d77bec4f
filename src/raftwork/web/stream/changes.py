"""What is another than it was, in words: whoever shows a part asks for that again, and else not.

`leader`, `cluster`, `queues` and `workers` are what the brokers say once a second (watch.py); the
other words are of events. Sans-IO, and safe for several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from raftwork.features.event_journal import EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.messages import BrokerStatus
    from raftwork.web.watch import Seen

WORDS: Final = (
    *("leader", "cluster", "queues", "workers"),
    *("tasks", "failures", "schedules", "flows", "limits"),
)
#: Events behind those kinds that are about a task.
_CONCERNED: Final[Mapping[EventKind, tuple[str, ...]]] = {
    EventKind.OTHER: WORDS,
    **dict.fromkeys((EventKind.FAILED, EventKind.LOST), ("tasks", "failures")),
    **dict.fromkeys((EventKind.DEAD, EventKind.REDRIVEN), ("tasks", "failures")),
}
#: Kinds by the tens of their numbers.
_CONCERNED_BY_TENS: Final = (
    *("tasks", "tasks", "queues", "schedules", "flows", "limits", "workers", "cluster"),
)

#: How often each word was said, when somebody looked last.
Counts = Sequence[int]
#: Of one that has not looked yet.
NEVER: Final[Counts] = (-1,) * len(WORDS)


def concerned(kind: EventKind) -> tuple[str, ...]:
    """What an event of this kind makes another; everything, if nothing is said of it here."""
    found = _CONCERNED.get(kind) or _CONCERNED_BY_TENS[kind // 10 : kind // 10 + 1]
    return tuple(found) or WORDS


class Changes:
    """Counts, for each word, how often that was another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0] * len(WORDS)
        self._last: dict[str, object] = {}
        self._happened: set[str] = set()

    def happened(self, kinds: Iterable[int]) -> None:
        """Events of these kinds came about. It is told with what is seen next."""
        words = {word for kind in {*kinds} for word in concerned(EventKind(kind))}
        with self._lock:
            self._happened |= words

    def everything(self) -> None:
        """Nobody knows what happened."""
        with self._lock:
            self._happened |= {*WORDS}

    def look(self, seen: Seen, rates: tuple[float, float]) -> bool:
        """This is what the brokers say now; whether anything is another."""
        judged = seen.overview
        now: dict[str, object] = {
            "leader": (judged.leader, judged.epoch),
            "cluster": ({n: _standing(s) for n, s in seen.statuses.items()}, rates, seen.failure),
            "queues": judged.queues,
            "workers": judged.workers,
        }
        with self._lock:
            words = {word for word, is_now in now.items() if self._last.get(word) != is_now}
            words |= self._happened
            self._last, self._happened = now, set()
            self._counts = [
                n + (word in words) for n, word in zip(self._counts, WORDS, strict=True)
            ]
        return bool(words)

    def since(self, counts: Counts) -> tuple[list[str], Counts]:
        """The words that were said since then, and the counts of now."""
        now = self._counts  # replaced as a whole
        return [word for word, n, was in zip(WORDS, now, counts, strict=True) if n != was], now


def _standing(status: BrokerStatus | None) -> object:
    """What it says of itself, but for what is another in every second."""
    if status is None:
        return None
    facts = status.facts
    sizes = facts and (facts.stalls, facts.log_entries, facts.role_changes, facts.peers)
    where = (status.role, status.active, status.leader, status.epoch)
    return *where, status.committed, status.applied, status.unreached, status.level, sizes
