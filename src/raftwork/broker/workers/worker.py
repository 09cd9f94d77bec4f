"""A worker as the active leader knows it, and the tasks in its hands. Sans-IO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raftwork.broker.splitting import parts
from raftwork.broker.workers.announcements import Told
from raftwork.broker.workers.circuit_breaker import Health
from raftwork.broker.workers.load import Gauge
from raftwork.broker.workers.outbox import Pushes
from raftwork.messages import Acknowledged, Beat, Drain, Push, Stop, WorkerStatus, decode_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from raftwork.broker.machine import Running, Waiting
    from raftwork.messages import FromBroker, PushedTask, WorkerHello

#: At most so many bytes of payload in one Push frame.
PUSH_BYTES = 1024 * 1024
#: What a hello may claim.
SLOTS_MAX = 10_000


def careful(task: Waiting | Running) -> bool:
    """Whether a task may only go to a free slot: a loss must be charged to the one that ran."""
    return task.losses > 0 or decode_spec(task.spec).at_most_once


@dataclass(slots=True)
class Hand:
    """A task in a worker's hands: assigned, not yet decided."""

    token: int
    seq: int
    careful: bool
    timeout: int  # ms; 0 is no limit
    known: bool = True  # we saw it handed out, so an unreported start means not started
    started: int | None = None  # when its code started, on the leader's monotonic clock
    done: bool = False  # the worker's report about it is proposed
    lost: bool = False  # its Lose is proposed

    @classmethod
    def of(cls, token: int, task: Waiting | Running, *, known: bool) -> Hand:
        """The task under this token."""
        timeout = decode_spec(task.spec).timeout
        return cls(token, task.seq, careful(task), timeout, known)


@dataclass(slots=True, eq=False)
class Worker:
    """One incarnation of a worker. Equal to itself alone: two may say the same of themselves."""

    incarnation: bytes
    deadline: int  # of its lease
    name: str = ""  # empty: it has not said hello, or it said goodbye
    host: str = ""
    pid: int = 0
    slots: int = 1
    window: int = 0
    queues: frozenset[str] = frozenset()
    routing: bytes | None = None
    session: int = -1
    draining: bool = False  # by its own word
    leaving: bool = False  # told to drain, whether it has heard of it or not
    left: bool = False  # it said goodbye
    lost: int | None = None  # when it was given up
    gauge: Gauge = field(default_factory=Gauge)
    health: Health = field(default_factory=Health)
    busy: int = 0  # slots and window taken: hands not done, and Assigns proposed
    pushed: int = 0  # in this session
    hands: dict[int, Hand] = field(default_factory=dict)
    push: Pushes = field(default_factory=Pushes)
    told: Told = field(default_factory=Told)
    full_since: int | None = None  # its connection was seen to take nothing, time and again
    acks: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)

    def begin_session(self, routing: bytes, hello: WorkerHello) -> None:
        """What the hello says holds from here on; nothing that was on its way arrives."""
        self.routing, self.session = routing, hello.session
        self.name, self.host, self.pid = hello.name, hello.host, hello.pid
        self.slots = min(max(0, hello.slots), SLOTS_MAX)
        self.queues = frozenset(hello.queues)
        self.gauge.host, self.gauge.queues = hello.host, self.queues
        self.draining = hello.draining
        self.pushed, self.window = 0, 0
        self.push, self.acks, self.stops = Pushes(), [], []
        self.full_since = None

    def start_over(self) -> None:
        """What it holds is to be read anew; what is on its way to it stays reserved."""
        self.busy = max(0, self.busy - sum(not hand.done for hand in self.hands.values()))
        self.hands, self.push, self.acks, self.stops = {}, Pushes(), [], []
        self.routing = self.full_since = None

    def status(self, reason: str) -> WorkerStatus:
        """For people; `reason` is what evidence says against it."""
        state = self._state
        return WorkerStatus(
            self.name,
            self.host,
            self.pid,
            self.slots,
            sum(not hand.done for hand in self.hands.values()),
            self.gauge.weight,
            self.gauge.cpu,
            self.gauge.memory,
            sorted(self.queues),
            state,
            (reason or self.gauge.reason) if state == "active" else "",
            self.gauge.others,
            self.gauge.load,
            self.gauge.terms,
        )

    @property
    def _state(self) -> str:
        if self.lost is not None:
            return "lost"
        return "draining" if self.draining or self.leaving else "active"

    @property
    def free(self) -> int:
        """Tasks it may be given to begin at once."""
        return min(self.slots - self.busy, self.health.quota)

    @property
    def room(self) -> int:
        """Tasks it may still be given, most of them to hold ahead."""
        return self.free if self.health.ill else self.slots + self.window - self.busy

    def take(self, count: int) -> None:
        """So many tasks are on their way to it."""
        self.busy += count
        self.health.took(count)

    @property
    def stays(self) -> bool:
        """Whether it may be given tasks, now or when it is back."""
        return self.lost is None and not (self.draining or self.leaving)

    @property
    def available(self) -> bool:
        return self.routing is not None and self.stays and self.slots > 0

    def presumed_started(self) -> Iterator[tuple[int, bool]]:
        """Every token with whether its code may have begun, for a Lose.

        In doubt it had: after a failover, and for the oldest `slots` tasks that were sent, which it
        may have begun without our hearing of it.
        """
        slots, unsent = self.slots, set(self.push.owed)
        for hand in self.hands.values():
            if hand.done:
                yield hand.token, True
                continue
            if hand.token in unsent:
                yield hand.token, hand.started is not None
                continue
            slots -= 1
            begun = hand.started is not None or slots >= 0 or hand.careful or not hand.known
            yield hand.token, begun

    def pending(
        self, epoch: int, read: Callable[[int], PushedTask | None], *, takes: bool
    ) -> Iterator[FromBroker]:
        """What to send it, drained; with nothing to say, a Beat.

        Tasks only if its connection `takes` more; `read` gives what is pushed under a token.
        """
        session = self.session
        if self.stops:
            yield Stop(epoch, session, self.stops)
            self.stops = []
        if self.acks:
            yield Acknowledged(epoch, session, self.acks)
            self.acks = []
        if self.leaving and not self.draining:  # again and again, until it says so
            yield Drain(epoch, session)
        if not takes:
            self.push.hold()
            return
        tasks = self.push.take(read)
        self.pushed += len(tasks)
        for part in parts(tasks, lambda t: len(t.payload) + len(t.spec), PUSH_BYTES):
            yield Push(epoch, session, part)
        yield Beat(epoch, session, self.pushed)
