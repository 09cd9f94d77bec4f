"""What must be true of tasks (G1–G5, G7): a model fed by what was applied, executed and told.

The model knows the rules of a task's life and nothing of how the machine keeps them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

from raftwork.broker.machine import Machine
from raftwork.broker.machine.commands import (
    Expire,
    Fail,
    Grew,
    HoldBack,
    Lose,
    Postpone,
    Release,
    commands,
    decode_batch,
)
from raftwork.consensus.core import Position
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.cluster_settings import ConfigureCluster
from raftwork.features.effects import (
    Applied,
    Assigned,
    AttemptEnded,
    CancelAsked,
    CheckpointDecided,
    Effect,
    EnqueuedAndAssigned,
    GatesFreed,
    LimitChanged,
    NotAssigned,
    Queued,
    QueuedInLane,
    QueueResumed,
    Rejected,
    Reply,
    Requeued,
    ScheduleMoved,
    Settled,
    TokenRejected,
    Withdrawn,
)
from raftwork.features.enqueue import Admit
from raftwork.features.flow_again import FlowAgain
from raftwork.features.flows import Grow
from raftwork.features.free_key import EndPeriod
from raftwork.features.lanes import GoOn
from raftwork.features.limits import ConfigureLimit, PauseGates
from raftwork.features.pause_queue import Pause, Resume
from raftwork.features.pins import WorkerGone
from raftwork.features.purge_queue import DropWaiting
from raftwork.features.queue_settings import Configure
from raftwork.features.reschedule import MoveTo
from raftwork.messages import State, decode_failure, decode_spec
from raftwork.wire import pack
from tests.sim.system.attempt_ends import AttemptEnds
from tests.sim.system.cancels import CancelChecker
from tests.sim.system.cluster_settings import Stood
from tests.sim.system.enqueues import EnqueueRules
from tests.sim.system.events import EventChecker
from tests.sim.system.executions import Executions
from tests.sim.system.flow_rules import FlowRules
from tests.sim.system.known import Known
from tests.sim.system.lanes import LaneRules
from tests.sim.system.limits import LimitRules
from tests.sim.system.outcomes import OutcomeRules
from tests.sim.system.promises import require
from tests.sim.system.purges import PurgeRules
from tests.sim.system.room import Rooms
from tests.sim.system.schedules import ScheduleRules
from tests.sim.system.timers import TimerRules
from tests.sim.system.unique import Keys

#: Why somebody ends a task.
_ASKED = ("user", "superseded")


@dataclass(slots=True)
class QueueChecker:
    """All that is known of tasks, with what must be true of each part of their lives."""

    rooms: Rooms
    #: Where to count what is rare.
    reached: Counter[str] = field(default_factory=Counter)
    tasks: dict[str, Known] = field(default_factory=dict)
    by_seq: dict[int, Known] = field(default_factory=dict)
    #: Whose each token ever handed out is or was: the task, and the worker's incarnation.
    tokens: dict[int, tuple[Known, bytes]] = field(default_factory=dict)
    last_token: int = 0
    #: Those of them that are current.
    running: dict[int, Known] = field(default_factory=dict)
    #: By position: what was applied, and what that gave.
    applications: dict[Position, tuple[int, int]] = field(default_factory=dict)
    digests: dict[Position, bytes] = field(default_factory=dict)
    #: Committed outcomes since last asked for, and how many there have been.
    settled: list[str] = field(default_factory=list)
    outcomes_committed: int = 0
    lanes: LaneRules = field(init=False)
    timers: TimerRules = field(init=False)
    limits: LimitRules = field(init=False)
    #: That which applied the entry being looked at.
    _machine: Machine = field(init=False)
    #: The numbers of tasks that are not ordinary ones.
    special: set[int] = field(default_factory=set)
    #: The cluster's settings.
    cluster: Stood = field(default_factory=Stood)
    cancels: CancelChecker = field(init=False)
    #: Tokens that some leader told a worker of.
    told_to_end: set[int] = field(default_factory=set)
    #: Machine time.
    time: int = 0
    keys: Keys = field(init=False)
    schedules: ScheduleRules = field(init=False)
    #: What code asks for, and checkpoints.
    ends: AttemptEnds = field(init=False)
    flows: FlowRules = field(init=False)
    enqueues: EnqueueRules = field(init=False)
    executions: Executions = field(init=False)
    outcomes: OutcomeRules = field(init=False)
    purges: PurgeRules = field(init=False)
    events: EventChecker = field(init=False)

    def __post_init__(self) -> None:
        self.cancels = CancelChecker(self.reached)
        self.events = EventChecker(self.reached)
        self.ends = AttemptEnds(self.reached)
        self.lanes = LaneRules(self.reached)
        self.keys = Keys(self)
        self.flows = FlowRules(self)
        self.timers = TimerRules(self.reached)
        self.limits = LimitRules(self.reached)
        self.schedules = ScheduleRules(self, self.reached)
        self.enqueues = EnqueueRules(self)
        self.executions = Executions(self)
        self.outcomes = OutcomeRules(self)
        self.purges = PurgeRules(self)

    # ---- applying -------------------------------------------------------------------------------

    def applied(
        self,
        name: str,
        at: Position,
        data: bytes,
        applied: Applied,
        steps: Sequence[int],
        machine: Machine,
    ) -> None:
        """`steps`: how many of the effects were there before each command, and after the last."""
        self._machine = machine
        told = [(type(each).__name__, each) for each in (*applied.replies, *applied.effects)]
        made = (crc32(data), crc32(pack(told)))
        known = self.applications.get(at)
        if known is not None:
            require(known == made, "same commands, same answers", lambda: f"{name} differs at {at}")
            return
        self.applications[at] = made
        self.events.applied(at, applied)
        self.rooms.newest = at
        effects, (time, plains) = applied.effects, decode_batch(data)
        self.time = max(self.time, time)
        self.timers.entry(time, at.epoch)
        self.ends.entry(time)
        self.schedules.epoch = at.epoch
        self.keys.passed(time)
        for effect in effects[: steps[0] if steps else None]:
            self._effect(effect)  # of the time that has passed
        self.keys.hand_on()
        self.keys.awake()
        self.timers.swept()
        self.cancels.over(self.time, self.running.values())
        for plain, reply, start, end in zip(
            plains, applied.replies, steps[:-1], steps[1:], strict=True
        ):
            self._command(plain, reply, effects[start:end])
        for effect in effects[steps[-1] :]:
            self._effect(effect)  # of what waited for tasks that ended
        self.flows.entered(machine)
        self.limits.over(machine, self.running, self.timers.time)
        self.schedules.compare()

    def _command(self, plain: object, reply: Reply, effects: Sequence[Effect]) -> None:
        command = commands.from_plain(plain)
        owner = self.tokens.get(getattr(command, "token", 0))
        if owner is None or owner[0].token == command.token:  # type: ignore[attr-defined]
            gated = owner is not None and self.limits.is_passed_by(owner[0].token or 0)
            self.ends.command(command, effects, owner[0].id if owner else "", gated=gated)
        self.schedules.command(command, reply)
        match command:
            case Admit():
                self.enqueues.admits(command, reply, effects)
            case Configure() | ConfigureCluster():
                self._configures(command, reply)
            case Release():
                self.executions.handed_back(command)
            case Expire() | Fail() | Postpone() | HoldBack() | Lose():
                self._attempts(command)
            case _:
                self._asked_for(command, reply, effects)
        for effect in effects:
            self._effect(effect)
        self.keys.hand_on()

    def _asked_for(self, command: object, reply: Reply, effects: Sequence[Effect]) -> None:
        """What capabilities do that are not ordinary tasks'."""
        match command:
            case ConfigureLimit() | PauseGates():
                if not isinstance(reply, Rejected):
                    self.limits.set(command, self.time)
            case GoOn():
                self.lanes.went_on(command, reply)
            case MoveTo() if command.id in self.tasks:
                self._moves(command, reply)
            case DropWaiting():
                self.purges.drops(command, reply, effects)
            case CancelSome(scope=Scope.FLOW) | FlowAgain() | Grow() | Grew() | WorkerGone():
                self.flows.command(command, reply, effects)
            case EndPeriod():
                self.keys.freed(command, reply)
            case CancelSome() | Pause() | Resume():
                self.cancels.applied(self, command, reply, effects)
            case _:
                pass

    def _attempts(self, command: Expire | Fail | Postpone | HoldBack | Lose) -> None:
        match command:
            case Expire():
                self._expires(command)
                self._fails(command.token)
            case Fail():
                self._fails(command.token)
            case Postpone() | HoldBack():
                self._goes_on(command)
            case Lose():
                self._loses(command)

    def _waits(self, effect: Requeued | QueuedInLane) -> None:
        tasks = [(effect.seq, effect.place)] if isinstance(effect, Requeued) else effect.tasks
        for seq, place in tasks:
            self._waits_at(seq, effect.lane, place)

    def _waits_at(self, seq: int, lane: int, place: int) -> None:
        task = self.by_seq[seq]
        self.timers.waits(seq)
        self.lanes.waits(seq, task, (lane, place))
        self.flows.waits(task)
        waits = task.token is None and task.outcome is None
        require(waits, "one owner", lambda: f"{task.id} waits again, but has {task}")
        task.waits_since = self.rooms.timeline.now
        self.keys.requeued(seq)

    def _effect(self, effect: Effect) -> None:
        match effect:
            case Queued(_, spec, first, tasks):
                self._queued(spec, list(enumerate(tasks, first)))
            case EnqueuedAndAssigned(worker, spec, begun):
                self._queued(spec, [(seq, (task, data)) for _, seq, task, data in begun])
                self._assigned(worker, [(token, seq, 1) for token, seq, *_ in begun])
            case Assigned(worker, assigned):
                self._assigned(worker, assigned)
            case Settled(token=0) if self.flows.ends(effect):
                pass
            case Settled(token=0):
                cancelled = effect.seq in self.cancels.ended
                (self._cancelled if cancelled else self.purges.ends)(effect)
            case QueueResumed() | CancelAsked():
                self._told_of(effect)
            case Settled():
                self._settled(effect)
            case AttemptEnded(token, seq):
                self._closed(token, seq)
            case Requeued() | QueuedInLane():
                self._waits(effect)
            case TokenRejected(token):
                mine = self.tokens.get(token)
                stale = mine is None or mine[0].token != token
                require(stale, "first outcome", f"current token {token} is called stale")
            case (
                NotAssigned()
                | Withdrawn()
                | CheckpointDecided()
                | GatesFreed()
                | LimitChanged()
                | ScheduleMoved()
            ):
                pass  # the command that moved, cancelled or left it is looked at

    def _told_of(self, effect: QueueResumed | CancelAsked) -> None:
        if isinstance(effect, QueueResumed):
            self.cancels.resumed(effect.queue)
        else:
            self.flows.asks(effect.token)

    def digest(self, name: str, at: Position, digest: bytes) -> None:
        known = self.digests.setdefault(at, digest)
        require(known == digest, "same state", f"{name} holds another state after entry {at}")

    def _queued(self, spec: bytes, tasks: list[tuple[int, tuple[str, bytes]]]) -> None:
        start = crc32(spec)
        for seq, (task, payload) in tasks:
            require(
                task not in self.enqueues.refused,
                "refused for good",
                f"{task} was refused, and is in",
            )
            known = Known(seq, task, decode_spec(spec), crc32(payload, start), len(payload))
            known.entered_at = known.waits_since = self.rooms.timeline.now
            self.enters(known)
            self.rooms.move(known.spec.queue, 1, known.size)

    def enters(self, known: Known) -> None:
        """It is there from now on, once."""
        text = f"{known.id} is enqueued a second time"
        require(known.id not in self.tasks, "once in", text)
        text = f"number {known.seq} is given a second time"
        require(known.seq not in self.by_seq, "once in", text)
        self.tasks[known.id] = self.by_seq[known.seq] = known

    def _assigned(self, worker: bytes, tasks: list[tuple[int, int, int]]) -> None:
        for token, seq, attempt in tasks:
            task = self.by_seq[seq]
            text = f"token {token} of {task.id} follows {self.last_token}"
            require(token > self.last_token, "tokens grow", text)
            require(task.token is None, "one owner", f"{task.id} has {task.token} and {token}")
            require(task.outcome is None, "first outcome", f"{task.id} is over, and handed out")
            self.cancels.assigned(task)
            text = f"attempt {attempt} of {task.id} after {task.attempts}"
            require(attempt == task.attempts + 1, "attempts count", text)
            self.lanes.assigned(seq, task)
            self.schedules.assigned(seq, task)
            self.timers.assigned(seq)
            self.limits.assigned(seq, token, self.timers.time)
            self.last_token = task.token = token
            self.running[token] = task
            task.waits_since = None
            self.rooms.move(task.spec.queue, -1, -task.size)
            task.attempts = attempt
            self.tokens[token] = (task, worker)
            self.ends.assigned(task.id)

    def _closed(self, token: int, seq: int) -> None:
        """It waits again, however full its queue is."""
        task = self._current(token, seq)
        require(not task.asked, "retry after a cancel", f"{task.id} was asked to end: waits again")
        text = f"{task.id} may run again after {task.losses} losses"
        require(task.losses < task.losses_allowed, "quarantine", text)
        self.ends.closed(token, task.id)
        self._leaves(task)
        room = self.rooms.of(task.spec.queue)
        self.reached["came back into a full queue"] += room.full
        self.rooms.move(task.spec.queue, 1, task.size)

    def _current(self, token: int, seq: int) -> Known:
        task = self.by_seq[seq]
        text = f"token {token} of {task.id} ends, but {task.token} is current"
        require(task.token == token, "stale token", text)
        self.limits.ended(token)
        return task

    def _leaves(self, task: Known) -> None:
        """Its token is over."""
        assert task.token is not None
        del self.running[task.token]
        task.token = None

    def _settled(self, effect: Settled) -> None:
        task = self._current(effect.token, effect.seq)
        self.outcomes.committed(effect, task)
        self.ends_as(effect, task)
        self._leaves(task)
        self.lanes.ended(effect.seq, task, effect.state)
        self.timers.ended(effect.seq)
        self.keys.settled(task)

    def _moves(self, command: MoveTo, reply: Reply) -> None:
        task = self.tasks[command.id]
        if self.timers.moved(command, reply, task):
            task.waits_since = None
            self.special.add(task.seq)
            self.lanes.moved(task.seq)

    def _cancelled(self, effect: Settled) -> None:
        """It waited, and was cancelled."""
        task = self.by_seq[effect.seq]
        words = decode_failure(effect.data).type if effect.state is State.CANCELLED else ""
        require(words in _ASKED, "cancels", f"{task.id} is cancelled, and ends as {effect}")
        self.cancels.ended.remove(effect.seq)
        self.over(effect, task, State.CANCELLED)

    def over(self, effect: Settled, task: Known, fate: State) -> None:
        """It ended while no worker had it; `fate` is what that is to those behind it."""
        self.timers.ended(effect.seq)
        task.waits_since = None
        self.ends_as(effect, task)
        self.lanes.ended(effect.seq, task, fate)
        self.keys.settled(task)
        self.keys.requeued(effect.seq)
        self.rooms.move(task.spec.queue, -1, -task.size)

    def ends_as(self, effect: Settled, task: Known) -> None:
        """It has its outcome."""
        task.outcome = (effect.state, effect.data)
        self.settled.append(task.id)
        self.outcomes_committed += 1

    def _fails(self, token: int) -> None:
        task = self.tokens[token][0]
        if task.token == token:
            self._began(task)
            task.failures += 1
            bound = 0 if task.spec.at_most_once else task.spec.retries
            text = f"{task.id} fails for the {task.failures}th time, {bound} retries are allowed"
            require(task.failures <= bound + 1, "retries bounded", text)

    def _began(self, task: Known) -> None:
        """What comes of this attempt, it was one."""
        task.begun = True
        self.timers.began(task)

    def _goes_on(self, command: Postpone | HoldBack) -> None:
        task = self.tokens[command.token][0]
        if task.token != command.token:
            return
        self._began(task)
        if isinstance(command, HoldBack):
            self.limits.held_back(command)

    def _loses(self, command: Lose) -> None:
        for token, started in command.tokens:
            task = self.tokens[token][0]
            task.losses += started and task.token == token
            if task.token == token:
                self.limits.lost(token)
                if not started:
                    self.limits.unstarted(token)
            if started and task.token == token:
                self._began(task)

    def number_of(self, id_: str) -> int:
        """The number of a task that came in with this entry; 0 if it did not."""
        found = self._machine.state.db.execute("SELECT seq FROM task WHERE id = ?", (id_,))
        return found.get or 0

    def _configures(self, command: Configure | ConfigureCluster, reply: Reply) -> None:
        if isinstance(reply, Rejected):
            return
        if isinstance(command, ConfigureCluster):
            self.cluster.configure(self.rooms.newest, command)
            return
        room = self.rooms.of(command.queue)
        self.rooms.configure(command)
        over = room.settings.lack(room.level.tasks, room.level.size)
        self.reached["limit set below what waits"] += bool(over)

    def _expires(self, command: Expire) -> None:
        task = self.tokens[command.token][0]
        require(task.spec.timeout > 0, "lease", f"{task.id} has no time limit, and is expired")
        self.reached["expired by the leader"] += 1
