"""The broker's sockets: one ROUTER for everybody, a DEALER to each other broker.

The rules (design §6.4):
1. Nothing blocks. What a connection cannot take now waits in an outbox with a byte budget; over the
   budget the session is closed: its owner says hello again and asks for what it misses.
2. Consensus messages never wait in an outbox: a stale one is worth nothing, so it is dropped.
3. A send that finds nobody connected is reported: it is how a killed worker is noticed at once.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import zmq
from zmq.utils.monitor import recv_monitor_message

from raftwork.messages import FRAME_BYTES_MAX
from raftwork.renewals import Renewals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logging.getLogger("raftwork.broker")

#: Messages libzmq holds for one connection; the rest waits in our outbox.
SEND_MESSAGES = 128
#: Messages libzmq reads ahead for one connection. A frame may be as large as a whole batch, and
#: whoever floods us with those should fill its own buffers, not our memory.
RECEIVE_MESSAGES = 16
#: Bytes an outbox may hold before its session is closed.
OUTBOX_BYTES = 32 * 1024 * 1024
#: One turn reads at most so many frames, and about so many bytes, from the ROUTER.
TURN_FRAMES = 1_000
TURN_BYTES = 8 * 1024 * 1024
#: … and no more once one connection had so many frames of it: libzmq serves all connections alike,
#: so whoever has fewer waiting has none left by then.
TURN_SHARE = 128
#: A message of more parts is dropped, these and one at a time: it may have millions.
PARTS_MAX = 2
#: Seconds for which the other end's kernel may be silent until a connection is closed.
SILENCE = 3
#: Between attempts to reach another broker (ms): a restarted one must not stand aside for long.
RECONNECT = 20
RECONNECT_MAX = 100


@dataclass(slots=True)
class Outbox:
    frames: deque[bytes] = field(default_factory=deque)
    bytes: int = 0


class Inlet:
    """The reading side of a socket."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        #: Parts are left of a message that has too many.
        self._within = False

    def receive(self) -> list[bytes] | None:
        """The next message's parts; none of them if there are too many; None if nothing came."""
        socket = self._socket
        try:
            parts = [socket.recv(zmq.NOBLOCK)]
        except zmq.Again:
            return None
        while (more := bool(socket.getsockopt(zmq.RCVMORE))) and len(parts) <= PARTS_MAX:
            parts.append(socket.recv())
        began_within, self._within = self._within, more
        return [] if began_within or more else parts


class Wires:
    """Sends and receives frames; knows nothing of what is in them."""

    def __init__(self, address: str, peers: Mapping[str, str], now: int) -> None:
        """Raises zmq.ZMQError if `address` cannot be bound."""
        self._context = zmq.Context()
        self._outboxes: dict[bytes, Outbox] = {}
        self._lost: list[bytes] = []
        self.poller = zmq.Poller()
        try:
            self._router = self._bind(address)
        except zmq.ZMQError:
            self._context.destroy(linger=0)
            raise
        self._inlet = Inlet(self._router)
        self._endpoints = {name: f"tcp://{address}" for name, address in peers.items()}
        self._dealers = {name: self._connect(address) for name, address in peers.items()}
        self._renewals = Renewals()
        for name in peers:
            self._renewals.down(name, now)
        self._peer_inlets = {name: Inlet(dealer) for name, dealer in self._dealers.items()}
        self._monitors = {
            name: dealer.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
            for name, dealer in self._dealers.items()
        }
        for socket in (self._router, *self._dealers.values(), *self._monitors.values()):
            self.poller.register(socket, zmq.POLLIN)

    def _bind(self, address: str) -> zmq.Socket[bytes]:
        router: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 0)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a reconnecting id must not wait for its ghost
        router.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        router.setsockopt(zmq.SNDHWM, SEND_MESSAGES)
        router.setsockopt(zmq.RCVHWM, RECEIVE_MESSAGES)
        _notice_silence(router)
        router.setsockopt(zmq.BACKLOG, 1024)
        router.setsockopt(zmq.IPV6, int(address.startswith("[")))
        router.bind(f"tcp://{address}")
        return router

    def _connect(self, address: str) -> zmq.Socket[bytes]:
        dealer: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.IMMEDIATE, 1)
        dealer.setsockopt(zmq.SNDHWM, 8)
        dealer.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        dealer.setsockopt(zmq.RECONNECT_IVL, RECONNECT)
        dealer.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX)
        _notice_silence(dealer)
        dealer.setsockopt(zmq.IPV6, int(address.startswith("[")))
        dealer.connect(f"tcp://{address}")
        return dealer

    # ---- in -----------------------------------------------------------------------------------

    def link_changes(self, now: int) -> Iterator[tuple[str, bool]]:
        """(name, up) for every connection of a DEALER that came up or was lost."""
        for name, monitor in self._monitors.items():
            with suppress(zmq.Again):
                while True:
                    event = recv_monitor_message(monitor, zmq.NOBLOCK)
                    up = event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
                    if up:
                        self._renewals.up(name)
                    else:
                        self._renewals.down(name, now)
                    yield name, up
        for name in self._renewals.due(now):
            self._dealers[name].disconnect(self._endpoints[name])
            self._dealers[name].connect(self._endpoints[name])

    def from_peers(self) -> Iterator[tuple[str, bytes]]:
        """Frames on our DEALERs: consensus, read before anything else."""
        for name, inlet in self._peer_inlets.items():
            for _ in range(TURN_FRAMES):
                parts = inlet.receive()
                if parts is None:
                    break
                if len(parts) == 1:
                    yield name, parts[0]

    def from_anyone(self) -> Iterator[tuple[bytes, bytes]]:
        """(routing id, frame) from the ROUTER, bounded a turn."""
        left, shares = TURN_BYTES, Counter[bytes]()
        for _ in range(TURN_FRAMES):
            parts = self._inlet.receive()
            if parts is None:
                return
            if len(parts) == 2:
                routing, frame = parts
                yield routing, frame
                shares[routing] += 1
                left -= len(frame)
                if left <= 0 or shares[routing] >= TURN_SHARE:
                    return

    # ---- out ----------------------------------------------------------------------------------

    def send(self, routing: bytes, frame: bytes) -> None:
        """Send now, or keep for later within the budget. Nobody connected: see `lost`."""
        outbox = self._outboxes.get(routing)
        if outbox is None:
            if self._try(routing, frame) is not False:
                return
            outbox = self._outboxes[routing] = Outbox()
        outbox.frames.append(frame)
        outbox.bytes += len(frame)
        if outbox.bytes > OUTBOX_BYTES:
            log.warning("a connection does not read its %d bytes: session closed", outbox.bytes)
            del self._outboxes[routing]
            self._lost.append(routing)

    def send_or_drop(self, routing: bytes, frame: bytes) -> None:
        """A consensus message: now or never."""
        self._try(routing, frame)

    def send_peer(self, name: str, frame: bytes) -> None:
        with suppress(zmq.Again):  # not connected; hellos are repeated
            self._dealers[name].send(frame, zmq.NOBLOCK)

    def lost(self) -> list[bytes]:
        """Routing ids under which nobody is connected any more, drained."""
        out, self._lost = self._lost, []
        return out

    def flush(self) -> None:
        """Try again what waits in outboxes."""
        for routing, outbox in list(self._outboxes.items()):
            while outbox.frames:
                sent = self._try(routing, outbox.frames[0])
                if sent is False:
                    break
                if sent is None:
                    outbox.frames.clear()
                    break
                outbox.bytes -= len(outbox.frames.popleft())
            if not outbox.frames:
                del self._outboxes[routing]

    def takes_more(self, routing: bytes) -> bool:
        """Whether this connection has taken all it was sent so far."""
        return routing not in self._outboxes

    @property
    def congested(self) -> bool:
        return bool(self._outboxes)

    def _try(self, routing: bytes, frame: bytes) -> bool | None:
        """True: sent. False: the connection is full. None: nobody is there."""
        try:
            self._router.send_multipart([routing, frame], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._lost.append(routing)
            return None
        return True

    def close(self, linger_ms: int) -> None:
        """Close all; `linger_ms` for what is already with libzmq to leave."""
        for dealer in self._dealers.values():
            dealer.disable_monitor()
        self._context.destroy(linger=linger_ms)


def _notice_silence(socket: zmq.Socket[bytes]) -> None:
    """Have the kernel close connections whose other end is gone without a word.

    libzmq's own heartbeats would, too. But one that is due on a connection whose owner closed it
    while more had come than we read ahead ends the process: anybody could do that to us.
    """
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, SILENCE)
    socket.setsockopt(zmq.TCP_MAXRT, SILENCE * 1_000)
