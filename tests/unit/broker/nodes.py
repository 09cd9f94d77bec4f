"""Brokers in memory: real nodes, cores and machines; frames travel through lists."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import apsw

from raftwork.broker.disk_space import DiskSpace
from raftwork.broker.events import Event
from raftwork.broker.machine import create_or_migrate
from raftwork.broker.node import Node
from raftwork.broker.node_setup import NodeStore, Setup
from raftwork.broker.options import Timing, timing
from raftwork.broker.server import core_maker
from raftwork.broker.store.identity import Identity
from raftwork.consensus.core import (
    ORIGIN,
    Consensus,
    Entry,
    Peer,
    Position,
    Restored,
    Roster,
    Snapshot,
)
from raftwork.consensus.durable_replica import Background
from raftwork.features import from_broker, to_broker
from raftwork.features.cluster_settings import DEFAULTS
from raftwork.messages import (
    PROTOCOL,
    ClientHello,
    FromBroker,
    Holding,
    ToBroker,
    WorkerHello,
)
from raftwork.release import LEVELS, Levels

STEP = 5
MIB = 1024 * 1024


class MemoryStore:
    """A `NodeStore` without a disk: the log is a list, the tables are SQLite's in memory."""

    def __init__(self, name: str, number: int = 0) -> None:
        self.connection = apsw.Connection(":memory:")
        create_or_migrate(self.connection)
        incarnation = f"{name}{number}".encode().ljust(16, b".")
        self.identity = Identity(name, incarnation, b"", "raft", {})
        self.roster: Roster = {}
        self.applied = ORIGIN
        self.base = ORIGIN
        self.log: list[Entry] = []
        self.state: bytes | None = None
        self.writing = False
        #: What the open transaction would promise, if it were committed.
        self.promises = False

    @property
    def restored(self) -> Restored:
        return Restored(self.state, self.applied, self.roster)

    def form(self, cluster_id: bytes, roster: Roster) -> None:
        assert not self.identity.cluster_id
        self.identity, self.roster = replace(self.identity, cluster_id=cluster_id), dict(roster)

    def found(self, name: str, address: str) -> None:
        self.identity = replace(self.identity, moved={**self.identity.moved, name: address})

    @property
    def last(self) -> Position:
        return self.log[-1].at if self.log else ORIGIN

    def epochs(self) -> Sequence[Position]:
        firsts: dict[int, Position] = {}
        for entry in self.log:
            firsts.setdefault(entry.at.epoch, entry.at)
        return list(firsts.values())

    def floor(self, at: Position) -> Position:
        return max((entry.at for entry in self.log if entry.at <= at), default=self.base)

    def entries(self, after: Position, limit_bytes: int) -> list[Entry]:
        found: list[Entry] = []
        for entry in self.log[after.seq :]:
            limit_bytes -= len(entry.data)
            if found and limit_bytes < 0:
                break
            found.append(entry)
        return found

    def begin(self, *, sync: bool = True) -> None:
        assert not self.writing
        self.writing = True
        self.connection.execute("BEGIN")

    def commit(self) -> None:
        self.connection.execute("COMMIT")
        self.writing = self.promises = False

    def rollback(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.writing = self.promises = False

    def rewind(self, to: Position) -> None:
        assert to >= self.applied
        self.promises = True
        del self.log[to.seq :]

    def append(self, entries: tuple[Entry, ...]) -> None:
        self.promises = True
        self.log.extend(entries)

    def save_state(self, state: bytes) -> None:
        self.promises = True
        self.state = state

    def save_applied(self, at: Position) -> None:
        self.applied = at

    def save_roster(self, roster: Roster) -> None:
        self.roster = dict(roster)

    def compact(self, upto: Position) -> Position:
        return self.base

    def snapshot_chunk(self, snapshot: Snapshot, offset: int, size: int) -> bytes:
        raise NotImplementedError

    def stage(self, snapshot: Snapshot, offset: int, data: bytes) -> None:
        raise NotImplementedError

    def start_snapshot(self) -> None:
        raise NotImplementedError

    def start_install(self, snapshot: Snapshot) -> None:
        raise NotImplementedError

    def background(self) -> Background | None:
        return None

    def switch(self, snapshot: Snapshot) -> Roster:
        raise NotImplementedError


class World:
    """Brokers with these names, and whoever talks to them.

    `cut` holds the names of brokers whose peer frames are lost; `dead` the routing ids at which
    nobody is connected any more. `addresses` is where each listens, `dialled` which broker dials
    which other where: by (dialling, dialled).
    """

    def __init__(
        self,
        *names: str,
        stores: dict[str, MemoryStore] | None = None,
        tell: Callable[[str, Event], None] = lambda _name, _event: None,
        consensus: str = "raft",
        levels: dict[str, Levels] | None = None,
    ) -> None:
        """`levels` are those that brokers run, if not this release's."""
        self._tell = tell
        self.levels = levels or {}
        self._consensus = consensus
        self.names = names or ("a",)
        self.now = 1_000
        self.rng = Random(7)
        self.stores = stores or {name: MemoryStore(name) for name in self.names}
        self.inbox: dict[bytes, list[tuple[str, FromBroker]]] = defaultdict(list)
        self.cut: set[str] = set()
        self.dead: set[bytes] = set()
        self.addresses = {name: f"{name}.example:7701" for name in self.names}
        self.dialled: dict[tuple[str, str], str] = {}
        #: Whether a connection takes more for now.
        self.room: Callable[[bytes], bool] = lambda _routing: True
        #: What each knows of the disks; this much must be free.
        self.disks = {name: DiskSpace(name, self.names, 512 * MIB) for name in self.names}
        #: Errors of this type are the test's own; what failed with them.
        self.tolerated: type[Exception] | None = None
        self.contained: list[str] = []
        self._lost: list[tuple[str, bytes]] = []
        self._peer_frames: list[tuple[str, str, bytes]] = []  # (to, from's name or routing, frame)
        self._hellos: list[tuple[str, str, bytes]] = []
        self.nodes = {name: self.start(name) for name in self.names}

    def start(self, name: str) -> Node:
        store = self.stores[name]
        cluster = {**self.addresses, **store.identity.moved}
        for other, address in cluster.items():
            self.dialled[name, other] = address

        def times(cluster: int) -> Timing:
            return timing(self._consensus, cluster, 0, 0)

        def make_core(me: Peer, store: NodeStore, now: int) -> Consensus:
            return core_maker(self._consensus, times(DEFAULTS.election_timeout))(
                me, list(self.names), store, self.rng, now
            )

        def send(routing: bytes, frame: bytes) -> None:
            if routing in self.dead:
                self._lost.append((name, routing))
            elif routing.startswith(b"peer-"):
                self._peer_frames.append((routing[5:].decode(), name, frame))
            else:
                assert not store.promises, "a frame left before what it rests on was committed"
                self.inbox[routing].append((name, from_broker.decode(frame)))

        def send_consensus(routing: bytes, frame: bytes) -> bool:
            self._peer_frames.append((routing[5:].decode(), name, frame))
            return True

        def send_peer(other: str, frame: bytes) -> None:
            if self.dialled[name, other] == self.addresses[other]:
                self._hellos.append((other, name, frame))

        def dial(other: str, address: str) -> None:
            self.dialled[name, other] = address

        setup = Setup(
            name=name,
            cluster=cluster,
            consensus=self._consensus,
            balancer="weighted",
            rng=self.rng,
            make_core=make_core,
            timing=times,
            send=send,
            send_consensus=send_consensus,
            send_peer=send_peer,
            dial=dial,
            writable=lambda routing: self.room(routing),
            tell=lambda _epoch, event: self._tell(name, event),
            tells_attempts=True,
            cluster_id=b"cluster-of-" + name.encode().ljust(5, b"."),
            contained=self.contain,
            disk=self.disks[name],
            levels=self.levels.get(name, LEVELS),
        )
        return Node(setup, store, self.now, 1_000_000 + self.now)

    def contain(self, what: str, error: Exception) -> None:
        """An error that a broker survives is one all the same, unless the test brought it about."""
        if self.tolerated is None or not isinstance(error, self.tolerated):
            raise error
        self.contained.append(what)

    # ---- time -----------------------------------------------------------------------------------

    def step(self, ms: int = STEP) -> None:
        """One turn of every broker, then what they sent each other arrives."""
        self.now += ms
        for node in self.nodes.values():
            node.wake(self.now, 1_000_000 + self.now)
        hellos, self._hellos = self._hellos, []
        for to, source, frame in hellos:
            if not {to, source} & self.cut and to in self.nodes:
                self.nodes[to].receive(b"peer-" + source.encode(), frame, self.now)
        frames, self._peer_frames = self._peer_frames, []
        for to, source, frame in frames:
            if not {to, source} & self.cut and to in self.nodes:
                self.nodes[to].receive_peer(source, frame, self.now)
        lost, self._lost = self._lost, []
        for name, routing in lost:
            self.nodes[name].unreachable(routing)
        for node in self.nodes.values():
            node.turn(self.now)

    def run(self, ms: int) -> None:
        for _ in range(0, ms, STEP):
            self.step()

    def elect(self, limit: int = 20_000) -> str:
        """Run until one broker leads; its name."""
        for _ in range(0, limit, STEP):
            self.step()
            leaders = [n for n, node in self.nodes.items() if node.leads and n not in self.cut]
            if leaders:
                return leaders[0]
        raise AssertionError("nobody came to lead")

    # ---- clients and workers --------------------------------------------------------------------

    def say(self, routing: bytes, message: ToBroker, to: str = "a") -> None:
        self.nodes[to].receive(routing, to_broker.encode(message), self.now)

    def heard(self, routing: bytes) -> list[FromBroker]:
        """What was sent to this routing id, drained."""
        out = [message for _, message in self.inbox[routing]]
        self.inbox[routing].clear()
        return out

    def ask(self, routing: bytes, message: ToBroker, to: str = "a") -> list[FromBroker]:
        """Say it, let a few turns pass, and hear the answers."""
        self.say(routing, message, to)
        self.run(10 * STEP)
        return self.heard(routing)

    def client(self, routing: bytes = b"client", to: str = "a") -> None:
        self.ask(routing, ClientHello(PROTOCOL), to)

    def worker(
        self,
        routing: bytes = b"worker",
        to: str = "a",
        session: int = 1,
        holding: Sequence[Holding] = (),
        incarnation: bytes = b"incarnation-of-w",
    ) -> list[FromBroker]:
        hello = WorkerHello(
            PROTOCOL, "w", incarnation, session, "h", 1, 2, ["default"], list(holding), False
        )
        return self.ask(routing, hello, to)

    def digests(self) -> dict[str, bytes]:
        return {name: node._machine.digest() for name, node in self.nodes.items()}
