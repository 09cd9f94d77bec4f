"""One broker without its sockets, files and clocks: what the simulator can run.

1. A turn: `wake`, then everything that arrived (`receive*`, `link`, `unreachable`), then `turn`.
2. Nothing a client or worker may see leaves before the entry that made it true is applied
   (`released`); refusals and redirects, which promise nothing, leave with the same flush.
3. Only an activated leader serves (leader/supervisor.py); any other broker names the one it knows.
4. A broker without a cluster id takes part in nothing but the formation.
5. Whatever one session's or peer's frame brings about fails by itself (containment.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from raftwork.broker.access.gate import refusal, within_queues
from raftwork.broker.cluster.handshake import Handshake
from raftwork.broker.cluster.peer_frames import PeerFrames
from raftwork.broker.cluster.readiness import Readiness
from raftwork.broker.containment import PAUSE_MAX_MS, PAUSE_MS, Containment
from raftwork.broker.election_times import ElectionTimes
from raftwork.broker.event_ring import EventNotes
from raftwork.broker.events import LeadershipBegan, Restored, WorkerRefused
from raftwork.broker.leader.leadership import Leadership
from raftwork.broker.leader.supervisor import LeadershipSupervisor, VitalLog
from raftwork.broker.leader_events import LeaderEvents
from raftwork.broker.machine import Machine
from raftwork.broker.net.sessions import End, Kind, Sessions
from raftwork.broker.outgoing_frames import OutgoingFrames
from raftwork.broker.peer_events import KeyMayNot
from raftwork.broker.routes import read, route, table
from raftwork.broker.service_counters import ServiceCounters
from raftwork.broker.status import Counts, known_leader, not_leader, own_status
from raftwork.broker.version_negotiation import unsupported, version_objection
from raftwork.broker.workers.validation import objection as worker_objection
from raftwork.consensus.core import Peer
from raftwork.consensus.durable_replica import Replica
from raftwork.errors import BadMessage, NewerMessage
from raftwork.features.catalogue import WORKER_REQUESTS
from raftwork.messages import (
    BrokerStatus,
    ClientHello,
    Code,
    Goodbye,
    HelloFirst,
    Leader,
    PeerHello,
    Ping,
    Refused,
    StatusRequest,
    WorkerHello,
)
from raftwork.net.backoff import Pauses

if TYPE_CHECKING:
    from raftwork.broker.access.access_list import Grant
    from raftwork.broker.events import Event
    from raftwork.broker.node_setup import NodeStore, Setup
    from raftwork.consensus.core import Entry
    from raftwork.consensus.replica_events import ReplicaEvent
    from raftwork.messages import FromBroker, ToBroker

#: Between two looks at the chores (ms).
CHORES_MS = 20
#: Between turns (ms) while something waits for a connection to drain, or for its slice of a turn.
WAITING_MS = 5
#: A pause of this broker itself (ms) from which on workers' leases are extended by it.
STALL_MS = 300


class Node:
    """A broker. Implements `raftwork.consensus.durable_replica.Host`."""

    def __init__(self, setup: Setup, store: NodeStore, now: int, wall: int) -> None:
        self._setup = setup
        self._store = store
        self._me = Peer(setup.name, store.identity.incarnation)
        self._containment = Containment(setup.contained)
        #: By routing id or peer's name: pauses after frames that could not be handled.
        self._pauses = Pauses[bytes | str](PAUSE_MS, PAUSE_MAX_MS)
        self._arriving: tuple[bytes, ToBroker | None, int]
        self._size = 0  # of what has just arrived
        self._grant: Grant | None = None  # of its sender's key
        self._arrivals = self._containment.of("a frame that came in", self._fails)
        self._outgoing = OutgoingFrames(
            self._containment, setup.send, lambda routing: self._shut(routing, self._now)
        )
        self._telling = self._containment.of("telling what happened", lambda: None)
        self._supervisor = LeadershipSupervisor(
            self._containment, self._make_leadership, self._restart_sessions
        )
        self.plan = self._supervisor.plan  # see `Host.plan`
        self._handshake = Handshake(
            *(setup, self._me, store, now),
            reply=self._reply,
            deliver=self._deliver,
            joined=self._start_core,
            containment=self._containment,
            tell=self.tell,
            level=lambda: self._machine.level,
        )
        #: Takes a frame from our DEALER to the named broker.
        self.receive_peer = PeerFrames(
            self._handshake, self._containment, self._pauses, self.tell, self._stir
        ).receive
        self._routes = table(  # every record of `to_broker` has its place here
            *(self._ask, self._worker_frame),
            route(WorkerHello, self._worker_hello),
            route(ClientHello, self._client_hello),
            route(Ping, self._ping),
            route(StatusRequest, self._status_request),
            route(PeerHello, self._peer_hello),
        )
        self._wall_base = wall - now
        self._handshake.tell_time(self._wall_base)
        self._readiness = Readiness(setup.name, setup.cluster, self._handshake.peers, now)
        self._sessions, self._counters = Sessions(), ServiceCounters(setup.clock_ns)
        self._load()
        self.times = ElectionTimes(setup.timing, self._machine.settings, self._readiness)
        self._replica: Replica | None = None
        self._announced: tuple[tuple[int, str | None] | None, bool] | None = None
        self._leader_events = LeaderEvents(self.tell)
        self._last_turn = self._now = now
        self._chores_at = self._chores_due = now  # to be looked at again; a turn is due for them
        #: Nothing came since the last turn that leaves anything to be done before `_due` (0: to be
        #: found out); and until when frames of other brokers need not be read: see `wake_at`.
        self.quiet, self._due, self.patient_until = False, 0, now
        if store.identity.cluster_id:
            self._start_core(now)
            role = cast("Replica", self._replica).core.status.role.value
            self.tell(Restored(role, store.applied.seq))

    def _load(self) -> None:
        """What the store has: at the start, and after it switched to another database."""
        self._machine = Machine(self._store.connection, self._setup.levels)
        self._events = EventNotes(self._store, self._machine, self._containment, self._setup)

    def _start_core(self, now: int) -> None:
        with self._containment.vital:
            core = self._setup.make_core(self._me, self._store, now)
            send, clock_ns = self._handshake.send, self._setup.clock_ns
            self._replica = Replica(core, self._store, self, send, clock_ns)
            self._chores_at = now

    def tell(self, event: Event) -> None:
        """Something happened that people may want to know."""
        epoch = 0 if self._replica is None else self._replica.core.status.epoch
        with self._telling:
            self._setup.tell(epoch, event)

    def _deliver(self, source: Peer, body: bytes, now: int) -> None:
        if self._replica is not None:
            try:
                if self._replica.core.receive(source, body, now):
                    self.quiet = False
            except BaseException as error:
                self._containment.vital.mark(error)
                raise

    # ---- the shell's side ---------------------------------------------------------------------

    @property
    def wake_at(self) -> int:
        """When the next turn is due at the latest."""
        if not (self.quiet and self._due):
            self._due, self.patient_until = self._next_turn(), self._now
            if self._replica is not None and self._supervisor.leadership is not None:
                self.patient_until += self._replica.patience  # to a follower all is news
        return self._due

    def _next_turn(self) -> int:
        at = self._chores_due
        leadership, replica = self._supervisor.leadership, self._replica
        if leadership is not None:
            planned = self._now + WAITING_MS if leadership.waiting else leadership.wake_at
            if planned < at:
                at = planned
        if replica is not None and (due := replica.wake_at) is not None and due < at:
            at = due
        return at

    @property
    def leads(self) -> bool:
        """Whether this broker is the active leader and serves."""
        return self._supervisor.leadership is not None

    def wake(self, now: int, wall: int) -> None:
        """First in every turn."""
        self._now = now
        if wall - now != self._wall_base:
            self._wall_base = wall - now
            self._handshake.tell_time(self._wall_base)
        if self._replica is not None:
            self._replica.core.wake(now)

    def receive(
        self, routing: bytes, frame: bytes | memoryview, now: int, grant: Grant | None = None
    ) -> bool:
        """Take a frame from our ROUTER, sent under a key with that grant, if keys are used.

        Never raises (G8). False if it cannot be read.
        """
        self.quiet = False
        if self._pauses.any and self._pauses.lasts(routing, now):
            return True
        self._arriving = routing, None, now
        try:
            try:
                message = read(frame)
            except NewerMessage as error:  # no offence: it finds out what it must do without
                self._reply(routing, unsupported(error))
                return True
            except BadMessage as error:
                self._reply(routing, Refused(0, Code.PROTOCOL, str(error)))
                return False
            self._arriving, self._size = (routing, message, now), len(frame)
            self._grant = grant
            if grant is not None and (refused := refusal(grant, message)) is not None:
                self._reply(routing, refused)
                self.tell(KeyMayNot(refused.text))
                return True
            self._route(routing, message, now)
        except Exception as error:  # noqa: BLE001 - whatever it is, this frame brought it about
            self._arrivals.stop(error)
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
        self._sessions.close(routing, End.FAILED)
        self._supervisor.does(lambda leadership: leadership.workers.start_over(routing))
        self._gone(routing)

    def _stir(self, now: int) -> None:
        self._chores_at, self.quiet = now, False  # the chores are looked at in this turn

    def link(self, name: str, up: bool, now: int) -> None:
        """The connection of our DEALER to the named broker came up or was lost."""
        self._stir(now)
        if up:
            self._handshake.say_hello(name, now)
        else:
            self._handshake.lost(name, now)
        if self._replica is not None:
            self._replica.core.link(name, up, now)

    def unreachable(self, routing: bytes, why: End = End.DISCONNECTED) -> None:
        """A frame could not be sent: there is no connection under this routing id (any more)."""
        self._stir(self._now)
        self._handshake.peers.unreachable(routing)
        if self._sessions.close(routing, why):
            self._gone(routing)

    def turn(self, now: int) -> None:
        """Do all there is to do. Raises StoreError if this replica must stop."""
        away, self._last_turn = now - self._last_turn, now
        if away >= STALL_MS:
            self._supervisor.does(lambda leadership: leadership.workers.extend_leases(away, now))
        if self.quiet and now < self._due and now < self._chores_at:
            return
        # What is due is done: or one empty turn follows the other until they are looked at again.
        if now >= self._chores_at or now >= self._chores_due:
            self._chores(now)
        if self._replica is not None:
            self._replica.turn(now)
        known = None if self._replica is None else self._replica.core.leading
        if self._announced != (known, self._supervisor.leadership is not None):
            self._tell_leader(now)
        self.released()
        self.quiet = self._replica is None or not self._replica.background  # a file wakes nobody
        self._due = 0

    def _chores(self, now: int) -> None:
        """What a turn need not look at unless another broker said something, or time passed."""
        self._supervisor.turn(now, self._store.applied)
        self._handshake.turn(now)
        if self._replica is not None:
            self.times.keep(self._machine.settings, self._replica.core, now)
        if now >= self._readiness.look_at:
            status = None if self._replica is None else self._replica.core.status
            if (waits := self._readiness.look(status, now)) is not None:
                self.tell(waits)
        self._chores_at = now + CHORES_MS if self._store.identity.cluster_id else now
        at, again_at = self._handshake.wake_at, self._supervisor.wake_at
        self._chores_due = at if again_at is None else min(at, again_at)

    def rest(self) -> None:
        """Commit what is only applied so far: the process ends. Raises StoreError."""
        if self._replica is not None:
            self._replica.commit()

    def hand_over(self, now: int) -> None:
        """Ask the core to give leadership away, as a graceful stop does."""
        if self._replica is not None and self._replica.core.status.active:
            self.quiet = False
            self._replica.core.transfer(now)

    # ---- clients and workers ------------------------------------------------------------------

    def _route(self, routing: bytes, message: ToBroker, now: int) -> None:
        self._routes[type(message)](routing, message, now)

    def _peer_hello(self, routing: bytes, hello: PeerHello, now: int) -> None:
        self._chores_at = now
        if self._grant is not None:  # it came under that broker's key
            self._setup.tell_http(self._grant.name, hello.http_key)
        self._handshake.hello(routing, hello, now)

    def _client_hello(self, routing: bytes, hello: ClientHello, now: int) -> None:
        if self._speaks(routing, hello):
            self._open(routing, Kind.CLIENT, now)
            self._reply(routing, self._leader(now))

    def _ping(self, routing: bytes, _ping: Ping, now: int) -> None:
        self._sessions.heard(routing, Kind.CLIENT, now)
        self._reply(routing, self._leader(now))
        if self._sessions.kind(routing) is None:
            # A client thinks that its watches stand. The HelloFirst that was sent as they fell was
            # lost, or came so soon after its hello that it was taken for an earlier answer.
            self._reply(routing, HelloFirst())

    def _status_request(self, routing: bytes, asked: StatusRequest, _now: int) -> None:
        self._reply(routing, self.status(asked.request, facts=asked.facts))

    def _ask(self, routing: bytes, request: ToBroker, now: int) -> None:
        """What only the leader can carry out for a client; a few things for a worker as well."""
        sessions, leadership = self._sessions, self._supervisor.leadership
        known = sessions.heard(routing, Kind.CLIENT, now) or (
            type(request) in WORKER_REQUESTS and sessions.heard(routing, Kind.WORKER, now)
        )
        if not known:
            self._reply(routing, HelloFirst())
        elif leadership is None:
            self._reply(routing, self._leader(now))
            number, text = cast("int", request[0]), not_leader(self._replica)
            self._reply(routing, Refused(number, Code.NOT_LEADER, text))
        else:
            leadership.request(routing, request, self._size, now, self._grant)

    def _worker_hello(self, routing: bytes, hello: WorkerHello, now: int) -> None:
        if not self._speaks(routing, hello):
            return
        wrong = worker_objection(hello)
        if wrong is not None:
            self._reply(routing, Refused(0, Code.PROTOCOL, wrong))
            self.tell(WorkerRefused(hello.name, wrong))
            return
        self._open(routing, Kind.WORKER, now)
        if self._supervisor.leadership is None:
            self._reply(routing, self._leader(now))
            return
        self._supervisor.leadership.workers.hello(routing, hello, now)
        self._supervisor.leadership.capacity_changed()

    def _worker_frame(self, routing: bytes, frame: ToBroker, now: int) -> None:
        leadership = self._supervisor.leadership
        if leadership is None:
            self._reply(routing, self._leader(now))
            return
        frame = within_queues(self._grant, frame)
        known = self._sessions.heard(routing, Kind.WORKER, now)
        known = known and leadership.workers.receive(routing, frame, now, leadership.time(now))
        if isinstance(frame, Goodbye) and self._sessions.close(routing, End.LEFT):
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
        self._supervisor.does(Leadership.gone, routing, self._now)

    def _restart_sessions(self) -> None:
        """The leader's state was dropped, with all sessions: they have to begin again."""
        self._chores_due = self._now  # when to make it anew
        for routing in self._sessions:
            self._sessions.close(routing, End.FAILED)
            self._reply(routing, HelloFirst())

    # ---- the leader ---------------------------------------------------------------------------

    def _leader(self, now: int) -> Leader:
        leadership = self._supervisor.leadership
        return known_leader(self._replica, self._handshake.peers, leadership, now)

    def _tell_leader(self, now: int) -> None:
        """Push a change of leader to every session: none has to find out by asking."""
        known = None if self._replica is None else self._replica.core.leading
        self._announced = known, self._supervisor.leadership is not None
        leader = self._leader(now)
        if leader.name != self._setup.name:
            self._leader_events.follows(leader.epoch, leader.name)
        for routing in self._sessions:
            self._reply(routing, leader)

    def status(self, request: int, *, facts: bool = False) -> BrokerStatus:
        """What this broker says of itself; with `facts` also what it counts."""
        counts = Counts(self._events, self._sessions, self._handshake.dropped, self._counters)
        return own_status(
            *(request, self._setup, self._handshake.peers, self._replica),
            *(self._store.applied.seq, self._machine, self._supervisor.leadership),
            wall=self._wall_base + self._now,
            counts=counts if facts else None,
        )

    # ---- out ----------------------------------------------------------------------------------

    def _reply(self, routing: bytes, message: FromBroker) -> None:
        self._outgoing.frames.append((routing, message))

    def released(self) -> None:
        """Send what may leave. See `Host.released`."""
        self._supervisor.drain(self._outgoing.frames)
        if self._outgoing.frames:
            self._outgoing.flush()
        if self._events.unnoted is not None:  # what nobody waits for comes behind the replies
            self._events.note()

    # ---- Host: what the replica calls ---------------------------------------------------------

    def apply(self, entry: Entry) -> None:
        """See `Host.apply`."""
        if self._events.unnoted is not None:  # the machine gathers those of one entry alone
            self._events.note()
        applied = self._machine.apply(entry.data, entry.at)
        self._events.applied(entry)
        self._supervisor.does(Leadership.applied, entry.at, applied)

    def passed(self, entry: Entry) -> None:
        """See `Host.passed`."""
        self._events.note()
        self._events.applied(entry)

    def before_commit(self) -> None:
        """See `Host.before_commit`."""
        if self._events.unnoted is not None:
            self._events.note()
        self._machine.flush()

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
            wall=self._handshake.wall_median,
            members=lambda: self._handshake.peers.members(self._now),
            disk=self._setup.disk,
            events=self._events.ring,
            counters=self._counters,
            name=self._setup.name,
            containment=self._containment,
        )

    def deactivated(self) -> None:
        """See `Host.deactivated`."""
        self._supervisor.end()

    def read_ready(self, token: int) -> None:
        """See `Host.read_ready`."""
        self._supervisor.does(Leadership.read_ready, token)

    def news(self, news: ReplicaEvent) -> None:
        """See `Host.news`."""
        self.tell(news)

    def switched(self) -> None:
        """See `Host.switched`."""
        self._load()
