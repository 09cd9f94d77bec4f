"""A client's sockets, one to each known broker, and the state of their connections.

A program may run out of files to open at any moment. What cannot be opened then is opened later,
and nothing else ends by it. libzmq is not asked when there is no room: it ends the process where it
cannot make a descriptor of its own.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import zmq
from zmq.utils.monitor import recv_monitor_message

from raftwork.messages import FRAME_BYTES_MAX
from raftwork.net.dialling import Dialler
from raftwork.net.resolving import LookUp, ThreadResolver, reason

#: Between attempts to connect to a broker that is not there.
_RECONNECT_MS = 50
_RECONNECT_MAX_MS = 500
#: Frames taken from one socket before the others get their turn.
_FRAMES_PER_TURN = 100
#: Frames queued to a broker that does not read; beyond, they are dropped and go again later.
_SEND_HWM = 4_096
#: Until what could not be opened is tried again.
_AGAIN_MS = 500
#: Descriptors for libzmq's own threads, and for one more socket with its monitor and connection.
_CONTEXT_FILES = 16
_SOCKET_FILES = 8
_LINK_UP = zmq.EVENT_HANDSHAKE_SUCCEEDED
_LINK_DOWN = zmq.EVENT_DISCONNECTED


class _Link(NamedTuple):
    address: str
    socket: "zmq.Socket[bytes]"
    monitor: "zmq.Socket[bytes]"


class Links:
    """Lives in one thread. Addresses are HOST:PORT, times monotonic ms."""

    def __init__(self, look_up: LookUp) -> None:
        """Raises OSError if nothing can be opened."""
        _room(_CONTEXT_FILES)
        self._poller = zmq.Poller()
        self._resolver = ThreadResolver(look_up)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._dialler = Dialler(self._resolver)
        self._links: dict[str, _Link] = {}
        self._by_socket: dict[object, _Link] = {}
        self._by_monitor: dict[object, _Link] = {}
        #: Those that could not be opened, and when to try again.
        self._unopened: dict[str, int] = {}
        self._unreachable: list[tuple[str, str]] = []
        self.watch(self._resolver.fileno())

    def watch(self, fd: int) -> None:
        """Make `poll` also return when this descriptor is readable."""
        self._poller.register(fd, zmq.POLLIN)

    def poll(self, timeout: int | None) -> list[object]:
        """Wait (ms) for something to read."""
        return [ready for ready, _ in self._poller.poll(timeout)]

    def connect(self, address: str, now: int) -> None:
        """Have a connection to this broker from now on, as soon as there can be one."""
        try:
            _room(_SOCKET_FILES if self._links else _CONTEXT_FILES)
            self._open(address)
        except OSError as error:  # libzmq's errors are such, too
            self._unopened[address] = now + _AGAIN_MS
            text = f"cannot open a connection: {reason(error)}"
            self._unreachable.append((address, text))
            return
        if self._unopened.pop(address, None) is not None:
            self._unreachable.append((address, ""))
        self._dialler.dial(address, address, now)
        self._dial(now)

    def send(self, address: str, frame: bytes) -> None:
        """Send a frame. It is dropped if there is no connection, or the broker does not read."""
        link = self._links.get(address)
        if link is not None:
            with contextlib.suppress(zmq.Again):
                link.socket.send(frame, zmq.DONTWAIT)

    def tend(self, now: int) -> list[tuple[str, str]]:
        """Open, look up and connect what is due.

        Returns the addresses that cannot be reached and why; an empty reason is one that is gone.
        """
        if self._unopened:
            for address, at in list(self._unopened.items()):
                if now >= at:
                    self.connect(address, now)
        self._dial(now)
        unreachable, self._unreachable = self._unreachable, []
        return [*unreachable, *self._dialler.unresolved()]

    def changes(self, ready: object, now: int) -> Iterator[tuple[str, bool]]:
        """(address, up) if what is ready is a connection that was made or lost."""
        if link := self._by_monitor.get(ready):
            up = recv_monitor_message(link.monitor)["event"] == _LINK_UP
            if up:
                self._dialler.up(link.address)
            else:
                self._dialler.down(link.address, now)
            yield link.address, up

    def frames(self, ready: object) -> Iterator[tuple[str, bytes]]:
        """(address, frame) for a share of what came, if what is ready is a broker's socket."""
        if link := self._by_socket.get(ready):
            with contextlib.suppress(zmq.Again):
                for _ in range(_FRAMES_PER_TURN):
                    frames = link.socket.recv_multipart(zmq.DONTWAIT)
                    if len(frames) == 1:
                        yield link.address, frames[0]

    def close(self) -> None:
        """Close all sockets, and drop what is queued in them."""
        for link in self._links.values():
            with contextlib.suppress(zmq.ZMQError):
                link.socket.disable_monitor()
            link.monitor.close(linger=0)
            link.socket.close(linger=0)
        self._context.term()
        self._resolver.close()

    def _open(self, address: str) -> None:
        socket = self._context.socket(zmq.DEALER)
        try:
            socket.linger = 0
            socket.immediate = 1
            socket.reconnect_ivl, socket.reconnect_ivl_max = _RECONNECT_MS, _RECONNECT_MAX_MS
            socket.maxmsgsize = FRAME_BYTES_MAX
            socket.sndhwm = _SEND_HWM
            monitor = socket.get_monitor_socket(_LINK_UP | _LINK_DOWN)
        except BaseException:
            socket.close(linger=0)
            raise
        link = _Link(address, socket, monitor)
        self._links[address] = link
        self._by_socket[socket], self._by_monitor[monitor] = link, link
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(monitor, zmq.POLLIN)

    def _dial(self, now: int) -> None:
        for key, old, new, ipv6 in self._dialler.due(now):
            socket = self._links[key].socket
            if old is not None:
                socket.disconnect(old)
            socket.ipv6 = ipv6
            socket.connect(new)


def _room(files: int) -> None:
    """Raises OSError unless this process can open `files` more files."""
    opened: list[int] = []
    try:
        for _ in range(files):
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401
    finally:
        for fd in opened:
            os.close(fd)
