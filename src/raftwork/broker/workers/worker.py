"""A worker as the active leader knows it, and the tasks assigned to it. Sans-IO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raftwork.broker.outbox import Outbox
from raftwork.broker.split_by_size import split_by_size
from raftwork.broker.workers.announcements import Announced
from raftwork.broker.workers.circuit_breaker import CircuitBreaker
from raftwork.broker.workers.load import LoadEstimate
from raftwork.features.cancel import CancelRuns
from raftwork.features.task_row import CANCELLING
from raftwork.messages import (
    Acknowledged,
    Beat,
    Drain,
    EndWaits,
    Push,
    Stop,
    WorkerStatus,
    decode_spec,
)

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator, Sequence

    from raftwork.broker.machine import Running, Waiting
    from raftwork.messages import FromBroker, Hopeless, PushedTask, Wait, WorkerHello

#: At most so many bytes of payload in one Push frame.
PUSH_BYTES = 1024 * 1024
#: What a hello may claim.
SLOTS_MAX = 10_000
#: Later than any time, ms.
NEVER = 2**62
#: Acknowledgements wait for a frame that leaves anyway while there are no more than so many, each
#: of an outcome of so many bytes at most: a worker keeps those, and takes nothing new when it has
#: 8 MiB of them.
ACKS_MAX = 64
ACK_WAITS_BYTES = 16 * 1024
#: Tasks of a worker that hold no slot while they wait for others, at most.
PARKED_MAX = 1_000


def _pushes() -> Outbox[int, PushedTask]:
    return Outbox(lambda task: task.token, lambda task: task.size)


def needs_free_slot(task: Waiting | Running) -> bool:
    """Whether a task may only go to a free slot.

    A loss must count against the task that ran; and what expires is judged when it is handed out,
    so it begins then.
    """
    spec = decode_spec(task.spec)
    return task.losses > 0 or spec.at_most_once or spec.expires > 0


@dataclass(slots=True)
class Assignment:
    """A task assigned to a worker and not yet decided."""

    token: int
    seq: int
    needs_free_slot: bool
    timeout: int  # ms; 0 is no limit
    known: bool = True  # we saw it handed out, so an unreported start means not started
    started: int | None = None  # when its code started, on the leader's monotonic clock
    done: bool = False  # the worker's report about it is proposed
    lost: bool = False  # its Lose is proposed
    expired: int | None = None  # when its Expire was proposed; again only if that one is lost
    cancelling: bool = False  # its code is asked to end
    wait: Wait | None = None  # what its code waits for, by the worker's last word
    parked: bool = False  # it waits and holds no slot
    holds: bool = False  # it waits and holds its slot all the same

    @classmethod
    def of(cls, token: int, task: Waiting | Running, *, known: bool) -> Assignment:
        """The task under this token."""
        timeout = decode_spec(task.spec).timeout
        cancelling = bool(task.flags & CANCELLING)
        return cls(token, task.seq, needs_free_slot(task), timeout, known, cancelling=cancelling)

    @property
    def undecided(self) -> bool:
        """Whether neither its report nor its loss is proposed."""
        return not self.done and not self.lost

    @property
    def limit_at(self) -> int | None:
        """When its time limit passes (ms); None if it has none, has not begun or is decided."""
        if not self.timeout or not self.undecided or self.started is None:
            return None
        since = self.started if self.expired is None else self.expired
        return since + self.timeout


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
    introduced: bool = False  # its name is in the log, or on its way there
    leaving: bool = False  # told to drain, whether it has heard of it or not
    left: bool = False  # it said goodbye: `status` does not list it as lost
    killed: bool = False  # its process is known to be gone
    lost: int | None = None  # when it was given up
    load_estimate: LoadEstimate = field(default_factory=LoadEstimate)
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    #: Slots and window taken: by assignments that are neither done nor parked, and by Assigns
    #: that are proposed.
    busy: int = 0
    parked: int = 0  # assignments that are
    holding: int = 0  # assignments that wait and hold their slots
    pushed: int = 0  # in this session
    beat_due: bool = False  # so that it finds out whether all that was pushed has come
    assignments: dict[int, Assignment] = field(default_factory=dict)
    push: Outbox[int, PushedTask] = field(default_factory=_pushes)
    announced: Announced = field(default_factory=Announced)
    full_since: int | None = None  # its connection was seen to take nothing, time and again
    acks: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    cancels: list[int] = field(default_factory=list)  # of this session, each behind its push
    hopeless: list[Hopeless] = field(default_factory=list)

    def begin_session(self, routing: bytes, hello: WorkerHello) -> None:
        """What the hello says holds from here on; nothing that was on its way arrives."""
        self.routing, self.session = routing, hello.session
        self.name, self.host, self.pid = hello.name, hello.host, hello.pid
        self.slots = min(max(0, hello.slots), SLOTS_MAX)
        self.queues = frozenset(hello.queues)
        self.load_estimate.host, self.load_estimate.queues = hello.host, self.queues
        self.draining = hello.draining
        self.pushed, self.window = 0, 0
        self.push.clear()
        self.acks, self.stops, self.cancels, self.full_since = [], [], [], None
        self.hopeless = []
        for assignment in self.assignments.values():
            self.waits(assignment, None)  # it says anew which

    def waits(self, assignment: Assignment, wait: Wait | None) -> None:
        """The code of this assignment waits for other tasks now, or waits no more (None)."""
        parked = wait is not None and wait.parked
        if parked and not assignment.parked and self.parked >= PARKED_MAX:
            parked = False
        holds = wait is not None and not parked
        self.busy -= parked - assignment.parked
        self.parked += parked - assignment.parked
        self.holding += holds - assignment.holds
        assignment.wait, assignment.parked, assignment.holds = wait, parked, holds

    def ends(self, assignment: Assignment) -> None:
        """It takes no slot any more."""
        if assignment.wait is not None:
            self.waits(assignment, None)
        self.busy -= 1

    @property
    def hurries(self) -> bool:
        """Whether its acknowledgements leave at once: there are many, or it waits to end."""
        return len(self.acks) > ACKS_MAX or self.draining or self.leaving

    @property
    def give_up_at(self) -> int:
        """When it will be lost if it has no connection, ms; NEVER if it has one."""
        return self.deadline + 1 if self.routing is None and self.lost is None else NEVER

    def start_over(self) -> None:
        """What it holds is to be read anew; what is on its way to it stays reserved."""
        held = sum(not each.done and not each.parked for each in self.assignments.values())
        self.busy = max(0, self.busy - held)
        self.push.clear()
        self.assignments, self.acks, self.stops, self.cancels = {}, [], [], []
        self.hopeless, self.parked, self.holding = [], 0, 0
        self.routing = self.full_since = None

    def status(self, reason: str) -> WorkerStatus:
        """For people; `reason` is why it gets less than it could take, or empty."""
        state = self._state
        return WorkerStatus(
            self.name,
            self.host,
            self.pid,
            self.slots,
            sum(not each.done for each in self.assignments.values()) - self.parked,
            self.load_estimate.weight,
            self.load_estimate.cpu,
            self.load_estimate.memory,
            sorted(self.queues),
            state,
            (reason or self.load_estimate.reason) if state == "active" else "",
            self.load_estimate.others,
            self.load_estimate.load,
            self.load_estimate.terms,
            self.parked,
        )

    @property
    def _state(self) -> str:
        if self.lost is not None:
            return "lost"
        return "draining" if self.draining or self.leaving else "active"

    @property
    def runs_more(self) -> bool:
        """Whether a slot of it is free, or will be by itself: not all have tasks that wait."""
        return self.slots > self.holding

    @property
    def free_slots(self) -> int:
        """Tasks it may be given to begin at once."""
        return min(self.slots - self.busy, self.breaker.allowance)

    @property
    def capacity(self) -> int:
        """Tasks it may still be given, prefetched ones among them."""
        return self.free_slots if self.breaker.is_open else self.slots + self.window - self.busy

    def take(self, count: int) -> None:
        """Count tasks that are on their way to it."""
        self.busy += count
        self.breaker.took(count)

    @property
    def retained(self) -> bool:
        """Whether it may be given tasks, now or when it is back."""
        return self.lost is None and not (self.draining or self.leaving)

    @property
    def available(self) -> bool:
        """Whether it can be given tasks now, as far as it says itself."""
        return self.routing is not None and self.retained and self.slots > 0

    def presumed_started(self) -> Iterator[tuple[int, bool]]:
        """Every token with whether its code may have begun, for a Lose.

        In doubt it had: after a failover, and for the oldest `slots` tasks that were sent, which it
        may have begun without our hearing of it.
        """
        slots, unsent = self.slots, set(self.push.owed)
        for assignment in self.assignments.values():
            if assignment.done:
                yield assignment.token, True
                continue
            if assignment.token in unsent:
                yield assignment.token, assignment.started is not None
                continue
            slots -= not assignment.parked
            begun = (
                assignment.started is not None
                or slots >= 0
                or assignment.needs_free_slot
                or not assignment.known
            )
            yield assignment.token, begun

    def pending(
        self, epoch: int, read: Callable[[deque[int]], Sequence[PushedTask]], *, writable: bool
    ) -> Iterator[FromBroker]:
        """What to send it, drained; a Beat if that is due, or there is nothing else to say.

        Tasks only if its connection is `writable`; `read` as in Outbox.take, by tokens.
        """
        session = self.session
        silent = not (self.stops or self.acks or self.cancels or self.hopeless)
        if self.stops:
            yield Stop(epoch, session, self.stops)
            self.stops = []
        if self.hopeless:
            yield EndWaits(epoch, session, self.hopeless)
            self.hopeless = []
        if self.leaving and not self.draining:  # again and again, until it says so
            yield Drain(epoch, session)
        tasks: Sequence[PushedTask] = ()
        if writable:
            tasks = self.push.take(read)
            self.pushed += len(tasks)
            for part in split_by_size(tasks, lambda t: t.size + len(t.spec), PUSH_BYTES):
                yield Push(epoch, session, part)
        else:
            self.push.hold()
        if self.acks:  # nothing waits for them
            yield Acknowledged(epoch, session, self.acks)
            self.acks = []
        if not writable:
            return
        if self.cancels:
            yield from self._cancel_runs(epoch)
        if self.beat_due or (silent and not tasks):
            self.beat_due = False
            yield Beat(epoch, session, self.pushed)

    def _cancel_runs(self, epoch: int) -> Iterator[FromBroker]:
        """What was pushed is asked to end; what waits for its push is asked behind it."""
        unsent = set(self.push.owed)
        tokens = [token for token in self.cancels if token not in unsent]
        self.cancels = [token for token in self.cancels if token in unsent]
        if tokens:
            yield CancelRuns(epoch, self.session, tokens)
