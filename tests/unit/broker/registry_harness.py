"""A registry of workers over a real machine, and what workers send to it."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from raftwork.broker.machine.commands import Assign, Command
from raftwork.broker.workers.registry import BEAT_AT_REST_MS, WorkerRegistry
from raftwork.features.effects import (
    Assigned,
    AttemptEnded,
    Settled,
    TokenRejected,
)
from raftwork.messages import (
    PROTOCOL,
    Beat,
    Failure,
    FromBroker,
    Holding,
    Outcome,
    Report,
    Spec,
    Started,
    State,
    WorkerHello,
    encode_failure,
)
from tests.unit.broker.queues import Queues, enqueue

ME = b"incarnation-of-w"
OTHER = b"incarnation-of-v"
FAILURE = encode_failure(Failure("E", "m", "t"))
ONCE = Spec("job", "default", at_most_once=True)
T = TypeVar("T", bound=tuple)  # type: ignore[type-arg]


class RegistryHarness:
    """A registry of workers on a machine; commands are committed by `commit`."""

    def __init__(self, now: int = 10_000) -> None:
        self.queues = Queues()
        self.now = now
        self.registry = WorkerRegistry(self.queues.machine, 1, now, Random(1), lambda _: self.room)
        self.room = True  # on every connection
        self.names = 0

    def hello(
        self,
        session: int = 1,
        *holding: Holding,
        me: bytes = ME,
        routing: bytes = b"w",
        slots: int = 2,
    ) -> None:
        hello = WorkerHello(
            PROTOCOL, "w", me, session, "h", 1, slots, ["default"], list(holding), False
        )
        self.registry.hello(routing, hello, self.now)

    def give(self, count: int = 1, spec: Spec | None = None, me: bytes = ME) -> list[int]:
        """Enqueue and assign; returns the tokens."""
        ids = [f"{self.names + i}" for i in range(count)]
        self.names += count
        self.queues.apply(enqueue(*ids, spec=spec or Spec("job", "default")))
        return self.assign(me)

    def assign(self, me: bytes = ME) -> list[int]:
        machine = self.queues.machine
        waiting = machine.waiting("default", 0, 1_000, 1 << 30)
        for lane, *_ in machine.lanes("default"):
            waiting += machine.in_lane(lane, 0, 1_000, 1 << 30)
        (effect,) = self.queues.effects(Assign(me, [task.seq for task in waiting]))
        assert isinstance(effect, Assigned)
        worker = self.registry._workers[me]
        for task, (token, _, attempt) in zip(waiting, effect.tasks, strict=True):
            worker.busy += 1
            self.registry.hand_out([(worker, task, token, attempt)])
        return [token for token, _, _ in effect.tasks]

    def report(
        self,
        *outcomes: Outcome,
        started: Sequence[int] = (),
        released: Sequence[int] = (),
        session: int = 1,
        routing: bytes = b"w",
    ) -> bool:
        report = Report(session, [Started(t, 0) for t in started], list(outcomes), [*released], 0)
        return self.registry.report(routing, report, self.now, self.queues.time)

    def commit(self, *more: Command) -> list[Command]:
        """Apply all that is wanted; returns the commands."""
        commands = [*self.registry.commands(), *more]
        for effect in self.queues.effects(*commands):
            if isinstance(effect, Settled | AttemptEnded | TokenRejected):
                self.registry.closed(effect.token)
        return commands

    def frames(self, kind: type[T]) -> list[T]:
        return [m for _, m in self.sent() if isinstance(m, kind)]

    def beats(self) -> list[Beat]:
        """Those that a beat's time brings, drained with all else."""
        self.now += BEAT_AT_REST_MS
        self.registry.pass_time(self.now, self.queues.time)
        return self.frames(Beat)

    def sent(self) -> list[tuple[bytes, FromBroker]]:
        return list(self.registry.frames())

    def pass_time(self, ms: int, step: int = 50) -> list[Command]:
        """Let time pass in silence; returns what was proposed, and committed."""
        proposed: list[Command] = []
        for _ in range(0, ms, step):
            self.now += step
            self.registry.pass_time(self.now, self.queues.time)
            proposed += self.commit()
        return proposed

    def state(self, id_: str = "0") -> State:
        return self.queues.machine.lookup([id_])[0].state

    def new_leader(self) -> None:
        self.registry = WorkerRegistry(self.queues.machine, 2, self.now, Random(1))
