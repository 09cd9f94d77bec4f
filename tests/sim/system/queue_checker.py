"""What must be true of tasks (G1–G5, G7): a model fed by what was applied, executed and told.

The model knows the rules of a task's life and nothing of how the machine keeps them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
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
    Done,
    Effect,
    EnqueuedAndAssigned,
    GatesFreed,
    LimitChanged,
    NotAssigned,
    Queued,
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
from raftwork.features.lanes import GoOn
from raftwork.features.limits import ConfigureLimit, PauseGates
from raftwork.features.pause_queue import Pause, Resume
from raftwork.features.pins import WorkerGone
from raftwork.features.purge_queue import DropWaiting
from raftwork.features.queue_settings import Configure
from raftwork.features.reschedule import MoveTo
from raftwork.features.task_batch import NO_EXTRAS, is_ordinary
from raftwork.features.task_row import LANED
from raftwork.messages import Code, Extras, Result, Spec, State, decode_failure, decode_spec
from raftwork.wire import unpack
from tests.sim.system.attempt_ends import AttemptEnds
from tests.sim.system.cancels import CancelChecker
from tests.sim.system.cluster_settings import Stood
from tests.sim.system.flows import FlowRules
from tests.sim.system.lanes import LaneRules
from tests.sim.system.limits import LimitRules
from tests.sim.system.promises import require
from tests.sim.system.room import Rooms
from tests.sim.system.schedules import ScheduleRules
from tests.sim.system.timers import TimerRules
from tests.sim.system.unique import Keys
from tests.sim.system.workload import Batch, contents_of, tags_of


@dataclass(slots=True)
class Known:
    """A committed task."""

    id: str
    spec: Spec
    contents: int
    size: int
    token: int | None = None
    attempts: int = 0
    failures: int = 0
    losses: int = 0
    outcome: tuple[State, bytes] | None = None
    key: str = ""
    #: When it came in with a batch.
    entered_at: int = 0
    #: Since when it waits to be handed out; None while it does not.
    waits_since: int | None = None
    #: Whether its code was asked to end, and when (machine time) it is ended.
    asked: bool = False
    grace_ends: int = 0
    #: The arguments that replaced its own ones.
    arguments: bytes = b""
    #: Whether it has code: a flow, a join and what was replaced have none.
    has_code: bool = True
    tags: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Run:
    """Code that began under a token."""

    id: str
    worker: bytes
    at: int
    ok: bool | None = None
    data: bytes = b""


class Entering(NamedTuple):
    """A batch that is to come in."""

    queue: str
    #: Its tasks that are not known yet, with the sizes of their payloads.
    new: dict[str, int]
    #: Whether it names one that is known, with the same contents or with others.
    repeats: bool
    contradicts: bool

    @property
    def weight(self) -> tuple[int, int]:
        return len(self.new), sum(self.new.values())


@dataclass(slots=True)
class QueueChecker:
    rooms: Rooms
    #: Where to count what is rare.
    reached: Counter[str] = field(default_factory=Counter)
    #: Ids that were sent in one request only, which was refused.
    refused: set[str] = field(default_factory=set)
    tasks: dict[str, Known] = field(default_factory=dict)
    by_seq: dict[int, Known] = field(default_factory=dict)
    #: Whose each token ever handed out is or was: the task, and the worker's incarnation.
    tokens: dict[int, tuple[Known, bytes]] = field(default_factory=dict)
    last_token: int = 0
    runs: dict[int, Run] = field(default_factory=dict)
    executions: dict[str, int] = field(default_factory=dict)
    #: Tokens handed back with the promise that their code never began.
    released: set[int] = field(default_factory=set)
    #: What workers said of tokens whose task they have no code for, and whose process died.
    unknown: dict[int, bytes] = field(default_factory=dict)
    died: set[int] = field(default_factory=set)
    #: What each worker's process was begun with: its queues, and the names it has no code for.
    codes: dict[bytes, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    #: By position: what was applied, and what that gave.
    applications: dict[Position, tuple[int, int]] = field(default_factory=dict)
    digests: dict[Position, bytes] = field(default_factory=dict)
    #: Tasks that a purge being looked at must drop.
    dropped: set[int] = field(default_factory=set)
    #: Committed outcomes since last asked for.
    settled: list[str] = field(default_factory=list)
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

    def __post_init__(self) -> None:
        self.cancels = CancelChecker(self.reached)
        self.ends = AttemptEnds(self.reached)
        self.lanes = LaneRules(self.reached)
        self.keys = Keys(self)
        self.flows = FlowRules(self)
        self.timers = TimerRules(self.reached)
        self.limits = LimitRules(self.reached)
        self.schedules = ScheduleRules(self, self.reached)

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
        made = (crc32(data), crc32(repr(applied).encode()))
        known = self.applications.get(at)
        if known is not None:
            require(known == made, "same commands, same answers", f"{name} differs at {at}")
            return
        self.applications[at] = made
        self.rooms.newest = at
        effects, (time, _) = applied.effects, decode_batch(data)
        self.time = max(self.time, time)
        self.timers.entry(time, at.epoch)
        self.ends.entry(time)
        self.schedules.epoch = at.epoch
        self.keys.passed(data)
        for effect in effects[: steps[0] if steps else None]:
            self._effect(effect)  # of the time that has passed
        self.keys.hand_on()
        self.keys.awake()
        self.timers.swept()
        running = [task for task in self.tasks.values() if task.token is not None]
        self.cancels.over(self.time, running)
        for plain, reply, start, end in zip(
            decode_batch(data)[1], applied.replies, steps[:-1], steps[1:], strict=True
        ):
            self._command(plain, reply, effects[start:end])
        for effect in effects[steps[-1] :]:
            self._effect(effect)  # of what waited for tasks that ended
        self.flows.entered(machine)
        tokens = [task.token for task in self.tasks.values() if task.token is not None]
        self.limits.over(machine, tokens, self.timers.time)
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
                self._admits(command, reply, effects)
            case Configure() | ConfigureCluster():
                self._configures(command, reply)
            case Release():
                self._released(command)
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
                    self.limits.set(command)
            case GoOn():
                self.lanes.went_on(command, reply)
            case MoveTo() if command.id in self.tasks:
                self._moves(command, reply)
            case DropWaiting():
                self._drops(command, reply, effects)
            case CancelSome(scope=Scope.FLOW) | FlowAgain() | Grow() | Grew() | WorkerGone():
                self.flows.command(command, reply, effects)
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
                (self._cancelled if cancelled else self._purged)(effect)
            case QueueResumed() | CancelAsked():
                self._told_of(effect)
            case Settled():
                self._settled(effect)
            case AttemptEnded(token, seq):
                self._closed(token, seq)
            case Requeued(_, seq):
                task = self.by_seq[seq]
                self.timers.waits(seq)
                self.lanes.waits(effect, task)
                self.flows.waits(task)
                waits = task.token is None and task.outcome is None
                require(waits, "one owner", f"{task.id} waits again, but has {task}")
                task.waits_since = self.rooms.timeline.now
                self.keys.requeued(seq)
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
            require(task not in self.tasks, "once in", f"{task} is enqueued a second time")
            require(seq not in self.by_seq, "once in", f"number {seq} is given a second time")
            require(task not in self.refused, "refused for good", f"{task} was refused, and is in")
            known = Known(task, decode_spec(spec), crc32(payload, start), len(payload))
            known.entered_at = known.waits_since = self.rooms.timeline.now
            self.tasks[task] = self.by_seq[seq] = known
            self.rooms.move(known.spec.queue, 1, known.size)

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
            self.timers.assigned(seq)
            self.limits.assigned(seq, token, self.timers.time)
            self.last_token = task.token = token
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
        require(task.losses < _losses_allowed(task), "quarantine", text)
        task.token = None
        room = self.rooms.of(task.spec.queue)
        self.reached["came back into a full queue"] += room.full
        self.rooms.move(task.spec.queue, 1, task.size)

    def _current(self, token: int, seq: int) -> Known:
        task = self.by_seq[seq]
        text = f"token {token} of {task.id} ends, but {task.token} is current"
        require(task.token == token, "stale token", text)
        self.limits.ended(token)
        return task

    def _settled(self, effect: Settled) -> None:
        task = self._current(effect.token, effect.seq)
        require(task.outcome is None, "first outcome", f"{task.id} has a second outcome")
        run = self.runs.get(effect.token)
        self.cancels.settled(task, effect)
        if effect.state is State.SUCCEEDED:
            mine = run is not None and run.ok is True and run.data == effect.data
            text = f"{task.id} succeeded under {effect.token} with what its worker never computed"
            require(mine, "true results", text)
        elif self.timers.ends_by_time(effect, ran=run is not None):
            pass
        elif effect.state is State.FAILED and not self._timed_out(effect, task):
            mine = run is not None and run.ok is False and _same(run.data, effect.data)
            mine = mine or self.unknown.get(effect.token) == effect.data
            self.reached["a task that nobody knew"] += effect.token in self.unknown
            require(mine, "true results", f"{task.id} failed under {effect.token}, not in its code")
            if not task.spec.at_most_once and effect.token not in self.unknown:
                self.ends.failed(effect.token, task.id, task.spec.retries - task.failures)
        if effect.state is State.LOST:
            text = f"{task.id} is lost after {task.losses} losses"
            require(task.losses == _losses_allowed(task), "quarantine", text)
            self.reached["quarantined"] += task.losses > 1
        task.outcome = (effect.state, effect.data)
        task.token = None
        self.lanes.ended(effect.seq, task, effect.state)
        self.timers.ended(effect.seq)
        self.settled.append(task.id)
        self.keys.settled(task)

    def _moves(self, command: MoveTo, reply: Reply) -> None:
        task = self.tasks[command.id]
        seq = next(seq for seq, each in self.by_seq.items() if each is task)
        if self.timers.moved(command, reply, seq, task):
            task.waits_since = None
            self.special.add(seq)
            self.lanes.moved(seq)

    def _drops(self, command: DropWaiting, reply: Reply, effects: Sequence[Effect]) -> None:
        """The first that wait, the ordinary ones in their order, and none that runs."""
        mine = [
            (seq, task)
            for seq, task in sorted(self.by_seq.items())
            if task.spec.queue == command.queue and seq <= command.upto and task.outcome is None
        ]
        waits = {seq for seq, task in mine if task.waits_since is not None}
        behind = {seq for seq, task in mine if task.spec.ordered and task.token is None}
        made = [effect.seq for effect in effects if isinstance(effect, Settled)]
        ordinary = [seq for seq in made if seq not in self.special]
        due = sorted(waits - self.special)[: len(ordinary)]
        text = f"of {sorted(waits)} are dropped {made}, and the answer is {reply}"
        require(ordinary == due and set(made) <= waits | behind, "purges", text)
        require(len(made) == command.limit or waits <= set(made), "purges", text)
        require(reply == Done(len(made)), "purges", text)
        due = made
        self.dropped.update(due)
        self.reached["purge went on in another entry"] += bool(due) and len(due) == command.limit
        self.reached["purge of nothing"] += not due

    def _purged(self, effect: Settled) -> None:
        task = self.by_seq[effect.seq]
        if self.timers.ends_by_time(effect, ran=task.id in self.executions):
            self.over(effect, task, effect.state)
            return
        require(effect.seq in self.dropped, "purges", f"{task.id} ends while it waits, unasked")
        words = effect.state is State.FAILED and decode_failure(effect.data).type == "Purged"
        require(words, "purges", f"{task.id} is purged, and ends as {effect}")
        self.dropped.remove(effect.seq)
        self.reached["purged after an attempt"] += task.attempts > 0
        self.reached["purged"] += 1
        self.over(effect, task, State.CANCELLED)

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
        task.outcome = (effect.state, effect.data)
        self.lanes.ended(effect.seq, task, fate)
        self.keys.settled(task)
        self.keys.requeued(effect.seq)
        self.rooms.move(task.spec.queue, -1, -task.size)
        self.settled.append(task.id)

    def _timed_out(self, effect: Settled, task: Known) -> bool:
        late = decode_failure(effect.data).type == "TimeLimitExceeded"
        # By its worker's word it began: what it had no code for may have come to a report that was
        # under way for longer than the limit.
        began = effect.token in self.runs or effect.token in self.unknown
        return task.spec.timeout > 0 and late and began

    def _fails(self, token: int) -> None:
        task = self.tokens[token][0]
        if task.token == token:
            self.timers.began(task)
            task.failures += 1
            bound = 0 if task.spec.at_most_once else task.spec.retries
            text = f"{task.id} fails for the {task.failures}th time, {bound} retries are allowed"
            require(task.failures <= bound + 1, "retries bounded", text)

    def _goes_on(self, command: Postpone | HoldBack) -> None:
        task = self.tokens[command.token][0]
        if task.token != command.token:
            return
        self.timers.began(task)
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
                self.timers.began(task)

    # ---- coming in ------------------------------------------------------------------------------

    def entering(self, spec: bytes, packed: bytes) -> Entering:
        """What this batch would bring in now."""
        start, new, contradicts = crc32(spec), dict[str, int](), False
        contents: dict[str, int] = {}  # two calls that travel together may contradict each other
        tasks = cast("list[tuple[str, bytes, str]]", unpack(packed))
        for row in tasks:
            task, payload = row[:2]
            known, mine = self.tasks.get(task), contents_of(start, row)
            if known is None:
                new[task] = len(payload)
                contradicts |= contents.setdefault(task, mine) != mine
            elif known.contents != mine:
                contradicts = True
        return Entering(decode_spec(spec).queue, new, len(new) < len(tasks), contradicts)

    def weight(self, spec: bytes, packed: bytes) -> tuple[str, int, int]:
        """The queue a batch is for, how many of its tasks are new, and their bytes."""
        batch = self.entering(spec, packed)
        return (batch.queue, *batch.weight)

    def weight_before(self, moment: int, batch: Batch) -> tuple[int, int, int]:
        """How many of its tasks were new at that moment, their bytes, and until when all were."""
        new = dict[str, int]()
        until = self.rooms.timeline.now
        for id_, payload, *_ in cast("list[tuple[str, bytes]]", unpack(batch.tasks)):
            known = self.tasks.get(id_)
            if known is None or known.entered_at > moment:
                new[id_] = len(payload)
            if known is not None and known.entered_at > moment:
                until = min(until, known.entered_at)
        return len(new), sum(new.values()), until

    def _admits(self, command: Admit, reply: Reply, effects: Sequence[Effect]) -> None:
        if _keyed(command):
            self.keys.admitted(command, reply)
        else:
            self._enqueues(command, reply, effects)

    def _enqueues(self, command: Admit, reply: Reply, effects: Sequence[Effect]) -> None:
        """All that is new comes in, or nothing does, and nothing else decides which."""
        batch = self.entering(command.spec, command.tasks)
        room, (tasks, size) = self.rooms.of(batch.queue), batch.weight
        lack = room.lack(tasks, size) if tasks else ""
        due = Code.PROTOCOL if batch.contradicts else Code.QUEUE_FULL if lack else None
        given = reply.code if isinstance(reply, Rejected) else None
        text = f"{tasks} tasks of {size} bytes to {room}: {reply}, not {due}"
        require(given is due, "limits", text)
        came_in = [task for effect in effects for task in _came_in(effect)]
        if due is None and self._is_special(command):
            came_in = self._specials(command, batch)
        text = f"of {list(batch.new)} came in: {came_in}, and the answer is {reply}"
        require(came_in == (list(batch.new) if due is None else []), "all or none", text)
        reached = self.reached
        reached["contradiction refused"] += batch.contradicts
        reached["duplicate enqueue suppressed"] += batch.repeats
        reached["batch known in part"] += batch.repeats and bool(tasks)
        reached["repeated batch acknowledged by a full queue"] += not tasks and room.full
        if due is Code.QUEUE_FULL:
            reached[f"enqueue refused for a queue's {lack}"] += 1

    @staticmethod
    def _is_special(command: Admit) -> bool:
        rows = cast("list[list[object]]", unpack(command.tasks))
        return not is_ordinary(decode_spec(command.spec)) or any(len(row) > 2 for row in rows)

    def _specials(self, command: Admit, batch: Entering) -> list[str]:
        """No effect names what is not ordinary as it comes in: the tables tell its numbers."""
        start, spec = crc32(command.spec), decode_spec(command.spec)
        came_in = []
        for row in cast("list[tuple[Any, ...]]", unpack(command.tasks)):
            if row[0] not in batch.new or row[0] in self.tasks:
                continue
            asked = "SELECT seq, flags FROM task WHERE id = ?"
            found = self._machine.state.db.execute(asked, (row[0],)).fetchone()
            if found is None:
                continue
            seq, flags = found
            known = Known(row[0], spec, contents_of(start, row), len(row[1]))
            known.entered_at = self.rooms.timeline.now
            known.key, known.tags = "".join(row[2:3]), tags_of(row)
            self.tasks[known.id] = self.by_seq[seq] = known
            if flags & LANED:
                self.special.add(seq)
            self.rooms.move(spec.queue, 1, known.size)
            self.lanes.entered(seq, known)
            extras = Extras(*row[3]) if len(row) > 3 else NO_EXTRAS
            created = min(command.created, self.time)
            self.timers.entered(seq, known, created, extras.at)
            self.limits.entered(seq, spec, known.key, extras.tenant)
            came_in.append(known.id)
        return came_in

    def number_of(self, id_: str) -> int:
        """The number of a task that came in with this entry; 0 if it did not."""
        found = self._machine.state.db.execute("SELECT seq FROM task WHERE id = ?", (id_,))
        return found.get or 0

    def refuses_early(self, at: Position, spec: bytes, packed: bytes) -> None:
        """A leader that has applied everything up to `at` finds a queue too full for a batch."""
        self.reached["enqueue refused early by the leader"] += 1
        if at < self.rooms.newest:
            return  # what it knows is what was
        batch = self.entering(spec, packed)
        tasks, size = batch.weight
        room = self.rooms.of(batch.queue)
        text = f"{tasks} tasks of {size} bytes are refused early by {room}"
        require(bool(tasks and room.lack(tasks, size)), "limits", text)

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

    def _released(self, command: Release) -> None:
        for token in command.tokens:
            require(token not in self.runs, "released unstarted", f"the code of {token} ran")
            self.released.add(token)
            self.limits.unstarted(token)
            self.reached["handed back unstarted"] += 1
            self.reached["an unknown task went elsewhere"] += token in self.unknown

    def _expires(self, command: Expire) -> None:
        task = self.tokens[command.token][0]
        require(task.spec.timeout > 0, "lease", f"{task.id} has no time limit, and is expired")
        self.reached["expired by the leader"] += 1

    # ---- executing ------------------------------------------------------------------------------

    def began(self, token: int, task: str, worker: bytes, now: int) -> None:
        """A worker starts the code of a task."""
        require(token not in self.runs, "a token runs once", f"{token} of {task} runs again")
        require(token not in self.released, "released unstarted", f"{token} was handed back")
        owner = self.tokens.get(token)
        mine = owner is not None and (owner[0].id, owner[1]) == (task, worker)
        require(mine, "committed before pushed", f"{token} of {task} runs where it is not assigned")
        assert owner is not None
        self.runs[token] = Run(task, worker, now)
        count = self.executions[task] = self.executions.get(task, 0) + 1
        if owner[0].spec.at_most_once:
            require(count == 1, "at most once", f"{task} runs for the {count}th time")

    def ended(self, token: int, *, ok: bool, data: bytes) -> None:
        run = self.runs[token]
        run.ok, run.data = ok, data

    # ---- telling --------------------------------------------------------------------------------

    def told(self, result: Result, *, with_data: bool) -> None:
        """A client read an outcome (an answer has no data): it is the committed one."""
        task = self.tasks.get(result.id)
        committed = task.outcome if task is not None else None
        text = f"{result.id} is told to be {result.state!r}, committed is {committed}"
        same = committed is not None and committed[0] is result.state
        require(same, "true outcomes", text)
        assert committed is not None
        if with_data and not result.forgotten:
            require(committed[1] == result.data, "true outcomes", text)


#: Why somebody ends a task.
_ASKED = ("user", "superseded")


def _keyed(command: Admit) -> bool:
    """Whether its tasks have unique keys."""
    rows = cast("list[list[object]]", unpack(command.tasks))
    return any(len(row) > 3 and cast("list[str]", row[3])[0] for row in rows)


def _same(reported: bytes, stored: bytes) -> bool:
    """Whether that is what a worker reported, as brokers store it."""
    return decode_failure(reported) == decode_failure(stored)


def _losses_allowed(task: Known) -> int:
    return 1 if task.spec.at_most_once else task.spec.max_losses


def _came_in(effect: Effect) -> list[str]:
    match effect:
        case Queued():
            return [task for task, _ in effect.tasks]
        case EnqueuedAndAssigned():
            return [task for _, _, task, _ in effect.tasks]
        case _:
            return []
