"""All that exists only while this broker is the active leader. Sans-IO.

It is made at `activated(epoch)` from the machine's tables alone and dropped at `deactivated`, so
nothing of one leadership can leak into the next (G6). Clients, workers and the dispatcher put what
they want into one batch a turn; the batch is one log entry; applying it comes back here. What fails
here ends neither the broker nor its leadership: see leadership_supervisor.py.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from raftwork.broker.dispatch.dispatcher import Dispatcher
from raftwork.broker.events import TaskFailed, TaskLost, unheard
from raftwork.broker.machine.commands import (
    TIME_MAX,
    Assigned,
    AttemptEnded,
    Command,
    Enqueue,
    EnqueuedAndAssigned,
    Fail,
    Finish,
    NotAssigned,
    Purge,
    Queued,
    Requeued,
    Settled,
    Tick,
    TokenRejected,
    encode_batch,
)
from raftwork.broker.placement.queue_balancers import QueueBalancers
from raftwork.broker.requests.clients import Clients, PendingEnqueue
from raftwork.broker.requests.dead_letters import DeadTasks, PendingDead
from raftwork.broker.requests.drain import Drains
from raftwork.broker.requests.queue_settings import PendingChange, Settings
from raftwork.broker.requests.upgrade import PendingRaise, Upgrades
from raftwork.broker.splitting import parts
from raftwork.broker.workers.registry import LEASE, WorkerRegistry
from raftwork.errors import NotLeader, QueueFull
from raftwork.messages import State, decode_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from random import Random

    from raftwork.broker.events import Event
    from raftwork.broker.machine import Machine
    from raftwork.broker.machine.commands import Applied, Effect, Reply
    from raftwork.broker.versions import Member
    from raftwork.consensus.core import Position
    from raftwork.messages import FromBroker

#: A batch is closed at so many bytes of payload, so that one entry never holds up the log.
BATCH_BYTES = 1024 * 1024


class Proposal(NamedTuple):
    """What to do when a command comes back applied; None for those nobody waits for."""

    command: Command
    pending: PendingEnqueue | PendingDead | PendingChange | PendingRaise | None


class Log(Protocol):
    """Of the consensus core, what a leadership needs."""

    def propose(self, data: bytes, now: int) -> Position: ...
    def barrier(self, token: int, now: int) -> None: ...


class Leadership:
    """One activated epoch."""

    def __init__(
        self,
        machine: Machine,
        core: Log,
        balancer: str,
        rng: Random,
        *,
        epoch: int,
        time: int,
        now: int,
        room: Callable[[bytes], bool] = lambda _routing: True,
        barrier: int = 0,
        tell: Callable[[Event], None] = unheard,
        attempts: bool = False,
        members: Callable[[], Mapping[str, Member | None]] = dict,
    ) -> None:
        """`barrier` is the last one that was asked for in this epoch by one that failed.

        `attempts` is whether to tell what becomes of each attempt; `members` as for `Upgrades`.
        """
        self.epoch = epoch
        self._machine = machine
        self._core = core
        # Leader time: what the cluster's clocks say at activation, then our monotonic clock.
        self._time_base = max(machine.time, time) - now
        self._tell, self._attempts = tell, attempts
        self.clients = Clients(machine, room, tell)
        self.workers = WorkerRegistry(machine, epoch, now, rng, room, tell, attempts=attempts)
        self.dead = DeadTasks(machine)
        self.drains = Drains(self.workers, now + LEASE)
        self.settings = Settings(machine)
        self.upgrades = Upgrades(machine, members, tell)
        self._desks = (self.clients, self.dead, self.settings)
        balancers = QueueBalancers(machine, balancer, rng, tell)
        self._dispatcher = Dispatcher(machine, balancers.of, self.workers.eligibility)
        self._proposed: dict[Position, list[Proposal]] = {}
        self._waiting: list[Proposal] = []
        # Tasks on their way into each queue that no worker is named for: later ones stay behind.
        self._unplaced: Counter[str] = Counter()
        # Growing from one leadership to the next: an old barrier must never answer for a new one.
        self.barrier = max(barrier, epoch << 32)

    def time(self, now: int) -> int:
        """Leader time at `now` on the monotonic clock; never behind what was applied."""
        return min(max(self._machine.time, self._time_base + now), TIME_MAX)

    @property
    def wake_at(self) -> int:
        due = self._machine.due
        beat = self.workers.wake_at
        # Whatever is on its way wakes what is due; what cannot be proposed now must not spin.
        if due is None or self._proposed or self._waiting:
            return beat
        return min(beat, due - self._time_base)

    @property
    def proposed(self) -> Position | None:
        """The last entry that was proposed and is not applied yet."""
        return max(self._proposed, default=None)

    @property
    def waiting(self) -> bool:
        """Whether something waits for a connection that had no room, or for its slice of a turn."""
        return self.clients.waiting or self.workers.waiting or self.dead.waiting

    def room_changed(self) -> None:
        """A worker said something: it may have room again."""
        self._dispatcher.needs_plan = True

    # ---- proposing ----------------------------------------------------------------------------

    def plan(self, now: int) -> None:
        """Propose all that is wanted now, as few entries as the batch limit allows."""
        time = self.time(now)
        if self.workers.pass_time(now, time):
            self.room_changed()
        self.drains.settle(now)
        self._waiting.extend(Proposal(*raised) for raised in self.upgrades.commands())
        self._take_enqueues()
        self._waiting.extend(
            Proposal(command, asked) for command, asked in self.dead.commands(time)
        )
        self._waiting.extend(
            Proposal(command, asked) for command, asked in self.settings.commands()
        )
        self._waiting.extend(Proposal(command, None) for command in self.workers.commands())
        if self._dispatcher.needs_plan:
            assigns = self._dispatcher.plan(self.workers.available())
            self._waiting.extend(Proposal(command, None) for command in assigns)
        due = self._machine.due
        idle = not self._waiting and not self._proposed  # else some entry's time will do
        if idle and due is not None and due <= time:
            self._waiting.append(Proposal(Tick(), None))
        for desk in self._desks:
            if desk.questions.asking:
                self._ask_barrier(now)
                break
        if self._waiting:
            self._propose(time, now)

    def _take_enqueues(self) -> None:
        """New tasks, handed out at once as far as none of their queue is before them."""
        wanted = self.clients.commands()
        workers = self.workers.available() if wanted else []
        for command, pending in wanted:
            queue, tasks, begin = pending.queue, pending.tasks, []
            # Where a task with a key goes, its key decides: it is planned once it is in its queue.
            if not self._unplaced[queue] and not pending.keyed:
                begin = self._dispatcher.begin(queue, pending.name, tasks, workers)
            self._unplaced[queue] += tasks - sum(count for _, count in begin)
            self._waiting.append(Proposal(command._replace(begin=begin), pending))

    def _enqueued(self, command: Enqueue, pending: PendingEnqueue, reply: Reply) -> None:
        begun = sum(count for _, count in command.begin)
        self._unplaced[pending.queue] -= pending.tasks - begun
        if not self._unplaced[pending.queue]:
            del self._unplaced[pending.queue]
        self.workers.unreserve(command.begin)
        if command.begin:
            self.room_changed()
        self.clients.applied(pending, reply)

    def _propose(self, time: int, now: int) -> None:
        waiting, self._waiting = self._waiting, []
        done = 0
        for part in parts(waiting, _size, BATCH_BYTES):
            data = encode_batch(time, [proposal.command for proposal in part])
            try:
                position = self._core.propose(data, now)
            except (QueueFull, NotLeader):
                # As soon as the log has room again; or, while handing over, if that fails.
                self._waiting = waiting[done:]
                return
            done += len(part)
            self._proposed[position] = part

    def _ask_barrier(self, now: int) -> None:
        token = self.barrier + 1
        try:
            self._core.barrier(token, now)
        except NotLeader:
            return
        self.barrier = token
        for desk in self._desks:
            desk.questions.barrier(token)

    def read_ready(self, token: int) -> None:
        """The barrier stands behind all that was acknowledged before it was asked for.

        What it lets be answered goes out with `frames`, a slice a turn.
        """
        for desk in self._desks:
            desk.read_ready(token)

    # ---- applying -----------------------------------------------------------------------------

    def applied(self, at: Position, applied: Applied) -> None:
        """An entry of this cluster's log took effect here."""
        proposals = self._proposed.pop(at, None)
        if proposals is not None:
            for proposal, reply in zip(proposals, applied.replies, strict=True):
                match proposal:
                    case Proposal(Enqueue() as command, PendingEnqueue() as pending):
                        self._enqueued(command, pending, reply)
                    case Proposal(_, PendingChange() as pending):
                        self.settings.applied(pending, reply)
                    case Proposal(_, PendingDead() as asked):
                        self.dead.applied(asked, reply)
                    case Proposal(_, PendingRaise() as asked):
                        self.upgrades.applied(asked)
                    case _:
                        pass
        for effect in applied.effects:
            self._act(effect)

    def _act(self, effect: Effect) -> None:
        match effect:
            case Assigned():
                for token, seq, attempt in effect.tasks:
                    worker, task = self._dispatcher.assigned(seq)
                    self.workers.hand_out(worker, task, token, attempt)
            case Settled():
                self.workers.settled(effect)
                self.clients.settled(effect)
                if effect.state is not State.SUCCEEDED:
                    self._tell_end(effect)
                self.room_changed()
            case Queued():
                self._dispatcher.queued(effect)
            case EnqueuedAndAssigned():
                self.workers.begun(effect)
            case AttemptEnded():
                self.workers.closed(effect.token)
                self.room_changed()
            case Requeued():
                self._dispatcher.requeued(effect)
            case NotAssigned():
                self._dispatcher.not_assigned(effect.seqs)
            case TokenRejected():
                self.workers.closed(effect.token)

    def _tell_end(self, effect: Settled) -> None:
        if effect.state is State.LOST:
            why = decode_failure(effect.data).message
            self._tell(TaskLost(effect.id, effect.queue, why))
        elif self._attempts:
            failure = decode_failure(effect.data)
            why = f"{failure.type}: {failure.message}"
            self._tell(TaskFailed(effect.id, effect.queue, why))

    def frames(self) -> Iterator[tuple[bytes, FromBroker]]:
        """What may leave now that the transaction is committed: (routing id, message)."""
        yield from self.clients.frames()
        yield from self.drains.frames()
        yield from self.dead.frames()
        yield from self.settings.frames()
        yield from self.upgrades.frames()
        yield from self.workers.frames()


def _size(proposal: Proposal) -> int:
    if isinstance(proposal.pending, PendingEnqueue):
        return proposal.pending.size
    match proposal.command:
        case Finish(outcomes):
            return sum(len(data) + 16 for _, data in outcomes)
        case Fail(_, failure, _):
            return len(failure) + 32
        case Purge(ids, queue):
            return 64 + len(queue) + sum(map(len, ids))
        case _:
            return 64
