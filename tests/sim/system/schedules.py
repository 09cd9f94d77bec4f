"""Schedules, in some worlds: whoever makes and changes them, and what must be true of their ticks.

The model knows what each schedule says, the commands and the times of the entries. All tick at
intervals, so how many ticks lie between two instants needs no calendar. What is drawn comes from a
stream of its own.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING
from zlib import crc32

from raftwork.features import schedule_planner
from raftwork.features.effects import Done, Rejected, Reply
from raftwork.features.schedule_plan import (
    CatchUp,
    Fields,
    Overlap,
    Plan,
    decode_fields,
    encode_fields,
    merged,
    plan_of,
)
from raftwork.features.schedule_records import (
    Create,
    CreateSchedule,
    Declare,
    Declared,
    DeclareSchedules,
    DeleteSchedule,
    DropSchedules,
    PauseSchedule,
    SetPaused,
    Trigger,
    TriggerSchedule,
    Update,
    UpdateSchedule,
)
from raftwork.features.schedule_ticks import Fire, Tick, tick_id
from raftwork.features.task_row import LANED
from raftwork.messages import Spec, decode_spec, encode_spec
from raftwork.messages.registry import Frame
from raftwork.recurrence import jittered
from raftwork.wire import pack
from tests.sim.system.known import Known as Task
from tests.sim.system.promises import Violation, require

if TYPE_CHECKING:
    from tests.sim.system.queue_checker import QueueChecker
    from tests.sim.system.world import World

#: The share of worlds with schedules, and how far what is asked of them is apart there, ms.
_SHARE, _EVERY_MS = 0.5, 250
QUEUE = "default"
#: Nobody is at this address: what came of it is seen in the log.
_NOBODY = b"schedules"
_IDS = ("s0", "s1", "s2", "s3")
#: In peace a tick is decided so soon, ms.
_PROMPT_MS = 3_000
#: A tick asks so much of what runs: ms.
_SUPERSEDED_GRACE_MS = 10_000
_COUNTS = """SELECT number, fired + overlap + late + paused_ticks + full, decided, version, paused
    FROM schedule WHERE id = ?"""


class Schedulers:
    """Asks each leader directly, until there is peace; then all are deleted, once they tick."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = Random(f"schedules of {world.seed}")
        self._there = self._rng.random() < _SHARE
        self._asked = self._triggers = 0

    def begin(self) -> None:
        """From now on."""
        if not self._there:
            return
        world, rng = self._world, self._rng
        if self._all_tick():
            self._ask(lambda: DeleteSchedule(0, rng.choice(list(world.queue.schedules.known))))
        else:
            self._ask(self._draw)
        world.timeline.after(rng.randint(1, 2 * _EVERY_MS), self.begin)

    def _all_tick(self) -> bool:
        """In peace, after a while: only then are they deleted, so none is that does not tick."""
        world = self._world
        if not world.peaceful or world.timeline.now < world.shape.peace_at + 2 * _PROMPT_MS:
            return False
        leading = [broker for broker in world.brokers if broker.active is not None]
        behind = [world.queue.schedules.behind(broker.leader_time()) for broker in leading]
        return bool(leading) and not any(behind)

    def _ask(self, draw: Callable[[], Frame]) -> None:
        world = self._world
        for broker in world.brokers:
            leadership = broker.node._supervisor.leadership if broker.node is not None else None
            if leadership is None or broker.paused:
                continue
            if world.peaceful and not world.queue.schedules.known:
                continue
            self._asked += 1
            request = draw()._replace(request=self._asked)  # type: ignore[attr-defined]
            leadership.request(_NOBODY, request, 8, broker.mono)
            broker.poke()

    def _draw(self) -> Frame:
        rng, id_ = self._rng, self._rng.choice(_IDS)
        if self._world.peaceful:  # what is paused is to tick as well
            return PauseSchedule(0, id_, paused=False)
        fields = encode_fields(self._fields())
        other = Declared(rng.choice(_IDS), encode_fields(self._fields()))
        match rng.randrange(10):
            case 0 | 1:
                return CreateSchedule(0, id_, fields)
            case 2 | 3:
                declared = [Declared(id_, fields), other][: rng.randint(1, 2)]
                return DeclareSchedules(0, rng.choice("ab"), declared, rng.random() < 0.5)
            case 4:
                over = Fields(
                    window=rng.randint(1, 86_400_000),
                    limit=rng.choice((None, 0, rng.randint(1, 8))),
                    overlap=rng.choice((None, *Overlap)),
                )
                return UpdateSchedule(0, id_, encode_fields(over), 0)
            case 5:
                over = Fields(every=rng.choice((1_000, 1_500)))
                return UpdateSchedule(0, id_, encode_fields(over), 0, rng.random() < 0.2)
            case 6 if rng.random() < 0.2:
                return DeleteSchedule(0, id_)
            case 7:
                return PauseSchedule(0, id_, rng.random() < 0.4, rng.random() < 0.5)
            case 8:
                self._triggers += 1
                overlap = rng.choice((None, None, *Overlap))
                return TriggerSchedule(0, id_, f"{id_}@{self._triggers}", overlap)
            case _:
                return PauseSchedule(0, id_, False, rng.random() < 0.3)

    def _fields(self) -> Fields:
        rng = self._rng
        return Fields(
            spec=encode_spec(Spec("ok", QUEUE)),
            payload=pack(("ok", rng.choice((1, 30, 1_400)), 0)),
            cron="",
            every=rng.choice((1_000, 1_000, 1_700)),
            overlap=rng.choice(list(Overlap)),
            catchup=rng.choice(list(CatchUp)),
            jitter=rng.choice((0, 0, 300, 900)),
            limit=rng.choice((0, 0, 0, rng.randint(1, 8))),
        )


@dataclass(slots=True)
class Known:
    """A schedule, as the commands say."""

    id: str
    declared: Fields | None
    override: Fields
    plan: Plan
    anchor: int
    decided: int
    version: int = 1
    counted: int = 0
    paused: bool = False
    held: tuple[int, int] = (0, 0)
    #: In which epoch the last tick was.
    epoch: int = 0
    #: Ids of its tasks, and how many it has made.
    tasks: list[str] = field(default_factory=list)
    made: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether it may make no more, and so has no ticks."""
        return 0 < self.plan.limit <= self.made

    def due(self, tick: int) -> int:
        """From when on a tick may make a task."""
        return jittered(self.id, tick, tick + self.plan.every, self.plan.jitter)

    def ticks_until(self, instant: int) -> int:
        """How many there are up to an instant, since its anchor."""
        return (instant - self.anchor) // self.plan.every

    def first_after(self, instant: int) -> int:
        """The first tick that is later."""
        return self.anchor + (self.ticks_until(instant) + 1) * self.plan.every

    def changed(self, time: int) -> None:
        declared = self.declared if self.declared is not None else Fields()
        before, ended = self.plan, self.exhausted
        self.plan = plan_of(b"", encode_fields(merged(declared, self.override)))
        self.version += 1
        if before.every != self.plan.every or (ended and not self.exhausted):
            self.decided, self.held = time, (time, 0)  # what was counted before stays so


class ScheduleRules:
    """What must be true of schedules and ticks."""

    def __init__(self, queue: "QueueChecker", reached: Counter[str]) -> None:
        self._queue = queue
        self._reached = reached
        self.known: dict[str, Known] = {}
        self.numbers: dict[int, str] = {}
        #: By the number of one that waits for its schedule's others: those before it.
        self._behind: dict[int, tuple[str, ...]] = {}
        self.epoch = 0

    def command(self, command: object, reply: Reply) -> None:
        """A command is applied; its effects follow."""
        if isinstance(reply, Rejected):
            return
        time = self._queue.time
        match command:
            case Fire(ticks):
                for tick in ticks:
                    self._fires(tick, time)
            case Trigger():
                self._triggered(self.known[command.id], command, reply)
            case Create(id_, fields):
                self._new(id_, None, fields, time)
            case Declare():
                self._declares(command, reply, time)
            case Update(id_, fields, _, reset):
                self._updates(self.known[id_], fields, reset, time)
            case SetPaused(id_, paused, catchup):
                self._pauses(self.known[id_], paused, catchup)
            case DropSchedules(ids):
                for each in ids:
                    self._reached["schedule deleted"] += self.known.pop(each, None) is not None
            case _:
                pass

    # ---- what is said of them -------------------------------------------------------------------

    def _new(self, id_: str, declared: bytes | None, said: bytes, time: int) -> None:
        if id_ in self.known:
            return  # asked for again
        fields = decode_fields(said if declared is None else declared)
        plan = plan_of(b"", said if declared is None else declared)
        anchor = time // 1000 * 1000
        override = fields if declared is None else Fields()
        mine = fields if declared is not None else None
        self.known[id_] = Known(id_, mine, override, plan, anchor, time)

    def _declares(self, command: Declare, reply: Done, time: int) -> None:
        for at, fate in reply.fates:
            id_, said = command.schedules[at]
            known = self.known.get(id_)
            require(
                (known is None) == (fate == "created"), "schedules", f"{id_} is {fate}: {known}"
            )
            if known is None:
                self._new(id_, said, b"", time)
            elif fate == "changed":
                require(command.apply, "flip-flop", f"{known} changed by a worker that starts")
                known.declared = decode_fields(said)
                known.changed(time)
            self._reached[f"schedule {fate}"] += 1

    def _updates(self, known: Known, said: bytes, reset: bool, time: int) -> None:
        over = decode_fields(said)
        known.override = over if reset else merged(known.override, over)
        known.changed(time)
        self._reached["schedule updated"] += 1

    def _pauses(self, known: Known, paused: bool, catchup: bool) -> None:
        if known.paused == paused:
            return
        known.paused = paused
        if paused:
            known.held = known.decided, 0
        elif catchup:
            before = known.ticks_until(known.decided) - known.ticks_until(known.held[0])
            known.counted -= known.held[1]
            self._reached["made up for a pause"] += before > 0
            known.decided = known.held[0]

    # ---- ticks ----------------------------------------------------------------------------------

    def _fires(self, tick: Tick, time: int) -> None:
        self._name(tick.number)  # it may be gone again by now, and is known all the same
        known = self.known.get(self.numbers.get(tick.number, ""))
        if known is None:
            self._reached["a tick of no schedule"] += 1
            return
        stale = (tick.version, tick.decided) != (known.version, known.decided)
        if stale:
            self._reached["a tick that came too late for an edit"] += 1
            return
        if known.exhausted:
            self._reached["a tick after the last task was made by hand"] += 1
            return
        early, again = known.due(tick.tick) > time, tick.tick <= known.decided
        require(not early, "ticked early", lambda: f"at {time} {known} ticks: {tick}")
        require(not again, "ticked twice", lambda: f"{known} ticks: {tick}")
        passed = known.ticks_until(tick.tick) - known.ticks_until(known.decided)
        due = passed == tick.late + 1
        require(due, "tick lost", lambda: f"{passed} ticks passed of {known}: {tick}")
        if tick.late or not tick.run:
            first = known.due(known.first_after(known.decided))
            outage, age = time - first > schedule_planner.GRACE_MS, time - known.due(tick.tick)
            aged = known.plan.catchup is not CatchUp.ALL or known.plan.window < age
            require(outage and aged, "late", f"at {time} {tick} of {known} is not run")
            self._reached["ticks of an outage"] += 1
        self._reached["tick across a failover"] += 0 < known.epoch != self.epoch
        known.epoch, known.decided = self.epoch, tick.tick
        known.counted += passed
        if known.paused:
            known.held = known.held[0], known.held[1] + passed
        self._made(known, tick_id(known.id, tick.tick), may=tick.run and not known.paused)

    def _triggered(self, known: Known, command: Trigger, reply: Reply) -> None:
        task = command.task
        there = task in self._queue.tasks
        made = self._made(known, task, may=True, policy=command.overlap)
        require(reply == Done(int(made or there)), "triggers", f"{known} by {task}: {reply}")
        known.counted += not there
        self._reached["triggered"] += made

    def assigned(self, seq: int, task: Task) -> None:
        """A task that was to wait for the others of its schedule is handed out."""
        before = self._behind.get(seq, ())
        open_ = [id_ for id_ in before if self._queue.tasks[id_].outcome is None]
        require(not open_, "overlap", lambda: f"{task.id} runs beside {open_}")
        self._reached["waited for those of another policy"] += bool(
            {self._queue.tasks[id_].key for id_ in before} - {task.key}
        )

    def _made(self, known: Known, id_: str, *, may: bool, policy: Overlap | None = None) -> bool:
        """Whether a task came in: one that may, and that none is before which it must not meet."""
        overlap = known.plan.overlap if policy is None else policy
        queue = self._queue
        if id_ in queue.tasks:
            return False
        machine = queue._machine.state
        asked = "SELECT seq, flags FROM task WHERE id = ?"
        found = machine.db.execute(asked, (id_,)).fetchone()
        open_ = [each for each in known.tasks if queue.tasks[each].outcome is None]
        known.tasks = open_
        if found is None:
            self._reached["a tick met an earlier one"] += may and bool(open_)
            room = {Overlap.SKIP: 0, Overlap.QUEUE_ONE: 1}.get(overlap, 1_000)
            full = queue.rooms.of(QUEUE).lack(1, len(known.plan.payload))
            text = f"{id_} of {known} makes no task, beside {open_}"
            require(not may or len(open_) > room or bool(full), "tick lost", text)
            return False
        require(may, "ticked while paused", f"{id_} of {known} makes a task")
        require(not known.exhausted, "limit", f"{id_} of {known} makes a task")
        most = {Overlap.SKIP: 0, Overlap.QUEUE_ONE: 1}.get(overlap, 1_000)
        require(len(open_) <= most, "overlap", f"{id_} of {known} makes a task beside {open_}")
        self._enters(known, id_, found, overlap)
        known.made += 1
        self._reached["the last one of a limit"] += known.exhausted
        self._reached["ticked"] += 1
        return True

    def _enters(self, known: Known, id_: str, row: tuple[int, int], overlap: Overlap) -> None:
        """What it is made of is in the plan: by the end of the entry it may have ended, too."""
        queue, (seq, flags), plan = self._queue, row, known.plan
        if overlap is Overlap.CANCEL_PREVIOUS:
            self._superseded(known)
        in_order = overlap not in (Overlap.SKIP, Overlap.ALLOW)
        if in_order:
            self._behind[seq] = tuple(known.tasks)
        spec = decode_spec(plan.spec)
        spec = spec._replace(ordered=True, halts=False) if in_order else spec
        contents = crc32(plan.payload, crc32(encode_spec(spec)))
        key = f"schedule:{known.id}" if in_order else ""
        task = Task(seq, id_, spec, contents, len(plan.payload), key=key)
        queue.enters(task)
        if flags & LANED:
            queue.special.add(seq)
        queue.rooms.move(task.spec.queue, 1, task.size)
        queue.lanes.entered(seq, task)
        queue.timers.entered(seq, task, queue.time, 0)
        known.tasks.append(id_)

    def _superseded(self, known: Known) -> None:
        queue = self._queue
        for id_ in known.tasks:
            task = queue.tasks[id_]
            if task.token is None:
                queue.cancels.ended.add(task.seq)
                continue
            due = queue.time + _SUPERSEDED_GRACE_MS
            task.grace_ends = min(due, task.grace_ends) if task.asked else due
            task.asked = True
        self._reached["superseded"] += bool(known.tasks)

    # ---- the table ------------------------------------------------------------------------------

    def _name(self, number: int) -> None:
        """Note which schedule this is, if it is there at the end of the entry."""
        found = self._queue._machine.state.schedules.read(number)
        if found is not None:
            self.numbers[number] = found.id

    def compare(self) -> None:
        """An entry is applied: each tick that is decided is counted once, in the tables, too."""
        db = self._queue._machine.state.db
        for known in self.known.values():
            row = db.execute(_COUNTS, (known.id,)).fetchone()
            if row is None:
                raise Violation("schedules", f"{known} is not there")
            number, counted, decided, version, paused = row
            self.numbers[number] = known.id
            mine = (known.counted, known.decided, known.version, known.paused)
            told = (counted, decided, version, bool(paused))
            if mine != told:
                raise Violation("ticks counted", f"the table has {told}, the model {known}")

    def behind(self, time: int) -> str:
        """A schedule that ought to have ticked by this time; empty if none."""
        for known in self.known.values():
            if not known.exhausted and known.first_after(known.decided) + _PROMPT_MS < time:
                return f"at {time} the schedule {known.id} has not ticked since {known.decided}"
        return ""
