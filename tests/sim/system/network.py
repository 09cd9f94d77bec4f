"""Connections as ZeroMQ makes them, over a network that delays, loses and parts.

What is kept of ZeroMQ, because the code relies on it: frames of one connection and direction arrive
in order; a lost connection takes along what was under way; each connection has a routing id of its
own; a ROUTER says of a send that nobody is there once it knows; a worker's DEALER says so of a send
that goes nowhere. What is not: any other frame may be dropped any time. Consensus messages may also
come twice or overtake each other.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Protocol

from tests.sim.system.timeline import Timeline

#: How long a cut lasts until the wire's own heartbeat gives a connection up, ms.
WIRE_TIMEOUT = 3_000
#: Frames TCP and libzmq hold in one direction of a cut connection.
HELD_MAX = 300
_FOREVER = 1 << 60
UP, DOWN = 0, 1  # dealer to router, router to dealer


class DealerOwner(Protocol):
    """A process that has DEALER sockets, told apart by the broker each is connected to."""

    host: str

    def dealer_frame(self, target: str, frame: bytes) -> None: ...
    def dealer_link(self, target: str, *, up: bool) -> None: ...


class RouterOwner(Protocol):
    """A process that has a ROUTER socket."""

    host: str

    def router_frame(self, routing: bytes, frame: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is. Shares are 0 … 1, times in ms."""

    delay: int = 1
    loss: float = 0.0
    consensus_loss: float = 0.0
    duplicates: float = 0.0
    overtaking: bool = False
    #: How often a connection takes no more just now.
    congestion: float = 0.0


@dataclass(slots=True)
class Connection:
    dealer: "Dealer"
    router: RouterOwner
    routing: bytes
    #: Of each direction: when the last frame arrives, and frames held back by a cut.
    last: list[int] = field(default_factory=lambda: [0, 0])
    held: tuple[deque[tuple[int, bytes]], deque[tuple[int, bytes]]] = field(
        default_factory=lambda: (deque(), deque())
    )
    #: Frames that departed later are lost with the connection.
    horizon: list[int] = field(default_factory=lambda: [_FOREVER, _FOREVER])
    #: The router's side knows of it; so does the dealer's.
    routed: bool = True

    def ends(self, direction: int) -> tuple[str, str]:
        ends = self.dealer.owner.host, self.router.host
        return ends if direction == UP else (ends[1], ends[0])


class Dealer:
    """A DEALER socket: it connects again whenever its connection is lost."""

    def __init__(
        self, network: "Network", owner: DealerOwner, target: str, *, tells: bool = False
    ) -> None:
        self.network = network
        #: The owner is told when a frame is lost: to it, that is a lost connection.
        self.tells = tells
        self.owner = owner
        self.target = target
        self.connection: Connection | None = None
        self.closed = False
        self._wait = 30
        network.timeline.after(0, self._connect)

    def send(self, frame: bytes, lag: int = 0) -> None:
        """Without a connection the frame is dropped (ZMQ_IMMEDIATE, no waiting)."""
        connection, network = self.connection, self.network
        if connection is not None and not network.timeline.chance(network.weather.loss):
            network.transmit(connection, UP, frame, lag)
        elif self.tells:
            self.owner.dealer_link(self.target, up=False)

    def close(self) -> None:
        self.closed = True

    def lost(self) -> None:
        """The connection is gone: the owner is told, and the next one is tried."""
        self.connection = None
        if not self.closed:
            self.owner.dealer_link(self.target, up=False)
            self.network.timeline.after(self.network.timeline.rng.randint(1, 30), self._connect)

    def _connect(self) -> None:
        if self.closed or self.connection is not None:
            return
        self.connection = self.network.connect(self)
        if self.connection is None:
            self._wait = min(2 * self._wait, 300)
            self.network.timeline.after(self._wait, self._connect)
            return
        self._wait = 30
        self.owner.dealer_link(self.target, up=True)


class Network:
    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.weather = Weather()
        #: Directed pairs of hosts between which nothing passes, with how many cuts say so.
        self.cuts: Counter[tuple[str, str]] = Counter()
        self._routers: dict[str, RouterOwner] = {}
        #: Open connections by routing id.
        self.routed: dict[bytes, Connection] = {}
        self._count = 0

    # ---- routers --------------------------------------------------------------------------------

    def listen(self, router: RouterOwner) -> None:
        self._routers[router.host] = router
        for connection in self._of_router(router.host):
            self.drop(connection)  # left over from a host that vanished: it answers with a reset

    def route(self, router: RouterOwner, routing: bytes, frame: bytes, lag: int) -> bool:
        """Send from a ROUTER; False if nobody is connected under this routing id."""
        connection = self.routed.get(routing)
        if connection is None or not connection.routed or connection.router is not router:
            return False
        if not self.timeline.chance(self.weather.loss):
            self.transmit(connection, DOWN, frame, lag)
        return True

    def connect(self, dealer: Dealer) -> Connection | None:
        router, here, there = self._routers.get(dealer.target), dealer.owner.host, dealer.target
        if router is None or self.cuts[here, there] or self.cuts[there, here]:
            return None
        self._count += 1
        connection = Connection(dealer, router, b"\0" + self._count.to_bytes(4, "big"))
        self.routed[connection.routing] = connection
        return connection

    def connections(self, host: str) -> list[Connection]:
        """All with this host at either end."""
        return [c for c in self.routed.values() if host in c.ends(UP)]

    def _of_router(self, name: str) -> list[Connection]:
        return [c for c in self.routed.values() if c.router.host == name]

    # ---- frames ---------------------------------------------------------------------------------

    def transmit(self, connection: Connection, direction: int, frame: bytes, lag: int) -> None:
        departs = self.timeline.now + lag
        arrives = departs + self._delay()
        arrives = connection.last[direction] = max(arrives, connection.last[direction])
        self._send(arrives, connection, direction, departs, frame)

    def transmit_consensus(
        self, router: RouterOwner, routing: bytes, frame: bytes, lag: int
    ) -> None:
        """A consensus message from a ROUTER: dropped, doubled and overtaken at will."""
        connection = self.routed.get(routing)
        if connection is None or not connection.routed or connection.router is not router:
            return
        timeline, weather = self.timeline, self.weather
        if timeline.chance(weather.consensus_loss):
            return
        departs = timeline.now + lag
        for _ in range(2 if timeline.chance(weather.duplicates) else 1):
            arrives = departs + self._delay()
            if not weather.overtaking:
                arrives = connection.last[DOWN] = max(arrives, connection.last[DOWN])
            self._send(arrives, connection, DOWN, departs, frame)

    def _delay(self) -> int:
        delay = self.weather.delay
        return self.timeline.rng.randrange(delay + 1) if delay else 0

    def _send(
        self, arrives: int, connection: Connection, direction: int, departs: int, frame: bytes
    ) -> None:
        wait = arrives - self.timeline.now
        self.timeline.after(wait, self._arrive, connection, direction, departs, frame)

    def _arrive(self, connection: Connection, direction: int, departs: int, frame: bytes) -> None:
        if departs > connection.horizon[direction]:
            return
        held = connection.held[direction]
        if held or (self.cuts and self.cuts[connection.ends(direction)]):
            if len(held) < HELD_MAX:
                held.append((departs, frame))
            return
        self._deliver(connection, direction, frame)

    def _deliver(self, connection: Connection, direction: int, frame: bytes) -> None:
        self.timeline.mix(frame)
        if direction == UP:
            if connection.routed:
                connection.router.router_frame(connection.routing, frame)
        elif not connection.dealer.closed:
            connection.dealer.owner.dealer_frame(connection.dealer.target, frame)

    # ---- cuts -----------------------------------------------------------------------------------

    def cut(self, pairs: list[tuple[str, str]], *, reset: bool) -> None:
        """Nothing passes from the first to the second of each pair, until `heal`."""
        self.cuts.update(pairs)
        for connection in self._across(pairs):
            if reset:
                self.drop(connection)
            else:
                self.timeline.after(WIRE_TIMEOUT, self._give_up, connection)

    def heal(self, pairs: list[tuple[str, str]]) -> None:
        self.cuts.subtract(pairs)
        self.cuts += Counter()  # only the positive ones are kept
        for connection in self._across(pairs):
            for direction in (UP, DOWN):
                # TCP sends again after a while; until then all that follows waits behind.
                wait = self.timeline.rng.randint(1, 200)
                self.timeline.after(wait, self._release, connection, direction)

    def _across(self, pairs: list[tuple[str, str]]) -> list[Connection]:
        parted = set(pairs)
        return [c for c in self.routed.values() if c.ends(UP) in parted or c.ends(DOWN) in parted]

    def _release(self, connection: Connection, direction: int) -> None:
        if self.cuts[connection.ends(direction)]:
            return
        held = connection.held[direction]
        while held:
            departs, frame = held.popleft()
            if departs <= connection.horizon[direction]:
                self._deliver(connection, direction, frame)

    def _give_up(self, connection: Connection) -> None:
        if self.cuts[connection.ends(UP)] or self.cuts[connection.ends(DOWN)]:
            self.drop(connection)

    # ---- ends -----------------------------------------------------------------------------------

    def read_late(self, connection: Connection, late: int) -> None:
        """The connection breaks, and what a cut holds back in it is read within `late` ms.

        libzmq keeps what it has of a lost connection, and hands it out in turn with what the next
        one brings.
        """
        held = connection.held[DOWN]
        for count, (_, frame) in enumerate(held, 1):
            self.timeline.after(late * count // len(held), self._deliver, connection, DOWN, frame)
        self.drop(connection)

    def drop(self, connection: Connection, dealer_after: int | None = None) -> None:
        """The connection breaks: both ends notice, and what is under way is lost in part.

        `dealer_after`: a stopped process notices when it goes on.
        """
        now, rng = self.timeline.now, self.timeline.rng
        for direction in (UP, DOWN):
            limit = now - rng.randint(0, 5)
            connection.horizon[direction] = min(connection.horizon[direction], limit)
        connection.routed = False
        self.routed.pop(connection.routing, None)
        wait = rng.randint(0, 5) if dealer_after is None else dealer_after
        self.timeline.after(wait, self._dealer_notices, connection)

    def _dealer_notices(self, connection: Connection) -> None:
        if connection.dealer.connection is connection:
            connection.dealer.lost()

    def vanish(self, host: str, *, silently: bool) -> None:
        """The process on `host` is gone. Silently: its host too, so nothing says goodbye."""
        self._routers.pop(host, None)
        for connection in self.connections(host):
            here = UP if connection.dealer.owner.host == host else DOWN
            # What it had not handed to the kernel never leaves.
            limit = self.timeline.now - self.timeline.rng.randint(0, 5)
            connection.horizon[here] = min(connection.horizon[here], limit)
            if silently:
                connection.horizon[1 - here] = connection.horizon[here]
                self.timeline.after(WIRE_TIMEOUT, self.drop, connection)
            else:
                self.drop(connection)
