"""Tasks that wait to be handed out: they come to stand there, leave, or end without having run.

An ordinary task waits in `waiting`, by its number. Others wait in a lane, by their place (`laned`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from raftwork.features import key_order
from raftwork.features.effects import Effect, QueuedInLane, Requeued, Settled
from raftwork.features.history import ending
from raftwork.features.losses import forget_losses
from raftwork.features.number_ranges import spans
from raftwork.features.starts import unschedule
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
from raftwork.wire import maker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from raftwork.broker.machine.state import Ledger

_WAIT = "INSERT INTO waiting VALUES (?, ?)"
_WAIT_IN_LANE = "INSERT INTO laned VALUES (?, ?, ?)"
_UNWAIT = "DELETE FROM waiting WHERE queue = ? AND seq = ?"
_UNWAIT_SPAN = "DELETE FROM waiting WHERE queue = ? AND seq BETWEEN ? AND ?"
_LEAVE_LANE = "DELETE FROM laned WHERE lane = ? AND place = ?"
_LEAVE_LANE_SPAN = "DELETE FROM laned WHERE lane = ? AND place BETWEEN ? AND ?"
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
_UNSTARTED = """SELECT task.seq, task.id, task.queue, spec, length(body), losses, phase,
    attempt, task.key, 0, 0, 0 """
_UNSTARTED_TWO = """SELECT task.seq, task.id, task.queue, spec, length(body), losses, phase,
    attempt, task.key, flags, task.lane,
    CASE task.place WHEN 0 THEN task.seq ELSE task.place END """
_FIRST = "FROM (%s) AS first CROSS JOIN task ON task.seq = first.seq"
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
_AMONG = "FROM json_each(?) CROSS JOIN task ON task.seq = value WHERE phase IN (0, 1, 4, 5)"

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


_queue_and_lane = attrgetter("queue", "lane")


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
    key: str
    flags: int
    lane: int
    place: int  # there, from when it is ready

    @property
    def at(self) -> Place:
        """Where it waits if it is ready."""
        return Place(self.queue, self.seq, self.flags, self.lane, self.place, self.key, "")


_unstarted, _settled = maker(Unstarted), maker(Settled)
_spec = attrgetter("spec")


def wait_first(ledger: Ledger, tasks: Sequence[Place]) -> list[Effect]:
    """These wait for the first time, at places behind all others; what the dispatcher is to know.

    That is nothing of an ordered task that others of its key are before.
    """
    ledger.journal.ready([at.seq for at in tasks], ledger.time)
    there = [
        at
        for at in tasks
        if not at.flags & ORDERED or key_order.is_first(ledger, at.queue, at.key, at.place, at.seq)
    ]
    effects: list[Effect] = []
    for (queue, lane), some in groupby(there, key=_queue_and_lane):
        name = ledger.numbered[queue].name
        if lane:
            tasks_there = [(at.seq, at.place) for at in some]
            rows = [(lane, place, seq) for seq, place in tasks_there]
            ledger.db.executemany(_WAIT_IN_LANE, rows)
            effects.append(QueuedInLane(name, lane, tasks_there))
        else:
            ordinary = [at.seq for at in some]
            ledger.db.executemany(_WAIT, [(queue, seq) for seq in ordinary])
            effects += [Requeued(name, seq) for seq in ordinary]
    return effects


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
    ledger: Ledger,
    ordinary: Mapping[int, Sequence[int]],
    laned: Mapping[int, Sequence[int]],
    ordered: Iterable[Place] = (),
) -> None:
    """These wait no more: of the ordinary ones their own numbers, by their queues'; of the others
    their places, by their lanes. `ordered` are those of them that wait in the order of a key.
    """
    before, there = ledger.db.total_changes(), sum(map(len, laned.values()))
    for queue, seqs in ordinary.items():
        there += len(seqs)
        alone, found = spans(seqs)
        if alone:
            ledger.db.executemany(_UNWAIT, [(queue, seq) for seq in alone])
        if found:
            ledger.db.executemany(_UNWAIT_SPAN, [(queue, *span) for span in found])
    for at in ordered:
        key_order.leave(ledger, at.queue, at.key, at.place)
    if laned:
        _leave_lanes(ledger, laned)
    changed = ledger.db.total_changes() - before
    assert changed == there, "a live task neither ran nor waited"


def _leave_lanes(ledger: Ledger, laned: Mapping[int, Sequence[int]]) -> None:
    alone: list[tuple[int, int]] = []
    found: list[tuple[int, int, int]] = []
    for lane, its in laned.items():
        if len(its) == 1:
            alone.append((lane, its[0]))
            continue
        single, runs = spans(its)
        alone += [(lane, place) for place in single]
        found += [(lane, *run) for run in runs]
    if alone:
        ledger.db.executemany(_LEAVE_LANE, alone)
    if found:
        ledger.db.executemany(_LEAVE_LANE_SPAN, found)


def unwait_from(ledger: Ledger, places: Iterable[Place]) -> None:
    """Those that wait at these places wait no more."""
    ordinary: defaultdict[int, list[int]] = defaultdict(list)
    laned: defaultdict[int, list[int]] = defaultdict(list)
    ordered: list[Place] = []
    for at in places:
        if at.lane:
            laned[at.lane].append(at.place)
        else:
            ordinary[at.queue].append(at.seq)
        if at.flags & ORDERED:
            ordered.append(at)
    unwait(ledger, ordinary, laned, ordered)


def leave_lanes(ledger: Ledger, lanes: Iterable[int]) -> None:
    """A task of each of these has its outcome; 0 is no lane."""
    for lane, tasks in Counter(lanes).items():
        if lane:
            ledger.lanes.leave(lane, tasks)


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
        rows = ledger.db.execute(_columns(ledger) + _FIRST % ready, about)
        found += [_unstarted(row) for row in rows]
    return found


def unstarted(ledger: Ledger, seqs: Iterable[int]) -> list[Unstarted]:
    """Those of these tasks that have no outcome and do not run, in the order of `seqs`."""
    return unfinished(ledger, [seq for seq in seqs if seq not in ledger.running_seqs])


def unfinished(ledger: Ledger, seqs: Sequence[int]) -> list[Unstarted]:
    """Those of these tasks that have no outcome, in the order of `seqs`; also what runs."""
    rows = ledger.db.execute(_columns(ledger) + _AMONG, (str(list(seqs)),))
    return [_unstarted(row) for row in rows]


def _columns(ledger: Ledger) -> str:
    return _UNSTARTED_TWO if ledger.level >= LEVEL_OPTIONS else _UNSTARTED


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
    cap, now, number = ledger.settings.result_ttl, ledger.time, state.value
    packs = dict.fromkeys([task.spec for task in tasks])
    specs = {packed: decode_spec(packed) for packed in packs}
    ends = {packed: now + min(spec.result_ttl, cap) for packed, spec in specs.items()}
    named = {packed: ledger.names[spec.name] for packed, spec in specs.items()}
    _unwait_all(ledger, [task for task in tasks if task.phase == PENDING])
    unschedule(ledger, [task.seq for task in tasks if task.phase == SCHEDULED])
    following: list[Effect] = []
    leave_lanes(ledger, [task.lane for task in tasks if task.lane])
    others = [(task.seq, task.flags) for task in tasks if task.flags]
    ledger.ended(others, fate or state, following)
    ledger.db.executemany(
        ending(ledger),
        [
            (
                *(FINISHED, ends[task.spec], number, data, named[task.spec]),
                *(0, now, 0, task.attempt, task.seq),
            )
            for task in tasks
        ],
    )
    forget_losses(ledger, [task.seq for task in tasks if task.losses])
    _count(ledger, tasks, state)
    ledger.result_bytes += len(data) * len(tasks)
    ledger.next_expiry = min(ledger.next_expiry, *ends.values())
    for packed, alike in groupby(tasks, key=_spec):
        spec, ids = specs[packed], [task.id for task in alike]
        ledger.journal.ended_unstarted(spec.queue, spec.name, ids, state, data)
    names = {queue: ledger.numbered[queue].name for queue in {task.queue for task in tasks}}
    return [
        *[_settled((0, task.seq, task.id, names[task.queue], state, data)) for task in tasks],
        *following,
    ]


def _unwait_all(ledger: Ledger, tasks: Sequence[Unstarted]) -> None:
    """As `unwait_from`: of an ordinary one no more is needed than its number."""
    ordinary: defaultdict[int, list[int]] = defaultdict(list)
    others: list[Place] = []
    for task in tasks:
        if task.lane or task.flags:
            others.append(task.at)
        else:
            ordinary[task.queue].append(task.seq)
    if ordinary:
        unwait(ledger, ordinary, {})
    if others:
        unwait_from(ledger, others)


def _count(ledger: Ledger, tasks: Sequence[Unstarted], state: State) -> None:
    """Their queues' counters, as if they had been handed out just now."""
    by_queue: defaultdict[int, list[Unstarted]] = defaultdict(list)
    for task in tasks:
        by_queue[task.queue].append(task)
    for number, mine in by_queue.items():
        queue = ledger.touch(ledger.numbered[number].name)
        phases = Counter([task.phase for task in mine])
        queue.scheduled -= phases[SCHEDULED]
        queue.blocked -= phases[BLOCKED]
        queue.queued -= phases[PENDING] + phases[DELAYED]
        queue.delayed -= phases[DELAYED]
        queue.running += len(mine)
        queue.bytes -= sum(task.size for task in mine)
        ledger.settle(queue.name, state, len(mine))
