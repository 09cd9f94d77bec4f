"""Tags: what a task is about, in its enqueuer's words, such as customer=7.

1. A task has at most eight, each a key and a value, and no key twice. Who enqueues says so; brokers
   refuse the rest (task_batch.py).
2. Only a task that has tags has rows in `tag`. They stand in the order of (key, value, seq), so
   that all tasks of a tag are found without a scan, and go with the task's result.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.features.task_row import TAGGED

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.features.feature import Feature
    from raftwork.features.lifecycle import Entering
    from raftwork.messages import Spec

_TAGS = "SELECT key, value FROM tag WHERE seq = ? ORDER BY key"
_TAGS_OF_EACH = """SELECT tag.seq, tag.key, tag.value
    FROM json_each(?) AS asked CROSS JOIN tag ON tag.seq = asked.value ORDER BY tag.seq, tag.key"""
_TAGGED = """SELECT seq FROM tag WHERE key = ? AND value = ? AND seq < ?
    ORDER BY seq DESC LIMIT ?"""


def tags_of(ledger: "Ledger", seq: int) -> list[tuple[str, str]]:
    """A task's tags, in the order of their keys."""
    if ledger.level < LEVEL_OPTIONS:
        return []
    return list(ledger.db.execute(_TAGS, (seq,)))


def tags_of_each(ledger: "Ledger", seqs: Sequence[int]) -> dict[int, list[tuple[str, str]]]:
    """As `tags_of`, of several tasks that have some, by their numbers."""
    found: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for seq, key, value in ledger.db.execute(_TAGS_OF_EACH, (str(list(seqs)),)):
        found[seq].append((key, value))
    return found


def tagged(ledger: "Ledger", key: str, value: str, before: int, limit: int) -> list[int]:
    """The numbers of the newest tasks with this tag, below `before`."""
    if ledger.level < LEVEL_OPTIONS:
        return []
    return [seq for (seq,) in ledger.db.execute(_TAGGED, (key, value, before, limit))]


def _enters(ledger: "Ledger", _spec: "Spec", task: "Entering") -> None:
    if task.extras.tags:
        task.flags |= TAGGED
        rows = [(key, value, seq) for key, value in task.extras.tags for seq in task.seqs]
        ledger.db.executemany("INSERT INTO tag VALUES (?, ?, ?)", rows)


def _forget(ledger: "Ledger", seqs: Sequence[int]) -> None:
    """Their results go, and what they are about with them."""
    ledger.db.executemany("DELETE FROM tag WHERE seq = ?", [(seq,) for seq in seqs])


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature
    from raftwork.features.lifecycle import Lifecycle

    return Feature("tags", lifecycles=[Lifecycle(TAGGED, enters=_enters, buried=_forget)])
