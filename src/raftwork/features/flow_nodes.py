"""Flows on every replica: what becomes of tasks that wait for others, and of those others' values.

1. A task waits, BLOCKED, for each edge to it that is unmet (`task.open`). An edge is met once: in
   the entry in which the task that it comes from has its outcome, for no retry and no loss of that
   is one. What waits for nothing more is released in that entry; whoever's edge cannot be met any
   more is cancelled in it, and so on.
2. An entry takes so many steps. What is left stays due, as a timer, for the entries that follow.
3. A row without code (WITHOUT_CODE) has its outcome once it waits for nothing (flow_joins.py).
4. Values are not copied to those that wait: they are read where a task is handed out. So a node's
   result is kept as long as its flow has not ended (`due` is NULL), and then as long as the flow's.
   A flow that is a retry keeps what it shares as well, and so `pinned` counts it twice: each flow
   lets go by itself, and the last one's end is the result's.
5. A flow's rows go, by parts, after its result: nodes, edges, the flow.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.features import flow_joins
from raftwork.features.flow_graph import INPUT_BYTES_MAX
from raftwork.features.flow_joins import UPSTREAM, callbacks_ended, keep, meets
from raftwork.features.signal_rows import watch
from raftwork.features.starts import schedule
from raftwork.features.task_row import FED, PENDING, SCHEDULED, WITHOUT_CODE
from raftwork.features.waiting import Place, end_unstarted, unstarted, wait_first
from raftwork.messages import CancelReason, State, encode_failure
from raftwork.messages.failures import InputsTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from raftwork.broker.machine.state import Ledger
    from raftwork.features.effects import Effect

#: Steps of one entry, some 2 us each: an edge that is met is one, a task that is released or
#: cancelled by it two more.
STEPS_AN_ENTRY = 3_000
_STEPS_A_TASK: Final = 2
#: Bytes of what it takes to run nodes without a value again (`unmade`), of all flows that are kept.
#: Over it that of the oldest goes, so many rows an entry: to refuse an outcome is no choice, and
#: what failed long ago must not keep new flows out. Those flows cannot be retried any more.
UNMADE_BYTES_MAX = 256 * 1024 * 1024
_UNMADE_AN_ENTRY: Final = 1_000
#: Ids that are kept in memory.
_IDS_MAX: Final = 1_000
#: Kinds of timers; the ref is a task that has ended, or a flow (flow_ends.py).
FIRE: Final = 15
FORGET: Final = 17
STOP: Final = 18

# In the order of their numbers, whatever the query's plan.
_OUT = """SELECT src, dst, slot, kind FROM unmet WHERE src IN (SELECT value FROM json_each(?))
    ORDER BY src, dst, slot LIMIT ?"""
_MEET = """DELETE FROM unmet WHERE src IN (SELECT value FROM json_each(?))
    AND (src, dst, slot) <= (?, ?, ?)"""
_WAITING = """SELECT seq, phase, queue, flags, due, flow, open, lane, task.key, gates
    FROM json_each(?) CROSS JOIN task ON task.seq = value
    WHERE phase IN (5, 6) ORDER BY seq"""
_MET = "UPDATE task SET open = open - ? WHERE seq = ?"
_ENDED = """SELECT seq, flow, state, length(body)
    FROM json_each(?) CROSS JOIN task ON task.seq = value ORDER BY seq"""
_COUNT = """UPDATE flow SET failed = failed + ?, first = CASE first WHEN 0 THEN ? ELSE first END,
    pinned = pinned + ?, pinned_bytes = pinned_bytes + ? WHERE number = ?"""
_STOP = """UPDATE flow SET cancelled = ? WHERE number = ? AND siblings = 1 AND cancelled = 0
    RETURNING number"""
_CANCELLED = "SELECT cancelled FROM flow WHERE number = ?"
_KEEP = """INSERT INTO unmade SELECT task.seq, phase != ?, spec, body, coalesce(worker, '')
    FROM task LEFT JOIN pin ON pin.seq = task.seq WHERE task.seq = ? AND flow > 0
    RETURNING length(spec) + length(payload)"""
_OLDEST = "SELECT seq, length(spec) + length(payload) FROM unmade ORDER BY seq LIMIT ?"
_OPEN = "SELECT open FROM task WHERE seq = ?"
_PHASE = "SELECT phase FROM task WHERE seq = ?"
_OF = "SELECT seq, flow, task.parent FROM json_each(?) CROSS JOIN task ON task.seq = value"
_TOO_LARGE = """SELECT seq, size FROM (
        SELECT seq, length(body) + coalesce((
            SELECT sum(length(input.body)) FROM edge CROSS JOIN task AS input ON input.seq = src
            WHERE dst = task.seq AND kind & 4
        ), 0) AS size
        FROM json_each(?) CROSS JOIN task ON task.seq = value
    ) WHERE size > ? ORDER BY seq"""
_RELEASE = "UPDATE task SET phase = ?, due = ?, place = ?, open = 0 WHERE seq = ?"


# ---- at the end of an entry ---------------------------------------------------------------------


def settled(ledger: Ledger, seq: int, state: State, _effects: list[Effect]) -> None:
    """A task that others wait for, or of a flow, has its outcome: `go_on` looks after that.

    Of one without a value it stays known what it takes to run it again (flow_again.py).
    """
    ledger.links.ended.append(seq)
    if state is not State.SUCCEEDED:
        for (size,) in list(ledger.db.execute(_KEEP, (WITHOUT_CODE, seq))):
            ledger.links.unmade_bytes += size


def go_on(ledger: Ledger, effects: list[Effect]) -> None:
    """Carry out what follows from the outcomes of this entry, and from those outcomes, in turn."""
    links, left, to_make = ledger.links, STEPS_AN_ENTRY, flow_joins.STEPS_AN_ENTRY
    while links.waiting:
        ended, links.ended = sorted(links.ended), []
        unfired, links.unfired = links.unfired, []
        sources = _sources(ledger, {*ended, *unfired})
        links.ready += _count(ledger, [sources[seq] for seq in ended])
        ready, links.ready = links.ready, []
        to_make -= flow_joins.make(ledger, ready, max(0, to_make), effects)
        if sources:
            left -= _fire(ledger, sources, max(0, left), effects)
    if links.unmade_bytes > UNMADE_BYTES_MAX:
        _drop_unmade(ledger)


def _drop_unmade(ledger: Ledger) -> None:
    """The next part of what is too much goes; the rest in the entries that follow."""
    over, last = ledger.links.unmade_bytes - UNMADE_BYTES_MAX, 0
    for seq, size in list(ledger.db.execute(_OLDEST, (_UNMADE_AN_ENTRY,))):
        if over <= 0:
            break
        last, over = seq, over - size
    ledger.db.execute("DELETE FROM unmade WHERE seq <= ?", (last,))
    ledger.links.unmade_bytes = UNMADE_BYTES_MAX + over


class _Source(NamedTuple):
    """A task that has its outcome."""

    seq: int
    flow: int
    state: int
    size: int  # bytes of its result


def _sources(ledger: Ledger, seqs: Iterable[int]) -> dict[int, _Source]:
    """These, by their numbers, in the order of those."""
    rows = ledger.db.execute(_ENDED, (str(sorted(seqs)),)) if seqs else ()
    return {row[0]: _Source(*row) for row in rows}


def _count(ledger: Ledger, ended: Sequence[_Source]) -> list[int]:
    """Count these in their flows; the flows that wait for nothing more.

    Their results are kept, as their rows say (history.py).
    """
    over: list[int] = []
    flows: dict[int, list[tuple[int, int, int]]] = {}
    for seq, flow, state, size in ended:
        if flow and flow != seq:
            flows.setdefault(flow, []).append((seq, state, size))
    for flow, nodes in flows.items():
        if flow < 0:  # they are what is to run once it has ended
            callbacks_ended(ledger, -flow, len(nodes))
            continue
        ((count,),) = ledger.db.execute(_OPEN, (flow,))
        failed = [seq for seq, state, _ in nodes if state != State.SUCCEEDED]
        size = sum(size for *_, size in nodes)
        pinned = (len(nodes), size)
        ledger.db.execute(_COUNT, (len(failed), next(iter(failed), 0), *pinned, flow))
        ledger.db.execute(_MET, (len(nodes), flow))
        keep(ledger, *pinned)
        if failed and ledger.db.execute(_STOP, (CancelReason.UPSTREAM, flow)).fetchone():
            ledger.set_timer(ledger.time, STOP, flow)
        if count == len(nodes):
            over.append(flow)
    return over


# ---- edges --------------------------------------------------------------------------------------


def _fire(ledger: Ledger, sources: Mapping[int, _Source], limit: int, effects: list[Effect]) -> int:
    """Meet edges of tasks that have ended, in `limit` steps, and leave the rest due; the steps."""
    asked = str([*sources])
    edges: list[_Out] = list(ledger.db.execute(_OUT, (asked, limit + 1)))
    count, steps = _within(edges, limit)
    if count < len(edges):
        after = edges[count][0]
        for seq in sources:
            if seq >= after:
                ledger.set_timer(ledger.time, FIRE, seq)
    edges = edges[:count]
    if not edges:
        return steps
    ledger.db.execute(_MEET, (asked, *edges[-1][:3]))
    met = Counter(dst for _, dst, *_ in edges)
    _go_further(ledger, met, _broken(edges, sources), effects)
    return steps


#: A row of `unmet`.
_Out = tuple[int, int, int, int]


def _broken(edges: Sequence[_Out], sources: Mapping[int, _Source]) -> set[int]:
    """The tasks that one of these edges leads to which will never be met."""
    kinds = {kind for *_, kind in edges}
    states = {source.state for source in sources.values()}
    if all(meets(kind, state) for kind in kinds for state in states):
        return set()  # nearly always, and many edges need no look then
    return {dst for src, dst, _, kind in edges if not meets(kind, sources[src].state)}


def _within(edges: Sequence[_Out], limit: int) -> tuple[int, int]:
    """How many of these edges may be met in `limit` steps, and in how many that is."""
    steps = len(edges) + _STEPS_A_TASK * len({dst for _, dst, *_ in edges})
    if steps <= limit:
        return len(edges), steps
    met = set[int]()
    steps = 0
    for count, (_, dst, _, _) in enumerate(edges):
        more = 1 if dst in met else 1 + _STEPS_A_TASK
        if steps + more > limit:
            return count, steps
        steps += more
        met.add(dst)
    raise AssertionError("they took more steps before")


def fire(ledger: Ledger, seqs: Sequence[int], _effects: list[Effect]) -> None:
    """Edges that were too many for an entry before this one."""
    ledger.links.unfired += seqs


def _go_further(
    ledger: Ledger, met: Mapping[int, int], broken: set[int], effects: list[Effect]
) -> None:
    """So many edges to each of these are met; of those in `broken` one never will be."""
    rows = [
        row
        for row in map(_Waiting._make, list(ledger.db.execute(_WAITING, (str(sorted(met)),))))
        if row.flow != row.seq  # a flow ends with its nodes
    ]
    free = [
        row
        for row in rows
        if row.seq not in broken and row.open == met[row.seq] and row.phase != WITHOUT_CODE
    ]
    freed = {row.seq for row in free}
    waiting = [row.seq for row in rows if row.seq not in freed]
    ledger.db.executemany(_MET, [(met[seq], seq) for seq in waiting])
    cancelled: list[int] = []
    for row in rows:
        if row.phase == WITHOUT_CODE:
            if row.seq in broken or row.open == met[row.seq]:
                ledger.links.ready.append(row.seq)
            elif row.open == met[row.seq] + 1:
                watch(ledger, row.seq)
        elif row.seq in broken:
            cancelled.append(row.seq)
    effects += end_unstarted(ledger, unstarted(ledger, cancelled), State.CANCELLED, UPSTREAM)
    _release(ledger, free, effects)


class _Waiting(NamedTuple):
    """A task, or a row without code, that waits for others."""

    seq: int
    phase: int
    queue: int
    flags: int
    due: int | None
    flow: int
    open: int
    lane: int
    key: str
    gates: str


def fail_too_large(ledger: Ledger, seqs: Sequence[int], effects: list[Effect]) -> set[int]:
    """Those of these tasks, which wait for others no more, whose values no frame has room for.

    They have failed: to hand one out would cost the worker its connection, and then the next one.
    """
    large: dict[int, int] = {}
    if seqs:
        large = dict(ledger.db.execute(_TOO_LARGE, (str(list(seqs)), INPUT_BYTES_MAX)))
    for seq, size in large.items():
        failure = encode_failure(InputsTooLarge(size, INPUT_BYTES_MAX))
        effects += end_unstarted(ledger, unstarted(ledger, [seq]), State.FAILED, failure)
    return {*large}


def _release(ledger: Ledger, tasks: Sequence[_Waiting], effects: list[Effect]) -> None:
    """These wait for other tasks no more.

    They have waited, so each is in a lane, and takes its place there unless it is for later.
    """
    if not tasks:
        return
    large = fail_too_large(ledger, [task.seq for task in tasks if task.flags & FED], effects)
    released: list[tuple[int, int | None, int, int]] = []
    places: list[Place] = []
    for seq, _, number, flags, due, _, _, lane, key, gates in tasks:
        if seq in large:
            continue
        queue = ledger.touch(ledger.numbered[number].name)
        queue.blocked -= 1
        if due and due > ledger.time:
            queue.scheduled += 1
            released.append((SCHEDULED, None, 0, seq))
            schedule(ledger, due, seq, seq)
        else:
            queue.queued += 1
            ledger.seq += 1
            released.append((PENDING, None, ledger.seq, seq))
            places.append(Place(number, seq, flags, lane, ledger.seq, key, gates))
    ledger.db.executemany(_RELEASE, released)
    effects += wait_first(ledger, places)


# ---- questions ----------------------------------------------------------------------------------


def has_ended(ledger: Ledger, flow: int) -> bool:
    """Whether this flow has its outcome."""
    row = ledger.db.execute(_PHASE, (flow,)).fetchone()
    return bool(row is None or row[0] != WITHOUT_CODE)


def keeps_children(ledger: Ledger, flow: int) -> bool:
    """Whether tasks may still be added to a flow; 0 is none, where they may."""
    row = ledger.db.execute(_CANCELLED, (flow,)).fetchone()
    return not flow or (row is not None and not row[0])


def flows_of(ledger: Ledger, seqs: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Of tasks the ids of their flows, and of the tasks that made them; empty where there is none.

    By the tasks' numbers.
    """
    rows: list[tuple[int, int, int]] = list(ledger.db.execute(_OF, (str(list(seqs)),)))
    return {seq: (_id(ledger, abs(flow)), _id(ledger, parent)) for seq, flow, parent in rows}


def _id(ledger: Ledger, seq: int) -> str:
    """A task's id, which never changes; empty of none, and of one that is forgotten."""
    ids = ledger.links.ids
    if not seq or seq in ids:
        return ids.get(seq, "")
    if len(ids) >= _IDS_MAX:
        ids.clear()
    for (id_,) in list(ledger.db.execute("SELECT id FROM task WHERE seq = ?", (seq,))):
        ids[seq] = id_
    return ids.get(seq, "")
