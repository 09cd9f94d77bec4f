"""Tasks that wait for other tasks to end before they begin: what holds them back (`edge`)."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.features.feature import Feature

_BEFORE = "SELECT DISTINCT src FROM edge WHERE dst = ? AND met = 0 ORDER BY src"


def holds(ledger: "Ledger", seq: int) -> Iterator[Sequence[int]]:
    """Every task at the other end of an edge must end by itself."""
    before: list[tuple[int]] = list(ledger.db.execute(_BEFORE, (seq,)))
    yield from before


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature

    return Feature("tasks that wait for others", holds=holds)
