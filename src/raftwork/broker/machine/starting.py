"""Tasks whose time has come become ready, range by range (features/starts.py)."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.features.effects import Effect, QueuedInLane
from raftwork.features.number_ranges import spans
from raftwork.features.task_row import ORDERED
from raftwork.features.waiting import Place, wait_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.broker.machine.state import Ledger

# What begins is read once, with all that is asked for then.
_DUE: Final = """SELECT start.first, start.last, queue, flags, lane, task.key, gates
    FROM start CROSS JOIN task ON task.seq = start.first
    WHERE start.due <= ? ORDER BY start.due, start.first LIMIT ?"""
_DROP: Final = "DELETE FROM start WHERE first = ?"
_BEGIN_AT: Final = "UPDATE start SET first = ? WHERE first = ?"
_READY: Final = "UPDATE task SET phase = 0, place = seq + ? WHERE seq BETWEEN ? AND ?"
_WAIT: Final = "INSERT INTO laned SELECT lane, place, seq FROM task WHERE seq BETWEEN ? AND ?"


class _Range(NamedTuple):
    first: int
    last: int
    queue: int
    flags: int
    lane: int
    key: str
    gates: str


def start(ledger: Ledger, limit: int, effects: list[Effect]) -> None:
    """So many of those whose time has come wait in their lanes, behind all that are enqueued.

    A place is taken once: loss, release and retry keep it.
    """
    counts: defaultdict[int, int] = defaultdict(int)
    moved: list[tuple[int, int, int]] = []  # by how much, from where, up to where
    begun: list[tuple[int]] = []  # ranges that are over
    ordered: list[Place] = []
    waiting: dict[int, QueuedInLane] = {}
    for each in [_Range(*row) for row in ledger.db.execute(_DUE, (ledger.time, limit))]:
        last = min(each.last, each.first + limit - 1)
        if last < each.last:
            ledger.db.execute(_BEGIN_AT, (last + 1, each.first))
        else:
            begun.append((each.first,))
        there = range(each.first, last + 1)
        places = range(ledger.seq + 1, ledger.seq + 1 + len(there))
        ledger.seq += len(there)
        counts[each.queue] += len(there)
        moved.append((places[0] - each.first, each.first, last))
        if each.flags & ORDERED:
            ordered += _places(each, there, places)
        else:
            _put(waiting, ledger.numbered[each.queue].name, each.lane, there, places)
        limit -= len(there)
        if not limit:
            break
    ledger.db.executemany(_DROP, begun)
    ledger.db.executemany(_READY, moved)
    for number, many in counts.items():
        queue = ledger.touch(ledger.numbered[number].name)
        queue.scheduled -= many
        queue.queued += many
    _wait(ledger, waiting, effects)
    effects += wait_first(ledger, ordered)


def _places(each: _Range, seqs: Sequence[int], places: Sequence[int]) -> list[Place]:
    of, key = (each.flags, each.lane), (each.key, each.gates)
    return [
        Place(each.queue, seq, *of, place, *key) for seq, place in zip(seqs, places, strict=True)
    ]


def _put(
    waiting: dict[int, QueuedInLane],
    queue: str,
    lane: int,
    seqs: Sequence[int],
    places: Sequence[int],
) -> None:
    """Those of a lane are told together."""
    tasks = list(zip(seqs, places, strict=True))
    if lane in waiting:
        waiting[lane].tasks.extend(tasks)
    else:
        waiting[lane] = QueuedInLane(queue, lane, tasks)


def _wait(ledger: Ledger, waiting: dict[int, QueuedInLane], effects: list[Effect]) -> None:
    for effect in waiting.values():
        seqs = [seq for seq, _ in effect.tasks]
        alone, found = spans(seqs)
        ledger.db.executemany(_WAIT, [(seq, seq) for seq in alone] + found)
        ledger.journal.ready(seqs, ledger.time)
        effects.append(effect)
