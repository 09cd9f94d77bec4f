"""The request processor over a real machine and a real table of workers."""

from collections.abc import Callable, Mapping
from random import Random

from raftwork.broker.disk_space import DiskSpace
from raftwork.broker.events import Event
from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import Assign, Finish
from raftwork.broker.placement.balancers import BALANCERS
from raftwork.broker.requests.request_processor import RequestProcessor, Wanted
from raftwork.broker.requests.result_outbox import ResultOutbox
from raftwork.broker.requests.view import View
from raftwork.broker.version_negotiation import Member
from raftwork.broker.workers.registry import WorkerRegistry
from raftwork.features import to_broker
from raftwork.features.effects import Applied, Settled
from raftwork.features.enqueue import Enqueue
from raftwork.features.feature import Budget, Feature
from raftwork.messages import FromBroker
from raftwork.messages.registry import Command, Frame
from tests.unit.broker.queues import Queues, enqueue

ME, OTHER = b"me", b"other"


class NoIntake:
    """Gives no new task to a worker at once, and keeps count of those on their way."""

    def __init__(self) -> None:
        self.under_way: dict[str, int] = {}

    def begin(self, queue: str, name: str, tasks: int, *, placed: bool) -> list[tuple[bytes, int]]:
        self.under_way[queue] = self.under_way.get(queue, 0) + tasks
        return []

    def entered(self, queue: str, tasks: int, begin: list[tuple[bytes, int]]) -> None:
        self.under_way[queue] -= tasks


class RequestHarness:
    """A leader's request processor; what it proposes is applied by `commit`."""

    def __init__(
        self,
        settings: ClusterSettings | None = None,
        room: Callable[[bytes], bool] = lambda _routing: True,
        *,
        queues: Queues | None = None,
        members: Callable[[], Mapping[str, Member | None]] = dict,
    ) -> None:
        self.now = 10_000
        self.queues = queues or Queues(settings or ClusterSettings())
        self.machine = self.queues.machine
        self.workers = WorkerRegistry(self.machine, 1, self.now, Random(1))
        self.results = ResultOutbox(self.machine, room)
        self.intake = NoIntake()
        self.disk = DiskSpace("a", ("a",), 1_000)
        parts = self.machine, self.workers, self.results, self.intake, BALANCERS, members
        self.view = View(*parts, self.disk)
        self.events: list[Event] = []
        self.processor = RequestProcessor(self.view, self.events.append)
        self.barriers = 0

    def allow(self, feature: Feature, budget: Budget) -> None:
        """From now on, its requests may cost no more."""
        self.processor._tallies[feature.about].budget = budget

    def under_way(self) -> int:
        """Bytes of all requests that are under way."""
        tallies = (self.processor._tallies, self.processor._scanning)
        return sum(tally.bytes for each in tallies for tally in each.values())

    def say(self, request: Frame, me: bytes = ME) -> None:
        self.processor.request(me, request, len(to_broker.encode(request)))

    def ask(self, request: Frame, me: bytes = ME) -> list[FromBroker]:
        """Say it, and hear what is answered at once."""
        self.say(request, me)
        return self.sent(me)

    def enqueue(self, *ids: str, request: int = 1, payload: bytes = b"", me: bytes = ME) -> None:
        _, spec, tasks, _ = enqueue(*ids, payload=payload)
        self.say(Enqueue(request, 0, spec, tasks), me)

    def wanted(self) -> list[Command]:
        """The commands it wants proposed, drained."""
        return [wanted.command(self.view) for wanted in self.processor.wanted()]

    def commit(self) -> None:
        """Apply them."""
        for wanted in self.processor.wanted():
            self.decide(wanted)

    def decide(self, wanted: Wanted) -> Applied:
        applied = self.queues.apply(wanted.command(self.view))
        self.processor.applied(wanted, applied.replies[0])
        return applied

    def finish(self, seq: int, data: bytes = b"v") -> None:
        """The task has its outcome, which goes to the clients that watch it."""
        self.queues.apply(Assign(b"w", [seq]))
        token = max(run.token for run in self.machine.running())
        for effect in self.queues.effects(Finish([(token, data)])):
            assert isinstance(effect, Settled)
            self.results.settled(effect)

    def barrier(self) -> None:
        self.barriers += 1
        self.processor.read_barrier.barrier(self.barriers)
        self.processor.read_ready(self.barriers)

    def next_turn(self) -> None:
        """Time passes: what large changes have left may go on."""
        self.now += 1
        self.processor.poll(self.now)

    def done(self, request: Frame, me: bytes = ME) -> list[FromBroker]:
        """Say it, let it be applied, and hear the answers."""
        assert self.ask(request, me) == []
        self.commit()
        return self.sent(me)

    def told(self, request: Frame, me: bytes = ME) -> list[FromBroker]:
        """Say it, let its barrier pass, and hear the answers."""
        assert self.ask(request, me) == []
        self.barrier()
        return self.sent(me)

    def frames(self) -> list[tuple[bytes, FromBroker]]:
        return [*self.processor.frames(), *self.results.frames()]

    def sent(self, me: bytes = ME) -> list[FromBroker]:
        return [message for routing, message in self.frames() if routing == me]
