"""Tags: what a task is about, in its enqueuer's words, such as customer=7.

1. A task has at most eight, each a key and a value, and no key twice. Who enqueues says so; brokers
   refuse the rest (task_batch.py).
2. Tasks that entered together with the same tags have one row of each tag in `tag`, so a tag costs
   a batch what it costs a task. They stand in the order of (key, value, number), so that all tasks
   of a tag are found without a scan. A row goes with the result of its last task.
3. Of tasks that ended one by one, with long times between them, the rows stay. So who looks for
   those of a tag looks at so many tasks, whether their results are there or not.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.features.task_row import TAGGED, TOMBSTONE

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.features.feature import Feature
    from raftwork.features.lifecycle import Entering
    from raftwork.messages import Spec

# The ranges of two tasks are the same, or have no task in common: so the last that begins up to a
# number is that of the task with this number, if it has one.
_TAGS = """SELECT key, value FROM tag
    WHERE first = (SELECT max(first) FROM tag WHERE first <= ?1) AND last >= ?1
        AND (SELECT phase FROM task WHERE seq = ?1) != ?2 ORDER BY key"""
_ROWS = """SELECT last, tasks, key, value FROM tag
    WHERE first = (SELECT max(first) FROM tag WHERE first <= ?1) AND last >= ?1 ORDER BY key"""
_TAGGED = """SELECT task.seq, phase FROM tag CROSS JOIN task
        ON task.seq BETWEEN tag.first AND min(tag.last, ?3 - 1)
    WHERE tag.key = ?1 AND tag.value = ?2 AND tag.first < ?3
    ORDER BY tag.first DESC, task.seq DESC LIMIT ?4"""
_TAGGED_AFTER = """SELECT task.seq, phase FROM tag CROSS JOIN task
        ON task.seq BETWEEN max(tag.first, ?3 + 1) AND min(tag.last, ?4)
    WHERE tag.key = ?1 AND tag.value = ?2 AND tag.first <= ?4 AND tag.first >= coalesce(
        (SELECT max(first) FROM tag WHERE key = ?1 AND value = ?2 AND first <= ?3), 0)
    ORDER BY tag.first, task.seq LIMIT ?5"""
_INSERT = "INSERT INTO tag VALUES (?, ?, ?, ?, ?)"
_COUNT = (
    "UPDATE tag SET tasks = tasks - ? WHERE first = (SELECT max(first) FROM tag WHERE first <= ?)"
)
_DROP = "DELETE FROM tag WHERE first = (SELECT max(first) FROM tag WHERE first <= ?)"


def tags_of(ledger: "Ledger", seq: int) -> list[tuple[str, str]]:
    """A task's tags, in the order of their keys; none once its result is dropped."""
    if ledger.level < LEVEL_OPTIONS:
        return []
    return list(ledger.db.execute(_TAGS, (seq, TOMBSTONE)))


def tags_of_each(ledger: "Ledger", seqs: Sequence[int]) -> dict[int, list[tuple[str, str]]]:
    """The tags of several tasks that have some, and their results, by their numbers.

    Those of a range have one list together.
    """
    found: dict[int, list[tuple[str, str]]] = {}
    for some, _, tags in _by_range(ledger, seqs):
        found.update(dict.fromkeys(some, tags))
    return found


def _by_range(
    ledger: "Ledger", seqs: Sequence[int]
) -> Iterator[tuple[Sequence[int], int, list[tuple[str, str]]]]:
    """These, which have tags, by their ranges: with how many it counts, and its tags."""
    there, begin = sorted(seqs), 0
    while begin < len(there):
        rows = list(ledger.db.execute(_ROWS, (there[begin],)))
        assert rows, "a tagged task has no tags"
        last, tasks, *_ = rows[0]
        end = bisect_right(there, last, begin)
        yield there[begin:end], tasks, [(key, value) for _, _, key, value in rows]
        begin = end


def tagged(
    ledger: "Ledger", key: str, value: str, before: int, limit: int
) -> list[tuple[int, bool]]:
    """The numbers of the newest tasks with this tag, below `before`, and whether it has a result,
    or will have one: the others have lost their tags.
    """
    if ledger.level < LEVEL_OPTIONS:
        return []
    rows = ledger.db.execute(_TAGGED, (key, value, before, limit))
    return [(seq, phase != TOMBSTONE) for seq, phase in rows]


def tagged_after(
    ledger: "Ledger", key: str, value: str, after: int, upto: int, limit: int
) -> list[tuple[int, bool]]:
    """As `tagged`, the oldest above `after`, up to `upto`, in their order."""
    rows = ledger.db.execute(_TAGGED_AFTER, (key, value, after, upto, limit))
    return [(seq, phase != TOMBSTONE) for seq, phase in rows]


def _enters(ledger: "Ledger", _spec: "Spec", task: "Entering") -> None:
    if task.extras.tags:
        task.flags |= TAGGED
        there = (task.seqs[0], task.seqs[-1], len(task.ids))
        ledger.db.executemany(_INSERT, [(*tag, *there) for tag in task.extras.tags])


def _forget(ledger: "Ledger", seqs: Sequence[int]) -> None:
    """Their results go, and what they are about with them."""
    for some, tasks, _ in list(_by_range(ledger, seqs)):
        if len(some) == tasks:
            ledger.db.execute(_DROP, (some[0],))
        else:
            ledger.db.execute(_COUNT, (len(some), some[0]))


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature
    from raftwork.features.lifecycle import Lifecycle

    return Feature("tags", lifecycles=[Lifecycle(TAGGED, enters=_enters, buried=_forget)])
