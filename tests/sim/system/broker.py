"""A broker process: the real Node over a simulated directory, network and clock.

The loop is that of `raftwork.broker.server`: wake; links and peers; everybody else; then the turn,
in which a sync keeps the process busy.
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, TypeVar

from raftwork.broker.machine import Machine
from raftwork.broker.node import Node
from raftwork.broker.node_setup import Setup
from raftwork.broker.options import timing
from raftwork.consensus.core import ORIGIN, Entry, Peer, Position, Snapshot
from raftwork.errors import OtherRelease, StoreDamaged, StoreError
from raftwork.features import from_broker
from raftwork.features.effects import Applied
from raftwork.features.task_row import CANCELLING
from raftwork.messages import PeerMessage
from tests.sim.system.bugs import Bug
from tests.sim.system.disk import Crash, Disk, Facts
from tests.sim.system.looks import recount
from tests.sim.system.network import Dealer
from tests.sim.system.node import WatchedNode
from tests.sim.system.process import Clock, Process
from tests.sim.system.promises import require
from tests.sim.system.watched import Inner, WatchedStore

if TYPE_CHECKING:
    from tests.sim.system.world import World

T = TypeVar("T")

#: A graceful stop waits so long for another broker to take over, ms.
HAND_OVER_S = 2_000
#: So many election timeouts may a leader stay active without a word from any other broker: one, and
#: half of one until it looks. A change of the timeout begins it anew.
ALONE = 5 / 3
#: … and so long after its deadline may a transfer of leadership still keep proposals out.
OVERDUE = 500
_PEER_MESSAGE = 21


class Broker(Process):
    """A name's place in the cluster. Implements `watched.Observer` and the sockets' owners."""

    def __init__(self, world: "World", name: str, clock: Clock, disk: Disk) -> None:
        super().__init__(world.timeline, name, clock)
        self.world = world
        self.disk = disk
        self.node: WatchedNode | None = None
        self.active: int | None = None
        self.activated_at = 0
        #: Up to where the log was applied then.
        self.activated_after = ORIGIN
        self.stopping: int | None = None
        self._inner: Inner | None = None
        #: The incarnation whose data were found damaged last.
        self._damaged = b""
        self._lag = 0
        self._heard = 0
        #: Election timeouts since it was activated.
        self._timeouts: set[int] = set()
        #: What it holds is to be compared with what ought to be there.
        self._look = ""
        self._applied = ORIGIN
        self._dealers: dict[str, Dealer] = {}
        self._clear()

    def _clear(self) -> None:
        self._links: list[tuple[str, bool]] = []
        self._from_peers: list[tuple[str, bytes]] = []
        self._from_anyone: list[tuple[bytes, bytes]] = []
        self._lost: list[bytes] = []
        self._done: list[Callable[[], None]] = []
        self.active = self.stopping = None

    # ---- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the directory and begin; again later if that is refused."""
        if self.alive:
            return
        try:
            inner = self.disk.open()
            self._begin(inner)
        except StoreError as error:
            self._distrust(error)
            self._follows(error)
            self.timeline.note("store refuses", self.host, error)
            self.disk.release()
            self.world.later(self.start)
            return
        self.timeline.note("start", self.host, inner.damage or "")
        others = [name for name in self.world.cluster if name != self.host]
        self._dealers = {name: Dealer(self.world.network, self, name) for name in others}
        self.world.network.listen(self)
        self.born()

    def _begin(self, inner: Inner) -> None:
        # Not every page is read at open: what was found damaged may look sound then.
        text = f"{self.host} goes on with data that it found to be damaged"
        require(inner.identity.incarnation != self._damaged, "damage remembered", text)
        self._inner, self.peer = inner, Peer(self.host, inner.identity.incarnation)
        store = WatchedStore(inner, self.disk, self)
        with inner.tables_guard:
            self.node = WatchedNode(self, self._setup(), store)
        self._applied = store.applied

    def _setup(self) -> Setup:
        rng = Random(self.timeline.rng.getrandbits(64))
        names, config = list(self.world.cluster), self.world.shape.config
        make = self.world.protocol.make
        return Setup(
            name=self.host,
            cluster=self.world.cluster,
            consensus=self.world.consensus_name,
            balancer=self.world.shape.balancer,
            rng=rng,
            make_core=lambda me, store, now: make(me, names, store, config, rng, now),
            timing=lambda cluster: timing(self.world.consensus_name, cluster, 0, 0),
            send=self._send,
            send_consensus=self._send_consensus,
            writable=self._room,
            send_peer=lambda name, frame: self._dealers[name].send(frame, self._lag),
            cluster_id=rng.getrandbits(128).to_bytes(16, "big"),
            contained=self._contained,
            levels=self.world.upgrades.starts(self.host),
            event_bytes=self.world.event_reader.keeps(),
        )

    def _contained(self, _what: str, error: Exception) -> None:
        """Production survives any error in work for others; here it does only if we raised it."""
        if not isinstance(error, Bug):
            raise error
        self.world.reach.counts[f"contained: {error.where}"] += 1

    def stop(self, how: str, *, silently: bool = False) -> None:
        """The process is gone: "exit" closes what it has, all else leaves it as it is."""
        if not self.alive:
            return
        self.timeline.note(how, self.host)
        self.died()
        for dealer in self._dealers.values():
            dealer.close()
        self.world.network.vanish(self.host, silently=silently)
        if how == "exit":
            self.disk.close()
        self.node = self._inner = None
        self._clear()
        self.disk.release()

    # ---- the loop -------------------------------------------------------------------------------

    def turn(self) -> int | None:
        node, inner = self.node, self._inner
        assert node is not None and inner is not None
        self._lag = 0
        try:
            with inner.tables_guard:
                self._carry_out(node)
        except Crash as crash:
            self.stop(f"crash {crash}")
            if self.timeline.chance(0.5):
                self.disk.power_cut()
            self.world.later(self.start)
            return None
        except StoreError as error:
            self._follows(error)
            self._fail(error)
            return None
        self._check(node)
        self.busy(self._lag)
        if self.stopping is not None and (not node.leads or self.timeline.now > self.stopping):
            self.stop("exit")
            self.world.later(self.start)
        return node.wake_at

    def _follows(self, error: StoreError) -> None:
        """No broker is left behind by an upgrade: none here goes back to the old release."""
        text = f"{self.host} cannot follow: {error}"
        require(not isinstance(error, OtherRelease), "upgrade", text)

    def _fail(self, error: StoreError) -> None:
        """The replica stops because its disk is not to be trusted, and is started again."""
        self._distrust(error)
        if isinstance(error, StoreDamaged):
            self.stop("damage noticed")
            self.disk.noticed()
        else:
            self.stop("disk failed")
        self.world.later(self.start)

    def _distrust(self, error: StoreError) -> None:
        if isinstance(error, StoreDamaged):
            self._damaged = self.disk.incarnation

    def _carry_out(self, node: Node) -> None:
        now = self.mono
        node.wake(now, self.clock.wall(self.timeline.now))
        for done in _drain(self._done):
            done()
        for name, up in _drain(self._links):
            node.link(name, up, now)
        for name, frame in _drain(self._from_peers):
            if frame[1] == _PEER_MESSAGE:
                self._heard = now
            node.receive_peer(name, frame, now)
        for routing, frame in _drain(self._from_anyone):
            self.world.told.reads(self, routing, frame)
            node.receive(routing, frame, now)
        for routing in _drain(self._lost):
            node.unreachable(routing)
        node.turn(now)

    def _check(self, node: WatchedNode) -> None:
        self.world.leases.turned(self, held=node.holds_back)
        if self._look:
            self._compare_queues(node, self._look)
            self._look = ""
        leads = node.leading
        if self.active is not None:
            silence = self.mono - max(self._heard, self.clock.monotonic(self.activated_at))
            text = f"{self.host} leads after {silence} ms without a word from another broker"
            self._timeouts.add(node.times.timing.election_timeout)
            require(silence <= ALONE * sum(self._timeouts), "leads alone", text)
            deadline = leads.transfer_deadline if leads is not None else None
            late = self.mono - deadline if deadline is not None else 0
            text = f"{self.host} refuses proposals {late} ms after its transfer should have ended"
            require(late <= OVERDUE, "transfer ends", text)
        if leads is not None:
            self.world.consensus.leads(self.peer, leads.epoch, self.end)

    def is_asked_to_end(self, token: int) -> bool:
        """Whether it has applied that the code under this token is asked to end."""
        assert self.node is not None
        run = self.node.machine.current(token)
        return run is not None and bool(run.flags & CANCELLING)

    def leader_time(self) -> int:
        """Of an active leader."""
        assert self.node is not None
        leading = self.node._supervisor.leadership
        return 0 if leading is None else leading.time(self.mono)

    @property
    def position(self) -> Position:
        """Up to where it has applied the log."""
        return self._applied

    @property
    def end(self) -> Position:
        """Up to where its log goes."""
        assert self._inner is not None
        return self._inner.last

    def hand_over(self) -> None:
        if self.node is not None:
            self.node.hand_over(self.mono)
            self.poke()

    def exit_gracefully(self) -> None:
        if self.alive and self.stopping is None:
            self.stopping = self.timeline.now + HAND_OVER_S
            self.hand_over()

    # ---- sockets --------------------------------------------------------------------------------

    def router_frame(self, routing: bytes, frame: bytes) -> None:
        self._from_anyone.append((routing, frame))
        self.poke()

    def dealer_frame(self, target: str, frame: bytes) -> None:
        self._from_peers.append((target, frame))
        self.poke()

    def dealer_link(self, target: str, *, up: bool) -> None:
        self._links.append((target, up))
        self.poke()

    def _send(self, routing: bytes, frame: bytes) -> None:
        self.world.pushes.leaves(self, routing, frame)
        self.world.told.leaves(self, routing, frame)
        if self.world.waits.loses(frame):
            return
        if not self.world.network.route(self, routing, frame, self._lag):
            self._lost.append(routing)

    def _room(self, routing: bytes) -> bool:
        if not self.world.takes_more(routing):
            self.world.reach.counts["unread by a stopped client"] += 1
            return False
        return not self.timeline.chance(self.world.network.weather.congestion)

    def _send_consensus(self, routing: bytes, frame: bytes) -> bool:
        message = from_broker.decode(frame)
        assert isinstance(message, PeerMessage)
        to = self.world.peer_at(routing)
        if to is not None:
            self.world.consensus.promises.sends(self.peer, to, message.body, self.disk.facts)
        self.world.reach.consensus(message.body)
        self.world.network.transmit_consensus(self, routing, frame, self._lag)
        return True

    # ---- what the store tells (watched.Observer) ------------------------------------------------

    def appended(self, before: Position, entries: tuple[Entry, ...]) -> None:
        if self.active is not None:
            self.world.leases.proposed(self, entries)
        self.world.consensus.appended(self.peer, before, entries)

    def durable(self, entries: list[Position]) -> None:
        self.world.consensus.durable(self.peer, entries)

    def applied(self, at: Position) -> None:
        assert self.node is not None
        leads = self.node.leading
        epoch = leads.epoch if leads is not None else None
        self.world.consensus.applied(self.peer, self._applied, at, epoch)
        self._applied = at

    def synced(self, facts: Facts) -> None:
        self.world.consensus.promises.synced(self.peer, facts)

    def committed(self) -> None:
        self.world.committed()

    def background(self, what: str, done: Callable[[], None]) -> None:
        node = self.node

        def finish() -> None:
            if self.node is node and self.alive:
                self._done.append(done)
                self.poke()

        self.timeline.note(f"{what} begun", self.host)
        self.timeline.after(self.timeline.rng.randint(1, 120), finish)

    def switched(self, snapshot: Snapshot) -> None:
        self.timeline.note("snapshot installed", self.host, snapshot.at)
        self._applied = snapshot.at
        self._look = "in a snapshot"

    def took(self, length: int) -> None:
        self._lag += length

    # ---- what the node tells --------------------------------------------------------------------

    def machine_applied(
        self, at: Position, data: bytes, applied: Applied, steps: list[int], machine: Machine
    ) -> None:
        self.world.upgrades.at_level(machine.level)
        self.world.queue.applied(self.host, at, data, applied, steps, machine)
        self.world.reach.effects(applied)
        if self.active is not None:
            self.world.retreats.handed_out()
        if at.seq % 100 == 0:
            self.world.queue.digest(self.host, at, machine.digest())
            recount(self.host, machine)

    def refuses_early(self, spec: bytes, tasks: bytes) -> None:
        self.world.queue.enqueues.refuses_early(self._applied, spec, tasks)

    def activated(self, epoch: int) -> None:
        self.timeline.note("activated", self.host, epoch)
        assert self._inner is not None
        self.world.consensus.activated(self.peer, epoch, self._inner.applied)
        self.active, self.activated_at = epoch, self.timeline.now
        self._timeouts.clear()
        self.activated_after = self._applied
        self.world.press()
        self.world.leases.activated(self)
        self._look = "by a new leader"

    def deactivated(self) -> None:
        self.timeline.note("deactivated", self.host, self.active)
        self.active = None

    def check_state(self) -> None:
        """Compare the machine's tables with those of others at the same position."""
        node, inner = self.node, self._inner
        if not self.alive or node is None or inner is None:
            return
        try:
            with inner.tables_guard:
                digest = node.machine.digest()
                recount(self.host, node.machine)
        except StoreError as error:  # we were the first to read a rotten page
            self._fail(error)
            return
        self.world.queue.digest(self.host, inner.applied, digest)
        self._compare_queues(node, "later")

    def _compare_queues(self, node: WatchedNode, when: str) -> None:
        queues = node.machine.queues()
        self.world.queue.rooms.compare(self.host, self._applied, queues)
        self.world.queue.cluster.compare(self.host, self._applied, node.machine.settings)
        set_ = any(b"max_" in queue.settings for queue in queues)
        self.world.reach.counts[f"settings found {when}"] += set_


def _drain(items: list[T]) -> list[T]:
    out = items[:]
    items.clear()
    return out
