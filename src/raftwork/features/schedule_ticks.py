"""Ticks become tasks, on every replica.

1. A tick is one command, which says up to where the schedule is decided: if the table says another
   thing, it does nothing. So a tick that two leaders propose, or one leader twice, is one.
2. A tick makes a task or is counted under the reason why not: an earlier one of the schedule has no
   outcome, it came too late, the schedule is paused, the queue is full.
3. No calendar is asked here: which instant is next was computed by the leader.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum, auto
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from raftwork.errors import ProtocolError, QueueFull
from raftwork.features import unique_keys
from raftwork.features.cancel import ask_to_end
from raftwork.features.enqueue import check_planned
from raftwork.features.entering import enter_all
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.lifecycle import Entering
from raftwork.features.limits import check_limits
from raftwork.features.schedule_order import come_after, key_of
from raftwork.features.schedule_plan import QUEUED_MAX, Overlap, Plan, in_order
from raftwork.features.schedule_rows import busy, made, unfinished
from raftwork.features.task_row import TICKED
from raftwork.features.unique_keys import Fate
from raftwork.features.waiting import end_unstarted, unstarted
from raftwork.messages import (
    Cancelled,
    CancelReason,
    State,
    decode_spec,
    encode_failure,
    encode_spec,
)
from raftwork.messages.registry import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.broker.machine.state import Ledger
    from raftwork.features.effects import Effect
    from raftwork.features.schedule_rows import Row
    from raftwork.features.task_batch import Row as TaskRow
    from raftwork.messages import Spec

#: Earlier tasks that a tick asks to end; there are more only where overlaps were allowed before.
_CANCELLED_MAX: Final = 100
#: For code that is asked to end by a tick that takes its place.
_GRACE_MS: Final = 10_000
_SUPERSEDED: Final = encode_failure(Cancelled(CancelReason.SUPERSEDED))
#: So many tasks of a schedule may be without an outcome when one more is made.
_ROOM: Final = {Overlap.SKIP: 0, Overlap.QUEUE_ONE: 1, Overlap.QUEUE_ALL: QUEUED_MAX}


class Tick(NamedTuple):
    """A schedule ticks at `tick`; `next` is the instant after it, 0 if there is none.

    `version` and `decided` are those it had when this was computed. `late` earlier ticks are too
    late to be run, and so is this one unless `run`.
    """

    number: int
    version: int
    decided: int
    tick: int
    next: int
    late: int = 0
    run: bool = True


@command(167, since=2)
class Fire(NamedTuple):
    """These schedules tick."""

    ticks: list[Tick]


class TickFate(Enum):
    """What becomes of a tick."""

    FIRED = auto()
    KNOWN = auto()  # its task is there already
    OVERLAP = auto()
    FULL = auto()


def fire(ledger: Ledger, command: Fire, effects: list[Effect]) -> None:
    """Ticks whose schedule is as it was when they were computed; others are none."""
    rows = ledger.schedules.read_all([tick.number for tick in command.ticks])
    real: list[tuple[Row, Tick, Plan]] = []
    for tick in command.ticks:
        row = rows.pop(tick.number, None)  # it ticks once in an entry
        if row is None or (row.version, row.decided) != (tick.version, tick.decided):
            continue
        # No leader proposes another. Of a date past all calendars nothing is computed: it would end
        # every replica.
        # Nor of one that may make no more: somebody made its last one by hand meanwhile.
        plan = row.plan
        if tick.tick <= ledger.time and not row.exhausted(plan):
            real.append((row, tick, plan))
    asked = [
        Asked(row.number, row.id, plan, tick_id(row.id, tick.tick), tick.tick)
        for row, tick, plan in real
        if tick.run and not row.paused
    ]
    fates = _make_all(ledger, asked, effects)
    ticked = [_ticked(row, tick, fates.get(row.number)) for row, tick, _ in real]
    ledger.schedules.ticked(ticked, effects)


def _ticked(row: Row, tick: Tick, fate: TickFate | None) -> Row:
    """The schedule as it is after that; `fate` is that of its task, if one was to be made."""
    now = row._replace(decided=tick.tick, next=tick.next, last=tick.tick)
    if row.paused:
        return now._replace(paused_ticks=row.paused_ticks + tick.late + 1)
    if fate is None:
        return now._replace(late=row.late + tick.late + 1)
    return counted(now, fate)._replace(late=row.late + tick.late)


def counted(row: Row, fate: TickFate) -> Row:
    """The schedule with this tick among its counts."""
    match fate:
        case TickFate.FIRED:
            return row._replace(fired=row.fired + 1)
        case TickFate.OVERLAP:
            return row._replace(overlap=row.overlap + 1)
        case TickFate.FULL:
            return row._replace(full=row.full + 1)
        case TickFate.KNOWN:
            return row


def tick_id(schedule: str, tick: int) -> str:
    """The id of a tick's task, such as `nightly@2027-03-28T01:30:00Z`."""
    return f"{schedule}@{_instant(tick)}"


@lru_cache(maxsize=64)
def _instant(tick: int) -> str:
    """Many schedules tick at one."""
    seconds, ms = divmod(tick, 1000)
    at = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{at}{f'.{ms:03}' if ms else ''}Z"


class Asked(NamedTuple):
    """A task that a schedule is to make."""

    number: int
    schedule: str  # its id
    plan: Plan
    id: str  # the task's
    at: int  # the instant that it is for


class Before(NamedTuple):
    """What the tables say of ticks, read for many at once, and kept up to date as they enter."""

    known: set[str]  # ids of theirs that are tasks already
    busy: set[int]  # schedules that have made tasks without an outcome


def look(ledger: Ledger, asked: Sequence[Asked]) -> Before:
    """Before these are made."""
    ids, numbers = [each.id for each in asked], [each.number for each in asked]
    return Before({*ledger.checksums(ids)}, busy(ledger, numbers))


def _make_all(ledger: Ledger, asked: Sequence[Asked], effects: list[Effect]) -> dict[int, TickFate]:
    """Make those that may be made, in order; what becomes of each schedule's."""
    before = look(ledger, asked)
    fates: dict[int, TickFate] = {}
    for alike, some in groupby(asked, key=_alike):
        rest = [*some]
        if alike is not None:
            # Those that remain are overwritten below.
            fates |= dict.fromkeys((each.number for each in rest), TickFate.FIRED)
            rest = _make_alike(ledger, rest, before, effects)
        for each in rest:
            fates[each.number] = make(ledger, each, each.plan.overlap, before, effects)
    return fates


def _alike(asked: Asked) -> tuple[bytes, bytes] | None:
    """Tasks for which it is the same may enter as one batch; None for what enters by itself."""
    plan = asked.plan
    if plan.overlap not in (Overlap.SKIP, Overlap.ALLOW) or plan.more().unique:
        return None
    return plan.spec, plan.extras


def _make_alike(
    ledger: Ledger, asked: Sequence[Asked], before: Before, effects: list[Effect]
) -> list[Asked]:
    """Make those of these that meet nothing, as one batch; those that remain to be looked at."""
    met = [
        each
        for each in asked
        if each.id in before.known
        or (each.plan.overlap is Overlap.SKIP and each.number in before.busy)
    ]
    new = [each for each in asked if each not in met] if met else asked
    plan = asked[0].plan
    spec, extras = decode_spec(plan.spec), plan.more()
    crc = crc32(plan.spec)
    tasks: list[TaskRow] = [
        (each.id, crc32(each.plan.payload, crc), each.plan.payload, "", extras) for each in new
    ]
    if not new or not _has_room(ledger, spec, unique_keys.plan(ledger, spec, tasks)):
        return [*asked]
    _enter(ledger, spec, plan.spec, new, tasks, effects)
    before.known.update(each.id for each in new)
    before.busy.update(each.number for each in new)
    return met


def _has_room(ledger: Ledger, spec: Spec, planned: list[unique_keys.Planned]) -> bool:
    try:
        check_limits(ledger, spec)
        check_planned(ledger, spec, planned)
    except (QueueFull, ProtocolError):  # the latter for a limit that is gone
        return False
    return True


def _enter(
    ledger: Ledger,
    spec: Spec,
    packed: bytes,
    asked: Sequence[Asked],
    tasks: Sequence[TaskRow],
    effects: list[Effect],
) -> None:
    """The tasks of ticks come in; they are alike but for their ids and arguments."""
    ids, crcs, payloads, keys, _ = zip(*tasks, strict=True)
    contents = (ids, crcs, payloads, keys[0], asked[0].plan.more())
    entering = Entering(ledger.seq + 1, *contents, ledger.time, TICKED)
    ledger.seq += len(ids)
    seqs = entering.seqs
    enter_all(ledger, [(spec, packed, entering)], effects)
    made(ledger, [(seq, each.number, each.at) for seq, each in zip(seqs, asked, strict=True)])
    for each in asked:
        ledger.journal.note(
            Happened(
                *(EventKind.SCHEDULED_FIRED, [each.schedule], spec.queue, spec.name),
                due=each.at,
                text=each.id,
            )
        )


def make(
    ledger: Ledger, asked: Asked, overlap: Overlap, before: Before, effects: list[Effect]
) -> TickFate:
    """Make the task of a tick, if it may be made."""
    id_, plan = asked.id, asked.plan
    if id_ in before.known:
        return TickFate.KNOWN
    room = _ROOM.get(overlap) if asked.number in before.busy else None
    if room is not None and len(unfinished(ledger, asked.number, room + 1)) > room:
        return TickFate.OVERLAP
    spec, packed, key = decode_spec(plan.spec), plan.spec, ""
    if overlap not in (Overlap.SKIP, Overlap.ALLOW):
        spec, key = in_order(spec), key_of(asked.schedule)
        packed = encode_spec(spec)
    task: TaskRow = (id_, crc32(plan.payload, crc32(packed)), plan.payload, key, plan.more())
    planned = unique_keys.plan(ledger, spec, [task])
    if planned[0].fate not in (Fate.ENTERS, Fate.FOLLOWS):
        return TickFate.OVERLAP  # a task with its unique key is there
    if not _has_room(ledger, spec, planned):
        return TickFate.FULL
    if overlap is Overlap.CANCEL_PREVIOUS:
        _supersede(ledger, unfinished(ledger, asked.number, _CANCELLED_MAX), effects)
    if key:
        come_after(ledger, asked.number, ledger.touch(spec.queue).number, key)
    _enter(ledger, spec, packed, [asked], [task], effects)
    before.known.add(id_)
    before.busy.add(asked.number)
    return TickFate.FIRED


def _supersede(ledger: Ledger, seqs: Sequence[int], effects: list[Effect]) -> None:
    for seq in seqs:
        if seq in ledger.running_seqs:
            ask_to_end(ledger, seq, _GRACE_MS, CancelReason.SUPERSEDED, effects)
    waiting = unstarted(ledger, seqs)
    effects += end_unstarted(ledger, waiting, State.CANCELLED, _SUPERSEDED)
