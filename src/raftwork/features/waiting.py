"""Tasks that wait to be handed out: they come to stand there, leave, or end without having run.

An ordinary task waits in `waiting`, by its number. Others wait in a lane, by their place (`laned`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from raftwork.features import key_order
from raftwork.features.effects import Effect, Requeued, Settled
from raftwork.features.history import ending
from raftwork.features.losses import forget_losses
from raftwork.features.number_ranges import spans
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.features.task_row import (
    BLOCKED,
    DELAYED,
    FINISHED,
    LANED,
    ORDERED,
    PENDING,
    SCHEDULED,
)
from raftwork.messages import State, decode_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from raftwork.broker.machine.state import Ledger

_WAIT = "INSERT INTO waiting VALUES (?, ?)"
_WAIT_IN_LANE = "INSERT INTO laned VALUES (?, ?, ?)"
_UNWAIT = "DELETE FROM waiting WHERE queue = ? AND seq = ?"
_UNWAIT_SPAN = "DELETE FROM waiting WHERE queue = ? AND seq BETWEEN ? AND ?"
_LEAVE_LANE = "DELETE FROM laned WHERE lane = ? AND place = ?"
_PLACES = """SELECT queue, seq, 0, 0, 0, task.key, ''
    FROM json_each(?) CROSS JOIN task ON task.seq = value"""
_PLACES_TWO = """SELECT queue, seq, flags, lane, CASE place WHEN 0 THEN seq ELSE place END,
        task.key, gates
    FROM json_each(?) CROSS JOIN task ON task.seq = value"""
_STILL_WAITING = """SELECT queue, task.seq, 0, 0
    FROM json_each(?1) CROSS JOIN task ON task.seq = value
    WHERE phase = 0 AND lane = 0
    UNION ALL SELECT queue, task.seq, task.lane, laned.place
    FROM json_each(?1) CROSS JOIN task ON task.seq = value
    CROSS JOIN laned ON laned.lane = task.lane
        AND laned.place = CASE task.place WHEN 0 THEN task.seq ELSE task.place END
    WHERE phase = 0"""
_GIVE_PLACE = "UPDATE task SET place = ? WHERE seq = ?"
_FIRST = """SELECT task.seq, task.id, task.queue, spec, length(body), losses, phase, attempt, %s
    FROM (%s) AS first CROSS JOIN task ON task.seq = first.seq"""
# What waits in a queue, in an order that hangs on no query plan. Those behind the owners of their
# keys come first: nobody's turn it is while others are dropped.
_READY = """SELECT seq FROM waiting WHERE queue = ? AND seq <= ? ORDER BY seq LIMIT ?"""
_READY_TWO = (
    """SELECT seq FROM key_waiting WHERE queue = ? AND seq <= ? ORDER BY key, place LIMIT ?""",
    """SELECT seq FROM lane CROSS JOIN laned ON laned.lane = lane.number
    WHERE lane.queue = ? AND seq <= ? ORDER BY lane.number, place LIMIT ?""",
    _READY,
)
# In the phases PENDING, DELAYED, SCHEDULED and BLOCKED.
_AMONG = """SELECT task.seq, task.id, task.queue, spec, length(body), losses, phase, attempt, %s
    FROM json_each(?) CROSS JOIN task ON task.seq = value WHERE phase IN (0, 1, 4, 5)"""

#: The number of a task's queue, its own, and its flags.
Ready = tuple[int, int, int]


class Place(NamedTuple):
    """Where a task waits, or will; without a lane among the ordinary ones, by its number."""

    queue: int  # its number
    seq: int
    flags: int
    lane: int
    place: int
    key: str
    gates: str  # see limit_settings


class Unstarted(NamedTuple):
    """A task without an outcome that does not run."""

    seq: int
    id: str
    queue: int  # its number
    spec: bytes
    size: int  # bytes of its payload
    losses: int
    phase: int
    attempt: int  # hand-outs that came to an end
    flags: int


def give_places(ledger: Ledger, tasks: Iterable[tuple[int, int]]) -> None:
    """These, numbers and flags, become ready for the first time, after all that is enqueued by now.

    A place is taken once: loss, release and retry keep it.
    """
    laned = [seq for seq, flags in tasks if flags & LANED]
    if laned:
        first = ledger.seq + 1
        ledger.seq += len(laned)
        ledger.db.executemany(_GIVE_PLACE, zip(count(first), laned, strict=False))


def wait(ledger: Ledger, tasks: Sequence[Ready]) -> list[list[Requeued]]:
    """These wait from now on, at their places. What the dispatcher is to know of each.

    That is nothing of an ordered task that others of its key are before.
    """
    ordinary = [(queue, seq) for queue, seq, flags in tasks if not flags & LANED]
    ledger.journal.ready([seq for _, seq in ordinary], ledger.time)
    ledger.db.executemany(_WAIT, ordinary)
    names = ledger.numbered
    if len(ordinary) == len(tasks):
        return [[Requeued(names[queue].name, seq)] for queue, seq in ordinary]
    laned = iter(wait_at(ledger, places(ledger, [seq for _, seq, flags in tasks if flags & LANED])))
    return [
        next(laned) if flags & LANED else [Requeued(names[queue].name, seq)]
        for queue, seq, flags in tasks
    ]


def wait_at(ledger: Ledger, places: Sequence[Place]) -> list[list[Requeued]]:
    """As `wait`, of tasks in lanes whose places are known."""
    names = ledger.numbered
    ledger.journal.ready([at.seq for at in places], ledger.time)
    first = [
        not at.flags & ORDERED or key_order.is_first(ledger, at.queue, at.key, at.place, at.seq)
        for at in places
    ]
    ledger.db.executemany(
        _WAIT_IN_LANE,
        [
            (at.lane, at.place, at.seq)
            for at, is_first in zip(places, first, strict=True)
            if is_first
        ],
    )
    return [
        [Requeued(names[at.queue].name, at.seq, at.lane, at.place)] if is_first else []
        for at, is_first in zip(places, first, strict=True)
    ]


def let_in(ledger: Ledger, queue: int, seq: int, lane: int, place: int) -> Requeued:
    """It is an ordered task's turn: it waits in its lane from now on."""
    ledger.db.execute(_WAIT_IN_LANE, (lane, place, seq))
    return Requeued(ledger.numbered[queue].name, seq, lane, place)


def places(ledger: Ledger, seqs: Iterable[int]) -> list[Place]:
    """Where these tasks wait, or will, in the order of `seqs`."""
    statement = _PLACES_TWO if ledger.level >= LEVEL_OPTIONS else _PLACES
    return [Place(*row) for row in ledger.db.execute(statement, (str(list(seqs)),))]


def unwait(
    ledger: Ledger, ordinary: Mapping[int, Sequence[int]], laned: Sequence[Place] = ()
) -> None:
    """These wait no more; of the ordinary ones their own numbers, by their queues'."""
    before, there = ledger.db.total_changes(), len(laned)
    for queue, seqs in ordinary.items():
        there += len(seqs)
        alone, found = spans(seqs)
        if alone:
            ledger.db.executemany(_UNWAIT, [(queue, seq) for seq in alone])
        if found:
            ledger.db.executemany(_UNWAIT_SPAN, [(queue, *span) for span in found])
    if laned:
        ledger.db.executemany(_LEAVE_LANE, [(at.lane, at.place) for at in laned])
        for at in laned:
            if at.flags & ORDERED:
                key_order.leave(ledger, at.queue, at.key, at.place)
    changed = ledger.db.total_changes() - before
    assert changed == there, "a live task neither ran nor waited"


def unwait_from(ledger: Ledger, places: Iterable[Place]) -> None:
    """Those that wait at these places wait no more."""
    ordinary: defaultdict[int, list[int]] = defaultdict(list)
    laned: list[Place] = []
    for at in places:
        if at.lane:
            laned.append(at)
        else:
            ordinary[at.queue].append(at.seq)
    unwait(ledger, ordinary, laned)


def still_waiting(ledger: Ledger, seqs: Sequence[int]) -> list[Requeued]:
    """Those of these that wait, although they were not given to a worker."""
    if ledger.level < LEVEL_OPTIONS:
        return []  # nothing keeps a task that waits from being given
    rows = ledger.db.execute(_STILL_WAITING, (str(list(seqs)),))
    return [
        Requeued(ledger.numbered[queue].name, seq, lane, place)
        for queue, seq, lane, place in rows
        if seq not in ledger.running_seqs
    ]


def first_waiting(ledger: Ledger, queue: str, upto: int, limit: int) -> list[Unstarted]:
    """Of the tasks that are ready and wait in a queue, numbered up to `upto`, so many, in order."""
    known = ledger.queues.get(queue)
    if known is None:
        return []
    found: list[Unstarted] = []
    for ready in _READY_TWO if ledger.level >= LEVEL_OPTIONS else (_READY,):
        about = (known.number, upto, limit - len(found))
        rows = ledger.db.execute(_FIRST % (ledger.flags_column, ready), about)
        found += [Unstarted(*row) for row in rows]
    return found


def unstarted(ledger: Ledger, seqs: Iterable[int]) -> list[Unstarted]:
    """Those of these tasks that have no outcome and do not run, in the order of `seqs`."""
    asked = str([seq for seq in seqs if seq not in ledger.running_seqs])
    return [Unstarted(*row) for row in ledger.db.execute(_AMONG % ledger.flags_column, (asked,))]


def end_unstarted(
    ledger: Ledger,
    tasks: Sequence[Unstarted],
    state: State,
    data: bytes,
    fate: State | None = None,
) -> list[Effect]:
    """Tasks that never ran have this outcome: they are handed out no more. `data` as in Result.

    `fate` is what it is to those that wait for them, if that is another state.
    """
    if not tasks:
        return []
    cap = ledger.settings.result_ttl
    specs = [decode_spec(task.spec) for task in tasks]
    ends = [ledger.time + min(spec.result_ttl, cap) for spec in specs]
    named = [ledger.names[spec.name] for spec in specs]
    stood = places(ledger, [task.seq for task in tasks])
    unwait_from(
        ledger, [at for at, task in zip(stood, tasks, strict=True) if task.phase == PENDING]
    )
    following: list[Effect] = []
    for at in stood:
        if at.lane:
            ledger.lanes.leave(at.lane)
    others = [(task.seq, task.flags) for task in tasks if task.flags]
    ledger.ended(others, fate or state, following)
    ledger.db.executemany(
        ending(ledger),
        [
            (FINISHED, end, state.value, data, name, 0, ledger.time, 0, task.attempt, task.seq)
            for end, name, task in zip(ends, named, tasks, strict=True)
        ],
    )
    forget_losses(ledger, [task.seq for task in tasks if task.losses])
    _count(ledger, tasks, state)
    ledger.result_bytes += len(data) * len(tasks)
    ledger.next_expiry = min(ledger.next_expiry, *ends)
    names = ledger.numbered
    for spec, task in zip(specs, tasks, strict=True):
        ledger.journal.ended_unstarted(spec.queue, spec.name, task.id, state, data)
    return [
        *(Settled(0, task.seq, task.id, names[task.queue].name, state, data) for task in tasks),
        *following,
    ]


def _count(ledger: Ledger, tasks: Sequence[Unstarted], state: State) -> None:
    """Their queues' counters, as if they had been handed out just now."""
    for number, many in Counter(task.queue for task in tasks).items():
        queue = ledger.touch(ledger.numbered[number].name)
        mine = [task for task in tasks if task.queue == number]
        phases = Counter(task.phase for task in mine)
        queue.scheduled -= phases[SCHEDULED]
        queue.blocked -= phases[BLOCKED]
        queue.queued -= phases[PENDING] + phases[DELAYED]
        queue.running += many
        queue.bytes -= sum(task.size for task in mine)
        ledger.settle(queue.name, state, many)
