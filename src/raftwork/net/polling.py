"""Waits for sockets of libzmq by their descriptors.

libzmq's own poll asks every socket it is given, twice a call, whatever there is to read. But each
socket has a descriptor (ZMQ_FD) that is readable once something happened on it that the socket has
not been told yet. Two things follow, and must be kept:

1. Whatever uses a socket, a send as well, tells it what happened: then its descriptor is silent,
   though there may be something to read. So before a socket that was used is waited for, it is
   asked itself, by libzmq's poll.
2. What happened need not be something to read: a read from a socket that is ready may find nothing.
"""

from __future__ import annotations

import select

import zmq

#: To read from an empty socket costs more than to ask whether it is, as zmq.Again has to be made.
#: So a reader asks after each of the first few messages; where more come, it had better read on.
ASKS = 2
_POLLIN = int(zmq.POLLIN)


def _descriptor(socket: zmq.Socket[bytes]) -> int:
    return socket.getsockopt(zmq.FD)  # type: ignore[return-value] # options are of many types


class SocketPoller:
    """Tells which sockets of libzmq, and which other descriptors, may have something to read."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._sockets: dict[int, zmq.Socket[bytes]] = {}
        self._plain: set[int] = set()
        self._used: dict[zmq.Socket[bytes], None] = {}
        self._ignored: zmq.Socket[bytes] | None = None

    def register(self, readable: zmq.Socket[bytes] | int) -> None:
        """Have `poll` return when there is something to read here."""
        if isinstance(readable, int):
            self._plain.add(readable)
            self._poll.register(readable, select.POLLIN)
            return
        fd = _descriptor(readable)
        self._sockets[fd] = readable
        self._poll.register(fd, select.POLLIN)
        self._used[readable] = None

    def used(self, socket: zmq.Socket[bytes]) -> None:
        """The socket was sent to, or read from and not to its end."""
        self._used[socket] = None

    def drained(self, socket: zmq.Socket[bytes]) -> None:
        """The last read from the socket found nothing, and it has not been used since."""
        self._used.pop(socket, None)

    def more(self, socket: zmq.Socket[bytes]) -> bool:
        """Whether there is more to read; else it counts as drained."""
        if zmq.zmq_poll([(socket, _POLLIN)], 0):
            return True
        if socket in self._used:
            del self._used[socket]
        return False

    def ignore(self, socket: zmq.Socket[bytes], *, ignored: bool) -> None:
        """Whether to return, until told otherwise, for what there is to read here."""
        self._ignored = socket if ignored else None
        self._poll.modify(_descriptor(socket), 0 if ignored else select.POLLIN)

    def poll(self, timeout: int | None) -> list[object]:
        """Wait (ms; None: for ever) until something is ready; that, which counts as used."""
        ready = self._ask_used() if self._used else []
        for fd, _ in self._poll.poll(0 if ready else timeout):
            if fd in self._plain:
                ready.append(fd)
            elif (found := self._sockets[fd]) not in self._used:
                self._used[found] = None
                ready.append(found)
        return ready

    def _ask_used(self) -> list[object]:
        """The used sockets that have something to read; the others count as used no more."""
        asked = [(socket, _POLLIN) for socket in self._used if socket is not self._ignored]
        found = zmq.zmq_poll(asked, 0)
        if not found and self._ignored is None:
            self._used = {}
            return []
        ready: list[object] = [socket for socket, _ in found]
        for socket, _ in asked:
            if socket not in ready:
                del self._used[socket]
        return ready
