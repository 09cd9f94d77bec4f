"""What is at the other end of each routing id. Sans-IO.

A routing id is only a return address, and any process may pick one; a hello makes it a session.
The table is bounded: the one not heard for longest goes first, and is asked to say hello again.
"""

from collections import OrderedDict
from collections.abc import Iterator
from enum import Enum, StrEnum

#: Sessions kept at most.
SESSIONS_MAX = 50_000
#: A session unheard for so long (ms) is dropped; idle clients simply say hello again.
IDLE_MS = 600_000


class Kind(Enum):
    """What opened a session."""

    CLIENT = "client"
    WORKER = "worker"


class End(StrEnum):
    """Why a session ended."""

    DISCONNECTED = "disconnected"  # its connection closed
    LEFT = "left"  # it said goodbye
    SLOW = "slow"  # it did not take what it was sent
    PROTOCOL = "protocol"  # it broke the protocol, or asked on and on without reading the answers
    FAILED = "failed"  # the broker failed at what it was sent, or at the leader's own work
    IDLE = "idle"  # unheard for long
    ROOM = "room"  # there were too many


class Sessions:
    """The open sessions of clients and workers, in the order in which they were last heard."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[bytes, tuple[Kind, int]] = OrderedDict()
        #: Those of clients.
        self.clients = 0
        #: How many ended, by why.
        self.ended = dict.fromkeys(End, 0)

    def open(self, routing: bytes, kind: Kind, now: int) -> list[bytes]:
        """Start (or restart) a session; returns those that were dropped for it."""
        before = self.kind(routing)
        self.clients += (kind is Kind.CLIENT) - (before is Kind.CLIENT)
        self._sessions[routing] = (kind, now)
        self._sessions.move_to_end(routing)
        dropped = []
        while self._sessions:
            oldest = next(iter(self._sessions))
            idle = now - self._sessions[oldest][1] > IDLE_MS
            if not idle and len(self._sessions) <= SESSIONS_MAX:
                break
            self.close(oldest, End.IDLE if idle else End.ROOM)
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

    def close(self, routing: bytes, why: End = End.DISCONNECTED) -> bool:
        """Drop the session; returns whether there was one."""
        session = self._sessions.pop(routing, None)
        if session is None:
            return False
        self.clients -= session[0] is Kind.CLIENT
        self.ended[why] += 1
        return True

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._sessions))
