"""Notices at once which connections of a ROUTER have closed.

A ROUTER's monitor tells of a closed connection by its descriptor, not by its routing id, so the
descriptor of each is noted when its first message comes. libzmq tells of the closing before it
closes the descriptor, and only then can another connection have the same one. Two things follow:

1. What the monitor has told is read before a descriptor is noted: then it means that connection.
2. What it has told came after all that the connection brought. So a closing counts once there is
   nothing left to read from the ROUTER: a worker's last report is not answered with "say hello".

While many close of which nothing was ever heard, as strangers' do, closings wake nobody: they are
looked for every PACE_MS. Each wake-up is a turn of the broker, and costs more than to read of one.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

import zmq

if TYPE_CHECKING:
    from raftwork.net.polling import SocketPoller

#: Disconnects read at a time: strangers may connect and leave as fast as they can.
_READ_MAX = 1_000
#: Between looks for closings (ms) while strangers come and go: and more of theirs than that in
#: such a time are a flood.
PACE_MS: Final = 20
_FLOOD: Final = 1
#: What a monitor's message begins with: the event, and its value.
_TOLD = Struct("=Hi")
_LISTENING: Final = int(zmq.EVENT_LISTENING)
_NOBLOCK: Final = int(zmq.NOBLOCK)


class DisconnectMonitor:
    """Of one ROUTER. Costs nothing while no connection is made or closed."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        router: zmq.Socket[bytes],
        poller: SocketPoller,
    ) -> None:
        """Call it before the ROUTER is bound: connections that it was not told of are not noted."""
        address = f"inproc://disconnects-{id(router)}"
        router.monitor(address, zmq.EVENT_DISCONNECTED | zmq.EVENT_LISTENING)
        self.monitor: zmq.Socket[bytes] = context.socket(zmq.PAIR)
        self.monitor.setsockopt(zmq.LINGER, 0)
        # Without a limit: at one the thread that carries all connections would wait for us.
        self.monitor.setsockopt(zmq.RCVHWM, 0)
        self.monitor.connect(address)
        # What zmq.Socket has around this is for options that are not used here.
        self._receive = super(zmq.Socket, self.monitor).recv
        self._poller = poller
        poller.register(self.monitor)
        self._by_descriptor: dict[int, bytes] = {}
        #: The routing ids of connections whose closing will be noticed.
        self.known: set[bytes] = set()
        self._closed: list[bytes] = []
        #: Connections that closed before anything of theirs was heard, until it is taken; and how
        #: many of them there were at the last look.
        self.unheard = 0
        self._flooded = 0
        self._look_at = 0
        #: Closings are not waited for: see above.
        self.paced = False
        #: The descriptor at which the ROUTER listens, once that was read; below 0 it is not known.
        self.listener = -1

    def note(self, routing: bytes, descriptor: int) -> None:
        """A connection's first message came over this descriptor; one below 0 is none."""
        if descriptor < 0 or not self.read():
            return
        self.known.add(routing)
        self._by_descriptor[descriptor] = routing

    def read(self) -> bool:
        """Read what the monitor has told; False if there is more than could be read at once."""
        receive = self._receive
        self._poller.used(self.monitor)
        for _ in range(_READ_MAX):
            try:
                told = receive(_NOBLOCK)
            except zmq.Again:
                self._poller.drained(self.monitor)
                return True
            receive(_NOBLOCK)  # our own address
            event, value = _TOLD.unpack(told)
            if event == _LISTENING:
                self.listener = value
                continue
            routing = self._by_descriptor.pop(value, None)
            if routing is None:
                self.unheard += 1
                self._flooded += 1
                continue
            self.known.discard(routing)
            self._closed.append(routing)
        return False

    def tend(self, now: int) -> bool:
        """Choose how closings are waited for; whether to look for some now."""
        if now < self._look_at:
            return False
        self._look_at = now + PACE_MS
        before, self.paced = self.paced, self._flooded > _FLOOD
        self._flooded = 0
        if self.paced != before:
            self._poller.ignore(self.monitor, ignored=self.paced)
        return self.paced or before

    def descriptors(self) -> list[tuple[bytes, int]]:
        """(routing id, descriptor) of the connections that are open, as far as was read."""
        return [(routing, descriptor) for descriptor, routing in self._by_descriptor.items()]

    def drain(self) -> list[bytes]:
        """The routing ids of those that closed. Call it once the ROUTER has no more to read."""
        out, self._closed = self._closed, []
        return out
