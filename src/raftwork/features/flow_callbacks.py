"""Tasks that run once a flow has ended: after its success, its failure, or both.

They are stored with the flow, or later, and wait for it as tasks wait for others: so each runs once
at most, whoever dies. Those whose case does not come are cancelled. A flow's result is kept until
they have ended.
"""

from typing import TYPE_CHECKING, Annotated, NamedTuple

from raftwork.errors import ProtocolError, UnknownTask
from raftwork.features.effects import Done, Effect
from raftwork.features.flow_graph import CheckedGraph, check_graph, count_tasks, read_graph
from raftwork.features.flow_joins import keep_for_callbacks
from raftwork.features.flow_nodes import has_ended
from raftwork.features.flows import (
    check_growth,
    check_ids,
    enter_callbacks,
)
from raftwork.features.task_batch import check_level
from raftwork.features.task_row import FINISHED
from raftwork.messages import ID_MAX
from raftwork.messages.bounds import Between
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

_FLOW = """SELECT number, phase FROM task JOIN flow ON number = task.seq WHERE task.id = ?"""


@reply(184)
class CallbackAdded(NamedTuple):
    """They are on a majority's disks."""

    request: int


@request(184, reply=CallbackAdded)
class AddCallback(NamedTuple):
    """Run the callbacks of this packed Graph once the flow has ended; each has an id of its own."""

    request: int
    id: Annotated[str, Between(1, ID_MAX)]
    graph: bytes


@command(184, since=2)
class HangOn(NamedTuple):
    """As AddCallback."""

    id: str
    graph: bytes


def _check(view: "View", request: AddCallback) -> HangOn:
    check_level(view.state, "a callback of a flow needs")
    _check_callbacks(check_graph(request.graph, view.state.settings))
    return HangOn(request.id, request.graph)


def _check_callbacks(graph: CheckedGraph) -> None:
    """Raise ProtocolError unless it has callbacks alone, each with an id."""
    if len(graph.nodes) > 1:
        raise ProtocolError("callbacks that are added to a flow come without other nodes")
    if not all(node.id for node in graph.callbacks):
        raise ProtocolError("a callback that is added to a flow has no id: give it one")


def _answer(_view: "View", request: AddCallback, _done: Done) -> CallbackAdded:
    return CallbackAdded(request.request)


def _hang_on(ledger: "Ledger", command: HangOn, effects: list[Effect]) -> Done:
    graph = read_graph(command.graph, ledger.settings)
    _check_callbacks(graph)
    ids = [node.id for node in graph.callbacks]
    row = ledger.db.execute(_FLOW, (command.id,)).fetchone()
    if row is None or (row[1] != FINISHED and has_ended(ledger, row[0])):
        raise UnknownTask(f"no flow has the id {command.id!r}, or it is no longer kept")
    flow = row[0]
    if len(ledger.checksums(ids)) == len(ids):
        return Done()  # asked for again
    check_ids(ledger, ids)
    check_growth(ledger, graph)
    enter_callbacks(ledger, graph, [flow], ids, ledger.time, effects)
    if row[1] == FINISHED:
        keep_for_callbacks(ledger, flow)
        ledger.links.unfired.append(flow)
    return Done()


def _grows(_view: "View", request: AddCallback) -> int:
    return count_tasks(request.graph)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature, change, transition

    return Feature(
        "callbacks of flows",
        rules=[change(AddCallback, _check, _answer, grows=_grows)],
        transitions=[transition(HangOn, _hang_on)],
    )
