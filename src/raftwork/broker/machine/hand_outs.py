"""Tasks are handed out: each that may run now gets the next token.

1. What is not an ordinary task, or waits in a queue that holds back, is asked about for itself. Of
   any other nothing is read but its row.
2. What is assigned with its enqueue is none of these: it never waits (`Ledger.assign_new`).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from raftwork.broker.machine.level_two import ByLevel
from raftwork.broker.machine.queue import Queue
from raftwork.broker.machine.state import Ledger, Running
from raftwork.features.lifecycle import Hooks
from raftwork.features.limit_settings import gates_named
from raftwork.features.number_ranges import is_range
from raftwork.features.task_row import ORDERED
from raftwork.features.waiting import Place, unwait
from raftwork.wire import maker

_running = maker(Running)
#: Of an ordinary task.
_NONE = Hooks.of((), 0)
_ROW = """SELECT seq, task.id, queue, attempt, failures, losses, length(body), spec, {flags},
    {lane}, {place}, task.key, {gates} FROM """
_RANGE = ByLevel(f"{_ROW} task WHERE seq BETWEEN ? AND ? AND phase = 0 ORDER BY seq")
_LISTED = ByLevel(f"{_ROW} json_each(?) CROSS JOIN task ON task.seq = value WHERE phase = 0")


def assign(ledger: Ledger, worker: bytes, seqs: Sequence[int]) -> tuple[list[Running], list[int]]:
    """Give those of these tasks that wait, and may run now, the next tokens, in order.

    Also returns the others. Nothing of a paused queue is given.
    """
    runs: list[Running] = []
    ordinary: defaultdict[int, list[int]] = defaultdict(list)
    laned: defaultdict[int, list[int]] = defaultdict(list)
    ordered: list[Place] = []
    for row in _rows(ledger, seqs):
        seq, id_, number, attempt, failures, losses, size, spec, flags, lane, place, key, gates = (
            row
        )
        if seq in ledger.running_seqs:
            continue
        queue, hooks = ledger.numbered[number], ledger.hooks(flags) if flags else _NONE
        asked = gates or hooks.may_start or queue.paused_until or queue.quota is not None
        if asked and not _may_run(ledger, queue, seq, hooks, gates):
            continue
        ledger.token = token = ledger.token + 1
        name = queue.name
        run = _running(
            (token, seq, id_, name, worker, spec, attempt + 1, failures, losses, size, flags, lane)
        )
        ledger.begin(run, queue)
        runs.append(run)
        for begins in hooks.begins:
            begins(ledger, run)
        if lane:
            laned[lane].append(place or seq)
        else:
            ordinary[number].append(seq)
        if flags & ORDERED:
            ordered.append(Place(number, seq, flags, lane, place or seq, key, gates))
    ledger.journal.assigned(runs, ledger.time)
    unwait(ledger, ordinary, laned, ordered)
    return runs, _others(seqs, runs) if len(runs) < len(seqs) else []


def _rows(ledger: Ledger, seqs: Sequence[int]) -> list[tuple[Any, ...]]:
    """Those that wait or run, in their order."""
    if is_range(seqs):
        return list(ledger.db.execute(_RANGE.at(ledger.level), (seqs[0], seqs[-1])))
    return list(ledger.db.execute(_LISTED.at(ledger.level), (str(list(seqs)),)))


def _others(seqs: Sequence[int], runs: Sequence[Running]) -> list[int]:
    """Those that were not given; of one that is named twice the second."""
    given = {run.seq for run in runs}
    others: list[int] = []
    for seq in seqs:
        if seq in given:
            given.remove(seq)
        else:
            others.append(seq)
    return others


def _may_run(ledger: Ledger, queue: Queue, seq: int, hooks: Hooks, named: str) -> bool:
    """Whether it may be handed out now; if so, it counts at its gates, under the next token."""
    if queue.paused_until:
        return False
    for may_start in hooks.may_start:
        if not may_start(ledger, seq):
            return False
    gates = gates_named(named) if named else ()
    return not (gates or queue.quota is not None) or ledger.gates.enter(
        gates, queue, ledger, ledger.token + 1
    )
