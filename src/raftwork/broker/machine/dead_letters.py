"""Losses, and the dead: tasks that ended without a value.

Rules of this file:
1. An outcome stands for ever (G3). To retry a dead task is to enqueue another with its contents;
   the dead one remembers that one's id, so that to ask twice is to retry once.
2. A dead task's payload is kept as long as its result, and of all of them only so many and so many
   bytes: the oldest go first, and their outcomes stay.
3. What a task lost is written down while it may lose more, and kept with the dead.
"""

from collections.abc import Iterable
from contextlib import closing

from raftwork.broker.machine.state import Ledger, Running, spec_of
from raftwork.features.dead_letters import DeadDetails, DeadTask, Purge
from raftwork.messages import Loss, State, failure_head

#: Characters of an error in a list, and bytes of a packed Failure read for them.
_ERROR_MAX = 200
_HEAD_BYTES = 2_048

_KEEP = """INSERT INTO dead (seq, queue, ended, attempts, failures, losses, spec, payload)
    SELECT seq, queue, ?, ?, ?, ?, spec, body FROM task WHERE seq = ?
    RETURNING length(spec) + length(payload)"""
_DROP = "DELETE FROM dead WHERE seq = ? RETURNING length(spec) + length(payload)"
_TASK = """SELECT dead.number, task.id, dead.spec, task.state, ended, attempts, dead.failures,
    dead.losses, again, task.body"""
#: The same for a list: a failure may have a mebibyte, of which a line is shown.
_HEADS = _TASK.replace("task.body", f"substr(task.body, 1, {_HEAD_BYTES})")
BY_ID = " FROM task JOIN dead USING (seq) WHERE task.id = ?"
_PAGE = """ FROM dead JOIN task USING (seq)
    WHERE dead.number < ? AND (? = 0 OR dead.queue = ?) ORDER BY dead.number DESC LIMIT ?"""
_LOSSES = "SELECT worker, exit, signal, memory, time FROM loss WHERE seq = ? ORDER BY number"
#: A row of _TASK.
_Row = tuple[int, str, bytes, int, int, int, int, int, str, bytes]


# ---- losses -----------------------------------------------------------------------------------


def note_losses(ledger: Ledger, runs: Iterable[Running], by: Loss) -> None:
    """These tasks ran when `by` was lost; their count says so already."""
    ledger.db.executemany(
        "INSERT INTO loss VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(r.seq, r.losses, by.worker, by.exit, by.signal, by.memory, ledger.time) for r in runs],
    )


def forget_losses(ledger: Ledger, seqs: Iterable[int]) -> None:
    """Nobody will ask what these tasks lost."""
    ledger.db.executemany("DELETE FROM loss WHERE seq = ?", [(seq,) for seq in seqs])


# ---- who is dead ------------------------------------------------------------------------------


def keep(ledger: Ledger, runs: Iterable[Running]) -> None:
    """These are about to end without a value: their contents are still in their rows."""
    for run in runs:
        counts = (run.attempt, run.failures, run.losses)
        ((size,),) = list(ledger.db.execute(_KEEP, (ledger.time, *counts, run.seq)))
        ledger.dead += 1
        ledger.dead_bytes += size


def drop(ledger: Ledger, seqs: Iterable[int]) -> int:
    """Those of these tasks that are dead cannot be retried any more; gives how many."""
    if not ledger.dead:
        return 0
    dropped = []
    for seq in seqs:
        for (size,) in list(ledger.db.execute(_DROP, (seq,))):
            dropped.append(seq)
            ledger.dead_bytes -= size
    ledger.dead -= len(dropped)
    forget_losses(ledger, dropped)
    return len(dropped)


def trim(ledger: Ledger) -> None:
    """Keep the dead within their limits: the oldest go first."""
    limits = ledger.limits
    while ledger.dead > limits.dead or ledger.dead_bytes > limits.dead_bytes:
        many = max(1, ledger.dead - limits.dead)
        rows = list(ledger.db.execute("SELECT seq FROM dead ORDER BY number LIMIT ?", (many,)))
        assert rows, "dead tasks are counted that are not there"
        drop(ledger, [seq for (seq,) in rows])


# ---- commands ---------------------------------------------------------------------------------


def purge(ledger: Ledger, command: Purge) -> int:
    """Forget the contents of dead tasks; gives of how many."""
    db = ledger.db
    if command.ids:
        found = [list(db.execute("SELECT seq" + BY_ID, (id_,))) for id_ in command.ids]
        return drop(ledger, [seq for rows in found for (seq,) in rows])
    number = _number(ledger, command.queue)
    rows = list(db.execute("SELECT seq FROM dead WHERE ? = 0 OR queue = ?", (number, number)))
    return drop(ledger, [seq for (seq,) in rows])


# ---- questions --------------------------------------------------------------------------------


def page(ledger: Ledger, queue: str, before: int, limit: int) -> list[DeadTask]:
    """Dead tasks numbered below `before`, newest first; an empty name is all queues."""
    number = _number(ledger, queue)
    with closing(ledger.db.execute(_HEADS + _PAGE, (before, number, number, limit))) as rows:
        return [_dead_task(row) for row in rows]


def details(ledger: Ledger, request: int, id_: str) -> DeadDetails | None:
    """Everything about one dead task; None if there is none of this id."""
    rows = list(ledger.db.execute(_TASK + ", dead.payload, seq" + BY_ID, (id_,)))
    if not rows:
        return None
    ((*row, payload, seq),) = rows
    task = _dead_task((*row,))
    losses = [Loss(*loss) for loss in ledger.db.execute(_LOSSES, (seq,))]
    return DeadDetails(request, task, row[-1], payload, losses)


def retried_as(ledger: Ledger, id_: str) -> str:
    """The id under which a dead task was enqueued again; empty if it was not."""
    rows: list[tuple[str]] = list(ledger.db.execute("SELECT again" + BY_ID, (id_,)))
    return rows[0][0] if rows else ""


def _number(ledger: Ledger, queue: str) -> int:
    """0 stands for all queues, and -1 for one that nobody used."""
    if not queue:
        return 0
    known = ledger.queues.get(queue)
    return known.number if known else -1


def _dead_task(row: _Row) -> DeadTask:
    number, id_, packed, state, ended, attempts, failures, losses, again, body = row
    spec, error = spec_of(packed), failure_head(body, _ERROR_MAX)
    counts = (attempts, failures, losses)
    return DeadTask(number, id_, spec.name, spec.queue, State(state), ended, *counts, error, again)
