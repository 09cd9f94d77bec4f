"""All that exists only while this broker is the active leader. Sans-IO.

It is made at `activated(epoch)` from the machine's tables alone and dropped at `deactivated`, so
nothing of one leadership can leak into the next (G6). Clients' requests, workers and the dispatcher
put their commands into one batch a turn; the batch is one log entry; its effects come back here.
It serves once what features must propose first is applied: before, a new cluster's first leader
would refuse what needs the level that it is about to set. With nothing to propose first it serves
at once. What fails here ends neither the broker nor its leadership: see supervisor.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from raftwork.broker.disk_space import DiskSpace
from raftwork.broker.dispatch.dispatcher import Dispatcher
from raftwork.broker.dispatch.intake import Intake
from raftwork.broker.event_ring import NO_EVENTS, EventRing
from raftwork.broker.events import (
    ChoreFailed,
    ClusterSettingsChanged,
    LevelRaised,
    TaskCancelled,
    TaskFailed,
    TaskLost,
    unheard,
)
from raftwork.broker.leader.clock import LeaderClock
from raftwork.broker.machine.commands import TIME_MAX, Tick, encode_command, join_batch
from raftwork.broker.placement.balancers import BALANCERS
from raftwork.broker.placement.queue_balancers import QueueBalancers
from raftwork.broker.requests.request_processor import RequestProcessor, Wanted
from raftwork.broker.requests.result_outbox import ResultOutbox
from raftwork.broker.requests.view import View
from raftwork.broker.service_counters import ServiceCounters
from raftwork.broker.split_by_size import split_by_size
from raftwork.broker.workers.registry import WorkerRegistry
from raftwork.errors import NotLeader, QueueFull
from raftwork.features.catalogue import FEATURES
from raftwork.features.cluster_settings import differences
from raftwork.features.effects import (
    Assigned,
    AttemptEnded,
    CancelAsked,
    CheckpointDecided,
    EnqueuedAndAssigned,
    GatesFreed,
    LimitChanged,
    NotAssigned,
    Queued,
    QueuedInLane,
    QueueResumed,
    Replaced,
    Requeued,
    ScheduleMoved,
    Settled,
    TokenRejected,
    Withdrawn,
)
from raftwork.messages import State, decode_failure
from raftwork.wire import maker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from raftwork.broker.access.access_list import Grant
    from raftwork.broker.containment import Containment
    from raftwork.broker.events import Event
    from raftwork.broker.machine import Machine
    from raftwork.broker.version_negotiation import Member
    from raftwork.consensus.core import Position
    from raftwork.features.cluster_settings import ClusterSettings
    from raftwork.features.effects import Applied, Effect
    from raftwork.messages import FromBroker, ToBroker

#: A batch is closed at so many bytes of payload, so that one entry never holds up the log.
BATCH_BYTES = 1024 * 1024
#: Later than any leader time.
_NEVER = 2**62


class Proposal(NamedTuple):
    """An encoded command, and the request that its reply answers, if there is one."""

    data: bytes
    wanted: Wanted | None = None


#: What is not applied yet: since when (ns), and for whom.
_Proposed = tuple[int, "list[Wanted | None]"]
_proposal = maker(Proposal)


class Log(Protocol):
    """Of the consensus core, what a leadership needs."""

    def propose(self, data: bytes, now: int) -> Position:
        """Append an entry. Raises NotLeader, or QueueFull while the log has no room."""
        ...

    def barrier(self, token: int, now: int) -> None:
        """Ask for a linearizable read under this token. Raises NotLeader."""
        ...

    def transfer(self, now: int, to: str) -> None:
        """Begin to hand leadership to the named broker, or to any if it is empty."""
        ...


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
        writable: Callable[[bytes], bool] = lambda _routing: True,
        barrier: int = 0,
        tell: Callable[[Event], None] = unheard,
        attempts: bool = False,
        members: Callable[[], Mapping[str, Member | None]] = dict,
        wall: Callable[[int], int] | None = None,
        disk: DiskSpace | None = None,
        events: EventRing = NO_EVENTS,
        counters: ServiceCounters | None = None,
        name: str = "",
        containment: Containment | None = None,
    ) -> None:
        """`barrier` is the last one that a failed Leadership asked for in this epoch.

        `attempts` is whether to tell what becomes of each attempt; `members()` are the other
        brokers by name, None for one that does not answer now. `wall(now)` is the median of the
        wall clocks, which is `time` at first. `name` is this broker's.
        """
        self.epoch, self._made_at, self._tell, self._attempts = epoch, now, tell, attempts
        self._machine, self._ledger, self._level = machine, machine.state, machine.level
        self._core, self._settings = core, machine.settings
        self._clock = LeaderClock(max(machine.time, time), now)
        self._wall = wall or self._clock.at
        self._counters = counters = counters or ServiceCounters()
        self.workers = WorkerRegistry(
            *(machine, epoch, now, rng, writable, tell), attempts=attempts, counters=counters
        )
        balancers = QueueBalancers(machine, balancer, rng, tell)
        self._dispatcher = Dispatcher(machine, balancers.of, self.workers.eligibility)
        self._intake = Intake(self._dispatcher, self.workers)
        self._results = ResultOutbox(machine, writable)
        known = self._results, self._intake, BALANCERS, members, disk or DiskSpace(), events
        view = View(machine, self.workers, *known, balancers.placing, name, epoch, self._hand_over)
        self.processor = RequestProcessor(view, tell, counters, containment)
        self._proposed: dict[Position, _Proposed] = {}
        self._asked: dict[int, int] = {}  # barriers, since when (ns)
        self._begin_features(view)
        #: Whether it deals with clients and workers.
        self.serves = not self._pending
        #: Something happened since the last plan; and since the last frames were drained, so that
        #: `drain` may find some.
        self.stirred = self.leaves = True
        self._looked_at = -1  # when what features see was brought up to date
        #: When time alone makes the next plan due; and from when on one is made in each turn, as
        #: what it can do may hang on what happens elsewhere.
        self.wake_at = self.plan_at = now
        #: Whether something waits for a connection to drain, or for its slice of a turn.
        self.waiting = False
        # Growing from one leadership to the next: an old barrier must never answer for a new one.
        self.barrier = max(barrier, epoch << 32)

    def _begin_features(self, view: View) -> None:
        self._chores = [feature.chore(view) for feature in FEATURES if feature.chore is not None]
        self._chores_at = view.machine.time  # leader time: see `_do_chores`
        first = (command for feature in FEATURES for command in feature.begins(view))
        self._pending = [Proposal(encode_command(command)) for command in first]

    def time(self, now: int) -> int:
        """Leader time at `now` on the monotonic clock; never behind what was applied."""
        applied, time = self._ledger.time, self._clock.at(now)
        if applied <= time <= TIME_MAX:
            return time
        return min(max(applied, time), TIME_MAX)

    def _hand_over(self, to: str) -> None:
        self._core.transfer(self._looked_at, to)

    def _next_plan(self) -> int:
        at = self.workers.wake_at
        if (opening := self._dispatcher.wake_at) is not None:
            at = min(at, self._clock.when(opening))
        # What cannot be proposed now must not spin.
        if not self._pending and self._chores_at != _NEVER:
            at = min(at, self._clock.when(self._chores_at))
        # Whatever is on its way wakes what is due.
        if self._proposed or self._pending:
            return at
        due = self._machine.due
        return at if due is None else min(at, self._clock.when(due))

    @property
    def proposed(self) -> Position | None:
        """The last entry that was proposed and is not applied yet."""
        return max(self._proposed, default=None)

    @property
    def now_counted(self) -> tuple[int, int]:
        """Entries that are proposed and not applied yet; tasks whose outcomes clients wait for."""
        return len(self._proposed), self._results.watches

    def capacity_changed(self) -> None:
        """A worker reported something: its capacity may have changed."""
        self._dispatcher.needs_plan = True
        self.stirred = self.leaves = True

    def request(
        self,
        routing: bytes,
        request: ToBroker,
        size: int,
        now: int,
        grant: Grant | None = None,
    ) -> None:
        """A client's request, which came in a frame of `size` bytes, under a key of that grant."""
        if now != self._looked_at:
            self._look(now)
        changes = self.processor.changes
        before = changes[-1] if changes else None
        self.processor.request(routing, request, size, grant)
        self.stirred = True
        if (changes[-1] if changes else None) is before:  # of a change nothing is told yet
            self.leaves = True

    def gone(self, routing: bytes, now: int) -> None:
        """A session is closed."""
        self.stirred = self.leaves = True
        self.processor.gone(routing)
        self.workers.unreachable(routing, now)

    def _look(self, now: int) -> int:
        """Bring what features see up to date; returns leader time."""
        view, self._looked_at = self.processor.view, now
        view.time, view.all_heard = self.time(now), now >= self.workers.all_heard_at
        return view.time

    # ---- proposing ----------------------------------------------------------------------------

    def plan(self, now: int) -> None:
        """Propose all that is wanted now, as few entries as the batch limit allows."""
        due = now >= self.plan_at
        if not due and not self.stirred:
            return
        self.stirred = False
        if not self.serves and not self._prepare(now):
            return
        if due:
            self._pass_time(now)
        time = self.processor.view.time if now == self._looked_at else self._look(now)
        polls = self.processor.polls  # to plan adds nothing to what is looked at, in any turn
        self._gather(time, now, due=due, polls=polls)
        refused = bool(self.processor.read_barrier.asking) and not self._ask_barrier(now)
        if self._pending:
            self._propose(time, now)
        self.wake_at = self._next_plan()
        elsewhere = (
            refused
            or self._pending
            or self._dispatcher.needs_plan
            or (polls and self.processor.polls_each_turn)
            or self.workers.congested
        )
        self.plan_at = now if elsewhere else self.wake_at

    def _pass_time(self, now: int) -> None:
        """What time brings about, if anything is due by now; beats may leave."""
        if now >= self._clock.steer_at:
            self._clock.steer(self._wall(now), now)
        self.leaves = True
        if self.workers.pass_time(now, self._look(now)):
            self.capacity_changed()

    def _gather(self, time: int, now: int, *, due: bool, polls: bool) -> None:
        """Put all that is to be proposed into `_pending`."""
        if polls:
            self.leaves = True
            self.processor.poll(now)
        if time >= self._chores_at and not self._pending:  # the log takes something
            self._do_chores(time)
        # While the log takes nothing, changes stay in the processor, where their bytes are counted.
        if self.processor.changes and (
            not self._pending or sum(map(_size, self._pending)) < BATCH_BYTES
        ):
            self._take_changes()
        if self.workers.has_commands:
            for command in (*self.workers.notes(), *self.workers.commands()):
                self._pending.append(_proposal((encode_command(command), None)))
        if self.processor.noted:
            for note in self.processor.audit():
                self._pending.append(Proposal(encode_command(note)))
        if due or self._dispatcher.needs_plan:
            self._dispatcher.pass_time(time)
        if self._dispatcher.needs_plan and (self.workers.congested or not self._dispatcher.rests()):
            for assign in self._dispatcher.plan(self.workers.available()):
                self._pending.append(Proposal(encode_command(assign)))
        if due and self._waits_for_time(time):
            self._pending.append(Proposal(encode_command(Tick())))

    def _do_chores(self, time: int) -> None:
        """Have those done that are due, and find out when the next one is.

        Only what they do themselves, and an entry that is applied, changes that.
        """
        self._chores_at = _NEVER
        for chore in self._chores:
            wake_at = chore.wake_at
            if wake_at is not None and wake_at <= time:
                self._pending += (Proposal(encode_command(each)) for each in chore.commands())
                for trouble in chore.troubles():
                    self._tell(ChoreFailed(trouble))
                wake_at = chore.wake_at
            if wake_at is not None and wake_at < self._chores_at:
                self._chores_at = wake_at

    def _waits_for_time(self, time: int) -> bool:
        """Whether something is due, and no entry is on its way whose time would do."""
        due = self._machine.due
        return not self._pending and not self._proposed and due is not None and due <= time

    def _prepare(self, now: int) -> bool:
        """Have what features propose first applied; whether it is, so that this serves from now."""
        if self._pending:
            self._propose(self.time(now), now)
        self.plan_at = now if self._pending else self.wake_at  # refused
        if self._pending or self._proposed:
            return False
        self.serves = True
        # No worker could say hello meanwhile: that must cost none its tasks.
        self.workers.extend_leases(now - self._made_at, now)
        return True

    def _take_changes(self) -> None:
        self._intake.turn()
        processor = self.processor
        for wanted in processor.wanted():
            if (data := processor.encoded(wanted)) is not None:
                self._pending.append(_proposal((data, wanted)))
            else:
                self.leaves = True

    def _propose(self, time: int, now: int) -> None:
        waiting, self._pending = self._pending, []
        done, began = 0, self._counters.clock_ns()
        for part in split_by_size(waiting, _size, BATCH_BYTES):
            data = join_batch(time, [proposal.data for proposal in part])
            try:
                position = self._core.propose(data, now)
            except (QueueFull, NotLeader):
                # As soon as the log has room again; or, while handing over, if that fails.
                self._pending = waiting[done:]
                return
            done += len(part)
            self._proposed[position] = began, [proposal.wanted for proposal in part]

    def _ask_barrier(self, now: int) -> bool:
        token = self.barrier + 1
        try:
            self._core.barrier(token, now)
        except NotLeader:
            return False
        self.barrier = token
        self._asked[token] = self._counters.clock_ns()
        self.processor.read_barrier.barrier(token)
        return True

    def read_ready(self, token: int) -> None:
        """The barrier stands behind all that was acknowledged before it was asked for.

        What it lets be answered goes out with `frames`, a slice a turn.
        """
        self.leaves = True
        counters, reads = self._counters, self.processor.read_ready(token)
        if (began := self._asked.pop(token, None)) is not None:  # else of one that failed
            counters.reads.add((counters.clock_ns() - began) // 1_000, reads)

    # ---- applying -----------------------------------------------------------------------------

    def applied(self, at: Position, applied: Applied) -> None:
        """An entry of this cluster's log took effect here."""
        self.stirred = self.leaves = True
        self._chores_at = self.processor.view.time
        proposed = self._proposed.pop(at, None)
        if proposed is not None:
            (began, asked), counters = proposed, self._counters
            counters.commits.add((counters.clock_ns() - began) // 1_000)
            for wanted, reply in zip(asked, applied.replies, strict=True):
                if wanted is not None:
                    self.processor.applied(wanted, reply)
        for effect in applied.effects:
            self._act(effect)
        ledger = self._ledger
        if ledger.level != self._level:
            self._level = ledger.level
            self._tell(LevelRaised(self._level))
        if ledger.settings is not self._settings:
            self._configure(ledger.settings)

    def _configure(self, settings: ClusterSettings) -> None:
        """The cluster's settings are these from now on."""
        self.workers.settings = settings
        if changed := differences(self._settings, settings):
            self._tell(ClusterSettingsChanged(changed))
        self._settings = settings

    def _act(self, effect: Effect) -> None:
        match effect:
            case Assigned():
                tasks = []
                for token, seq, attempt in effect.tasks:
                    worker, task = self._dispatcher.assigned(seq)
                    tasks.append((worker, task, token, attempt))
                self.workers.hand_out(tasks)
            case Settled():
                self.workers.settled(effect)
                self._results.settled(effect)
                self._dispatcher.closed(effect.seq)
                if not effect.token:
                    self._dispatcher.ended(effect.queue, effect.seq)
                if effect.state is not State.SUCCEEDED:
                    self._tell_end(effect)
                self._dispatcher.needs_plan = True
            case Queued():
                self._dispatcher.queued(effect)
            case EnqueuedAndAssigned():
                self.workers.begun(effect)
            case AttemptEnded():
                self.workers.closed(effect.token)
                self._dispatcher.closed(effect.seq)
                self._dispatcher.needs_plan = True
            case QueuedInLane() | Requeued() | Withdrawn() | Replaced():
                self._dispatcher.moved(effect)
            case NotAssigned():
                self._dispatcher.not_assigned(effect.seqs)
            case TokenRejected() | CheckpointDecided():
                self.workers.decided(effect)
            case _:
                self._follow(effect)

    def _follow(
        self, effect: CancelAsked | QueueResumed | GatesFreed | LimitChanged | ScheduleMoved
    ) -> None:
        """What somebody asked for stands, or more tasks than before may be let in."""
        match effect:
            case CancelAsked():
                self.workers.cancel(effect.token)
            case QueueResumed():
                self._dispatcher.needs_plan = True
            case GatesFreed():
                self._dispatcher.freed(effect.names)
            case LimitChanged():
                self._dispatcher.limit_changed(effect.limit)
            case ScheduleMoved():
                for chore in self._chores:
                    chore.follow(effect)

    def _tell_end(self, effect: Settled) -> None:
        if effect.state is State.LOST:
            why = decode_failure(effect.data).message
            self._tell(TaskLost(effect.id, effect.queue, why))
        elif self._attempts:
            failure = decode_failure(effect.data)
            why = f"{failure.type}: {failure.message}"
            kind = TaskCancelled if effect.state is State.CANCELLED else TaskFailed
            self._tell(kind(effect.id, effect.queue, why))

    def drain(self, out: list[tuple[bytes, FromBroker]]) -> None:
        """Add what may leave now to `out`: (routing id, message)."""
        self.leaves = False
        out += self.workers.frames()  # first: of all that waits for these a task waits longest
        out += self.processor.frames()
        results = self._results
        due = results.waiting
        if due:
            out += results.frames()
        self.waiting = self.processor.waiting or (due and results.waiting) or self.workers.waiting

    def frames(self) -> list[tuple[bytes, FromBroker]]:
        """As `drain`, by themselves."""
        out: list[tuple[bytes, FromBroker]] = []
        self.drain(out)
        return out


def _size(proposal: Proposal) -> int:
    return len(proposal.data)
