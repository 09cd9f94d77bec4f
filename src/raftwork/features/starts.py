"""Tasks that wait for their time for the first time (the phase SCHEDULED), by ranges.

1. Tasks that entered together become ready together: one row of `start` has all of them. They have
   the same queue, lane and flags, and numbers that follow each other.
2. What ends or is moved before its time leaves its range, which is parted there.
3. In `task` they have no `due`: a row in the index of times, for each, would have to be made and
   deleted again, which costs as much as to hand them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.features.number_ranges import spans

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raftwork.broker.machine.state import Ledger

_INSERT: Final = "INSERT INTO start VALUES (?, ?, ?)"
#: The range of the task with this number.
_OF: Final = """SELECT first, last, due FROM start
    WHERE first = (SELECT max(first) FROM start WHERE first <= ?1) AND last >= ?1"""
_DROP: Final = "DELETE FROM start WHERE first = ?"
_END_AT: Final = "UPDATE start SET last = ? WHERE first = ?"
_NEXT: Final = "SELECT min(due) FROM start"
#: For a statement that reads tasks: the due time of one that has none in its row.
DUE_OF_SCHEDULED: Final = """CASE phase WHEN 4 THEN
    (SELECT start.due FROM start WHERE first <= task.seq ORDER BY first DESC LIMIT 1)
    ELSE due END"""


def schedule(ledger: Ledger, due: int, first: int, last: int) -> None:
    """These tasks, alike and in the phase SCHEDULED, are ready at that machine time."""
    ledger.db.execute(_INSERT, (first, last, due))
    ledger.next_start = min(ledger.next_start, due)


def unschedule(ledger: Ledger, seqs: Iterable[int]) -> None:
    """These, which are SCHEDULED, do not become ready any more."""
    alone, found = spans(sorted(seqs))
    for first, last in (*((seq, seq) for seq in alone), *found):
        begin = first
        while begin <= last:
            there = _range_of(ledger, begin)
            end = min(last, there[1])
            _cut(ledger, there, begin, end)
            begin = end + 1


def _range_of(ledger: Ledger, seq: int) -> tuple[int, int, int]:
    """The first and the last number of a task's range, and when it is due."""
    row: tuple[int, int, int] | None = ledger.db.execute(_OF, (seq,)).fetchone()
    assert row is not None, "a scheduled task has no time"
    return row


def _cut(ledger: Ledger, there: tuple[int, int, int], begin: int, end: int) -> None:
    """From `begin` to `end` a range has no tasks any more."""
    first, last, due = there
    if first < begin:
        ledger.db.execute(_END_AT, (begin - 1, first))
    else:
        ledger.db.execute(_DROP, (first,))
    if end < last:
        ledger.db.execute(_INSERT, (end + 1, last, due))


def due_of(ledger: Ledger, seq: int) -> int:
    """When a SCHEDULED task becomes ready."""
    return _range_of(ledger, seq)[2]


def next_start(ledger: Ledger) -> int | None:
    """When the next one becomes ready; None if none is SCHEDULED."""
    due: int | None = ledger.db.execute(_NEXT).get
    return due
