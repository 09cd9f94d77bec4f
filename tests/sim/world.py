"""A world of consensus cores in virtual time: one heap, one Random, the real Replica.

Time jumps from event to event. A process is a loop as in production: it wakes, reads what has
arrived, takes its clients' requests and carries out a turn; a sync blocks it. The network loses,
delays, duplicates and reorders; disks are slow and forget what was not synced; directories vanish.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from heapq import heappop, heappush
from typing import NamedTuple
from zlib import crc32

from raftwork.consensus.core import Consensus, Message, Peer, Role
from raftwork.consensus.durable_replica import Replica
from raftwork.errors import NotLeader, QueueFull
from tests.sim.checkers import ChainHost, CheckedStore, Checker
from tests.sim.connectivity import Pairs, able, both, everybody, may_lead, supports
from tests.sim.protocols import PROTOCOLS
from tests.sim.shape import Kind, Shape
from tests.sim.store import Disk, Image


class PowerCut(Exception):
    """The process dies in the middle of a commit."""


class Op(NamedTuple):
    """What a client asks of a process: data to propose, or a barrier's token."""

    data: bytes | None
    token: int


class Moment(Enum):
    """When, in a synced commit, a process dies."""

    LOST = "before the data reached the disk"
    SILENT = "after that, before the promises left"
    SPOKEN = "once they left"


class Cut(NamedTuple):
    """The end of a process in its next synced commit, or in the next that saves term or vote."""

    moment: Moment
    voting: bool


@dataclass(slots=True)
class Process:
    """A name's place in the world: its directory outlives what runs on it."""

    peer: Peer
    disk: Disk
    replica: Replica | None = None
    store: CheckedStore | None = None
    host: ChainHost | None = None
    inbox: list[tuple[Peer, bytes]] = field(default_factory=list)
    links: list[tuple[str, bool]] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    hand_over: bool = False
    free_at: int = 0
    turn_at: int | None = None
    sync: int = 0
    #: How the next synced commit ends the process, if it does.
    cut: Cut | None = None
    doomed: bool = False
    lag: int = 0

    @property
    def core(self) -> Consensus:
        assert self.replica is not None
        return self.replica.core


class World:
    """Replicas, a network and a clock. Everything random comes from one seed."""

    def __init__(self, seed: int, kind: Kind | None = None, protocol: str = "raft") -> None:
        self.rng = random.Random(seed)
        #: Of changes of times, so that other histories stay what they were.
        self.clockwork = random.Random(f"times of {seed}")
        self.retimed = False
        self.shape = Shape.draw(self.rng, kind)
        self.protocol = PROTOCOLS[protocol]
        self.now = 0
        self.checker = Checker()
        self.names = [chr(ord("a") + i) for i in range(self.shape.size)]
        #: Called when a leader is first seen.
        self.elected: Callable[[str], None] = lambda name: None
        self.hash = 0
        self.trace: deque[tuple[object, ...]] = deque(maxlen=3_000)
        self.loss, self.duplicates = self.shape.loss, self.shape.duplicates
        self.delay = self.shape.delay
        #: What was to heal later does not, once all has healed.
        self._era = 0
        #: Directed pairs between which nothing passes.
        self.cuts: set[tuple[str, str]] = set()
        self.reached = self.checker.reached
        self._led: set[tuple[str, int]] = set()
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._tokens = 0
        roster = tuple((name, self._incarnation()) for name in self.names)
        self.processes: dict[str, Process] = {}
        for name, incarnation in roster:
            disk = Disk(Image(roster=roster))
            self.processes[name] = Process(Peer(name, incarnation), disk, sync=self.shape.sync)
        for name in self.names:
            self.start(name)

    # ---- time -----------------------------------------------------------------------------------

    def after(self, delay: int, action: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._heap, (self.now + delay, self._count, action))

    def run(self, until: int) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _, action = heappop(self._heap)
            action()
        self.now = until

    def note(self, *what: object) -> None:
        """A line of the trace; `reached` counts how often each kind of thing happened."""
        self.trace.append((self.now, *what))
        kind = str(what[0])
        self.reached[kind] += 1
        self.hash = crc32(repr(what).encode(), self.hash)

    def lines(self) -> Iterator[str]:
        incarnations = {p.peer.incarnation: p.peer.name for p in self.processes.values()}
        for now, kind, *rest in self.trace:
            if kind == "deliver":
                src, to, body = rest
                assert isinstance(body, bytes) and isinstance(src, Peer)
                new = "" if src.incarnation in incarnations else "(old)"
                yield f"{now:6} {src.name}{new} → {to}: {self.protocol.words(body)}"
            else:
                yield f"{now:6} {kind} {' '.join(map(str, rest))}"

    # ---- processes ------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        process = self.processes[name]
        assert process.replica is None
        shape = self.shape

        def on_commit(synced: bool) -> None:
            if not synced:
                return
            process.lag += self.rng.randint(0, process.sync) if process.sync else 0
            cut, image = process.cut, store.image()
            if cut is None or (cut.voting and image.state == process.disk.synced.state):
                return
            if cut.moment is Moment.SPOKEN:
                process.doomed = True
                return
            if cut.moment is Moment.SILENT:
                process.disk.committed = process.disk.synced = image
            raise PowerCut

        store = CheckedStore(
            process.disk, tail=shape.tail, padding=shape.padding, on_commit=on_commit
        )
        store.peer, store.checker = process.peer, self.checker
        host = ChainHost(process.peer, store, self.checker)
        rng = random.Random(self.rng.getrandbits(32))
        make = self.protocol.make
        core = make(process.peer, self.names, store, shape.config, rng, self.now)
        process.store, process.host = store, host
        process.replica = Replica(core, store, host, lambda message: self._send(process, message))
        process.free_at = self.now
        self.note("start", name)
        self.schedule(process, self.now)
        for other in self.names:
            self.link(other, name, up=True)

    def stop(self, name: str, *, power: bool = False) -> None:
        """Kill the process; with a power cut, unsynced commits may be lost as well."""
        process = self.processes[name]
        process.replica = process.store = process.host = None
        process.turn_at, process.cut, process.hand_over, process.doomed = None, None, False, False
        for queue in (process.inbox, process.links, process.ops):
            queue.clear()
        if power:
            process.disk.power_cut(self.rng)
        self.note("power cut" if power else "kill", name)
        for other in self.names:
            if other != name and self.rng.random() < 0.7:
                self.link(other, name, up=False)

    def wipe(self, name: str) -> None:
        """The directory is lost; the name comes back with a blank one."""
        process = self.processes[name]
        if process.replica is not None:
            self.stop(name)
        process.peer = Peer(name, self._incarnation())
        process.disk = Disk(Image())
        self.note("wipe", name)

    def pause(self, name: str, length: int) -> None:
        process = self.processes[name]
        if process.replica is not None:
            self.note("pause", name, length)
            process.free_at = max(process.free_at, self.now + length)
            if process.turn_at is not None:
                self.schedule(process, process.free_at, again=True)

    def schedule(self, process: Process, at: int, *, again: bool = False) -> None:
        at = max(at, process.free_at, self.now)
        if process.turn_at is not None and process.turn_at <= at and not again:
            return
        process.turn_at = at
        replica = process.replica
        self.after(at - self.now, lambda: self._turn(process, replica, at))

    def _turn(self, process: Process, replica: Replica | None, at: int) -> None:
        if replica is None or process.replica is not replica or process.turn_at != at:
            return
        process.turn_at = None
        process.lag = 0
        try:
            self._loop(process, replica)
        except PowerCut:
            process.doomed = True
        if process.doomed:
            self.stop(process.peer.name, power=True)
            self.restart_later(process.peer.name)
            return
        assert process.store is not None
        status = replica.core.status
        if self.protocol.complete(status):
            self.checker.leads(process.peer, status.epoch, process.store)
        leadership = (process.peer.name, status.epoch)
        if status.role is Role.LEADER and leadership not in self._led:
            self._led.add(leadership)
            self.elected(process.peer.name)
        process.free_at = self.now + process.lag
        wake_at = replica.wake_at
        next_at = self.now + 5 if wake_at is None else wake_at
        self.schedule(process, self.now if process.inbox else next_at)

    def _loop(self, process: Process, replica: Replica) -> None:
        """One turn of a broker's loop."""
        now = self.now
        replica.wake(now)
        inbox, process.inbox = process.inbox, []
        for src, body in inbox:
            self.note("deliver", src, process.peer.name, body)
            replica.receive(src, body, now)
        links, process.links = process.links, []
        for name, up in links:
            replica.core.link(name, up, now)
        ops, process.ops = process.ops, []
        for op in ops:
            self._carry_out(process, replica.core, op)
        if process.hand_over:
            process.hand_over = False
            self.reached["handed over"] += replica.core.status.active
            replica.core.transfer(now)
        replica.turn(now)

    def _carry_out(self, process: Process, core: Consensus, op: Op) -> None:
        assert process.host is not None
        if not core.status.active:
            return
        try:
            if op.data is None:
                core.barrier(op.token, self.now)
                process.host.asked(op.token)
            else:
                process.host.proposed(core.propose(op.data, self.now), op.data)
        except NotLeader:
            self.note("refused: transfer", process.peer.name)
        except QueueFull:
            self.note("refused: full", process.peer.name)

    def restart_later(self, name: str) -> None:
        def restart() -> None:
            process = self.processes[name]
            if process.replica is None:
                self.start(name)
                if self.shape.kind is Kind.STORM and self.rng.random() < 0.5:
                    process.cut = Cut(Moment.SPOKEN, voting=True)

        self.after(self.rng.randint(1, self.shape.restart), restart)

    def _incarnation(self) -> bytes:
        return self.rng.getrandbits(128).to_bytes(16, "big")

    # ---- network --------------------------------------------------------------------------------

    def _send(self, process: Process, message: Message) -> None:
        if (process.peer.name, message.to) in self.cuts or self.rng.random() < self.loss:
            return
        src, copies = process.peer, 2 if self.rng.random() < self.duplicates else 1
        for _ in range(copies):
            delay = process.lag + self.rng.randint(1, self.delay)
            self.after(delay, lambda: self._deliver(src, message))

    def _deliver(self, src: Peer, message: Message) -> None:
        process = self.processes[message.to]
        if process.replica is not None and (src.name, message.to) not in self.cuts:
            process.inbox.append((src, message.body))
            self.schedule(process, self.now)

    def link(self, name: str, to: str, *, up: bool) -> None:
        """`name` sees its connection to `to` come up or go."""

        def see() -> None:
            process = self.processes[name]
            if process.replica is not None and name != to:
                process.links.append((to, up))
                self.schedule(process, self.now)

        self.after(self.rng.randint(1, 5), see)

    # ---- clients --------------------------------------------------------------------------------

    def client(self) -> None:
        """One request: mostly to whoever leads, sometimes to anybody."""
        active = [p for p in self.processes.values() if p.replica and p.core.status.active]
        living = [p for p in self.processes.values() if p.replica]
        pool = active if active and self.rng.random() < 0.9 else living
        if pool:
            process = self.rng.choice(pool)
            self._tokens += 1
            barrier = self.rng.random() < 0.3
            for _ in range(1 if barrier else self.rng.randint(1, 3)):
                self._tokens += 1
                data = None if barrier else b"%d" % self._tokens
                process.ops.append(Op(data, self._tokens))
            self.schedule(process, self.now)

    def may_wipe(self) -> bool:
        """Whether a majority's disks know of the last rebind; a loss before that is one too many.

        Only a majority's knowledge survives what else may happen, and without it the new
        incarnation would count for nothing.
        """
        mapping = tuple(
            (name, process.peer.incarnation) for name, process in self.processes.items()
        )
        knowing = [p for p in self.processes.values() if p.disk.synced.roster == mapping]
        return len(self.names) > 2 and len(knowing) > len(self.names) // 2

    def partition(self, pairs: list[tuple[str, str]], length: int = 0) -> None:
        """Nothing passes between these for a while."""
        self.cuts.update(pairs)
        self.note("cut", *(f"{x}→{y}" for x, y in pairs if x != y))
        if self.rng.random() < 0.3:
            for x, y in pairs:
                self.link(y, x, up=False)

        era = self._era

        def heal() -> None:
            if era != self._era:
                return
            self.cuts.difference_update(pairs)
            self.note("heal", *(f"{x}→{y}" for x, y in pairs if x != y))

        self.after(length or self.rng.randint(20, 900), heal)

    def part(self, links: Pairs) -> None:
        """Only these links are left, until `calm`."""
        self._era += 1
        self.cuts = everybody(self.names) - links
        self.note("apart", *(f"{x}→{y}" for x, y in sorted(self.cuts)))
        if self.rng.random() < 0.5:
            for x, y in sorted(both(self.cuts)):
                self.link(y, x, up=False)

    def able(self, links: Pairs) -> list[str]:
        """Who can lead by these links."""
        return able(self.names, links, self._may_lead, self._supports)

    def _may_lead(self, name: str) -> bool:
        process = self.processes[name]
        return process.replica is not None and may_lead(process.core)

    def _supports(self, one: str, other: str) -> bool:
        head, voter = self.processes[one], self.processes[other]
        return voter.replica is not None and supports(head.core, voter.core, voter.peer)

    def calm(self) -> None:
        """The end of all faults: everything runs, everything is connected, disks are fast."""
        self.note("calm")
        self._era += 1
        self.cuts.clear()
        self.mend()

    def mend(self) -> None:
        """The end of all faults but those of links."""
        self.loss = self.duplicates = 0.0
        self.delay = 2
        for name, process in self.processes.items():
            process.sync, process.cut = 0, None
            if process.free_at > self.now + 50:
                process.free_at = self.now + 50
            if process.replica is None:
                self.start(name)
            else:
                if self.retimed:
                    config = self.shape.config
                    process.core.retime(config.heartbeat, config.election_min, self.now)
                self.schedule(process, self.now, again=True)
