"""Connections that break the protocol, or ask and do not read the answers, until they are closed.

libzmq cannot close one connection of a ROUTER, but tells with every frame the descriptor that it
came over. So the kernel is told that nothing more will be read there, and libzmq closes it once it
has read to that end. Three things could go wrong, and must not:

1. Shutting both directions down ends the process: libzmq takes the hang-up for an error, and then
   answers a ping that it finds in its buffer, which it asserts that it never does.
2. What was sent before still comes, and by then its descriptor may be another connection's: it is
   skipped.
3. A process that chose its own routing id (none of ours does) may come back under the same one,
   and is heard again: what is closed is the connection, known by the address of its other end.
"""

import errno
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress

#: Frames that are none, until their connection is closed: enough to tell a newcomer what is wrong.
VIOLATIONS_MAX = 16
#: So many violators are known, and as many that were closed; beyond, the oldest are forgotten.
VIOLATORS_MAX = 1_024
#: Descriptors looked at in one go: each costs some ten microseconds.
_LOOKED_AT_MAX = 2_000

#: The address of a connection's other end.
RemoteAddress = tuple[str, int]


class ProtocolViolations:
    """Counts violations and closed connections, by routing id."""

    def __init__(self) -> None:
        self._violations: dict[bytes, int] = {}
        self._closed: dict[bytes, RemoteAddress | None] = {}

    def count_violation(self, routing: bytes, count: int = 1) -> None:
        """Count violations of this routing id."""
        self._violations[routing] = self._violations.get(routing, 0) + count
        if len(self._violations) > VIOLATORS_MAX:
            del self._violations[next(iter(self._violations))]

    def suspect(self, routing: bytes) -> bool:
        """Whether what comes from there is to be skipped unless `comes_again`."""
        return routing in self._closed or self._violations.get(routing, 0) >= VIOLATIONS_MAX

    def comes_again(self, routing: bytes, remote: RemoteAddress | None) -> bool:
        """Whether a frame of a suspect is one of a new connection, which is no suspect."""
        if remote is None or self._closed.get(routing, remote) == remote:
            return False
        del self._closed[routing]
        return True

    def close(self, routing: bytes, remote: RemoteAddress | None) -> bool:
        """False: it was closed before."""
        if routing in self._closed:
            return False
        self._violations.pop(routing, None)
        self._closed[routing] = remote
        if len(self._closed) > VIOLATORS_MAX:
            del self._closed[next(iter(self._closed))]
        return True


def remote_end(descriptor: int, port: int) -> RemoteAddress | None:
    """Where the connection leads to, if this is one to that port of ours."""
    with suppress(OSError), _accepted(descriptor, port) as tcp:
        host, remote_port, *_ = tcp.getpeername()
        return host, remote_port
    return None


def silent_connections(port: int, heard: Collection[int]) -> Iterator[str]:
    """Where open connections to that port of ours come from, but for those with these descriptors.

    There are none where the system does not list a process's descriptors as Linux does.
    """
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd")[:_LOOKED_AT_MAX]:
            if int(name) not in heard and (remote := remote_end(int(name), port)):
                yield remote[0]


def read_no_more(descriptor: int, port: int) -> None:
    """Have the reader of a connection to that port of ours find its end."""
    with suppress(OSError), _accepted(descriptor, port) as tcp:
        tcp.shutdown(socket.SHUT_RD)


def _accepted(descriptor: int, port: int) -> socket.socket:
    """A socket of our own for the connection. Raises OSError if it is none to that port."""
    copy = os.dup(descriptor)
    try:
        tcp = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
    if tcp.family not in (socket.AF_INET, socket.AF_INET6) or tcp.getsockname()[1] != port:
        tcp.close()
        raise OSError(errno.ENOTCONN, "no connection to that port")
    return tcp
