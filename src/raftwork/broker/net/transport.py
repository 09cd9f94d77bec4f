"""The broker's sockets: one ROUTER for all that connect, a DEALER to each other broker.

The rules (design §6.4):
1. Nothing blocks. What a connection cannot take now waits in an outbox with a byte budget; over the
   budget the session is closed: its owner says hello again and asks for what it misses.
2. Consensus messages never wait in an outbox: a stale one is worth nothing, so it is dropped.
3. A connection that has closed is reported, at the latest when a send to it is refused: so a killed
   worker is noticed at once (disconnect_monitor.py).
4. A connection that breaks the protocol, or asks on and on without reading the answers, is closed:
   a flood costs its sender a new connection again and again (protocol_violations.py).
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import zmq
from zmq.utils.monitor import recv_monitor_message

from raftwork.broker.events import unheard
from raftwork.broker.net.authenticator import DOMAIN
from raftwork.broker.net.credentials import FAILED, Credentials
from raftwork.broker.net.disconnect_monitor import PACE_MS, DisconnectMonitor
from raftwork.broker.net.protocol_violations import (
    VIOLATIONS_MAX,
    ProtocolViolations,
    read_no_more,
    remote_end,
)
from raftwork.broker.net.sessions import End
from raftwork.broker.net.socket_options import notice_silence, unpredictable_ids
from raftwork.broker.peer_events import (
    ConnectionClosed,
    FrameUnsent,
    HostKnown,
    HostUnknown,
    SessionClosed,
)
from raftwork.messages import FRAME_BYTES_MAX
from raftwork.net.dialling import Dialler
from raftwork.net.polling import ASKS, SocketPoller
from raftwork.net.resolving import LookUp, ThreadResolver, look_up

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterator, Mapping

    from raftwork.broker.access.admission import Admission
    from raftwork.broker.events import Event

#: Messages libzmq holds for one connection; the rest waits in our outbox.
SEND_MESSAGES = 128
#: Messages libzmq reads ahead for one connection. A frame may be as large as a whole batch, and a
#: process that floods us with those should fill its own buffers, not our memory.
RECEIVE_MESSAGES = 16
#: Bytes an outbox may hold before its session is closed.
OUTBOX_BYTES = 32 * 1024 * 1024
#: Bytes in all outboxes, before the fullest one's session is closed.
OUTBOXES_BYTES = 256 * 1024 * 1024
#: One turn reads at most so many frames, and about so many bytes, from the ROUTER.
TURN_FRAMES = 1_000
TURN_BYTES = 8 * 1024 * 1024
#: … and no more once one connection had so many frames of it: libzmq serves all connections alike,
#: so connections with fewer waiting have none left by then.
TURN_SHARE = 128
#: A message of more parts is dropped, these and one at a time: it may have millions.
PARTS_MAX = 2
#: A routing id may have so many bytes (as ZMTP says; libzmq takes any number, and we keep ids).
ROUTING_MAX = 255
#: Connections that are closed from here, until their end is told.
CLOSING_MAX = 1_024
#: Between looks at connections that have not taken all they were sent (ms).
CONGESTED_MS = 5
#: Between attempts to reach another broker (ms): a restarted one must not stand aside for long.
RECONNECT_MS = 20
RECONNECT_MAX = 100


_LINK_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
#: As plain numbers: flags of an enumeration cost more than the send.
_NOBLOCK = int(zmq.NOBLOCK)
_FIRST_PART = int(zmq.NOBLOCK | zmq.SNDMORE)


@dataclass(slots=True)
class Outbox:
    """Frames that one connection has not taken yet, and their bytes."""

    frames: deque[bytes] = field(default_factory=deque)
    bytes: int = 0


class Inlet:
    """The reading side of a socket."""

    def __init__(self, socket: zmq.Socket[bytes], poller: SocketPoller) -> None:
        self._socket = socket
        self._poller = poller
        #: Whether there is more to read.
        self.more: Callable[[], bool] = partial(poller.more, socket)
        #: Parts are left of a message that has too many.
        self._within = False

    def receive(self) -> list[zmq.Frame] | None:
        """The next message's parts, or None if nothing came.

        Of a message with too many, the first few: one more than it may have. What follows of it
        comes as empty lists.
        """
        try:
            part = self._socket.recv(_NOBLOCK, copy=False)
        except zmq.Again:  # never within a message: libzmq has all its parts, or none
            self._poller.drained(self._socket)
            return None
        parts = [part]
        while part.more and len(parts) <= PARTS_MAX:
            part = self._socket.recv(_NOBLOCK, copy=False)
            parts.append(part)
        began_within, self._within = self._within, part.more
        return [] if began_within else parts


class Transport:
    """Sends and receives frames; knows nothing of what is in them."""

    #: Takes what happens, for people.
    tell: Callable[[Event], None] = staticmethod(unheard)
    #: Connections of the ROUTER may have closed that are not reported yet.
    _some_closed = False
    #: None: there are no keys.
    _keys: Credentials | None = None

    def __init__(
        self,
        address: str,
        peers: Mapping[str, str],
        now: int,
        look_up: LookUp = look_up,
        admission: Admission | None = None,
    ) -> None:
        """Raises zmq.ZMQError if `address`, of numbers, cannot be bound.

        `peers` are the addresses of the others, by name; hosts' names in them are looked up.
        Without `admission` there are no keys, and everybody is let in.
        """
        # To encrypt takes one of them 2 ms for each MiB.
        self._context = zmq.Context(io_threads=1 if admission is None else 2)
        self._outboxes: dict[bytes, Outbox] = {}
        self._waiting = 0  # bytes in all of them
        self._lost: list[bytes] = []
        #: Why connections end that are closed from here, until the end of their sessions is told.
        self._closing: dict[bytes, End] = {}
        self._poller, self._anyone = SocketPoller(), True
        self.late = self._poller.late  # what has something for `from_peers`, after patience
        self._sent = False  # on the ROUTER, since the last poll
        if admission is not None:
            self._keys = Credentials(
                admission, self._context, self._poller, lambda event: self.tell(event)
            )
        try:
            self._router = self._bind(address)
        except zmq.ZMQError:
            self._context.destroy(linger=0)
            raise
        #: Among what `poll` returns if `from_anyone` has something.
        self.anyone: object = self._router
        # What zmq.Socket has around this is for kinds of sockets that are not ours.
        self._send = super(zmq.Socket, self._router).send
        self._port = int(address.rpartition(":")[2])
        self._inlet = Inlet(self._router, self._poller)
        self._violations = ProtocolViolations()
        self._resolver = ThreadResolver(look_up)
        #: Among what `poll` returns, at once, until `tend` takes a name server's answers.
        self.resolved = self._resolver.fileno()
        self.watch(self.resolved)
        self._dialler = Dialler(self._resolver)
        self._dealers = {name: self._dealer() for name in peers}
        peers_dealers = self._dealers.items()
        self._peer_inlets = [(name, d, Inlet(d, self._poller)) for name, d in peers_dealers]
        self._monitors = {
            name: dealer.get_monitor_socket(_LINK_EVENTS | (FAILED if self._keys else 0))
            for name, dealer in self._dealers.items()
        }
        self._monitoring = SocketPoller()
        for monitor in self._monitors.values():
            self._monitoring.register(monitor)
        for each in (self._router, *self._monitors.values()):
            self.watch(each)
        for name, at in peers.items():
            self._dialler.dial(name, at, now)
        self.tend(now)

    def _bind(self, address: str) -> zmq.Socket[bytes]:
        unpredictable_ids()
        router: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 0)
        # No ROUTER_HANDOVER: each connection has a name of its own, and no other may take it.
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        # With a domain and no authenticator, ZMTP 1 and 2 are turned away: any bytes pass for
        # ZMTP 1, and its connections could not be closed (rule 4).
        router.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        if self._keys is not None:
            self._keys.listen(router)
        router.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        router.setsockopt(zmq.SNDHWM, SEND_MESSAGES)
        router.setsockopt(zmq.RCVHWM, RECEIVE_MESSAGES)
        notice_silence(router)
        router.setsockopt(zmq.BACKLOG, 1024)
        router.setsockopt(zmq.IPV6, int(address.startswith("[")))
        self._disconnects = DisconnectMonitor(self._context, router, self._poller)
        router.bind(f"tcp://{address}")
        return router

    def _dealer(self) -> zmq.Socket[bytes]:
        dealer: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.IMMEDIATE, 1)
        dealer.setsockopt(zmq.SNDHWM, 8)
        dealer.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        dealer.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        dealer.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX)
        notice_silence(dealer)
        self._poller.register(dealer, late=True)
        return dealer

    def watch(self, readable: zmq.Socket[bytes] | int) -> None:
        """Have `poll` return when there is something to read here, too."""
        self._poller.register(readable)

    def poll(self, timeout: int, *, anyone: bool, patience: int = 0) -> list[object]:
        """Wait (ms) for something to read. With `anyone`, also for `from_anyone`.

        Not for long while a frame waits for a connection to take it. With `patience`, at most for
        so long, and frames of other brokers are told only if nothing else came.
        """
        if self._outboxes:
            timeout = min(timeout, CONGESTED_MS)
        if self._disconnects.paced:
            timeout = min(timeout, PACE_MS)
        if anyone != self._anyone:
            self._anyone = anyone
            self._poller.ignore(self._router, ignored=not anyone)
        if self._sent:
            self._sent = False
            self._poller.used(self._router)
        ready = self._poller.poll(timeout, patience=patience)
        if self._disconnects.monitor in ready:
            self._some_closed = True
        if self._keys is not None:
            self._keys.answer(ready)
        return ready

    # ---- in -----------------------------------------------------------------------------------

    def link_changes(self, now: int) -> Iterator[tuple[str, bool]]:
        """(name, up) for every connection of a DEALER that came up or was lost.

        Up to this moment, not only to that of `poll`: a broker that is asked for its vote should
        know by then that its connection to the leader closed, too.
        """
        if not self._monitoring.poll(0):
            return
        for name, monitor in self._monitors.items():
            while monitor.poll(0):
                event = recv_monitor_message(monitor, zmq.NOBLOCK)
                up = event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
                if self._keys is not None and self._keys.failed(name, event["event"]):
                    continue  # its end follows
                if up:
                    self._dialler.up(name)
                else:
                    self._dialler.down(name, now)
                yield name, up
        self.tend(now)

    def dial(self, name: str, address: str, now: int) -> None:
        """Connect to the named broker at this address, and no longer at another."""
        self._dialler.dial(name, address, now)
        self.tend(now)

    def tend(self, now: int) -> None:
        """Connect what is to be connected by now, and look who closes if none wake for that."""
        if self._disconnects.tend(now):
            self._some_closed = True
        for name, old, new, ipv6 in self._dialler.due(now):
            dealer = self._dealers[name]
            # What fails here is that link alone: it is soon due again.
            self._poller.used(dealer)
            with suppress(zmq.ZMQError):
                if old is not None:
                    dealer.disconnect(old)
            with suppress(zmq.ZMQError):
                dealer.setsockopt(zmq.IPV6, int(ipv6))
                if self._keys is None or self._keys.dial(name, dealer):
                    dealer.connect(new)
        for name, text in self._dialler.unresolved():
            if text:
                self.tell(HostUnknown(name, text))
            else:
                self.tell(HostKnown(name))
        if self._keys is not None:
            self._keys.tend(self._disconnects, self._port, now)

    def from_peers(self, ready: Container[object]) -> Iterator[tuple[str, memoryview]]:
        """Frames on our DEALERs: consensus, read before anything else. `ready` is from `poll`."""
        for name, dealer, inlet in self._peer_inlets:
            if dealer not in ready:
                continue
            for count in range(TURN_FRAMES):
                parts = inlet.receive()
                if parts is None:
                    break
                if len(parts) == 1:
                    yield name, parts[0].buffer
                if count < ASKS and not inlet.more():
                    break

    def from_anyone(self) -> Iterator[tuple[bytes, memoryview, str]]:
        """(routing id, frame, public key or nothing) from the ROUTER, bounded a turn."""
        left, shares = TURN_BYTES, dict[bytes, int]()
        for count in range(TURN_FRAMES):
            if 0 < count <= ASKS and not self._inlet.more():
                return
            parts = self._inlet.receive()
            if parts is None:
                return
            if not parts:
                continue
            routing = parts[0].bytes if len(parts[0]) <= ROUTING_MAX else b""
            if not routing:
                self._hang_up(parts[-1])
            elif self._violations.suspect(routing) and self._skips(routing, parts[-1]):
                pass
            elif len(parts) == 2:
                if routing not in self._disconnects.known:
                    self._disconnects.note(routing, _descriptor(parts[1]))
                    self._some_closed = True
                user = "" if self._keys is None else self._keys.user(routing, parts[1])
                if user is None:
                    self._lost.append(routing)
                else:
                    yield routing, parts[1].buffer, user
            else:
                self._violations.count_violation(routing)
            shares[routing] = shares.get(routing, 0) + 1
            left -= len(parts[0]) + len(parts[-1])
            if left <= 0 or shares[routing] >= TURN_SHARE:
                return

    def cut(self, keys: Collection[str], now: int) -> None:
        """These public keys are let in no more, or for other things: close their connections."""
        assert self._keys is not None
        self._disconnects.read()  # or a descriptor may be another connection's by now
        for name in self._keys.cut(keys, self._disconnects.descriptors(), self._port):
            self._dialler.redial(name, now)
        self.tend(now)

    def count_violation(self, routing: bytes) -> None:
        """What came from there is no frame of ours."""
        self._violations.count_violation(routing)

    def _skips(self, routing: bytes, frame: zmq.Frame) -> bool:
        """Whether not to read a suspect's frame. Closes its connection if that is to be done."""
        remote = remote_end(_descriptor(frame), self._port)
        if self._violations.comes_again(routing, remote):
            return False
        if self._violations.close(routing, remote):
            self._hang_up(frame)
            self._closes(routing, End.PROTOCOL)
        return True

    def _hang_up(self, frame: zmq.Frame) -> None:
        self.tell(ConnectionClosed())
        read_no_more(_descriptor(frame), self._port)

    def _closes(self, routing: bytes, why: End) -> None:
        self._closing[routing] = why
        if len(self._closing) > CLOSING_MAX:  # of some the end is never told
            del self._closing[next(iter(self._closing))]

    def why_closed(self, routing: bytes) -> End:
        """Of a connection that `tidy` told of; to be asked once."""
        return self._closing.pop(routing, End.DISCONNECTED)

    # ---- out ----------------------------------------------------------------------------------

    def send(self, routing: bytes, frame: bytes) -> None:
        """Send now, or keep for later within the budget. Without a connection: see `lost`."""
        outbox = self._outboxes.get(routing)
        if outbox is None:
            if self.send_or_drop(routing, frame) is not False:
                return
            outbox = self._outboxes[routing] = Outbox()
        outbox.frames.append(frame)
        outbox.bytes += len(frame)
        self._waiting += len(frame)
        if outbox.bytes > OUTBOX_BYTES:
            self._give_up(routing)
        elif self._waiting > OUTBOXES_BYTES:
            self._give_up(max(self._outboxes, key=lambda each: self._outboxes[each].bytes))

    def _give_up(self, routing: bytes) -> None:
        outbox = self._outboxes.pop(routing)
        self._waiting -= outbox.bytes
        self.tell(SessionClosed(outbox.bytes))
        self._closes(routing, End.SLOW)
        self._lost.append(routing)
        self._violations.count_violation(routing, VIOLATIONS_MAX)

    def send_peer(self, name: str, frame: bytes) -> None:
        """Send on our DEALER to the named broker, or drop it if that is not connected."""
        self._poller.used(self._dealers[name])
        with suppress(zmq.Again):  # not connected; hellos are repeated
            self._dealers[name].send(frame, _NOBLOCK)

    def tidy(self) -> list[bytes]:
        """Try again what waits; returns routing ids whose connections are gone, drained."""
        if self._outboxes:
            self._flush()
        if self._some_closed:
            self._look_for_closed()
        if not self._lost:
            return []
        out, self._lost = self._lost, []
        if self._keys is not None:
            self._keys.gone(out)
        return out

    def _look_for_closed(self) -> None:
        self._poller.used(self._router)
        if self._disconnects.read() and not self._inlet.more():
            self._some_closed = False
            self._lost += self._disconnects.drain()

    def _flush(self) -> None:
        for routing, outbox in list(self._outboxes.items()):
            before = outbox.bytes
            while outbox.frames:
                sent = self.send_or_drop(routing, outbox.frames[0])
                if sent is False:
                    break
                if sent is None:
                    outbox.frames.clear()
                    outbox.bytes = 0
                    break
                outbox.bytes -= len(outbox.frames.popleft())
            self._waiting -= before - outbox.bytes
            if not outbox.frames:
                del self._outboxes[routing]

    def writable(self, routing: bytes) -> bool:
        """Whether this connection has taken all it was sent so far."""
        return routing not in self._outboxes

    @property
    def outbox_bytes(self) -> int:
        """That wait for connections to take them."""
        return self._waiting

    @property
    def congested(self) -> bool:
        """Whether any frame waits for a connection to take it."""
        return bool(self._outboxes)

    def send_or_drop(self, routing: bytes, frame: bytes) -> bool | None:
        """Now or never, as consensus messages are sent.

        True: sent. False: the connection is full. None: there is no connection.
        """
        self._sent = True
        try:
            self._send(routing, _FIRST_PART)
            self._send(frame, _NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:  # whatever it is, it is that connection's
            if error.errno != zmq.EHOSTUNREACH:
                self.tell(FrameUnsent(str(error)))
            self._lost.append(routing)
            return None
        return True

    def close(self, linger_ms: int) -> None:
        """Close all; `linger_ms` for what is already with libzmq to leave."""
        for dealer in self._dealers.values():
            dealer.disable_monitor()
        self._router.disable_monitor()
        self._resolver.close()
        self._context.destroy(linger=linger_ms)


def _descriptor(frame: zmq.Frame) -> int:
    """Of the connection that this came over; −1 if libzmq does not tell."""
    try:
        return int(frame.get(zmq.SRCFD))
    except zmq.ZMQError:
        return -1
