"""Since when the oldest task of each queue waits for a worker, for those who ask.

That is a look at an index for each queue and lane, of so many at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.features.task_batch import LEVEL_OPTIONS

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger

#: Queues in which something waits, and lanes of each.
QUEUES_MAX: Final = 200
_LANES_MAX: Final = 50
_FIRST: Final = "SELECT min(seq) FROM waiting WHERE queue = ?"
_FIRST_IN_LANES: Final = f"""SELECT
        (SELECT seq FROM laned WHERE lane = number ORDER BY place LIMIT 1)
    FROM lane WHERE queue = ? LIMIT {_LANES_MAX}"""  # noqa: S608 - a number of ours


def oldest_waits(ledger: Ledger) -> dict[str, int]:
    """By queue, leader time. Of what was ready before this process began that is since when."""
    found: dict[str, int] = {}
    since = ledger.journal.waits.since
    for queue in ledger.queues.values():
        if not queue.queued:
            continue
        rows = list(ledger.db.execute(_FIRST, (queue.number,)))
        if ledger.level >= LEVEL_OPTIONS:
            rows += ledger.db.execute(_FIRST_IN_LANES, (queue.number,))
        times = [since(seq) for (seq,) in rows if seq is not None]
        if times:
            found[queue.name] = min(times)
        if len(found) == QUEUES_MAX:
            break
    return found
