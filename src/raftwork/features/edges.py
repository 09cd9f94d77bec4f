"""Tasks that wait for other tasks to end before they begin: what holds them back (`unmet`)."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.features.feature import Feature

_ADD = "INSERT INTO edge VALUES (?1, ?2, ?3, ?4)"
_ADD_UNMET = "INSERT INTO unmet VALUES (?3, ?1, ?2, ?4)"
# Of new tasks, which no other edge leads to: sorted, at a third of the cost.
_ADD_ALL_UNMET = """INSERT INTO unmet SELECT src, dst, slot, kind FROM edge
    WHERE dst BETWEEN ? AND ? ORDER BY src, dst, slot"""
_BEFORE = """SELECT DISTINCT edge.src FROM edge CROSS JOIN unmet
    ON unmet.src = edge.src AND unmet.dst = edge.dst AND unmet.slot = edge.slot
    WHERE edge.dst = ? ORDER BY edge.src"""

#: The task that waits, by which slot, for which task, and the kind (flow_graph.py: EdgeKind).
Edge = tuple[int, int, int, int]


def add(ledger: "Ledger", unmet: Sequence[Edge], met: Sequence[Edge] = ()) -> None:
    """Tasks wait for others; of those in `met` the other one has its outcome already."""
    ledger.db.executemany(_ADD, unmet)
    ledger.db.executemany(_ADD, met)
    ledger.db.executemany(_ADD_UNMET, unmet)


def add_to_new(ledger: "Ledger", unmet: Sequence[Edge]) -> None:
    """As `add`: all edges to new tasks that are numbered in a row, in the order of those."""
    ledger.db.executemany(_ADD, unmet)
    if unmet:
        ledger.db.execute(_ADD_ALL_UNMET, (unmet[0][0], unmet[-1][0]))


def holds(ledger: "Ledger", seq: int) -> Iterator[Sequence[int]]:
    """Every task at the other end of an edge must end by itself."""
    before: list[tuple[int]] = list(ledger.db.execute(_BEFORE, (seq,)))
    yield from before


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature

    return Feature("tasks that wait for others", holds=holds)
