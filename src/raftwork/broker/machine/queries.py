"""Questions to the machine. They change nothing, and see what was applied last."""

from collections.abc import Sequence
from contextlib import closing
from json import dumps
from typing import NamedTuple

import apsw

from raftwork.broker.machine.lanes import Lane
from raftwork.broker.machine.level_two import LEVEL, ByLevel
from raftwork.broker.machine.queue import Queue
from raftwork.broker.machine.state import Ledger
from raftwork.features.checkpoints import checkpoint_of
from raftwork.features.flow_nodes import flows_of, inputs
from raftwork.features.history import trace_of
from raftwork.features.schedule_rows import tick_of
from raftwork.features.tags import tags_of_each
from raftwork.features.task_row import (
    BLOCKED,
    CHECKPOINTED,
    FED,
    LINKED,
    SCHEDULED,
    TAGGED,
    TICKED,
    TOMBSTONE,
    TRACED,
    WITHOUT_CODE,
)
from raftwork.messages import About, QueueStatus, Result, State
from raftwork.wire import maker

_LOOKUP = """SELECT task.id, seq, phase, state, CASE state WHEN 0 THEN x'' ELSE body END
    FROM json_each(?) CROSS JOIN task ON task.id = value"""
# One row for each id, known or not, in their order: the list is the outer loop.
_OUTCOMES = """SELECT seq, phase, state, CASE state WHEN 0 THEN x'' ELSE body END
    FROM json_each(?) LEFT JOIN task ON task.id = value"""
_STATES = (
    """SELECT task.id, seq, phase, state FROM json_each(?) CROSS JOIN task ON task.id = value"""
)
_QUEUES_OF = ByLevel(
    """SELECT task.id, queue, {flow} FROM json_each(?) CROSS JOIN task ON task.id = value"""
)
_IN_FLOW = """SELECT DISTINCT queue FROM node CROSS JOIN task ON task.seq = node.seq
    WHERE node.flow = ? AND queue > 0"""
_STANDINGS = """SELECT DISTINCT seq, queue, phase, state
    FROM json_each(?) CROSS JOIN task ON task.id = value"""
_STANDING = "SELECT queue, phase, state FROM task WHERE seq = ?"
_AFTER = ByLevel(
    """SELECT task.seq, task.id, spec, body, attempt + 1, losses, task.key, {flags}, 0, 0
    FROM waiting CROSS JOIN task ON task.seq = waiting.seq
    WHERE waiting.queue = ? AND waiting.seq > ? ORDER BY waiting.seq LIMIT ?"""
)
_AMONG = ByLevel(
    """SELECT task.seq, task.id, spec, body, attempt + 1, losses, task.key, {flags}
    FROM json_each(?) CROSS JOIN task ON task.seq = value
    CROSS JOIN waiting ON waiting.queue = task.queue AND waiting.seq = task.seq
    ORDER BY task.seq"""
)
_LANES = """SELECT number, queue, priority, tenant, gates, worker,
        (SELECT min(place) FROM laned WHERE laned.lane = number) AS head
    FROM lane WHERE queue = ? AND head IS NOT NULL ORDER BY number"""
_IN_LANE = """SELECT task.seq, task.id, spec, body, attempt + 1, losses, task.key, task.flags,
        laned.place, laned.lane
    FROM laned CROSS JOIN task ON task.seq = laned.seq
    WHERE laned.lane = ? AND laned.place > ? ORDER BY laned.place LIMIT ?"""
_AT_PLACES = """SELECT task.seq, task.id, spec, body, attempt + 1, losses, task.key, task.flags,
        laned.place, laned.lane
    FROM json_each(?) CROSS JOIN laned ON laned.lane = ? AND laned.place = value
    CROSS JOIN task ON task.seq = laned.seq ORDER BY laned.place"""
_TENANTS = "SELECT seq, tenant FROM json_each(?) CROSS JOIN task ON task.seq = value"


_UNSTARTED = {
    SCHEDULED: State.SCHEDULED,
    BLOCKED: State.BLOCKED,
    WITHOUT_CODE: State.BLOCKED,
}
#: Flags of tasks whose code may know something besides.
_ABOUT = TAGGED | CHECKPOINTED | LINKED | TICKED | TRACED
#: … or that others of the same tags and key do not.
_ABOUT_ONE = CHECKPOINTED | LINKED | FED | TICKED | TRACED
_NO_TAGS: list[tuple[str, str]] = []
_STATE = tuple(State)  # by number: to call State takes five times as long


class Waiting(NamedTuple):
    """A task with its payload, as it is to be handed out."""

    seq: int
    id: str
    spec: bytes
    payload: bytes
    attempt: int  # the number the next hand-out has; a running task's is its own
    losses: int
    key: str = ""  # for a balancer that places by it
    flags: int = 0  # features/task_row.py
    place: int = 0  # in its lane; 0 for an ordinary one, which stands by its number
    lane: int = 0  # 0 for an ordinary one


class Standing(NamedTuple):
    """Where a task stands."""

    seq: int
    state: State
    queue: str


_waiting = maker(Waiting)


def queue_status(queue: Queue) -> QueueStatus:
    """A queue's counters and settings."""
    return QueueStatus(
        queue.name,
        queue.queued,
        queue.running,
        queue.succeeded,
        queue.failed,
        queue.lost,
        queue.bytes,
        queue.packed_settings,
        queue.scheduled,
        queue.blocked,
        queue.cancelled,
        queue.paused_until,
        queue.delayed,
    )


def states(ledger: Ledger, ids: Sequence[str]) -> list[State]:
    """One State per id, in the order of `ids`; no payload or result is read."""
    known: dict[str, State] = {}
    for task, seq, phase, state in ledger.db.execute(_STATES, (dumps(list(ids)),)):
        known[task] = _state(ledger, seq, phase, state)
    return [known.get(task, State.UNKNOWN) for task in ids]


def queues_of(ledger: Ledger, ids: Sequence[str]) -> dict[str, list[str]]:
    """Of each of these tasks that is known, its queue; of a flow or a join, the flow's tasks'."""
    known: dict[str, list[str]] = {}
    of_flow: dict[int, list[str]] = {}
    query, asked = _QUEUES_OF.at(ledger.level), (dumps(list(ids)),)
    for task, number, flow in list(ledger.db.execute(query, asked)):
        if number:
            known[task] = [ledger.numbered[number].name]
            continue
        if flow not in of_flow:
            inside = list(ledger.db.execute(_IN_FLOW, (flow,)))
            of_flow[flow] = [ledger.numbered[queue].name for (queue,) in inside]
        known[task] = of_flow[flow]
    return known


def standings(ledger: Ledger, ids: Sequence[str]) -> list[Standing]:
    """Where the tasks of these ids stand, as far as they are known, in any order."""
    rows = ledger.db.execute(_STANDINGS, (dumps(list(ids)),))
    return [Standing(seq, _state(ledger, seq, *row), _name(ledger, q)) for seq, q, *row in rows]


def standing(ledger: Ledger, seq: int) -> Standing | None:
    """Where the task of this number stands; None if it is not known."""
    for queue, *row in ledger.db.execute(_STANDING, (seq,)):
        return Standing(seq, _state(ledger, seq, *row), _name(ledger, queue))
    return None


def _name(ledger: Ledger, queue: int) -> str:
    """The name of the queue of this number; none of a flow or a join, which are in no queue."""
    return ledger.numbered[queue].name if queue else ""


def outcomes(ledger: Ledger, ids: Sequence[str], limit_bytes: int) -> list[Result]:
    """Results for the first of `ids`, in order.

    They end with the one whose data bring the sum to `limit_bytes`.
    """
    results: list[Result] = []
    rows = ledger.db.execute(_OUTCOMES, (dumps(list(ids)),))
    with closing(rows):  # an open cursor would keep a read transaction alive
        for task, (seq, phase, state, body) in zip(ids, rows, strict=False):
            if seq is None:
                results.append(Result(task, State.UNKNOWN, b""))
                continue
            results.append(
                Result(task, _state(ledger, seq, phase, state), body, phase == TOMBSTONE)
            )
            limit_bytes -= len(body)
            if limit_bytes <= 0:
                break
    return results


def lookup(ledger: Ledger, ids: Sequence[str]) -> list[Result]:
    """One Result per id, in the order of `ids`. The caller bounds them: data can be large."""
    known: dict[str, Result] = {}
    for task, seq, phase, state, body in ledger.db.execute(_LOOKUP, (dumps(list(ids)),)):
        known[task] = Result(task, _state(ledger, seq, phase, state), body, phase == TOMBSTONE)
    return [known.get(task) or Result(task, State.UNKNOWN, b"") for task in ids]


def _state(ledger: Ledger, seq: int, phase: int, state: int) -> State:
    if state:
        return _STATE[state]
    if seq in ledger.running_seqs:
        return State.RUNNING
    return _UNSTARTED.get(phase, State.QUEUED)


def waiting(ledger: Ledger, queue: str, after: int, limit: int, limit_bytes: int) -> list[Waiting]:
    """The first tasks of a queue numbered above `after`: at most `limit`.

    They end with the one whose payload brings the sum to `limit_bytes`.
    """
    if queue not in ledger.queues:
        return []
    asked = (ledger.queues[queue].number, after, limit)
    return _page(ledger.db.execute(_AFTER.at(ledger.level), asked), limit_bytes)


def in_lane(ledger: Ledger, lane: int, after: int, limit: int, limit_bytes: int) -> list[Waiting]:
    """As `waiting`, the first tasks of a lane at places above `after`."""
    return _page(ledger.db.execute(_IN_LANE, (lane, after, limit)), limit_bytes)


def at_places(ledger: Ledger, lane: int, places: Sequence[int]) -> list[Waiting]:
    """The tasks that wait at these places of a lane, in order."""
    rows = ledger.db.execute(_AT_PLACES, (dumps(list(places)), lane))
    return [_waiting(row) for row in rows]


def lanes(ledger: Ledger, queue: str) -> list[tuple[int, Lane, int]]:
    """The lanes of a queue in which tasks wait, each with its first place."""
    if ledger.level < LEVEL:
        return []
    rows = ledger.db.execute(_LANES, (ledger.queues[queue].number,))
    return [(number, Lane(*lane), first) for number, *lane, first in rows]


def tenants_running(ledger: Ledger, queue: str) -> list[tuple[int, str]]:
    """The tasks of a queue that run, each with its tenant."""
    if ledger.level < LEVEL:
        return []
    seqs = [run.seq for run in ledger.running.values() if run.queue == queue]
    return list(ledger.db.execute(_TENANTS, (dumps(seqs),)))


def _page(rows: apsw.Cursor, limit_bytes: int) -> list[Waiting]:
    tasks: list[Waiting] = []
    with closing(rows):  # an open cursor would keep a read transaction alive
        for row in rows:
            task = _waiting(row)
            tasks.append(task)
            limit_bytes -= len(task.payload)
            if limit_bytes <= 0:
                break
    return tasks


def waiting_by(ledger: Ledger, seqs: Sequence[int]) -> list[Waiting]:
    """Those among `seqs` that wait now, in order of their numbers."""
    return [
        Waiting(*row) for row in ledger.db.execute(_AMONG.at(ledger.level), (dumps(list(seqs)),))
    ]


def running_body(ledger: Ledger, token: int) -> Waiting | None:
    """What to push (again) under a current token; None if it is not current."""
    run = ledger.running.get(token)
    if run is None:
        return None
    ((body, key),) = ledger.db.execute("SELECT body, key FROM task WHERE seq = ?", (run.seq,))
    return Waiting(run.seq, run.id, run.spec, body, run.attempt, run.losses, key, run.flags)


def about(ledger: Ledger, tasks: Sequence[Waiting]) -> dict[int, About]:
    """What their code may know of tasks besides, by number, if there is anything of it."""
    linked = [task.seq for task in tasks if task.flags & LINKED]
    flows = flows_of(ledger, linked) if linked else {}
    fed = [task.seq for task in tasks if task.flags & FED]
    values = inputs(ledger, fed) if fed else {}
    tagged = [task.seq for task in tasks if task.flags & TAGGED]
    tags_by = tags_of_each(ledger, tagged) if tagged else {}
    found: dict[int, About] = {}
    last = About()
    for seq, _, _, _, _, _, key, flags, _, _ in tasks:
        if not key and not flags & _ABOUT:
            continue
        tags = tags_by.get(seq, _NO_TAGS)
        if not flags & _ABOUT_ONE:  # a frame says what is the same of several tasks once
            if (last.key, last.tags) != (key, tags):
                last = About(key, tags)
            found[seq] = last
            continue
        checkpoint = checkpoint_of(ledger, seq) if flags & CHECKPOINTED else None
        tick = tick_of(ledger, seq) if flags & TICKED else 0
        trace = trace_of(ledger, seq) if flags & TRACED else b""
        flow, parent = flows.get(seq, ("", ""))
        found[seq] = About(key, tags, checkpoint, flow, parent, values.get(seq, []), tick, trace)
    return found
