"""A client's or worker's connections, one to each known broker, each a DEALER and its monitor.

A program may run out of files to open at any moment. What cannot be opened then is opened later,
and nothing else ends by it. libzmq is not asked when there is no room: it ends the process where it
cannot make a descriptor of its own.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from operator import or_
from typing import NamedTuple

import zmq
from zmq.utils.monitor import recv_monitor_message

from raftwork.keys import Key, decoded, renewed
from raftwork.net.dialling import Dial, Dialler, Unresolved
from raftwork.net.handshakes import Failure, Handshakes
from raftwork.net.polling import ASKS, SocketPoller
from raftwork.net.resolving import LookUp, ThreadResolver, reason

_RECONNECT_MAX_MS = 500
#: Until what could not be opened is tried again.
_AGAIN_MS = 500
#: Descriptors for libzmq's own threads, and for one more socket with its monitor and connection.
_CONTEXT_FILES = 16
_SOCKET_FILES = 8
#: Of frames that are read from one socket at a time: they are copies of what libzmq holds.
_TURN_BYTES = 1024 * 1024
#: As plain numbers: flags of an enumeration cost more than a send.
_NOBLOCK = int(zmq.NOBLOCK)
_LINK_UP = zmq.EVENT_HANDSHAKE_SUCCEEDED
_LINK_DOWN = zmq.EVENT_DISCONNECTED
_CONNECTED = zmq.EVENT_CONNECTED
_FAILURES = {
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): Failure.CLOSED,
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): Failure.DENIED,
}
_FAILED_PROTOCOL = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_EVENTS = _LINK_UP | _LINK_DOWN | _CONNECTED | _FAILED_PROTOCOL | reduce(or_, _FAILURES)


class LinkOptions(NamedTuple):
    """What each connection may hold and how it behaves."""

    #: The longest frame that is read, bytes; one with more closes the connection.
    frame_bytes: int
    #: Between attempts to connect to a broker that is not there, ms, at first.
    reconnect_ms: int = 50
    #: Frames queued to a broker that does not read; beyond, none is taken.
    send_messages: int = 1_000
    #: Frames that libzmq reads ahead.
    receive_messages: int = 1_000
    #: Frames taken from one socket before the others get their turn.
    turn_frames: int = 100


class Link:
    """The socket to one broker, and its monitor."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        address: str,
        options: LinkOptions,
        poller: SocketPoller,
        key: Key | None = None,
        number: int = 0,
    ) -> None:
        """Raises OSError (zmq.ZMQError is one) if it cannot be opened.

        It is the link of that number, from 0.
        """
        self.address, self.key, self._number = address, key, number
        self.handshakes = Handshakes(key, number)
        self._poller = poller
        self._turn_frames = options.turn_frames
        self.socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        try:
            self.socket.linger = 0
            self.socket.immediate = 1  # or a dead broker's backlog would be replayed
            self.socket.reconnect_ivl = options.reconnect_ms
            self.socket.reconnect_ivl_max = _RECONNECT_MAX_MS
            self.socket.maxmsgsize = options.frame_bytes
            self.socket.sndhwm = options.send_messages
            self.socket.rcvhwm = options.receive_messages
            self._show(key)
            self.monitor = self.socket.get_monitor_socket(_EVENTS)
        except BaseException:
            self.socket.close(linger=0)
            raise
        # Without the options that pyzmq's own looks for at every call.
        self._send = super(zmq.Socket, self.socket).send
        # What is ready comes in this order: a connection is known before what came over it.
        poller.register(self.monitor)
        poller.register(self.socket)

    def _show(self, key: Key | None) -> None:
        if key is not None:
            self.socket.curve_publickey = decoded(key.public)
            self.socket.curve_secretkey = key.secret

    def renew(self, key: Key) -> None:
        """Show this key from the next connection on."""
        self.key, self.handshakes = key, Handshakes(key, self._number)
        self._poller.used(self.socket)
        self._show(key)

    def dial(self, dial: Dial) -> None:
        """Connect, and no longer to where it was. What fails is due again soon."""
        self._poller.used(self.socket)
        with suppress(zmq.ZMQError):
            if dial.old is not None:
                self.socket.disconnect(dial.old)
        with suppress(zmq.ZMQError):
            self.socket.ipv6 = dial.ipv6
            if (expected := self.handshakes.expected) is not None:
                self.socket.curve_serverkey = decoded(expected)
            self.socket.connect(dial.new)

    def send(self, frame: bytes) -> bool:
        """False if there is no connection, or it takes no more: the frame is dropped."""
        self._poller.used(self.socket)
        try:
            self._send(frame, _NOBLOCK)
        except zmq.Again:
            return False
        return True

    def frames(self) -> list[bytes]:
        """What has arrived, up to a turn's share."""
        socket, poller = self.socket, self._poller
        frames: list[bytes] = []
        left = _TURN_BYTES
        for count in range(self._turn_frames):
            try:
                # Not copied, it knows whether more follows: to ask the socket costs as much again.
                frame = socket.recv(_NOBLOCK, copy=False)
            except zmq.Again:
                poller.drained(socket)
                break
            if frame.more:  # none of ours has two parts
                socket.recv_multipart()
            else:
                frames.append(frame.bytes)
                left -= len(frame)
            if left < 0:
                break  # the rest is asked for again, as the socket is in use
            if count < ASKS and not poller.more(socket):
                break
        return frames

    def changes(self, now: int) -> Iterator[bool | Failure]:
        """True for each connection made, False for each one lost; or how a handshake failed."""
        while self.monitor.poll(0):
            told = recv_monitor_message(self.monitor, zmq.DONTWAIT)
            event = told["event"]
            if event == _CONNECTED:
                self.handshakes.connected(now)
            elif event in _FAILURES:
                yield _FAILURES[event]
            elif event != _FAILED_PROTOCOL:
                yield event == _LINK_UP
            elif told["value"] == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
                yield Failure.OTHER_MECHANISM

    def close(self, linger_ms: int) -> None:
        """Close the socket; what is not sent yet may take `linger_ms` more."""
        with suppress(zmq.ZMQError):
            self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close(linger=linger_ms)


class Links:
    """Lives in one thread. Addresses are HOST:PORT, times monotonic ms.

    A key may be replaced while this process runs, and so may a broker's: where it is not let in its
    key file is read again, and a new key tried, before anybody is told.
    """

    def __init__(self, look_up: LookUp, options: LinkOptions, key: Key | None = None) -> None:
        """Raises OSError if nothing can be opened. Brokers without keys take no `key`."""
        _room(_CONTEXT_FILES)
        self._key = key
        self._denials: list[tuple[str, str]] = []
        self._options = options
        self._poller = SocketPoller()
        self._resolver = ThreadResolver(look_up)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._dialler = Dialler(self._resolver)
        self._links: dict[str, Link] = {}
        self._by_socket: dict[object, Link] = {}
        self._by_monitor: dict[object, Link] = {}
        #: Those without a connection.
        self._down: set[str] = set()
        #: A name was looked up.
        self._found = False
        #: Those that could not be opened, and when to try again.
        self._unopened: dict[str, int] = {}
        self._opening: list[tuple[str, str]] = []
        self._resolver_fd = self._resolver.fileno()
        self.watch(self._resolver_fd)

    def watch(self, fd: int) -> None:
        """Make `poll` also return when this descriptor is readable."""
        self._poller.register(fd)

    def poll(self, timeout: int | None) -> list[object]:
        """Wait (ms) for something to read."""
        ready = self._poller.poll(timeout)
        self._found = self._resolver_fd in ready
        return ready

    def connect(self, address: str, now: int) -> None:
        """Have a connection to this broker from now on, as soon as there can be one."""
        if address not in self._links and address not in self._unopened:
            self._open(address, now)

    def send(self, address: str, frame: bytes) -> bool:
        """Send a frame. False: it is dropped, without a connection or as the broker reads none."""
        link = self._links.get(address)
        return link is not None and link.send(frame)

    @property
    def restless(self) -> bool:
        """Whether there may be anything to tend, or to report; while all is well there is not."""
        return bool(self._down or self._unopened or self._found)

    def tend(self, now: int) -> None:
        """Open, look up and connect what is due."""
        if self._unopened:
            for address, at in list(self._unopened.items()):
                if now >= at:
                    self._open(address, now)
        self._dial(now)

    def unopened(self) -> list[tuple[str, str]]:
        """Drain the (address, why) of those that cannot be opened. Empty: it is open by now."""
        if not self._opening:
            return []
        out, self._opening = self._opening, []
        return out

    def unresolved(self) -> list[Unresolved]:
        """Drain the names that could not be looked up; each failure is reported once."""
        return self._dialler.unresolved()

    def changes(self, ready: object, now: int) -> list[tuple[str, bool]]:
        """(address, up) for each connection made or lost, if what is ready is its monitor."""
        link = self._by_monitor.get(ready)
        if link is None:
            return []
        changes = []
        for change in list(link.changes(now)):
            if isinstance(change, Failure):
                self._failed(link, change, now)
                continue
            changes.append((link.address, change))
            if change:
                self._down.discard(link.address)
                self._dialler.up(link.address)
                link.handshakes.succeeded()
            else:
                self._down.add(link.address)
                self._dialler.down(link.address, now)
        return changes

    def _failed(self, link: Link, failure: Failure, now: int) -> None:
        if link.handshakes.failed(failure, now):
            self._dialler.redial(link.address, now)
        if not (text := link.handshakes.denial(failure)):
            return
        if self._renewed(link):
            self._dialler.redial(link.address, now)
        else:
            self._denials.append((link.address, text))

    def _renewed(self, link: Link) -> bool:
        """Whether there is another key by now than it was tried with."""
        if self._key is None:
            return False
        if link.key is self._key:
            self._key = renewed(self._key)
        if link.key is self._key:
            return False
        link.renew(self._key)
        return True

    def denials(self) -> list[tuple[str, str]]:
        """Drain the (address, why) of brokers that do not let this process in."""
        if not self._denials:
            return []
        out, self._denials = self._denials, []
        return out

    def frames(self, ready: object) -> list[tuple[str, bytes]]:
        """(address, frame) for a share of what came, if what is ready is a broker's socket."""
        link = self._by_socket.get(ready)
        return [] if link is None else [(link.address, frame) for frame in link.frames()]

    def close(self, linger_ms: int = 0) -> None:
        """Close all sockets; what is queued in them may take `linger_ms` more."""
        for link in self._links.values():
            link.close(linger_ms)
        self._context.term()
        self._resolver.close()

    def _open(self, address: str, now: int) -> None:
        try:
            _room(_SOCKET_FILES if self._links else _CONTEXT_FILES)
            place = len(self._links)
            link = Link(self._context, address, self._options, self._poller, self._key, place)
        except OSError as error:  # libzmq's errors are such, too
            self._unopened[address] = now + _AGAIN_MS
            self._opening.append((address, f"cannot open a connection: {reason(error)}"))
            return
        if self._unopened.pop(address, None) is not None:
            self._opening.append((address, ""))
        self._links[address] = link
        self._down.add(address)
        self._by_socket[link.socket], self._by_monitor[link.monitor] = link, link
        self._dialler.dial(address, address, now)
        self._dial(now)

    def _dial(self, now: int) -> None:
        for dial in self._dialler.due(now):
            self._links[dial.key].dial(dial)


def _room(files: int) -> None:
    """Raises OSError unless this process can open `files` more files."""
    opened: list[int] = []
    try:
        for _ in range(files):
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401
    finally:
        for fd in opened:
            os.close(fd)
