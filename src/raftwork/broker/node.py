"""One broker without its sockets, files and clocks: what the simulator can run.

1. A turn: `wake`, then everything that arrived (`receive*`, `link`, `unreachable`), then `turn`.
2. Nothing a client or worker may see leaves before the transaction that made it true is committed
   (`released`); refusals and redirects, which promise nothing, leave with the same flush.
3. Only an activated leader serves (`_leadership`); everybody else names the leader it knows.
4. A broker without a cluster id takes part in nothing but the formation.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from raftwork.broker.balancers import BALANCERS
from raftwork.broker.dead import DeadRequest
from raftwork.broker.hearsay import objection as worker_objection
from raftwork.broker.leadership import Leadership
from raftwork.broker.neighbours import Neighbours
from raftwork.broker.queue import Machine
from raftwork.broker.sessions import Kind, Sessions
from raftwork.consensus.core import Peer
from raftwork.consensus.replica import Replica
from raftwork.errors import BadMessage
from raftwork.messages import (
    PROTOCOL,
    Ask,
    AskQueue,
    BrokerStatus,
    ClientHello,
    Code,
    DrainWorker,
    Enqueue,
    Goodbye,
    Heartbeat,
    HelloFirst,
    Leader,
    ListDead,
    PeerHello,
    Ping,
    PurgeDead,
    Refused,
    Report,
    RetryDead,
    SetQueue,
    ShowDead,
    StatusRequest,
    Watch,
    WorkerHello,
    from_broker,
    to_broker,
)

if TYPE_CHECKING:
    from raftwork.broker.setup import NodeStore, Setup
    from raftwork.consensus.core import Entry
    from raftwork.messages import FromBroker, ToBroker

log = logging.getLogger("raftwork.broker")

#: What only the leader can carry out for a client.
ClientRequest = Enqueue | Watch | Ask | DrainWorker | SetQueue | AskQueue | DeadRequest

#: A pause of this broker itself (ms) from which on workers' leases are extended by it.
PAUSE = 300


class Node:
    """A broker. Implements `raftwork.consensus.replica.Host`."""

    def __init__(self, setup: Setup, store: NodeStore, now: int, wall: int) -> None:
        self._setup = setup
        self._store = store
        self._me = Peer(setup.name, store.identity.incarnation)
        self._neighbours = Neighbours(
            setup,
            self._me,
            store,
            now,
            reply=self._reply,
            deliver=self._deliver,
            joined=self._start_core,
        )
        self._neighbours.tell_time(wall - now)
        self._sessions = Sessions()
        self._balancer = BALANCERS[setup.balancer](setup.rng)
        self._machine = Machine(store.connection)
        self._replica: Replica | None = None
        self._leadership: Leadership | None = None
        self._outgoing: list[tuple[bytes, FromBroker]] = []
        self._told: tuple[tuple[int, str | None] | None, bool] | None = None
        self._last_turn = now
        self._now = now
        if store.identity.cluster_id:
            self._start_core(now)

    def _start_core(self, now: int) -> None:
        core = self._setup.make_core(self._me, self._store, now)
        self._replica = Replica(core, self._store, self, self._neighbours.send)

    def _deliver(self, source: Peer, body: bytes, now: int) -> None:
        if self._replica is not None:
            self._replica.receive(source, body, now)

    # ---- the shell's side ---------------------------------------------------------------------

    @property
    def wake_at(self) -> int:
        """When the next turn is due at the latest."""
        times = [self._neighbours.wake_at]
        if self._replica is not None:
            if (at := self._replica.wake_at) is not None:
                times.append(at)
            if self._replica.busy:
                times.append(self._now + 50)
        if self._leadership is not None:
            times.append(self._leadership.wake_at)
            if self._leadership.waiting:
                times.append(self._now + 5)
        return min(times)

    @property
    def leads(self) -> bool:
        return self._leadership is not None

    def wake(self, now: int, wall: int) -> None:
        """First in every turn."""
        self._now = now
        self._neighbours.tell_time(wall - now)
        if self._replica is not None:
            self._replica.wake(now)

    def receive(self, routing: bytes, frame: bytes | memoryview, now: int) -> bool:
        """A frame from our ROUTER. Whatever it holds, nothing is raised (G8). False: it is none."""
        try:
            message = to_broker.decode(frame)
        except BadMessage as error:
            self._reply(routing, Refused(0, Code.PROTOCOL, str(error)))
            return False
        self._route(routing, message, now)
        return True

    def receive_peer(self, name: str, frame: bytes | memoryview, now: int) -> None:
        """A frame on our DEALER to the named broker."""
        try:
            self._neighbours.heard(name, from_broker.decode(frame), now)
        except BadMessage as error:
            log.warning("dropped a frame of broker %s: %s", name, error)

    def link(self, name: str, up: bool, now: int) -> None:
        """The connection of our DEALER to the named broker came up or was lost."""
        if up:
            self._neighbours.say_hello(name, now)
        else:
            self._neighbours.peers.lost(name)
        if self._replica is not None:
            self._replica.core.link(name, up, now)

    def unreachable(self, routing: bytes) -> None:
        """A frame could not be sent: nobody is connected under this routing id (any more)."""
        self._neighbours.peers.unreachable(routing)
        if not self._sessions.close(routing):
            return
        self._gone(routing)

    def turn(self, now: int) -> None:
        """Do all there is to do. Raises StoreError if this replica must stop."""
        if now - self._last_turn >= PAUSE and self._leadership is not None:
            self._leadership.workforce.forgive(now - self._last_turn, now)
        self._last_turn = now
        self._neighbours.turn(now)
        if self._replica is not None:
            self._replica.turn(now)
        self._tell_leader(now)
        self._flush()

    def hand_over(self, now: int) -> None:
        """Ask the core to give leadership away, as a graceful stop does."""
        if self._replica is not None and self._replica.core.status.active:
            self._replica.core.transfer(now)

    # ---- clients and workers ------------------------------------------------------------------

    def _route(self, routing: bytes, message: ToBroker, now: int) -> None:
        match message:
            case Enqueue() | Watch() | Ask() | DrainWorker() | SetQueue() | AskQueue():
                self._client_request(routing, message, now)
            case ListDead() | ShowDead() | RetryDead() | PurgeDead():
                self._client_request(routing, message, now)
            case Report() | Heartbeat() | Goodbye():
                self._worker_frame(routing, message, now)
            case WorkerHello():
                self._worker_hello(routing, message, now)
            case ClientHello():
                if self._speaks(routing, message.version):
                    self._open(routing, Kind.CLIENT, now)
                    self._reply(routing, self._leader(now))
            case Ping():
                self._sessions.heard(routing, Kind.CLIENT, now)
                self._reply(routing, self._leader(now))
            case StatusRequest():
                self._reply(routing, self.status(message.request))
            case PeerHello():
                self._neighbours.hello(routing, message, now)

    def _client_request(self, routing: bytes, message: ClientRequest, now: int) -> None:
        if not self._sessions.heard(routing, Kind.CLIENT, now):
            self._reply(routing, HelloFirst())
            return
        leadership = self._leadership
        if leadership is None:
            self._reply(routing, self._leader(now))
            text = self._role_text()
            self._reply(routing, Refused(message.request, Code.NOT_LEADER, text))
            return
        match message:
            case Enqueue():
                leadership.clients.enqueue(routing, message)
            case Watch():
                leadership.clients.watch(routing, message)
            case Ask():
                leadership.clients.ask(routing, message)
            case DrainWorker():
                leadership.drains.ask(routing, message)
            case ListDead() | ShowDead() | RetryDead() | PurgeDead():
                leadership.dead.ask(routing, message)
            case SetQueue():
                leadership.settings.change(routing, message)
            case AskQueue():
                leadership.settings.ask(routing, message)

    def _worker_hello(self, routing: bytes, hello: WorkerHello, now: int) -> None:
        if not self._speaks(routing, hello.version):
            return
        wrong = worker_objection(hello)
        if wrong is not None:
            self._reply(routing, Refused(0, Code.PROTOCOL, wrong))
            return
        self._open(routing, Kind.WORKER, now)
        if self._leadership is None:
            self._reply(routing, self._leader(now))
            return
        self._leadership.workforce.hello(routing, hello, now)
        self._leadership.room_changed()

    def _worker_frame(
        self, routing: bytes, message: Report | Heartbeat | Goodbye, now: int
    ) -> None:
        leadership = self._leadership
        if leadership is None:
            self._reply(routing, self._leader(now))
            return
        known = self._sessions.heard(routing, Kind.WORKER, now)
        workforce = leadership.workforce
        match message:
            case Report():
                known = known and workforce.report(routing, message, now, leadership.time(now))
            case Heartbeat():
                known = known and workforce.heartbeat(routing, message, now)
            case Goodbye():
                known = known and workforce.goodbye(routing, message.session, now)
                self._sessions.close(routing)
        if not known:
            self._reply(routing, HelloFirst())
        leadership.room_changed()

    def _speaks(self, routing: bytes, version: int) -> bool:
        if version == PROTOCOL:
            return True
        text = f"protocol version {version}, this broker speaks {PROTOCOL}"
        self._reply(routing, Refused(0, Code.PROTOCOL, text))
        return False

    def _open(self, routing: bytes, kind: Kind, now: int) -> None:
        if self._sessions.kind(routing) not in {None, kind}:
            self._gone(routing)  # somebody else is at this address now
        for dropped in self._sessions.open(routing, kind, now):
            self._gone(dropped)

    def _gone(self, routing: bytes) -> None:
        if self._leadership is not None:
            self._leadership.clients.gone(routing)
            self._leadership.drains.gone(routing)
            self._leadership.workforce.unreachable(routing, self._now)

    # ---- who leads ----------------------------------------------------------------------------

    def _leader(self, now: int) -> Leader:
        core = None if self._replica is None else self._replica.core.status
        name = "" if core is None else core.leader or ""
        address = self._setup.cluster.get(name, "")
        time = 0 if self._leadership is None else self._leadership.time(now)
        return Leader(0 if core is None else core.epoch, name, address, self.leads, time)

    def _role_text(self) -> str:
        if self._replica is None:
            return "not the leader: waiting for the other brokers to form a cluster"
        leader = self._replica.core.status.leader
        return "not the leader" + (f": {leader} is" if leader else " and knows of none")

    def _tell_leader(self, now: int) -> None:
        """Push a change of leader to every session: nobody has to find out by asking."""
        known = None if self._replica is None else self._replica.core.leading
        if self._told == (known, self.leads):
            return
        self._told = (known, self.leads)
        leader = self._leader(now)
        for routing in self._sessions:
            self._reply(routing, leader)

    def status(self, request: int) -> BrokerStatus:
        """This broker's own facts."""
        address = self._setup.cluster[self._setup.name]
        cluster = tuple(self._setup.cluster.items())
        name, consensus = self._setup.name, self._setup.consensus
        queues = self._machine.queues()
        if self._replica is None:
            return BrokerStatus(
                request, name, address, consensus, "learner", False, 0, "", 0, 0, [], [], cluster
            )
        core = self._replica.core.status
        workers = [] if self._leadership is None else self._leadership.workforce.statuses()
        return BrokerStatus(
            request,
            name,
            address,
            consensus,
            core.role.value,
            self.leads,
            core.epoch,
            core.leader or "",
            core.committed.seq,
            self._store.applied.seq,
            workers,
            queues,
            cluster,
        )

    # ---- out ----------------------------------------------------------------------------------

    def _reply(self, routing: bytes, message: FromBroker) -> None:
        self._outgoing.append((routing, message))

    def _flush(self) -> None:
        if self._leadership is not None:
            self._outgoing.extend(self._leadership.frames())
        outgoing, self._outgoing = self._outgoing, []
        for routing, message in outgoing:
            self._setup.send(routing, from_broker.encode(message))

    # ---- Host: what the replica calls ---------------------------------------------------------

    def apply(self, entry: Entry) -> None:
        applied = self._machine.apply(entry.data)
        if self._leadership is not None:
            self._leadership.applied(entry.at, applied)

    def activated(self, epoch: int, now: int) -> None:
        assert self._replica is not None
        log.info("active leader of epoch %d", epoch)
        self._leadership = Leadership(
            self._machine,
            self._replica.core,
            self._balancer,
            self._setup.rng,
            epoch=epoch,
            time=self._neighbours.wall_median(now),
            now=now,
            room=self._setup.room,
        )

    def deactivated(self) -> None:
        log.info("no longer the leader")
        self._leadership = None

    def read_ready(self, token: int) -> None:
        if self._leadership is not None:
            self._leadership.read_ready(token)

    def plan(self, now: int) -> None:
        if self._leadership is not None:
            self._leadership.plan(now)

    def before_commit(self) -> None:
        self._machine.flush()

    def released(self) -> None:
        self._flush()

    def switched(self) -> None:
        self._machine = Machine(self._store.connection)
