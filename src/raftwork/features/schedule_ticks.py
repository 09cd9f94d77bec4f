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
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from raftwork.errors import ProtocolError, QueueFull
from raftwork.features import unique_keys
from raftwork.features.cancel import ask_to_end
from raftwork.features.enqueue import check_planned
from raftwork.features.entering import enter
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.lifecycle import Entering
from raftwork.features.limits import check_limits
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
    numbers = [tick.number for tick in command.ticks]
    rows = ledger.schedules.read_all(numbers)
    # Of what no leader proposes nothing is computed: a date past all calendars would end replicas.
    real = [t for t in command.ticks if t.number in rows and t.run and t.tick <= ledger.time]
    ids = [tick_id(rows[t.number].id, t.tick) for t in real]
    before = look(ledger, numbers, ids)
    ticked: dict[int, Row] = {}
    for tick in command.ticks:
        row = rows.get(tick.number)
        if row is None or (row.version, row.decided) != (tick.version, tick.decided):
            continue
        if tick.tick > ledger.time:
            continue  # no leader proposes it
        rows[tick.number] = ticked[tick.number] = _tick(ledger, row, tick, before, effects)
    ledger.schedules.ticked([*ticked.values()], effects)


def _tick(ledger: Ledger, row: Row, tick: Tick, before: Before, effects: list[Effect]) -> Row:
    """The schedule as it is after that."""
    now = row._replace(decided=tick.tick, next=tick.next, last=tick.tick)
    if row.paused:
        now = now._replace(paused_ticks=row.paused_ticks + tick.late + 1)
    elif not tick.run:
        now = now._replace(late=row.late + tick.late + 1)
    else:
        plan = row.plan
        id_ = tick_id(row.id, tick.tick)
        fate = make(ledger, row, plan, id_, tick.tick, plan.overlap, before, effects)
        now = counted(now, fate)._replace(late=row.late + tick.late)
        if plan.limit and now.fired >= plan.limit:
            now = now._replace(next=0)
    return now


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


class Before(NamedTuple):
    """What the tables say of ticks, read for many at once, and kept up to date by `make`."""

    known: set[str]  # ids of theirs that are tasks already
    busy: set[int]  # schedules that have made tasks without an outcome


def look(ledger: Ledger, numbers: Sequence[int], ids: Sequence[str]) -> Before:
    """Of ticks of these schedules, with these ids."""
    return Before({*ledger.checksums(ids)}, busy(ledger, numbers))


def make(
    ledger: Ledger,
    row: Row,
    plan: Plan,
    id_: str,
    at: int,
    overlap: Overlap,
    before: Before,
    effects: list[Effect],
) -> TickFate:
    """Make the task of a tick, if it may be made."""
    if id_ in before.known:
        return TickFate.KNOWN
    room = _ROOM.get(overlap) if row.number in before.busy else None
    if room is not None and len(unfinished(ledger, row.number, room + 1)) > room:
        return TickFate.OVERLAP
    spec, packed, key = decode_spec(plan.spec), plan.spec, ""
    if overlap not in (Overlap.SKIP, Overlap.ALLOW):
        spec, key = in_order(spec), f"schedule:{row.id}"
        packed = encode_spec(spec)
    extras = plan.more()
    task: TaskRow = (id_, crc32(plan.payload, crc32(packed)), plan.payload, key, extras)
    planned = unique_keys.plan(ledger, spec, [task])
    if planned[0].fate not in (Fate.ENTERS, Fate.FOLLOWS):
        return TickFate.OVERLAP  # a task with its unique key is there
    try:
        check_limits(ledger, spec)
        check_planned(ledger, spec, planned)
    except (QueueFull, ProtocolError):  # the latter for a limit that is gone
        return TickFate.FULL
    if overlap is Overlap.CANCEL_PREVIOUS:
        _supersede(ledger, unfinished(ledger, row.number, _CANCELLED_MAX), effects)
    seq = ledger.seq + 1
    contents = ([id_], [task[1]], [plan.payload])
    entering = Entering(seq, *contents, key, extras, ledger.time, TICKED)
    enter(ledger, spec, packed, entering, effects)
    made(ledger, ledger.seq, row.number, at)
    ledger.journal.note(
        Happened(EventKind.SCHEDULED_FIRED, [row.id], spec.queue, spec.name, due=at, text=id_)
    )
    before.known.add(id_)
    before.busy.add(row.number)
    return TickFate.FIRED


def _supersede(ledger: Ledger, seqs: Sequence[int], effects: list[Effect]) -> None:
    for seq in seqs:
        if seq in ledger.running_seqs:
            ask_to_end(ledger, seq, _GRACE_MS, CancelReason.SUPERSEDED, effects)
    waiting = unstarted(ledger, seqs)
    effects += end_unstarted(ledger, waiting, State.CANCELLED, _SUPERSEDED)
