"""New tasks that are not ordinary ones come into the tables, once it is decided that they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.features.starts import schedule
from raftwork.features.task_row import BLOCKED, PENDING, SCHEDULED
from raftwork.features.waiting import Place, wait_first
from raftwork.wire import maker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.broker.machine.state import Ledger
    from raftwork.features.effects import Effect
    from raftwork.features.lifecycle import Entering
    from raftwork.messages import Spec

_INSERT = """INSERT INTO task (seq, id, crc, queue, key, spec, body, phase, due,
    flags, place, lane, created, gates, tenant, open, flow, parent)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
#: Of tasks that have none of the last: to bind their defaults takes a tenth of all that enters.
_INSERT_SHORT = """INSERT INTO task (seq, id, crc, queue, key, spec, body, phase, due,
    flags, place, lane, created)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_place = maker(Place)


def enter(ledger: Ledger, spec: Spec, packed: bytes, task: Entering, effects: list[Effect]) -> None:
    """A new task, for which there is room; its number is the next one."""
    ledger.seq = task.seq
    enter_all(ledger, [(spec, packed, task)], effects)


def enter_all(
    ledger: Ledger, entering: Sequence[tuple[Spec, bytes, Entering]], effects: list[Effect]
) -> None:
    """New tasks, for which there is room: the capabilities have their say, and they are stored.

    Each with its Spec, and that packed; their numbers are taken already.
    """
    rows: list[tuple[object, ...]] = []
    short: list[tuple[object, ...]] = []
    ready: list[Place] = []
    for _, _, first in entering[:1]:
        ledger.journal.others(first.seqs[0])
    for spec, packed, tasks in entering:
        for enters in ledger.enters:
            enters(ledger, spec, tasks)
        queue, count = ledger.touch(spec.queue), len(tasks.ids)
        queue.bytes += sum(map(len, tasks.payloads))
        due: int | None = tasks.due
        if tasks.blocked:
            phase, due = BLOCKED, tasks.due or None
            queue.blocked += count
        elif tasks.due <= ledger.time:
            phase, due = PENDING, None
            queue.queued += count
            ready += _places(queue.number, tasks)
        else:
            phase, due = SCHEDULED, None
            queue.scheduled += count
            schedule(ledger, tasks.due, tasks.seqs[0], tasks.seqs[-1])
        ledger.journal.entered(spec.queue, spec.name, list(tasks.ids), tasks.due)
        rest = (tasks.gates, tasks.extras.tenant, tasks.open, tasks.flow, tasks.parent)
        if any(rest):
            rows += _rows(queue.number, packed, phase, due, tasks, rest)
        else:
            short += _rows(queue.number, packed, phase, due, tasks, ())
    ledger.unfinished += len(rows) + len(short)
    if short:
        ledger.db.executemany(_INSERT_SHORT, short)
    if rows:
        ledger.db.executemany(_INSERT, rows)
    effects += wait_first(ledger, ready)


def _places(queue: int, tasks: Entering) -> list[Place]:
    flags, lane, key, gates = tasks.flags, tasks.lane, tasks.key, tasks.gates
    return [_place((queue, seq, flags, lane, seq, key, gates)) for seq in tasks.seqs]


def _rows(
    queue: int,
    packed: bytes,
    phase: int,
    due: int | None,
    tasks: Entering,
    rest: tuple[object, ...],
) -> list[tuple[object, ...]]:
    """For _INSERT; without a `rest` for _INSERT_SHORT."""
    key = tasks.key
    # What is to get a place has one that is as wide: the row does not grow, and its page stays one.
    place = tasks.seq if phase == SCHEDULED else 0
    behind = (phase, due, tasks.flags, place, tasks.lane, tasks.created, *rest)
    each = zip(tasks.seqs, tasks.ids, tasks.crcs, tasks.payloads, strict=True)
    return [(seq, id_, crc, queue, key, packed, body, *behind) for seq, id_, crc, body in each]
