"""Schedules as a program sees them: made, looked at, changed, and declared beside tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Unpack

from raftwork.client.declarations import Declaration, declaring
from raftwork.client.ids import new_ids
from raftwork.client.per_call import instant
from raftwork.client.run import Run, handles
from raftwork.client.schedule_options import (
    OverlapPolicy,
    ScheduleFields,
    overlap_policy,
    pack_fields,
    schedule_id,
)
from raftwork.client.sealed_requests import scheduled
from raftwork.conversion import Types
from raftwork.errors import ScheduleConflict
from raftwork.features.schedule_plan import Fields, decode_fields, plan_of
from raftwork.features.schedule_records import (
    BackfillSchedule,
    CreateSchedule,
    DeleteSchedule,
    ListSchedules,
    NextTicks,
    PauseSchedule,
    PruneSchedules,
    ScheduleBackfilled,
    SchedulesDeclared,
    ScheduleStands,
    SchedulesTold,
    ScheduleTriggered,
    ShowSchedule,
    TicksTold,
    TriggerSchedule,
    UpdateSchedule,
)
from raftwork.messages import decode_spec
from raftwork.wire import unpack

if TYPE_CHECKING:
    from raftwork.client.caller import Caller
    from raftwork.client.reply import Reply
    from raftwork.client.task import BoundTask
    from raftwork.features.schedule_records import ScheduleFacts
    from raftwork.sealing import Codec


class TickCounts(NamedTuple):
    """What became of a schedule's ticks: how many made a task, or why they made none."""

    fired: int
    #: A task of an earlier tick waited or ran.
    overlap: int
    #: They came in an outage, and `catchup` or `window` does not make up for them.
    late: int
    #: The schedule was paused.
    paused: int
    #: The queue, or the cluster, was full.
    full: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it is; durations in seconds, instants in UTC."""

    id: str
    task: str
    queue: str
    cron: str | None
    every: float | None
    tz: str
    overlap: str
    catchup: str
    window: float
    jitter: float
    start: datetime | None
    end: datetime | None
    limit: int | None
    args: Sequence[object]
    kwargs: Mapping[str, object]
    next: datetime | None
    last: datetime | None
    paused: bool
    counts: TickCounts
    #: The MODULE:APP that declares it, if any does.
    declared_by: str | None
    #: Fields in which operators override what is declared.
    overridden: tuple[str, ...]
    #: Of this version: `Schedules.update` takes it.
    etag: str


class Named(Protocol):
    """A task by its name: `App.named`."""

    def __call__(self, name: str, /) -> BoundTask[..., Any]:
        """The task."""
        ...


class Schedules:
    """The cluster's schedules. Made by `App.schedules`.

    Every method raises Unavailable if no leader answers in the App's timeout, Unsupported from
    brokers of an older release, and UnknownSchedule for an id that there is not.
    """

    def __init__(self, app: Caller, named: Named, types: Types) -> None:
        self._app = app
        self._named = named
        self._types = types

    # ---- made and changed -----------------------------------------------------------------------

    def create(
        self,
        id: str,  # noqa: A002
        task: BoundTask[..., Any] | str,
        **fields: Unpack[ScheduleFields],
    ) -> Schedule:
        """Make a schedule of a task, or of the name of one, with its options.

        Raises TypeError and ValueError for what cannot be meant, ScheduleConflict if there is one
        of this id, ProtocolError for one that would never tick, QueueFull for one too many.
        """
        self._create(id, task, fields).result()
        return self.get(id)

    async def acreate(
        self,
        id: str,  # noqa: A002
        task: BoundTask[..., Any] | str,
        **fields: Unpack[ScheduleFields],
    ) -> Schedule:
        """As `create`, for coroutines."""
        await self._create(id, task, fields).aresult()
        return await self.aget(id)

    def update(
        self,
        id: str,  # noqa: A002
        *,
        etag: str | None = None,
        **fields: Unpack[ScheduleFields],
    ) -> Schedule:
        """Override these fields: what code declares of them no longer counts.

        Arguments replace all of them, and the headers that go with them. Another `cron`, `every`,
        `tz`, `start` or `end` counts from now. With `etag` it raises ScheduleConflict if the
        schedule was changed since that was read. Else raises as `create`.
        """
        self._update(id, etag, fields).result()
        return self.get(id)

    async def aupdate(
        self,
        id: str,  # noqa: A002
        *,
        etag: str | None = None,
        **fields: Unpack[ScheduleFields],
    ) -> Schedule:
        """As `update`, for coroutines."""
        await self._update(id, etag, fields).aresult()
        return await self.aget(id)

    def reset(self, id: str) -> Schedule:  # noqa: A002
        """Drop what operators override: it is as declared. Raises ProtocolError if nothing is."""
        self._reset(id).result()
        return self.get(id)

    async def areset(self, id: str) -> Schedule:  # noqa: A002
        """As `reset`, for coroutines."""
        await self._reset(id).aresult()
        return await self.aget(id)

    def pause(self, id: str) -> None:  # noqa: A002
        """From now on its ticks are counted, and make no tasks. What runs goes on."""
        self._pause(id, paused=True, catchup=False).result()

    async def apause(self, id: str) -> None:  # noqa: A002
        """As `pause`, for coroutines."""
        await self._pause(id, paused=True, catchup=False).aresult()

    def resume(self, id: str, *, catchup: bool = False) -> None:  # noqa: A002
        """Its ticks make tasks again; `catchup` makes up for the pause as for an outage."""
        self._pause(id, paused=False, catchup=catchup).result()

    async def aresume(self, id: str, *, catchup: bool = False) -> None:  # noqa: A002
        """As `resume`, for coroutines."""
        await self._pause(id, paused=False, catchup=catchup).aresult()

    def delete(self, id: str) -> None:  # noqa: A002
        """Forget it. The tasks that it made stay; code that declares it makes it anew."""
        self._delete(id).result()

    async def adelete(self, id: str) -> None:  # noqa: A002
        """As `delete`, for coroutines."""
        await self._delete(id).aresult()

    # ---- looked at ------------------------------------------------------------------------------

    def get(self, id: str) -> Schedule:  # noqa: A002
        """The schedule of this id."""
        return self._opened(self._get(id).result().schedules[0])

    async def aget(self, id: str) -> Schedule:  # noqa: A002
        """As `get`, for coroutines."""
        return self._opened((await self._get(id).aresult()).schedules[0])

    def list(self) -> Sequence[Schedule]:
        """All of them, by id."""
        found: list[Schedule] = []
        more, after = True, ""
        while more:
            told = self._list(after).result()
            found += map(self._opened, told.schedules)
            more, after = told.more, found[-1].id if found else ""
        return found

    async def alist(self) -> Sequence[Schedule]:
        """As `list`, for coroutines."""
        found: list[Schedule] = []
        more, after = True, ""
        while more:
            told = await self._list(after).aresult()
            found += map(self._opened, told.schedules)
            more, after = told.more, found[-1].id if found else ""
        return found

    def next(self, id: str, count: int = 10) -> Sequence[datetime]:  # noqa: A002
        """Its next ticks, up to 1,000, without jitter."""
        return [_at(tick) for tick in self._next(id, count).result().ticks]

    async def anext(self, id: str, count: int = 10) -> Sequence[datetime]:  # noqa: A002
        """As `next`, for coroutines."""
        return [_at(tick) for tick in (await self._next(id, count).aresult()).ticks]

    # ---- ticks by hand --------------------------------------------------------------------------

    def trigger(self, id: str, *, overlap: OverlapPolicy | None = None) -> Run[Any] | None:  # noqa: A002
        """Make a task now, also of a schedule that is paused; its handle.

        None if an earlier one waits or runs and `overlap`, or the schedule's, says to skip then.
        """
        reply, task = self._trigger(id, overlap)
        return handles(self._app, (task,))[0] if reply.result().made else None

    async def atrigger(
        self,
        id: str,  # noqa: A002
        *,
        overlap: OverlapPolicy | None = None,
    ) -> Run[Any] | None:
        """As `trigger`, for coroutines."""
        reply, task = self._trigger(id, overlap)
        return handles(self._app, (task,))[0] if (await reply.aresult()).made else None

    def backfill(
        self,
        id: str,  # noqa: A002
        a: datetime,
        b: datetime,
        *,
        overlap: OverlapPolicy = "allow",
    ) -> int:
        """Make the tasks of its ticks from `a` to `b`, both included; returns how many.

        Those whose ids are known already are not made again. It is for the past: what it makes of
        the future is not made a second time when that comes. Raises ProtocolError for more than
        10,000 ticks, TypeError for naive datetimes, ValueError if `b` is before `a`.
        """
        return self._backfill(id, a, b, overlap).result().made

    async def abackfill(
        self,
        id: str,  # noqa: A002
        a: datetime,
        b: datetime,
        *,
        overlap: OverlapPolicy = "allow",
    ) -> int:
        """As `backfill`, for coroutines."""
        return (await self._backfill(id, a, b, overlap).aresult()).made

    # ---- what code declares ---------------------------------------------------------------------

    def apply(
        self, declarations: Sequence[Declaration], source: str, *, prune: bool = False
    ) -> Mapping[str, str]:
        """Make the cluster like the code of a deployment; what became of each schedule, by id.

        `created`, `changed` or `same`; `deleted` with `prune`: what the same `source`, a
        MODULE:APP, declared once and does not any more. What operators override stays.
        """
        fates: dict[str, str] = {}
        for request in declaring(declarations, source, apply=True):
            fates |= self._app.call(request, SchedulesDeclared).result().fates
        if prune:
            kept = [each.id for each in declarations]
            pruned = self._app.call(PruneSchedules(0, source, kept), SchedulesDeclared)
            fates |= pruned.result().fates
        return fates

    # ---- requests -------------------------------------------------------------------------------

    def _opened(self, facts: ScheduleFacts) -> Schedule:
        return _schedule(facts, self._app.codec)

    def _create(
        self, id_: str, task: BoundTask[..., Any] | str, said: ScheduleFields
    ) -> Reply[ScheduleStands]:
        bound = self._named(task) if isinstance(task, str) else task
        request = CreateSchedule(0, schedule_id(id_), pack_fields(bound, said))
        return self._app.call(request, ScheduleStands)

    def _update(self, id_: str, etag: str | None, said: ScheduleFields) -> Reply[ScheduleStands]:
        if not said:
            raise TypeError("at least one field is required")
        version = 0 if etag is None else _version(id_, etag)
        request = UpdateSchedule(0, schedule_id(id_), pack_fields(None, said, self._types), version)
        return self._app.call(request, ScheduleStands)

    def _reset(self, id_: str) -> Reply[ScheduleStands]:
        request = UpdateSchedule(0, schedule_id(id_), b"", 0, reset=True)
        return self._app.call(request, ScheduleStands)

    def _pause(self, id_: str, *, paused: bool, catchup: bool) -> Reply[ScheduleStands]:
        return self._app.call(PauseSchedule(0, schedule_id(id_), paused, catchup), ScheduleStands)

    def _delete(self, id_: str) -> Reply[ScheduleStands]:
        return self._app.call(DeleteSchedule(0, schedule_id(id_)), ScheduleStands)

    def _get(self, id_: str) -> Reply[SchedulesTold]:
        return self._app.call(ShowSchedule(0, schedule_id(id_)), SchedulesTold)

    def _list(self, after: str) -> Reply[SchedulesTold]:
        return self._app.call(ListSchedules(0, after), SchedulesTold)

    def _next(self, id_: str, count: int) -> Reply[TicksTold]:
        return self._app.call(NextTicks(0, schedule_id(id_), count), TicksTold)

    def _trigger(self, id_: str, overlap: str | None) -> tuple[Reply[ScheduleTriggered], str]:
        chosen = None if overlap is None else overlap_policy(overlap)
        task = f"{schedule_id(id_)}@{new_ids(1)[0]}"
        request = TriggerSchedule(0, id_, task, chosen)
        return self._app.call(request, ScheduleTriggered, ids=(task,)), task

    def _backfill(
        self, id_: str, a: datetime, b: datetime, overlap: str
    ) -> Reply[ScheduleBackfilled]:
        begin, end = instant("a", a), instant("b", b)
        if end < begin:
            raise ValueError(f"a must not be later than b, got {a} and {b}")
        request = BackfillSchedule(0, schedule_id(id_), begin, end, overlap_policy(overlap))
        return self._app.call(request, ScheduleBackfilled)


def _version(id_: str, etag: str) -> int:
    if not etag.isascii() or not etag.isdigit() or int(etag) < 1:
        raise ScheduleConflict(f"{etag!r:.80} is no etag of schedule {id_!r}")
    return int(etag)


def _at(instant_ms: int) -> datetime:
    return datetime.fromtimestamp(instant_ms / 1000, UTC)


def _schedule(facts: ScheduleFacts, codec: Codec | None) -> Schedule:
    plan = plan_of(facts.declared, facts.override)
    spec = decode_spec(plan.spec)
    args, kwargs = _call(scheduled(codec, plan.payload, facts.id))
    return Schedule(
        id=facts.id,
        task=spec.name,
        queue=spec.queue,
        cron=plan.cron or None,
        every=plan.every / 1000 if plan.every else None,
        tz=plan.tz,
        overlap=plan.overlap.name.lower(),
        catchup=plan.catchup.name.lower(),
        window=plan.window / 1000,
        jitter=plan.jitter / 1000,
        start=_at(plan.start) if plan.start else None,
        end=_at(plan.end) if plan.end else None,
        limit=plan.limit or None,
        args=args,
        kwargs=kwargs,
        next=_at(facts.next) if facts.next else None,
        last=_at(facts.last) if facts.last else None,
        paused=facts.paused,
        counts=TickCounts(facts.fired, facts.overlap, facts.late, facts.paused_ticks, facts.full),
        declared_by=facts.source or None,
        overridden=_overridden(facts),
        etag=str(facts.version),
    )


def _call(payload: bytes) -> tuple[Sequence[object], Mapping[str, object]]:
    match unpack(payload):
        case [list(args), dict(kwargs), *_]:
            return args, kwargs
        case _:
            return (), {}


#: How fields are called where people name them.
_WORDS: Mapping[str, str] = {"spec": "task", "payload": "args", "extras": "task"}


def _overridden(facts: ScheduleFacts) -> tuple[str, ...]:
    """Fields in which the two differ; of a schedule that no code declares there are none."""
    if not facts.source:
        return ()
    declared, over = decode_fields(facts.declared), decode_fields(facts.override)
    names = [
        _WORDS.get(name, name)
        for name, ours, theirs in zip(Fields._fields, over, declared, strict=True)
        if ours is not None and ours != theirs
    ]
    return tuple(dict.fromkeys(names))
