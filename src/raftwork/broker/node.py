"""One broker without its sockets, files and clocks: what the simulator can run.

1. A turn: `wake`, then everything that arrived (`receive*`, `link`, `unreachable`), then `turn`.
2. Nothing a client or worker may see leaves before the transaction that made it true is committed
   (`released`); refusals and redirects, which promise nothing, leave with the same flush.
3. Only an activated leader serves (`_leadership`); any other broker names the leader it knows.
4. A broker without a cluster id takes part in nothing but the formation.
5. Whatever one session's or peer's frame brings about fails by itself (containment.py).
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from raftwork.broker.cluster.handshake import Handshake
from raftwork.broker.cluster.readiness import Readiness
from raftwork.broker.containment import PAUSE_MAX_MS, PAUSE_MS, Containment
from raftwork.broker.election_times import ElectionTimes
from raftwork.broker.events import BadFrame, LeadershipBegan, Restored, WorkerRefused
from raftwork.broker.leader.leadership import Leadership
from raftwork.broker.leader.supervisor import LeadershipSupervisor, VitalLog
from raftwork.broker.leader_events import LeaderEvents
from raftwork.broker.machine import Machine
from raftwork.broker.net.sessions import Kind, Sessions
from raftwork.broker.status import own_status
from raftwork.broker.versions import unsupported, version_objection
from raftwork.broker.workers.validation import objection as worker_objection
from raftwork.consensus.core import Peer
from raftwork.consensus.replica import Replica
from raftwork.errors import BadMessage, NewerMessage
from raftwork.features import from_broker, to_broker
from raftwork.features.catalogue import FEATURES
from raftwork.messages import (
    BrokerStatus,
    ClientHello,
    Code,
    Goodbye,
    Heartbeat,
    HelloFirst,
    Leader,
    PeerHello,
    Ping,
    Refused,
    Report,
    StatusRequest,
    WorkerHello,
)
from raftwork.net.backoff import Pauses

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.environment import NodeStore, Setup
    from raftwork.broker.events import Event
    from raftwork.consensus.core import Entry
    from raftwork.consensus.news import News
    from raftwork.messages import FromBroker, ToBroker

    #: Takes a frame: from which routing id, what, and when.
    Route = Callable[[bytes, ToBroker, int], None]

F = TypeVar("F", bound=tuple[object, ...])

#: A pause of this broker itself (ms) from which on workers' leases are extended by it.
STALL_MS = 300


def route(frame: type[F], takes: Callable[[bytes, F, int], None]) -> tuple[type[ToBroker], Route]:
    """A row of the table of routes: its halves belong together."""
    return frame, cast("Route", takes)


class Node:
    """A broker. Implements `raftwork.consensus.replica.Host`."""

    def __init__(self, setup: Setup, store: NodeStore, now: int, wall: int) -> None:
        self._setup = setup
        self._store = store
        self._me = Peer(setup.name, store.identity.incarnation)
        self._containment = Containment(setup.contained)
        #: By routing id or peer's name: pauses after frames that could not be handled.
        self._pauses = Pauses[bytes | str](PAUSE_MS, PAUSE_MAX_MS)
        self._arriving: tuple[bytes, ToBroker | None, int]
        self._size = 0  # of what has just arrived
        self._arrivals = self._containment.of("a frame that came in", self._fails)
        self._leaving: deque[tuple[bytes, FromBroker]] = deque()
        self._departures = self._containment.of("a frame that goes out", self._unsent)
        self._telling = self._containment.of("telling what happened", lambda: None)
        self._supervisor = LeadershipSupervisor(
            self._containment, self._make_leadership, self._restart_sessions
        )
        self._handshake = Handshake(
            setup,
            self._me,
            store,
            now,
            reply=self._reply,
            deliver=self._deliver,
            joined=self._start_core,
            containment=self._containment,
            tell=self.tell,
            level=lambda: self._machine.level,
        )
        self._routes = self._make_routes()
        self._handshake.tell_time(wall - now)
        self._readiness = Readiness(setup.name, setup.cluster, self._handshake.peers, now)
        self._sessions = Sessions()
        self._machine = Machine(store.connection, setup.levels)
        self.times = ElectionTimes(setup.timing, self._machine.settings, self._readiness)
        self._replica: Replica | None = None
        self._outgoing: list[tuple[bytes, FromBroker]] = []
        self._announced: tuple[tuple[int, str | None] | None, bool] | None = None
        self._leader_events = LeaderEvents(self.tell)
        self._last_turn = now
        self._now = now
        if store.identity.cluster_id:
            self._start_core(now)
            self._restored()

    def _start_core(self, now: int) -> None:
        with self._containment.vital:
            core = self._setup.make_core(self._me, self._store, now)
            self._replica = Replica(core, self._store, self, self._handshake.send)

    def _restored(self) -> None:
        assert self._replica is not None
        self.tell(Restored(self._replica.core.status.role.value, self._store.applied.seq))

    def tell(self, event: Event) -> None:
        """Something happened that people may want to know."""
        epoch = 0 if self._replica is None else self._replica.core.status.epoch
        with self._telling:
            self._setup.tell(epoch, event)

    def _deliver(self, source: Peer, body: bytes, now: int) -> None:
        if self._replica is not None:
            with self._containment.vital:
                self._replica.receive(source, body, now)

    @property
    def _leadership(self) -> Leadership | None:
        """Its state as the active leader, while it is that and nothing failed."""
        return self._supervisor.leadership

    # ---- the shell's side ---------------------------------------------------------------------

    @property
    def wake_at(self) -> int:
        """When the next turn is due at the latest."""
        times = [self._handshake.wake_at]
        if self._replica is not None:
            if (at := self._replica.wake_at) is not None:
                times.append(at)
            if self._replica.busy:
                times.append(self._now + 50)
        if self._supervisor.wake_at is not None:
            times.append(self._supervisor.wake_at)
        if self._leadership is not None and self._leadership.waiting:
            times.append(self._now + 5)
        return min(times)

    @property
    def leads(self) -> bool:
        """Whether this broker is the active leader and serves."""
        return self._leadership is not None

    def wake(self, now: int, wall: int) -> None:
        """First in every turn."""
        self._now = now
        self._handshake.tell_time(wall - now)
        if self._replica is not None:
            self._replica.wake(now)

    def receive(self, routing: bytes, frame: bytes | memoryview, now: int) -> bool:
        """Take a frame from our ROUTER. Never raises (G8). False if it cannot be read."""
        if self._pauses.lasts(routing, now):
            return True
        self._arriving = routing, None, now
        with self._arrivals:
            try:
                message = to_broker.decode(frame)
            except NewerMessage as error:  # no offence: it finds out what it must do without
                self._reply(routing, unsupported(error))
                return True
            except BadMessage as error:
                self._reply(routing, Refused(0, Code.PROTOCOL, str(error)))
                return False
            self._arriving, self._size = (routing, message, now), len(frame)
            self._route(routing, message, now)
        return True

    def _fails(self) -> None:
        """The frame that arrived last could not be handled: close the session, for a while."""
        routing, message, now = self._arriving
        self._shut(routing, now)
        if not isinstance(message, PeerHello):  # a peer that is refused may think it is no member
            text = "this broker failed at what it was sent; its log says how. Try again later"
            self._reply(routing, Refused(0, Code.PROTOCOL, text))

    def _shut(self, routing: bytes, now: int) -> None:
        """Drop the session and all that belongs to it, and do not read from there for a while."""
        self._pauses.failed(routing, now)
        self._sessions.close(routing)
        self._supervisor.does(lambda leadership: leadership.workers.start_over(routing))
        self._gone(routing)

    def receive_peer(self, name: str, frame: bytes | memoryview, now: int) -> None:
        """Take a frame from our DEALER to the named broker."""
        if self._pauses.lasts(name, now):
            return
        with self._containment.of(
            "a frame of another broker", partial(self._peer_fails, name, now)
        ):
            try:
                self._handshake.heard(name, from_broker.decode(frame), now)
            except BadMessage as error:
                self.tell(BadFrame(name, str(error)))

    def _peer_fails(self, name: str, now: int) -> None:
        """As if its link were new: the peer has to identify itself again."""
        self._pauses.failed(name, now)
        self._handshake.forget(name, now)

    def link(self, name: str, up: bool, now: int) -> None:
        """The connection of our DEALER to the named broker came up or was lost."""
        if up:
            self._handshake.say_hello(name, now)
        else:
            self._handshake.lost(name, now)
        if self._replica is not None:
            self._replica.core.link(name, up, now)

    def unreachable(self, routing: bytes) -> None:
        """A frame could not be sent: there is no connection under this routing id (any more)."""
        self._handshake.peers.unreachable(routing)
        if not self._sessions.close(routing):
            return
        self._gone(routing)

    def turn(self, now: int) -> None:
        """Do all there is to do. Raises StoreError if this replica must stop."""
        away = now - self._last_turn
        if away >= STALL_MS:
            self._supervisor.does(lambda leadership: leadership.workers.extend_leases(away, now))
        self._last_turn = now
        self._supervisor.turn(now, self._store.applied)
        self._handshake.turn(now)
        if self._replica is not None:
            self._replica.turn(now)
            self.times.keep(self._machine.settings, self._replica.core, now)
        self._tell_leader(now)
        if now >= self._readiness.look_at:
            self._tell_what_it_waits_for(now)
        self._flush()

    def hand_over(self, now: int) -> None:
        """Ask the core to give leadership away, as a graceful stop does."""
        if self._replica is not None and self._replica.core.status.active:
            self._replica.core.transfer(now)

    # ---- clients and workers ------------------------------------------------------------------

    def _route(self, routing: bytes, message: ToBroker, now: int) -> None:
        self._routes[type(message)](routing, message, now)

    def _make_routes(self) -> dict[type[ToBroker], Route]:
        """Where each kind of frame goes: every record of `to_broker` has its place here."""
        return {
            **dict.fromkeys((rule.request for each in FEATURES for rule in each.rules), self._ask),
            **dict(
                (
                    route(Report, self._worker_frame),
                    route(Heartbeat, self._worker_frame),
                    route(Goodbye, self._worker_frame),
                    route(WorkerHello, self._worker_hello),
                    route(ClientHello, self._client_hello),
                    route(Ping, self._ping),
                    route(StatusRequest, self._status_request),
                    route(PeerHello, self._handshake.hello),
                )
            ),
        }

    def _client_hello(self, routing: bytes, hello: ClientHello, now: int) -> None:
        if self._speaks(routing, hello):
            self._open(routing, Kind.CLIENT, now)
            self._reply(routing, self._leader(now))

    def _ping(self, routing: bytes, _ping: Ping, now: int) -> None:
        self._sessions.heard(routing, Kind.CLIENT, now)
        self._reply(routing, self._leader(now))
        if self._sessions.kind(routing) is None:
            # A client thinks that its watches stand. The HelloFirst that was sent as they fell may
            # have been lost, or come so soon after its hello that it was taken for the answer to
            # what came before that.
            self._reply(routing, HelloFirst())

    def _status_request(self, routing: bytes, asked: StatusRequest, _now: int) -> None:
        self._reply(routing, self.status(asked.request))

    def _ask(self, routing: bytes, request: ToBroker, now: int) -> None:
        """What only the leader can carry out for a client."""
        if not self._sessions.heard(routing, Kind.CLIENT, now):
            self._reply(routing, HelloFirst())
        elif self._leadership is None:
            self._reply(routing, self._leader(now))
            number, text = cast("int", request[0]), self._role_text()
            self._reply(routing, Refused(number, Code.NOT_LEADER, text))
        else:
            self._leadership.request(routing, request, self._size, now)

    def _worker_hello(self, routing: bytes, hello: WorkerHello, now: int) -> None:
        if not self._speaks(routing, hello):
            return
        wrong = worker_objection(hello)
        if wrong is not None:
            self._reply(routing, Refused(0, Code.PROTOCOL, wrong))
            self.tell(WorkerRefused(hello.name, wrong))
            return
        self._open(routing, Kind.WORKER, now)
        if self._leadership is None:
            self._reply(routing, self._leader(now))
            return
        self._leadership.workers.hello(routing, hello, now)
        self._leadership.capacity_changed()

    def _worker_frame(
        self, routing: bytes, message: Report | Heartbeat | Goodbye, now: int
    ) -> None:
        leadership = self._leadership
        if leadership is None:
            self._reply(routing, self._leader(now))
            return
        known = self._sessions.heard(routing, Kind.WORKER, now)
        workers = leadership.workers
        match message:
            case Report():
                known = known and workers.report(routing, message, now, leadership.time(now))
            case Heartbeat():
                known = known and workers.heartbeat(routing, message, now)
            case Goodbye():
                known = known and workers.goodbye(routing, message.session, now)
                if self._sessions.close(routing):
                    self._gone(routing)  # a client's too: or its watches would stay for ever
        if not known:
            self._reply(routing, HelloFirst())
        leadership.capacity_changed()

    def _speaks(self, routing: bytes, hello: ClientHello | WorkerHello) -> bool:
        wrong = version_objection(hello.version, hello.oldest)
        if wrong is not None:
            self._reply(routing, Refused(0, Code.PROTOCOL, wrong))  # all releases know it
        return wrong is None

    def _open(self, routing: bytes, kind: Kind, now: int) -> None:
        if self._sessions.kind(routing) not in {None, kind}:
            self._gone(routing)  # another process has this address now
        for dropped in self._sessions.open(routing, kind, now):
            self._gone(dropped)

    def _gone(self, routing: bytes) -> None:
        self._supervisor.does(lambda leadership: leadership.gone(routing, self._now))

    def _restart_sessions(self) -> None:
        """The leader's state was dropped, with all sessions: they have to begin again."""
        for routing in self._sessions:
            self._sessions.close(routing)
            self._reply(routing, HelloFirst())

    # ---- the leader ---------------------------------------------------------------------------

    def _leader(self, now: int) -> Leader:
        core = None if self._replica is None else self._replica.core.status
        name = "" if core is None else core.leader or ""
        address = self._handshake.peers.address(name)
        time = 0 if self._leadership is None else self._leadership.time(now)
        return Leader(0 if core is None else core.epoch, name, address, self.leads, time)

    def _role_text(self) -> str:
        if self._replica is None:
            return "not the leader: waiting for the other brokers to form a cluster"
        leader = self._replica.core.status.leader
        return "not the leader" + (f": {leader} is" if leader else " and knows of none")

    def _tell_leader(self, now: int) -> None:
        """Push a change of leader to every session: none has to find out by asking."""
        known = None if self._replica is None else self._replica.core.leading
        if self._announced == (known, self.leads):
            return
        self._announced = (known, self.leads)
        leader = self._leader(now)
        if leader.name != self._setup.name:
            self._leader_events.follows(leader.epoch, leader.name)
        for routing in self._sessions:
            self._reply(routing, leader)

    def _tell_what_it_waits_for(self, now: int) -> None:
        status = None if self._replica is None else self._replica.core.status
        waits = self._readiness.look(status, now)
        if waits is not None:
            self.tell(waits)

    def status(self, request: int) -> BrokerStatus:
        """This broker's own facts."""
        core = None if self._replica is None else self._replica.core.status
        workers = [] if self._leadership is None else self._leadership.workers.statuses()
        peers, applied = self._handshake.peers, self._store.applied.seq
        return own_status(
            request, self._setup, peers, core, applied, self._machine, workers, leads=self.leads
        )

    # ---- out ----------------------------------------------------------------------------------

    def _reply(self, routing: bytes, message: FromBroker) -> None:
        self._outgoing.append((routing, message))

    def _flush(self) -> None:
        self._supervisor.does(lambda leadership: self._outgoing.extend(leadership.frames()))
        leaving = self._leaving
        leaving.extend(self._outgoing)
        self._outgoing.clear()
        while leaving:
            with self._departures:
                while leaving:
                    routing, message = leaving[0]
                    self._setup.send(routing, from_broker.encode(message))
                    leaving.popleft()

    def _unsent(self) -> None:
        """The first of what is to leave could not be sent."""
        routing, _ = self._leaving.popleft()
        self._shut(routing, self._now)

    # ---- Host: what the replica calls ---------------------------------------------------------

    def apply(self, entry: Entry) -> None:
        """See `Host.apply`."""
        applied = self._machine.apply(entry.data, entry.at)
        self._supervisor.does(lambda leadership: leadership.applied(entry.at, applied))

    def activated(self, epoch: int, now: int) -> None:
        """See `Host.activated`."""
        self.tell(LeadershipBegan(epoch))
        self._supervisor.begin(epoch, now)

    def _make_leadership(self, epoch: int, now: int, barrier: int) -> Leadership:
        assert self._replica is not None
        return Leadership(
            self._machine,
            VitalLog(self._replica.core, self._containment.vital),
            self._setup.balancer,
            self._setup.rng,
            epoch=epoch,
            time=self._handshake.wall_median(now),
            now=now,
            writable=self._setup.writable,
            barrier=barrier,
            tell=self.tell,
            attempts=self._setup.tells_attempts,
            members=lambda: self._handshake.peers.members(self._now),
        )

    def deactivated(self) -> None:
        """See `Host.deactivated`."""
        self._supervisor.end()

    def read_ready(self, token: int) -> None:
        """See `Host.read_ready`."""
        self._supervisor.does(lambda leadership: leadership.read_ready(token))

    def plan(self, now: int) -> None:
        """See `Host.plan`."""
        self._supervisor.does(lambda leadership: leadership.plan(now))

    def before_commit(self) -> None:
        """See `Host.before_commit`."""
        self._machine.flush()

    def released(self) -> None:
        """See `Host.released`."""
        self._flush()

    def news(self, news: News) -> None:
        """See `Host.news`."""
        self.tell(news)

    def switched(self) -> None:
        """See `Host.switched`."""
        self._machine = Machine(self._store.connection, self._setup.levels)
