"""Schedules are made, changed, paused and deleted, and tick by hand: on every replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.errors import ScheduleConflict
from raftwork.features.effects import Done, Effect
from raftwork.features.schedule_plan import (
    Fields,
    decode_fields,
    encode_fields,
    merged,
    same_times,
)
from raftwork.features.schedule_rows import Row
from raftwork.features.schedule_ticks import Asked, TickFate, counted, look, make, tick_id

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.features.schedule_records import (
        Backfill,
        Create,
        Declare,
        Declared,
        DropSchedules,
        SetPaused,
        Trigger,
        Update,
    )


def _new(ledger: Ledger, id_: str, source: str, declared: bytes, override: bytes) -> Row:
    ledger.seq += 1
    time = ledger.time
    anchor = time // 1000 * 1000  # whole seconds read better, in ids
    return Row(ledger.seq, id_, source, declared, override, 1, anchor, time, time, 0)


def create(ledger: Ledger, command: Create, effects: list[Effect]) -> Done:
    """Make a schedule that no code declares. Raises ScheduleConflict, QueueFull."""
    row = ledger.schedules.find(command.id)
    if row is not None:
        if not row.source and row.version == 1 and row.override == command.fields:
            return Done(row.version)  # asked for again
        raise ScheduleConflict(f"there is a schedule {command.id!r} already: update or delete it")
    ledger.schedules.check_room(1, len(command.fields))
    row = _new(ledger, command.id, "", b"", command.fields)
    ledger.schedules.put(row, None, effects)
    return Done(row.version)


def declare(ledger: Ledger, command: Declare, effects: list[Effect]) -> Done:
    """Schedules are as code declares them, or exist at least. Raises QueueFull."""
    schedules = ledger.schedules
    found = [(each, schedules.find(each.id)) for each in command.schedules]
    new = [each for each, row in found if row is None]
    if new:
        schedules.check_room(len(new), sum(len(each.fields) for each in new))
    fates: list[tuple[int, str]] = []
    for at, (each, _) in enumerate(found):
        row = schedules.find(each.id)  # it may be named twice
        what = fate(command, each, row)
        if row is None:
            schedules.put(_new(ledger, each.id, command.source, each.fields, b""), None, effects)
        elif what == "changed":
            now = row._replace(source=command.source, declared=each.fields)
            schedules.put(_changed(ledger, row, now), row, effects)
        fates.append((at, what))
    return Done(fates=fates)


#: What becomes of a declared schedule without a change.
STANDS: Final = frozenset({"same", "differs"})


def fate(command: Declare, declared: Declared, row: Row | None) -> str:
    """What becomes of one that is declared: `created`, `changed`, `same` or `differs`."""
    if row is None:
        return "created"
    if row.declared == declared.fields and (row.source == command.source or not command.apply):
        return "same"
    return "changed" if command.apply else "differs"


def _changed(ledger: Ledger, old: Row, new: Row) -> Row:
    """The schedule as it was changed: if it ticks at other instants, those from now on.

    So does one that may make tasks again, as its limit is higher: it had no ticks meanwhile.
    """
    new = new._replace(version=old.version + 1)
    before, plan = old.plan, new.plan
    goes_on = old.exhausted(before) and not new.exhausted(plan)
    if same_times(before, plan) and not goes_on:
        return new
    time = ledger.time
    return new._replace(decided=time, next=time, held_decided=time, held_ticks=new.paused_ticks)


def update(ledger: Ledger, command: Update, effects: list[Effect]) -> Done:
    """What operators say. Raises UnknownSchedule, ScheduleConflict, QueueFull."""
    row = ledger.schedules.get(command.id)
    fields = decode_fields(command.fields)
    over = fields if command.reset else merged(decode_fields(row.override), fields)
    packed = b"" if over == Fields() else encode_fields(over)
    if 0 < command.version == row.version - 1 and packed == row.override:
        return Done(row.version)  # asked for again
    if command.version and command.version != row.version:
        raise ScheduleConflict(
            f"schedule {command.id!r} has version {row.version} by now, not {command.version}: read"
            " it again"
        )
    now = row._replace(override=packed)
    if now.size > row.size:
        ledger.schedules.check_room(0, now.size - row.size)
    now = _changed(ledger, row, now)
    ledger.schedules.put(now, row, effects)
    return Done(now.version)


def set_paused(ledger: Ledger, command: SetPaused, effects: list[Effect]) -> Done:
    """Pause or resume it. Raises UnknownSchedule."""
    row = ledger.schedules.get(command.id)
    if bool(row.paused) == command.paused:
        return Done(row.version)
    if command.paused:
        now = row._replace(paused=1, held_decided=row.decided, held_ticks=row.paused_ticks)
    else:
        now = row._replace(paused=0)
        if command.catchup:  # as if it had not been paused but out of order
            back = max(row.held_decided, 0)
            now = now._replace(decided=back, next=back, paused_ticks=row.held_ticks)
    ledger.schedules.put(now, row, effects)
    return Done(row.version)


def trigger(ledger: Ledger, command: Trigger, effects: list[Effect]) -> Done:
    """Make a task now. Raises UnknownSchedule, ProtocolError."""
    row = ledger.schedules.get(command.id)
    plan = row.plan
    overlap = plan.overlap if command.overlap is None else command.overlap
    asked = Asked(row.number, row.id, plan, command.task, ledger.time)
    before = look(ledger, [asked])
    if command.task not in before.known:
        row.check_limit(plan)
    fate = make(ledger, asked, overlap, before, effects)
    ledger.schedules.put(counted(row, fate), row, effects)
    return Done(int(fate in (TickFate.FIRED, TickFate.KNOWN)))


def backfill(ledger: Ledger, command: Backfill, effects: list[Effect]) -> Done:
    """Make the tasks of these ticks that are not known, up to its limit. Raises UnknownSchedule."""
    row = ledger.schedules.get(command.id)
    plan, now, made = row.plan, row, 0
    asked = [Asked(row.number, row.id, plan, tick_id(row.id, tick), tick) for tick in command.ticks]
    before = look(ledger, asked)
    for each in asked:
        if now.exhausted(plan):
            break
        fate = make(ledger, each, command.overlap, before, effects)
        now = counted(now, fate)
        made += fate is TickFate.FIRED
    ledger.schedules.put(now, row, effects)
    return Done(made)


def drop(ledger: Ledger, command: DropSchedules, effects: list[Effect]) -> Done:
    """Forget schedules. Raises UnknownSchedule."""
    if command.known:
        ledger.schedules.get(command.ids[0])
    for id_ in command.ids:
        row = ledger.schedules.find(id_)
        if row is not None:
            ledger.schedules.drop(row, effects)
    return Done()
