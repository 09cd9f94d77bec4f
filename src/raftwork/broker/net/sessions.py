"""Who is at the other end of each routing id. Sans-IO.

A routing id is only a return address that anybody may pick; a session is what a hello made of it.
The table is bounded: the one not heard for longest goes first, and is asked to say hello again.
"""

from collections import OrderedDict
from collections.abc import Iterator
from enum import Enum

#: Sessions kept at most.
SESSIONS_MAX = 50_000
#: A session unheard for so long (ms) is dropped; idle clients simply say hello again.
IDLE_MS = 600_000


class Kind(Enum):
    """What opened a session."""

    CLIENT = "client"
    WORKER = "worker"


class Sessions:
    """The open sessions of clients and workers, in the order in which they were last heard."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[bytes, tuple[Kind, int]] = OrderedDict()

    def open(self, routing: bytes, kind: Kind, now: int) -> list[bytes]:
        """Start (or restart) a session; gives those that had to make room."""
        self._sessions[routing] = (kind, now)
        self._sessions.move_to_end(routing)
        dropped = []
        while self._sessions:
            oldest = next(iter(self._sessions))
            idle = now - self._sessions[oldest][1] > IDLE_MS
            if not idle and len(self._sessions) <= SESSIONS_MAX:
                break
            del self._sessions[oldest]
            dropped.append(oldest)
        return dropped

    def heard(self, routing: bytes, kind: Kind, now: int) -> bool:
        """Note a sign of life. False if this routing id has no session of that kind."""
        session = self._sessions.get(routing)
        if session is None or session[0] is not kind:
            return False
        self._sessions[routing] = (kind, now)
        self._sessions.move_to_end(routing)
        return True

    def kind(self, routing: bytes) -> Kind | None:
        """What sort of session it has, if any."""
        session = self._sessions.get(routing)
        return None if session is None else session[0]

    def close(self, routing: bytes) -> bool:
        """Drop the session; returns whether there was one."""
        return self._sessions.pop(routing, None) is not None

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._sessions))
