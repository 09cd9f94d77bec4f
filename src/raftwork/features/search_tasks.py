"""Which tasks may pass a filter: SQLite looks at many rows, so that few are looked at as tasks.

1. It goes by the newest first, a part at a time, and says how many rows each part was. A part is
   bounded work, whatever the rows hold.
2. What a statement cannot see (a name while the task has no outcome, the text of an error) passes
   here, and is looked at where the row is read.
3. Tasks that run are few and known by heart; those of a tag, and those that ended without a value,
   have an index. Nothing else has: it would cost every task, and a hundred thousand rows take
   SQLite some ten milliseconds.
"""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache
from heapq import nlargest
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.features.tags import tagged
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.messages import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raftwork.broker.machine.state import Ledger

#: Tasks of one part, at most; each is looked at for about 10 us.
SLICE: Final = 400
#: Rows of one part, at most, and how many of them cost as much as one task.
WINDOW: Final = 4_000
_ROWS_A_TASK: Final = 50

_LOW: Final = """SELECT min(seq), count(*)
    FROM (SELECT seq FROM {0} WHERE {1} < ? ORDER BY seq DESC LIMIT ?)"""
_FIND: Final = "SELECT seq FROM {0} WHERE {1} BETWEEN ? AND ?{2} ORDER BY seq DESC LIMIT ?"
_COUNT: Final = "SELECT count(*) FROM {0} WHERE {1} BETWEEN ? AND ?"
# Behind a long body a row's last columns are far away.
_NAMED: Final = """ AND (task.state = 0 OR length(body) > 4000
    OR named IN (SELECT value FROM json_each(?)))"""
_RAN_ON: Final = """ AND (task.state = 0 OR length(body) > 4000
    OR ran_on IN (SELECT value FROM json_each(?)))"""
_NAMES: Final = "SELECT number, name FROM name"
_WORKERS: Final = "SELECT number FROM worker WHERE name = ?"

_UNSUCCESSFUL: Final = frozenset({State.FAILED, State.LOST, State.CANCELLED})


class Part(NamedTuple):
    """Of one look."""

    seqs: Sequence[int]  # of tasks that may pass, newest first
    scanned: int  # rows that were looked at
    oldest: int  # of them the oldest
    before: int  # where the next part begins; 0: this was the last
    work: int  # a task is 1


class Filter(NamedTuple):
    """Which tasks; what is empty, or UNKNOWN, is any."""

    state: State = State.UNKNOWN
    name: str = ""  # a glob
    queue: str = ""
    tag: Sequence[str] = ()  # a key and a value
    worker: str = ""
    error: str = ""  # a part of it, in whatever case


@lru_cache(maxsize=64)
def glob(pattern: str) -> Callable[[str], object]:
    """Whether a name matches: a function to something that is true, or None."""
    return re.compile(translate(pattern)).match


def parts(ledger: Ledger, wanted: Filter) -> Callable[[int], Part]:
    """A function from a number to the next part of those below it."""
    if wanted.state is State.RUNNING:
        running = ledger.running_seqs
        return lambda before: _listed(nlargest(SLICE, (seq for seq in running if seq < before)))
    if wanted.tag:
        key, value = wanted.tag
        return lambda before: _tagged(tagged(ledger, key, value, before, SLICE))
    scan = _scan_of(ledger, wanted)
    return lambda before: _part(ledger, scan, before)


def _listed(seqs: Sequence[int]) -> Part:
    oldest = seqs[-1] if seqs else 0
    before = oldest if len(seqs) == SLICE else 0
    return Part(seqs, len(seqs), oldest, before, 1 + len(seqs))


def _tagged(rows: Sequence[tuple[int, bool]]) -> Part:
    """Those that have lost their tags were looked at, too."""
    part = _listed([seq for seq, _ in rows])
    return part._replace(seqs=[seq for seq, there in rows if there])


class _Scan(NamedTuple):
    """A scan's statements, and the values that `find` has besides."""

    low: str
    find: str
    rows: str
    values: Sequence[object]


def _part(ledger: Ledger, scan: _Scan, before: int) -> Part:
    db = ledger.db
    ((low, rows),) = db.execute(scan.low, (before, WINDOW))
    if not rows:
        return Part((), 0, 0, 0, 1)
    after = low if rows == WINDOW else 0
    found = db.execute(scan.find, (low, before - 1, *scan.values, SLICE))
    seqs = [seq for (seq,) in found]
    if len(seqs) == SLICE and seqs[-1] > low:
        after = low = seqs[-1]
        ((rows,),) = db.execute(scan.rows, (low, before - 1))
    return Part(seqs, rows, low, after, 1 + len(seqs) + rows // _ROWS_A_TASK)


def _scan_of(ledger: Ledger, wanted: Filter) -> _Scan:
    table, base = "task", "seq"
    more, values = "", list[object]()
    two = ledger.level >= LEVEL_OPTIONS
    failed = wanted.error and wanted.state is State.UNKNOWN
    if two and (failed or wanted.state in _UNSUCCESSFUL):
        table, base = "task INDEXED BY unsuccessful", "task.state > 3 AND seq"
    if wanted.state is not State.UNKNOWN:
        more += " AND task.state = ?"
        values.append(wanted.state.value if wanted.state.final else 0)
    if wanted.queue:
        queue = ledger.queues.get(wanted.queue)
        more += " AND queue = ?"
        values.append(queue.number if queue else -1)
    if two and wanted.name:
        matches = glob(wanted.name)
        numbers = [n for n, name in ledger.db.execute(_NAMES) if matches(name) is not None]
        more += _NAMED
        values.append(str(numbers))
    if two and wanted.worker:
        more += _RAN_ON
        values.append(str([n for (n,) in ledger.db.execute(_WORKERS, (wanted.worker,))]))
    return _Scan(
        _LOW.format(table, base),
        _FIND.format(table, base, more),
        _COUNT.format(table, base),
        values,
    )
