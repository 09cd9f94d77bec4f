"""The whole system in one process and one history: some brokers, five workers, two clients.

A seed first draws a shape, then lives through it: load and faults together, in some histories a
time in which only links between brokers are down, then peace, in which the system must mend itself,
and every promise made under the faults must turn out to be kept.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType

from raftwork.broker.workers import reports
from raftwork.consensus.core import Peer
from raftwork.features import (
    cancel,
    flow_ends,
    flow_joins,
    flow_nodes,
    purge_queue,
    schedule_planner,
)
from raftwork.messages import Extras, Spec
from tests.sim.system.admin import Admin
from tests.sim.system.apart import Apart
from tests.sim.system.broker import Broker
from tests.sim.system.bugs import Bugs
from tests.sim.system.cancels import Cancels, ToldChecker
from tests.sim.system.client import Client
from tests.sim.system.cluster_settings import ClusterAdmin
from tests.sim.system.consensus_checker import ConsensusChecker
from tests.sim.system.disk import CLUSTER, Disk, Notes
from tests.sim.system.events import EventReader
from tests.sim.system.faults import Faults
from tests.sim.system.flows import MADE_AT_ONCE, NODES_AT_ONCE, STEPS_AT_ONCE, Flows
from tests.sim.system.fork_server import ForkServers
from tests.sim.system.lanes import Draw, Resumes
from tests.sim.system.limits import Draw as LimitDraw
from tests.sim.system.limits import LimitAdmin
from tests.sim.system.looks import Looker
from tests.sim.system.memory import MemoryDisk
from tests.sim.system.network import Network
from tests.sim.system.plots import hold_back, leave_behind, offer_in_vain, read_late
from tests.sim.system.process import Clock, Process
from tests.sim.system.promises import require
from tests.sim.system.protocols import PROTOCOLS
from tests.sim.system.purges import Purges
from tests.sim.system.queue_checker import QueueChecker
from tests.sim.system.reach import Reach
from tests.sim.system.room import Rooms
from tests.sim.system.schedules import Schedulers
from tests.sim.system.service_checker import ClientChecker, LeaseChecker, PushChecker
from tests.sim.system.shape import APART, Shape
from tests.sim.system.sqlite import SqliteDisk
from tests.sim.system.timeline import Timeline
from tests.sim.system.timers import Draw as TimerDraw
from tests.sim.system.timers import Moves, Retreats
from tests.sim.system.unique import Uniques
from tests.sim.system.upgrades import Upgrades
from tests.sim.system.waits import Waits
from tests.sim.system.worker import Worker
from tests.sim.system.workload import Batch, Book

#: In peace everything must be as it should within so many ms; with half the slots, twice as many.
RECOVERY, RECOVERY_NARROW = 25_000, 50_000
#: … or, if all that is left is unknown to some workers or waits for its turn in an order, as long
#: as one is done every so many ms (the longest takes 4,500), but no longer than so many.
EVERY, BACKLOG = 6_000, 60_000
#: By then what was cut off or starting is back; from then on outcomes are told within …
SETTLING, PATIENCE = 2_500, 2_000
#: Who waits for room has asked for it within so many ms before he gives up.
ASKED = 2_000
WORKERS = 5
CLIENTS = 2
#: Tasks that one entry of a purge drops: few, so that some take several.
PURGED_AT_ONCE = 3
#: Rows that one entry of a cancel looks at: enough that a history does not become one cancel.
CANCELLED_AT_ONCE = 20
#: A tick that is later is one of an outage: few histories have one of ten seconds, ms.
LATE = 1_200


def _made_small(shape: Shape) -> list[tuple[ModuleType, str, int]]:
    """Have what is done by parts done by small ones; what each was before."""
    small: list[tuple[ModuleType, str, int]] = [
        (reports, "EXPIRY_GRACE_MS", shape.expiry_grace),
        (purge_queue, "_PART", PURGED_AT_ONCE),
        (cancel, "_PART", CANCELLED_AT_ONCE),
        (flow_nodes, "STEPS_AN_ENTRY", STEPS_AT_ONCE),
        (flow_joins, "STEPS_AN_ENTRY", MADE_AT_ONCE),
        (flow_ends, "_PART", NODES_AT_ONCE),
        (schedule_planner, "GRACE_MS", LATE),
    ]
    before = [(module, name, int(getattr(module, name))) for module, name, _ in small]
    for module, name, value in small:
        setattr(module, name, value)
    return before


class World:
    """`real_store` is a directory for the real store's files; without it stores are in memory."""

    def __init__(
        self, seed: int, *, consensus: str = "raft", real_store: Path | None = None
    ) -> None:
        self.seed = seed
        self.consensus_name, self.protocol = consensus, PROTOCOLS[consensus]
        self._root = real_store
        self.timeline = Timeline(seed)
        rng = self.timeline.rng
        self.shape = Shape.draw(self.timeline, real_store=real_store is not None)
        #: Addresses of its brokers by name.
        self.cluster = dict(list(CLUSTER.items())[: self.shape.size])
        self.network = Network(self.timeline)
        self.notes, self.reach = Notes(), Reach(consensus)
        self._lanes, self._timers = Draw(seed), TimerDraw(self)
        self._limits = LimitDraw(self)
        special = self._lanes.there or self._timers.there or self._limits.there
        self.book = Book(rng, self.shape.fatal, self._change if special else None)
        #: How often the code of a task has failed, or killed its worker, so far.
        self.failures: dict[str, int] = {}
        self._kills: dict[str, int] = {}
        self._settled_at: dict[str, int] = {}
        self.consensus = ConsensusChecker(self.protocol.promises())
        self.queue = QueueChecker(Rooms(self.timeline), self.reach.counts)
        self.clients = ClientChecker(self.timeline, self.queue)
        self.leases = LeaseChecker(self.queue, self.network.routed)
        self.pushes = PushChecker(self.queue)
        self.told = ToldChecker(self.queue)
        self.fork_servers = ForkServers(self)
        self.upgrades = Upgrades(self)
        self.waits = Waits(self)
        self.brokers = [
            Broker(self, name, self._clock(), self._disk(name)) for name in self.cluster
        ]
        self.workers = [
            Worker(self, f"w{i}", self._clock(), self.waits.slots(rng.randint(1, 4)))
            for i in range(WORKERS)
        ]
        for worker in self.workers[:2]:
            worker.queues = ("default", "bulk", "rare")
        self.users = [Client(self, f"c{i}", self._clock()) for i in range(CLIENTS)]
        parties: list[Process] = [*self.brokers, *self.workers, *self.users]
        self._parties = {each.host: each for each in parties}
        self.faults = Faults(self)
        self.admin = Admin(self)
        self.purges = Purges(self)
        self.cancels = Cancels(self)
        self.looker = Looker(self)
        self.event_reader = EventReader(self)
        self.cluster_admin = ClusterAdmin(self)
        self.uniques = Uniques(self)
        self.flows = Flows(self)
        self.schedulers = Schedulers(self)
        self.bugs = Bugs(self)
        self.resumes = Resumes(self)
        self.moves = Moves(self, self._timers)
        self.retreats = Retreats(self, self._timers)
        self.limit_admin = LimitAdmin(self, self._limits)

    def _change(self, spec: Spec) -> tuple[Spec, str, Extras]:
        """A batch that is perhaps other than ordinary."""
        spec, key, extras = self._lanes.change(spec)
        spec, extras = self._timers.change(spec, extras)
        return self._limits.change(spec, key, extras)

    def _clock(self) -> Clock:
        rng, drift = self.timeline.rng, self.shape.drift_ppm
        wall = 1_700_000_000_000 + rng.randint(-5_000, 5_000)
        return Clock(rng.randint(10_000, 10**9), rng.randint(-drift, drift), wall)

    def _disk(self, name: str) -> Disk:
        disk = self._new_disk(name)
        disk.cluster = self.cluster
        return disk

    def _new_disk(self, name: str) -> Disk:
        rng = Random(self.timeline.rng.getrandbits(64))
        protocol, tail = self.consensus_name, self.shape.tail
        if self._root is not None:
            return SqliteDisk(name, rng, self.notes, protocol, self._root, tail=tail)
        return MemoryDisk(name, rng, self.notes, protocol, tail=tail)

    # ---- a history ------------------------------------------------------------------------------

    def run(self) -> None:
        """Live through it. Raises AssertionError if a promise is broken."""
        timeline, shape = self.timeline, self.shape
        before = _made_small(shape)
        try:
            for process in (*self.brokers, *self.workers, *self.users):
                process.start()
            for user in self.users:
                timeline.after(timeline.rng.randint(0, 500), self._act, user)
            timeline.after(1_500, self._compare)
            timeline.run(1_200)
            self.admin.begin()
            self.purges.begin()
            self.cancels.begin()
            self.cancels.plot()
            self.resumes.begin()
            self.uniques.begin()
            self.flows.leave()
            self.flows.begin()
            self.schedulers.begin()
            self.moves.begin()
            self.looker.begin()
            self.event_reader.begin()
            self.limit_admin.begin()
            self.cluster_admin.begin()
            self.upgrades.begin()
            self.bugs.begin()
            self.waits.begin()
            self.network.weather = shape.weather
            for broker in self.brokers:
                broker.disk.faults.slow = shape.disk_slow
            timeline.after(timeline.rng.randint(0, 800), self.faults.next)
            if shape.plot:
                leave_behind(self)
            elif shape.held and self.consensus_name == "raft":  # one is enough: it is not consensus
                hold_back(self)
                read_late(self)
            elif shape.offered and self.consensus_name == "zab":
                offer_in_vain(self)
            timeline.run(shape.peace_at - shape.apart * APART)
            if shape.apart:
                Apart(self).begin()
            timeline.run(shape.peace_at)
            self.faults.end()
            self.bugs.end()
            timeline.after(0, self._check_waiters)
            require(self._recovers(), "liveness", self.complaint())
            self._compare()
            self.event_reader.check()
        finally:
            for module, name, value in before:
                setattr(module, name, value)
            for broker in self.brokers:
                broker.disk.forget()

    def _act(self, user: Client) -> None:
        if not self.peaceful:
            user.act()
            wait = self.timeline.rng.randint(1, 2 * self.shape.op_every)
            self.timeline.after(wait, self._act, user)

    def press(self) -> None:
        """Clients ask again and again while two lead: then an answer without a barrier is wrong."""
        leading = [each for each in self.brokers if each.active is not None and not each.paused]
        if len(leading) < 2 or self.peaceful:
            return
        self.reach.counts["two lead"] += 1
        for user in self.users:
            user.press()
        if self.shape.set_every:
            self.admin.press("bulk")
        self.purges.press()
        self.cancels.press()
        self.looker.press()
        self.cluster_admin.press()
        self.timeline.after(40, self.press)

    def _compare(self) -> None:
        for broker in self.brokers:
            broker.check_state()
        self.timeline.after(1_500, self._compare)

    def later(self, action: Callable[[], None]) -> None:
        """Start a process again, some time later."""
        self.timeline.after(self.timeline.rng.choice((20, 300, 1_500)), action)

    # ---- peace ----------------------------------------------------------------------------------

    def _recovers(self) -> bool:
        timeline = self.timeline
        recovery = RECOVERY_NARROW if self.waits.narrow else RECOVERY
        if timeline.run(timeline.now + recovery, self.whole):
            return True
        patience, left = timeline.now + BACKLOG, self._backlog()
        while left and timeline.now < patience:
            if timeline.run(timeline.now + EVERY, self.whole):
                return True
            before, left = left, self._backlog()
            if left >= before:
                return False
        return not left and timeline.run(timeline.now + recovery, self.whole)

    def _backlog(self) -> int:
        """How many tasks have no outcome; 0 if one of them could have it by now.

        That is one that is known to all workers and does not wait for its turn in an order.
        """
        lacks = {name for worker in self.workers for name in worker.lacks}
        left = [each.spec for each in self.queue.tasks.values() if each.outcome is None]
        others = {spec.name for spec in left if not spec.ordered}
        return len(left) if lacks.issuperset(others) else 0

    def whole(self) -> bool:
        """One leader, every task over, every client content, every replica up to date."""
        return not self.complaint()

    def complaint(self) -> str:
        active = [broker for broker in self.brokers if broker.active is not None]
        if len(active) != 1:
            return f"{len(active)} active leaders"
        for task, known in self.queue.tasks.items():
            if known.outcome is None:
                return f"{task} has no outcome: {known}"
        if behind := self.queue.schedules.behind(active[0].leader_time()):
            return behind
        for user in self.users:
            if not user.content:
                return f"{user.host} still waits: {user.wants()}"
        rosters = {broker.disk.facts.roster for broker in self.brokers}
        mapping = tuple((broker.host, broker.disk.incarnation) for broker in self.brokers)
        if rosters != {mapping}:
            return "not every replica is a voter"
        positions = {broker.host: broker.position for broker in self.brokers}
        if len(set(positions.values())) > 1:
            return f"not every replica has caught up: {positions}"
        return ""

    def _check_waiters(self) -> None:
        """In peace an outcome reaches who waits for it at once, not when he asks again.

        Where single frames were lost before, he may have to ask again.
        """
        self.timeline.after(250, self._check_waiters)
        for user in self.users:
            calm = self._calm(user)
            if calm <= PATIENCE:
                continue
            for task in user.waits_for():
                waited = self.timeline.now - self._settled_at.get(task, self.timeline.now)
                text = f"{user.host} is not told the outcome of {task}"
                require(min(calm, waited) <= PATIENCE, "waiters", text)

    def _calm(self, user: Client) -> int:
        """For how long there has been peace, one leader, and nothing that stopped this client."""
        active = [broker for broker in self.brokers if broker.active is not None]
        if self.shape.weather.loss or len(active) != 1:
            return 0
        settled = self.shape.peace_at + SETTLING
        leader = active[0]
        return self.timeline.now - max(
            leader.activated_at, leader.back_at, settled, user.back_at, user.born_at
        )

    def waited_in_vain(self, user: Client, batch: Batch) -> None:
        """It waited for room, and was refused in the end."""
        if self._calm(user) > ASKED:
            self.clients.waited_in_vain(batch, self.timeline.now - ASKED)

    # ---- asked by the parts ---------------------------------------------------------------------

    @property
    def peaceful(self) -> bool:
        return self.timeline.now >= self.shape.peace_at

    def takes_more(self, routing: bytes) -> bool:
        """Whether whoever is connected under this routing id reads, or has room for more."""
        connection = self.network.routed.get(routing)
        owner = connection.dealer.owner if connection is not None else None
        return not (isinstance(owner, Client) and owner.stuffed)

    def may_lose(self, broker: Broker) -> bool:
        """Whether a majority's disks know of the last rebind: else one loss more is too many."""
        mapping = tuple((each.host, each.disk.incarnation) for each in self.brokers)
        knowing = [each for each in self.brokers if each.disk.facts.roster == mapping]
        return len(knowing) > len(self.brokers) // 2 and not any(
            each.disk.rotten for each in self.brokers
        )

    def party(self, routing: bytes) -> Process | None:
        """Whose DEALER is connected under this routing id."""
        connection = self.network.routed.get(routing)
        return self._parties.get(connection.dealer.owner.host) if connection is not None else None

    def kind_of(self, party: Process) -> str:
        if isinstance(party, Broker):
            return "a peer"
        return "a worker" if isinstance(party, Worker) else "a client"

    def peer_at(self, routing: bytes) -> Peer | None:
        """The broker whose DEALER is connected under this routing id of another's ROUTER."""
        connection = self.network.routed.get(routing)
        if connection is None or connection.dealer.closed:
            return None  # of a process that is gone
        owner = connection.dealer.owner
        return owner.peer if isinstance(owner, Broker) else None

    def spared(self, task: str, times: int) -> bool:
        """Whether a task has killed so many workers that it stops."""
        kills = self._kills[task] = self._kills.get(task, 0) + 1
        return kills > times

    def committed(self) -> None:
        """Some broker's transaction was committed, and perhaps outcomes with it."""
        for task in self.queue.settled:
            self._settled_at[task] = self.timeline.now
            self.flows.over(task)
            for worker in self.workers:
                if worker.alive and worker.waits_for(task):
                    worker.poke()
        self.queue.settled.clear()
