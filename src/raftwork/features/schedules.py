"""Schedules: tasks that are made again and again, at instants of a calendar or at intervals.

1. Code declares (`source` is its MODULE:APP), operators override. A starting worker only creates
   what is missing; to apply a deployment's declarations is a step of its own, which changes what
   the code said before and leaves alone what operators said.
2. What would never tick is refused, by the leader: it alone asks the calendar.
3. To declare the same again changes nothing, so neither does a worker that starts, nor an old
   deployment and a new one that start in turns. A change of when it ticks counts from then on: no
   edit makes it tick at once.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final

from raftwork.errors import ProtocolError
from raftwork.features import schedule_changes as changes
from raftwork.features.effects import Done, Rejected, Reply
from raftwork.features.schedule_order import settled
from raftwork.features.schedule_plan import (
    Fields,
    Plan,
    check_plan,
    decode_fields,
    encode_fields,
    merged,
    plan_of,
    read_fields,
)
from raftwork.features.schedule_records import (
    BACKFILL_MAX,
    LISTED_MAX,
    Backfill,
    BackfillSchedule,
    Create,
    CreateSchedule,
    Declare,
    Declared,
    DeclareSchedules,
    DeleteSchedule,
    DropSchedules,
    ListSchedules,
    NextTicks,
    PauseSchedule,
    PruneSchedules,
    ScheduleBackfilled,
    ScheduleFacts,
    SchedulesDeclared,
    ScheduleStands,
    SchedulesTold,
    ScheduleTriggered,
    SetPaused,
    ShowSchedule,
    TicksTold,
    Trigger,
    TriggerSchedule,
    Update,
    UpdateSchedule,
)
from raftwork.features.schedule_rows import Row
from raftwork.features.schedule_ticks import Fire, fire
from raftwork.features.task_batch import check_level
from raftwork.features.task_row import TICKED
from raftwork.messages import Code

if TYPE_CHECKING:
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: Ticks of a backfill in one entry, and schedules that an entry of a prune deletes.
_PART: Final = 40
#: … and bytes of the arguments of those ticks.
_PART_BYTES: Final = 512 * 1024
#: Of those that one turn counts before.
_COUNTED: Final = 200
#: From a tick of a cron expression to the next, at least.
_CRON_MS_MIN: Final = 1_000


def _check_level(view: View) -> None:
    check_level(view.state, "schedules need")


def _check_plan(view: View, plan: Plan) -> None:
    check_plan(plan, view.state.settings)


def _check_create(view: View, asked: CreateSchedule) -> Create | Done:
    _check_level(view)
    _check_plan(view, _whole(read_fields(asked.fields)))
    return Create(asked.id, asked.fields)


def _whole(fields: Fields) -> Plan:
    return plan_of(b"", encode_fields(fields))


def _check_declare(view: View, asked: DeclareSchedules) -> Declare | Done:
    """A worker that starts mostly finds all that it declares, and costs no entry then."""
    _check_level(view)
    command = Declare(asked.source, asked.schedules, asked.apply)
    rows = [view.state.schedules.find(each.id) for each in asked.schedules]
    fates = [
        changes.fate(command, each, row) for each, row in zip(asked.schedules, rows, strict=True)
    ]
    for each, row, fate in zip(asked.schedules, rows, fates, strict=True):
        if fate not in changes.STANDS:
            _check_declared(view, each, row)
    if all(fate in changes.STANDS for fate in fates):
        return Done(fates=list(enumerate(fates)))
    return command


def _check_declared(view: View, declared: Declared, row: Row | None) -> None:
    over = decode_fields(row.override) if row is not None else Fields()
    try:
        _check_plan(view, _whole(merged(read_fields(declared.fields), over)))
    except ProtocolError as error:
        raise ProtocolError(f"schedule {declared.id!r}: {error}") from None


def _check_update(view: View, asked: UpdateSchedule) -> Update:
    _check_level(view)
    row = view.state.schedules.get(asked.id)
    if asked.reset and not row.source:
        raise ProtocolError(
            f"no code declares schedule {asked.id!r}: there is nothing that it could go back to"
        )
    fields = read_fields(asked.fields)
    over = fields if asked.reset else merged(decode_fields(row.override), fields)
    _check_plan(view, _whole(merged(decode_fields(row.declared), over)))
    return Update(asked.id, asked.fields, asked.version, asked.reset)


def _check_pause(view: View, asked: PauseSchedule) -> SetPaused:
    _check_level(view)
    return SetPaused(asked.id, asked.paused, asked.catchup)


def _check_trigger(view: View, asked: TriggerSchedule) -> Trigger:
    _check_level(view)
    return Trigger(asked.id, asked.task, asked.overlap)


def _ticks(row: Row, after: int) -> Iterator[int]:
    """The ticks of a schedule later than `after`, in order.

    Raises ProtocolError where they cannot be computed, as this machine does not know its zone.
    """
    try:
        yield from row.plan.rule(row.anchor).after(after)
    except (ValueError, ArithmeticError) as error:
        raise ProtocolError(f"schedule {row.id!r} cannot be computed: {error}") from None


class _Backfill:
    """A backfill on its way through the log: counted first, then made, part by part."""

    def __init__(self, asked: BackfillSchedule, row: Row) -> None:
        self._asked = asked
        self._row, self._count = row, 0
        self._counted, self._ticks = self._inside(), self._inside()
        self._counting = True
        self._at_once = max(1, min(_PART, _PART_BYTES // (row.size + 1)))
        self._part: Sequence[int] = ()
        self._made = 0

    def _inside(self) -> Iterator[int]:
        end = self._asked.end
        return takewhile(lambda tick: tick <= end, _ticks(self._row, self._asked.start - 1))

    def command(self, _view: View) -> Backfill:
        if self._counting:
            counted = sum(1 for _ in islice(self._counted, _COUNTED))
            self._count += counted
            self._counting = counted == _COUNTED and self._count <= BACKFILL_MAX
        else:
            self._part = list(islice(self._ticks, self._at_once))
        return Backfill(self._asked.id, list(self._part), self._asked.overlap)

    def applied(self, view: View, reply: Reply) -> Reply | None:
        if not isinstance(reply, Done):
            return reply
        if self._count > BACKFILL_MAX:
            return Rejected(Code.PROTOCOL, _too_many(f"more than {BACKFILL_MAX}"))
        self._made += reply.affected
        self._count -= len(self._part)
        if self._counting or (self._count > 0 and self._may_go_on(view)):
            return None
        return Done(self._made)

    def _may_go_on(self, view: View) -> bool:
        row = view.state.schedules.find(self._asked.id)
        return row is None or not row.exhausted(row.plan)  # of one that is gone the command tells


def _too_many(ticks: str) -> str:
    return f"that would be {ticks} ticks, {BACKFILL_MAX} are allowed at a time: take a shorter time"


def _check_backfill(view: View, asked: BackfillSchedule) -> _Backfill:
    _check_level(view)
    if asked.end < asked.start:
        raise ProtocolError("a backfill ends before it begins")
    row = view.state.schedules.get(asked.id)
    plan = row.plan
    row.check_limit(plan)
    if plan.every and (asked.end - asked.start) // plan.every >= BACKFILL_MAX:
        raise ProtocolError(_too_many(str((asked.end - asked.start) // plan.every + 1)))
    return _Backfill(asked, row)


def _backfill_grows(view: View, asked: BackfillSchedule) -> int:
    """The most there could be: to count the ticks of a calendar takes longer than a turn has."""
    _check_level(view)
    pause = view.state.schedules.get(asked.id).plan.every or _CRON_MS_MIN
    return min(BACKFILL_MAX, max(0, asked.end - asked.start) // pause + 1)


class _Drops:
    """What is deleted, part by part."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids
        self._at = 0

    def command(self, _view: View) -> DropSchedules:
        return DropSchedules(list(self._ids[self._at : self._at + _PART]))

    def applied(self, _view: View, reply: Reply) -> Reply | None:
        if not isinstance(reply, Done):
            return reply
        self._at += _PART
        if self._at < len(self._ids):
            return None
        return Done(fates=[(at, id_) for at, id_ in enumerate(self._ids)])


def _check_prune(view: View, asked: PruneSchedules) -> _Drops:
    _check_level(view)
    kept = set(asked.kept)
    return _Drops([id_ for id_ in view.state.schedules.of(asked.source) if id_ not in kept])


def _check_delete(view: View, asked: DeleteSchedule) -> DropSchedules:
    _check_level(view)
    return DropSchedules([asked.id], known=True)


def _declared(_view: View, asked: DeclareSchedules, done: Done) -> SchedulesDeclared:
    fates = [(asked.schedules[at].id, fate) for at, fate in done.fates]
    return SchedulesDeclared(asked.request, fates)


def _pruned(_view: View, asked: PruneSchedules, done: Done) -> SchedulesDeclared:
    return SchedulesDeclared(asked.request, [(id_, "deleted") for _, id_ in done.fates])


def _facts(row: Row) -> ScheduleFacts:
    plan = row.plan
    following = row.next
    if row.exhausted(plan):
        following = 0
    elif following and following <= row.decided:  # not computed yet
        try:
            following = next(_ticks(row, row.decided), 0)
        except ProtocolError:
            following = 0
    return ScheduleFacts(
        *(row.id, row.source, row.declared, row.override, row.version, following, row.last),
        *(bool(row.paused), row.fired, row.overlap, row.late, row.paused_ticks, row.full),
    )


def _list(view: View, asked: ListSchedules) -> Generator[int, None, SchedulesTold]:
    _check_level(view)
    found = view.state.schedules.after(asked.after, LISTED_MAX + 1)
    told: list[ScheduleFacts] = []
    for row in found[:LISTED_MAX]:
        told.append(_facts(row))
        yield 10
    return SchedulesTold(asked.request, told, len(found) > LISTED_MAX)


def _show(view: View, asked: ShowSchedule) -> SchedulesTold:
    _check_level(view)
    return SchedulesTold(asked.request, [_facts(view.state.schedules.get(asked.id))], more=False)


def _next_ticks(view: View, asked: NextTicks) -> Generator[int, None, TicksTold]:
    _check_level(view)
    row = view.state.schedules.get(asked.id)
    told: list[int] = []
    for tick in islice(_ticks(row, max(row.decided, view.time)), asked.many):
        told.append(tick)
        yield 10
    return TicksTold(asked.request, told)


def feature() -> Feature:
    """See the package."""
    from raftwork.features.feature import Budget, Feature, change, read, read_by_slices, transition
    from raftwork.features.lifecycle import Lifecycle
    from raftwork.features.schedule_planner import SchedulePlanner

    def stands(_view: View, asked: tuple[object, ...], done: Done) -> ScheduleStands:
        return ScheduleStands(asked[0], done.affected)  # type: ignore[arg-type]

    return Feature(
        "schedules",
        rules=[
            change(CreateSchedule, _check_create, stands),
            change(DeclareSchedules, _check_declare, _declared),
            change(UpdateSchedule, _check_update, stands),
            change(PauseSchedule, _check_pause, stands),
            change(
                TriggerSchedule,
                _check_trigger,
                lambda _view, asked, done: ScheduleTriggered(asked.request, bool(done.affected)),
                grows=lambda _view, _asked: 1,
            ),
            change(
                BackfillSchedule,
                _check_backfill,
                lambda _view, asked, done: ScheduleBackfilled(asked.request, done.affected),
                grows=_backfill_grows,
                made=lambda done: done.affected,
            ),
            change(DeleteSchedule, _check_delete, stands),
            change(PruneSchedules, _check_prune, _pruned),
            read_by_slices(ListSchedules, _list),
            read(ShowSchedule, _show),
            read_by_slices(NextTicks, _next_ticks),
        ],
        transitions=[
            transition(Create, changes.create),
            transition(Declare, changes.declare),
            transition(Update, changes.update),
            transition(SetPaused, changes.set_paused),
            transition(Trigger, changes.trigger),
            transition(Backfill, changes.backfill),
            transition(DropSchedules, changes.drop),
            transition(Fire, fire),
        ],
        budget=Budget(requests=200, bytes=64 * 1024 * 1024),
        worker_requests=[DeclareSchedules],
        chore=SchedulePlanner,
        lifecycles=[Lifecycle(TICKED, settled=settled)],
    )
