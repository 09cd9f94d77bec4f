"""Tasks that wait to be handed out: they come to stand there, leave, or end without having run.

An ordinary task waits in `waiting`, by its number. Others wait in a lane, by their place (`laned`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from raftwork.features.effects import Settled
from raftwork.features.history import ending
from raftwork.features.losses import forget_losses
from raftwork.features.task_row import (
    BLOCKED,
    DELAYED,
    FINISHED,
    LANED,
    PENDING,
    SCHEDULED,
)
from raftwork.messages import State, decode_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from raftwork.broker.machine.state import Ledger

_WAIT = "INSERT INTO waiting VALUES (?, ?)"
_WAIT_IN_LANE = """INSERT INTO laned
    SELECT lane, CASE place WHEN 0 THEN seq ELSE place END, seq FROM task WHERE seq = ?"""
_UNWAIT = "DELETE FROM waiting WHERE queue = ? AND seq = ?"
_LEAVE_LANE = """DELETE FROM laned WHERE (lane, place) IN
    (SELECT lane, CASE place WHEN 0 THEN seq ELSE place END FROM task WHERE seq = ?)"""
_FIRST = """SELECT task.seq, task.id, task.queue, spec, length(body), losses, phase, attempt, %s
    FROM waiting CROSS JOIN task ON task.seq = waiting.seq
    WHERE waiting.queue = ? AND waiting.seq <= ? ORDER BY waiting.seq LIMIT ?"""
# In the phases PENDING, DELAYED, SCHEDULED and BLOCKED.
_AMONG = """SELECT task.seq, task.id, task.queue, spec, length(body), losses, phase, attempt, %s
    FROM json_each(?) CROSS JOIN task ON task.seq = value WHERE phase IN (0, 1, 4, 5)"""


#: Where a task waits: the number of its queue, its own, and its flags.
Place = tuple[int, int, int]


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


def wait(ledger: Ledger, tasks: Sequence[Place]) -> None:
    """These wait from now on, at their places."""
    ordinary = [(queue, seq) for queue, seq, flags in tasks if not flags & LANED]
    ledger.db.executemany(_WAIT, ordinary)
    if len(ordinary) < len(tasks):
        laned = [(seq,) for _, seq, flags in tasks if flags & LANED]
        ledger.db.executemany(_WAIT_IN_LANE, laned)


def unwait(ledger: Ledger, tasks: Sequence[Place]) -> None:
    """These wait no more."""
    before = ledger.db.total_changes()
    ordinary = [(queue, seq) for queue, seq, flags in tasks if not flags & LANED]
    ledger.db.executemany(_UNWAIT, ordinary)
    if len(ordinary) < len(tasks):
        laned = [(seq,) for _, seq, flags in tasks if flags & LANED]
        ledger.db.executemany(_LEAVE_LANE, laned)
    changed = ledger.db.total_changes() - before
    assert changed == len(tasks), "a live task neither ran nor waited"


def first_waiting(ledger: Ledger, queue: str, upto: int, limit: int) -> list[Unstarted]:
    """Of the ordinary tasks that wait in a queue, numbered up to `upto`, so many, in order."""
    known = ledger.queues.get(queue)
    if known is None:
        return []
    rows = ledger.db.execute(_FIRST % ledger.flags_column, (known.number, upto, limit))
    return [Unstarted(*row) for row in rows]


def unstarted(ledger: Ledger, seqs: Iterable[int]) -> list[Unstarted]:
    """Those of these tasks that have no outcome and do not run, in the order of `seqs`."""
    asked = str([seq for seq in seqs if seq not in ledger.running_seqs])
    return [Unstarted(*row) for row in ledger.db.execute(_AMONG % ledger.flags_column, (asked,))]


def end_unstarted(
    ledger: Ledger, tasks: Sequence[Unstarted], state: State, data: bytes
) -> list[Settled]:
    """Tasks that never ran have this outcome: they are handed out no more. `data` as in Result."""
    if not tasks:
        return []
    cap = ledger.settings.result_ttl
    specs = [decode_spec(task.spec) for task in tasks]
    ends = [ledger.time + min(spec.result_ttl, cap) for spec in specs]
    named = [ledger.names[spec.name] for spec in specs]
    pending = [task for task in tasks if task.phase == PENDING]
    unwait(ledger, [(task.queue, task.seq, task.flags) for task in pending])
    for task in tasks:
        if task.flags:
            ledger.ended(task.seq, task.flags)
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
    return [Settled(0, task.seq, task.id, names[task.queue].name, state, data) for task in tasks]


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
