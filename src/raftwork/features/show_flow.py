"""Looking at a flow: its nodes, what they wait for, and what has become of them."""

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.errors import UnknownTask
from raftwork.features.history import names_of
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.messages import State, decode_spec
from raftwork.messages.bounds import Between, Id
from raftwork.messages.registry import reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature, Slices

#: Nodes, and edges, in one page.
PAGE_MAX: Final = 1_000
_NEEDS_MAX: Final = 10_000
#: Nodes that are read at a time, some 10 us each with their edges.
_SLICE: Final = 100

_FLOW = """SELECT number, failed, task.id FROM task JOIN flow ON number = seq WHERE task.id = ?"""
_NODES = """SELECT seq, task.id, spec, named, phase != 6 AND queue > 0
    FROM node CROSS JOIN task USING (seq) WHERE node.flow = ? AND seq > ? ORDER BY seq LIMIT ?"""
_NEEDS = """SELECT dst, task.id FROM json_each(?) CROSS JOIN edge ON dst = value
    CROSS JOIN task ON task.seq = src ORDER BY dst, slot LIMIT ?"""


class NodeFacts(NamedTuple):
    """A node in short."""

    number: int  # grows with every task that comes in
    id: str
    name: str  # empty if it has no code, or if it is not kept
    state: State
    needs: list[str]  # the ids of the tasks that it waits for, or waited


@reply(182)
class FlowPage(NamedTuple):
    """Answers ShowFlow. `after` is where the next page begins; 0 if this is the last."""

    request: int
    state: State
    failed: int  # nodes without a value, so far
    nodes: list[NodeFacts]
    after: int


@request(182, reply=FlowPage)
class ShowFlow(NamedTuple):
    """The nodes of a flow numbered above `after`, in their order (linearizable)."""

    request: int
    id: Id
    after: int
    limit: Annotated[int, Between(1, PAGE_MAX)]


def _show(view: "View", asked: ShowFlow) -> "Slices":
    ledger = view.state
    row = None
    if ledger.level >= LEVEL_OPTIONS:
        row = ledger.db.execute(_FLOW, (asked.id,)).fetchone()
    if row is None:
        raise UnknownTask(f"no flow has the id {asked.id!r}, or it is no longer remembered")
    flow, failed, _ = row
    nodes: list[NodeFacts] = []
    after, needs = asked.after, 0
    while len(nodes) < asked.limit and needs < _NEEDS_MAX:
        part = _part(view, flow, after, min(_SLICE, asked.limit - len(nodes)))
        nodes += part
        needs += sum(len(node.needs) for node in part)
        yield max(1, len(part))
        if len(part) < _SLICE and len(nodes) < asked.limit:
            after = 0
            break
        after = nodes[-1].number
    (state,) = view.machine.states([asked.id])
    return FlowPage(asked.request, state, failed, nodes, after)


def _part(view: "View", flow: int, after: int, limit: int) -> list[NodeFacts]:
    ledger = view.state
    rows = list(ledger.db.execute(_NODES, (flow, after, limit)))
    needs = _needs(ledger, [row[0] for row in rows])
    names = names_of(ledger, [named for _, _, spec, named, _ in rows if not spec])
    states = view.machine.states([id_ for _, id_, *_ in rows])
    return [
        NodeFacts(
            seq, id_, decode_spec(spec).name if spec else names.get(named, ""), state, needs[seq]
        )
        for (seq, id_, spec, named, _), state in zip(rows, states, strict=True)
    ]


def _needs(ledger: "Ledger", seqs: list[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {seq: [] for seq in seqs}
    for dst, id_ in ledger.db.execute(_NEEDS, (str(seqs), _NEEDS_MAX)):
        found[dst].append(id_)
    return found


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, read_by_slices

    return Feature(
        "looking at flows",
        rules=[read_by_slices(ShowFlow, _show)],
        budget=Budget(requests=100, bytes=4 * 1024 * 1024),
    )
