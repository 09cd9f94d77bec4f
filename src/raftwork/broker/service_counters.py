"""What a broker counts while it serves as a leader, over all its leaderships. Sans-IO.

The loop adds to integers; a child process makes text of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from raftwork.broker.latencies import LatencyCounter
from raftwork.messages import Code
from raftwork.messages.facts import ServiceFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from raftwork.messages.registry import Frame

#: Queues whose refused enqueues are told apart: the first ones. Others, and those that do not
#: exist, are `OTHER`: whoever is refused chooses the name.
QUEUES_MAX: Final = 200
OTHER: Final = "other"
_FULL: Final = "full"
_WORDS: Final = re.compile(r"(?<!^)(?=[A-Z])")


class ServiceCounters:
    """Of one broker since its start."""

    def __init__(self, clock_ns: Callable[[], int] = lambda: 0) -> None:
        """`clock_ns` is monotonic; nothing that is promised depends on it."""
        self.clock_ns = clock_ns
        #: Of entries: from when they were proposed until they were applied.
        self.commits = LatencyCounter()
        #: Of reads: until their barriers had passed.
        self.reads = LatencyCounter()
        #: By their types, of which there are some dozens.
        self.requests: dict[type[Frame], int] = defaultdict(int)
        self.stale_reports = 0
        self._refused: dict[tuple[str, str], int] = defaultdict(int)
        self._queues: set[str] = set()

    def refused(self, queues: Sequence[str], code: Code, known: Container[str]) -> None:
        """An enqueue into these queues was refused; `known` are those that exist."""
        for queue in queues or (OTHER,):
            reason = _FULL if code is Code.QUEUE_FULL else code.name.lower()
            self._refused[self._label(queue, known), reason] += 1

    def _label(self, queue: str, known: Container[str]) -> str:
        if queue in self._queues:
            return queue
        if queue not in known or len(self._queues) >= QUEUES_MAX:
            return OTHER
        self._queues.add(queue)
        return queue

    def told(self, proposals: int, watches: int) -> ServiceFacts:
        """All of it so far, with what is of now."""
        requests = sorted((_words(type_), count) for type_, count in self.requests.items())
        refused = sorted((*of, count) for of, count in self._refused.items())
        return ServiceFacts(
            *(self.commits.told(), self.reads.told(), proposals, watches),
            *(requests, refused, self.stale_reports),
        )


def _words(request: type[Frame]) -> str:
    """PurgeQueue as `purge_queue`."""
    return _WORDS.sub("_", request.__name__).lower()
