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
        self._prompt, self._late = select.poll(), select.poll()  # each has a part of them
        self._sockets: dict[int, zmq.Socket[bytes]] = {}
        self._plain: set[int] = set()
        self._used: dict[zmq.Socket[bytes], None] = {}
        self._ignored: set[zmq.Socket[bytes]] = set()

    def register(self, readable: zmq.Socket[bytes] | int, *, late: bool = False) -> None:
        """Have `poll` return when there is something to read here. A socket may be read `late`."""
        if isinstance(readable, int):
            fd = readable
            self._plain.add(fd)
        else:
            fd = _descriptor(readable)
            self._sockets[fd] = readable
            self._used[readable] = None
        for poll in (self._poll, self._late if late else self._prompt):
            poll.register(fd, select.POLLIN)

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
        """Whether not to return, until told otherwise, for what there is to read here.

        Not to be called for sockets that may be read late.
        """
        if ignored:
            self._ignored.add(socket)
        else:
            self._ignored.discard(socket)
        for poll in (self._poll, self._prompt):
            poll.modify(_descriptor(socket), 0 if ignored else select.POLLIN)

    def poll(self, timeout: int | None, *, patience: int = 0) -> list[object]:
        """Wait (ms; None: for ever) until something is ready; that, which counts as used.

        With `patience`, for so long at most, and what may be read late is told only if nothing else
        is ready by then.
        """
        ready = self._ask_used() if self._used else []
        if ready:
            timeout = 0
        elif patience > 0 and (timeout is None or timeout > patience):
            timeout = patience
        found = (self._poll if patience <= 0 else self._prompt).poll(timeout)
        if patience > 0 and not (found or ready):
            found = self._poll.poll(0)
        for fd, _ in found:
            if fd in self._plain:
                ready.append(fd)
            elif (socket := self._sockets[fd]) not in self._used:
                self._used[socket] = None
                ready.append(socket)
        return ready

    def late(self) -> list[object]:
        """The sockets that may be read late and may have something; they count as used."""
        ready: list[object] = []
        for fd, _ in self._late.poll(0):
            if (socket := self._sockets[fd]) not in self._used:
                self._used[socket] = None
                ready.append(socket)
        return ready

    def _ask_used(self) -> list[object]:
        """The used sockets that have something to read; the others count as used no more."""
        asked = [(socket, _POLLIN) for socket in self._used if socket not in self._ignored]
        found = zmq.zmq_poll(asked, 0)
        if not found and not self._ignored:
            self._used = {}
            return []
        ready: list[object] = [socket for socket, _ in found]
        for socket, _ in asked:
            if socket not in ready:
                del self._used[socket]
        return ready
