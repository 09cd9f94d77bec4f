"""Where a task comes from, and what came of it: its flow, who made it, whom it made."""

from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.features.flow_nodes import flows_of
from raftwork.features.task_batch import LEVEL_OPTIONS

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger

#: Ids of children that are told.
CHILDREN_MAX: Final = 20
#: Nodes of a flow, and dead tasks, that are looked at: about a millisecond each.
_LOOKED_AT: Final = 2_000

_FLOW = "SELECT flow FROM task WHERE seq = ?"
_CHILDREN = """SELECT task.id FROM
    (SELECT seq FROM node WHERE flow = ? AND seq > ? ORDER BY seq LIMIT ?)
    CROSS JOIN task USING (seq) WHERE task.parent = ? LIMIT ?"""
_RETRY_OF = """SELECT task.id
    FROM (SELECT seq, again FROM dead ORDER BY number DESC LIMIT ?) AS newest
    CROSS JOIN task ON task.seq = newest.seq WHERE again = ?"""


class Lineage(NamedTuple):
    """A task's kin, by their ids; empty: there is none, or it is not known (any more)."""

    flow: str = ""  # that it is in
    parent: str = ""  # the task whose code made it
    children: list[str] = []  # noqa: RUF012 - never changed: those that its code made, in a flow
    more: bool = False  # there may be more of them
    retry_of: str = ""  # the dead task that it runs again


NO_LINEAGE: Final = Lineage()


def lineage_of(ledger: "Ledger", seq: int, id_: str) -> Lineage:
    """Of the task of this number and id."""
    retried = [one for (one,) in ledger.db.execute(_RETRY_OF, (_LOOKED_AT, id_))]
    retry_of = retried[0] if retried else ""
    if ledger.level < LEVEL_OPTIONS:
        return Lineage(retry_of=retry_of)
    flow, parent = flows_of(ledger, [seq])[seq]
    number = abs(ledger.db.execute(_FLOW, (seq,)).get) or seq
    asked = (number, seq, _LOOKED_AT, seq, CHILDREN_MAX + 1)
    children = [child for (child,) in ledger.db.execute(_CHILDREN, asked)]
    more = len(children) > CHILDREN_MAX
    return Lineage("" if flow == id_ else flow, parent, children[:CHILDREN_MAX], more, retry_of)
