"""A leadership over a real machine, for the tests of what it does."""

from collections.abc import Callable
from random import Random

from raftwork.broker.events import Event, unheard
from raftwork.broker.leader.leadership import Leadership
from raftwork.broker.machine.commands import (
    Command,
    commands,
    decode_batch,
)
from raftwork.broker.service_counters import ServiceCounters
from raftwork.consensus.core import ORIGIN, Output, Peer, Position, Role, Roster, Snapshot, Status
from raftwork.errors import NotLeader
from raftwork.features.enqueue import Enqueue
from raftwork.messages import (
    PROTOCOL,
    FromBroker,
    Outcome,
    Push,
    Report,
    Spec,
    WorkerHello,
)
from tests.unit.broker.queues import Queues, enqueue

ME = b"incarnation-of-w"


class ManualCore:
    """A consensus core of one broker that commits when told to, or refuses."""

    wake_at: int | None = None
    awaits_peers = True

    def __init__(self) -> None:
        self.log: list[tuple[Position, bytes]] = []
        self.seq = 0
        self.refusal: Exception | None = None
        self.barriers: list[int] = []

    @property
    def status(self) -> Status:
        return Status(role=Role.LEADER, active=True, epoch=1, leader="a", committed=ORIGIN)

    @property
    def leading(self) -> tuple[int, str | None]:
        return 1, "a"

    def propose(self, data: bytes, now: int) -> Position:
        if self.refusal is not None:
            raise self.refusal
        self.seq += 1
        self.log.append((Position(1, self.seq), data))
        return Position(1, self.seq)

    def barrier(self, token: int, now: int) -> None:
        if isinstance(self.refusal, NotLeader):
            raise self.refusal
        self.barriers.append(token)

    def wake(self, now: int) -> None: ...
    def receive(self, src: Peer, body: bytes, now: int) -> None: ...
    def link(self, name: str, up: bool, now: int) -> None: ...
    def transfer(self, now: int, to: str = "") -> None: ...
    def retime(self, heartbeat: int, election_timeout: int, now: int) -> None: ...
    def output(self) -> Output | None:
        return None

    def synced(self, output: Output) -> None: ...
    def compactable(self) -> Position:
        return ORIGIN

    def compacted(self, base: Position) -> None: ...
    def snapshot_made(self, snapshot: Snapshot | None) -> None: ...
    def installed(self, snapshot: Snapshot | None, roster: Roster, now: int) -> None: ...


def parse(entry: bytes) -> list[Command]:
    return [commands.from_plain(plain) for plain in decode_batch(entry)[1]]


class LeadershipHarness:
    """A leadership over a real machine and a ManualCore."""

    def __init__(
        self,
        queues: Queues | None = None,
        epoch: int = 1,
        time: int = 5_000,
        tell: Callable[[Event], None] = unheard,
        counters: ServiceCounters | None = None,
    ) -> None:
        self.queues = queues or Queues()
        self.core = ManualCore()
        self.now = 100
        self.lead = Leadership(
            self.queues.machine,
            self.core,
            "weighted",
            Random(1),
            epoch=epoch,
            time=time,
            now=self.now,
            tell=tell,
            counters=counters,
        )
        self.requests = 0

    def enqueue(self, *ids: str, spec: Spec | None = None, payload: bytes = b"") -> int:
        self.requests += 1
        _, packed, tasks, _ = enqueue(*ids, spec=spec or Spec("job", "default"), payload=payload)
        request = Enqueue(self.requests, self.lead.time(self.now), packed, tasks)
        self.lead.request(b"c", request, len(tasks), self.now)
        return self.requests

    def hello(self, slots: int = 4, session: int = 1) -> None:
        hello = WorkerHello(PROTOCOL, "w", ME, session, "h", 1, slots, ["default", "b"], [], False)
        self.lead.workers.hello(b"w", hello, self.now)
        self.lead.capacity_changed()

    def report(self, *outcomes: Outcome) -> None:
        report = Report(1, [], list(outcomes), [], 0)
        assert self.lead.workers.report(b"w", report, self.now, self.lead.time(self.now))
        self.lead.capacity_changed()

    def plan(self) -> list[list[Command]]:
        """Propose; returns the commands of every new entry."""
        before = len(self.core.log)
        self.lead.plan(self.now)
        return [parse(data) for _, data in self.core.log[before:]]

    def commit(self) -> None:
        log, self.core.log = self.core.log, []
        for at, data in log:
            self.lead.applied(at, self.queues.machine.apply(data))

    def turn(self, ms: int = 1) -> None:
        self.now += ms
        self.lead.plan(self.now)
        while self.core.log:
            self.commit()
            self.lead.plan(self.now)

    def sent(self) -> list[FromBroker]:
        return [message for _, message in self.lead.frames()]

    def pushed(self) -> list[int]:
        return [t.token for m in self.sent() if isinstance(m, Push) for t in m.tasks]
