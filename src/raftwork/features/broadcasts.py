"""Broadcasts: a node of a graph that is one task for each active worker.

Which workers those are only the leader knows: it stands in the command that has the graph enter
(`Grow.workers`), so that all replicas make the same tasks of it. The node itself becomes a join:
its value is the list of theirs, in the order of the workers' names, or the empty list if there is
no worker. Which task may run where, and what becomes of it if its worker goes, is in pins.py.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from raftwork.errors import BadMessage, PayloadTooLarge, ProtocolError
from raftwork.features.flow_graph import (
    GRAPH_BYTES_MAX,
    KIND_BITS,
    NODES_MAX,
    BroadcastKind,
    CheckedGraph,
    EdgeKind,
    Node,
    check_edges,
    decode_graph,
    kind_of,
    source,
)
from raftwork.messages import decode_spec
from raftwork.messages.flow_values import Reference, as_shard, packed_reference
from raftwork.wire import pack

if TYPE_CHECKING:
    from raftwork.broker.requests.view import View

#: Of a member's arguments beside those of the broadcast: which one it is, and of how many.
_SHARD_BYTES: Final = 24
#: The active workers' names, in order, by the queues that they serve.
Workers = Sequence[tuple[str, Sequence[str]]]


def has_broadcast(graph: bytes) -> bool:
    """Whether a packed graph has one. Raises BadMessage."""
    return any(node.broadcast for node in decode_graph(graph).nodes)


def refuse_broadcasts(graph: CheckedGraph) -> None:
    """Raise ProtocolError if there is one in a graph that a task has made."""
    if any(node.broadcast for node in graph.nodes):
        raise ProtocolError(
            "a broadcast is no part of what a task spawns or is replaced by: enqueue it"
        )


def workers_for(view: "View", graph: CheckedGraph) -> list[tuple[str, list[str]]]:
    """The workers that are active now and serve the queues of its broadcasts."""
    queues = {graph.specs[node.spec - 1].queue: None for node in graph.nodes if node.broadcast}
    return [(queue, view.workers.inspection.takers(queue)) for queue in queues]


def count_members(view: "View", graph: bytes) -> int:
    """How many tasks its broadcasts would be now, beside one each; 0 if it cannot be read."""
    try:
        read = decode_graph(graph)
        nodes = [node for node in read.nodes if node.broadcast and 0 < node.spec <= len(read.specs)]
        queues = [decode_spec(read.specs[node.spec - 1]).queue for node in nodes]
    except BadMessage:
        return 0
    return sum(max(0, len(view.workers.inspection.takers(queue)) - 1) for queue in queues)


def expanded(graph: CheckedGraph, id_: str, workers: Workers) -> CheckedGraph:
    """The graph of the flow `id_` with a task for each of these workers in the place of each.

    All other nodes have the ids that they would have had. Raises PayloadTooLarge.
    """
    if not any(node.broadcast for node in graph.nodes):
        return graph
    names = dict(workers)
    _check_members(graph, names)
    made = _Expansion()
    for at, node in enumerate(graph.nodes[:-1], 1):
        single = node._replace(id=node.id or f"{id_}/{at}", broadcast=BroadcastKind.NO)
        if node.broadcast:
            queue = graph.specs[node.spec - 1].queue
            made.add_members(single, node.broadcast, names.get(queue, ()))
        else:
            made.add(single)
    made.add(graph.nodes[-1])
    callbacks = made.callbacks(graph.callbacks)
    check_edges(made.nodes)
    return graph._replace(nodes=made.nodes, callbacks=callbacks, pins=made.pins)


class _Expansion:
    """A graph whose nodes stand at other places than before, as there are more of them."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.pins: dict[int, str] = {}
        #: Of each node that was there before its new place.
        self._places: list[int] = []

    def add(self, node: Node) -> None:
        self._places.append(len(self.nodes))
        self.nodes.append(self._moved(node))

    def add_members(self, node: Node, kind: BroadcastKind, workers: Sequence[str]) -> None:
        """A task for each of these, and behind them the join that has their values."""
        node = self._moved(node)
        first, count = len(self.nodes), len(workers)
        for index, worker in enumerate(workers):
            self.pins[len(self.nodes)] = worker
            payload = as_shard(node.payload, index, count)
            self.nodes.append(node._replace(id=f"{node.id}.{index + 1}", payload=payload))
        carries = EdgeKind.CARRIES
        if kind is BroadcastKind.ENDS:
            carries |= EdgeKind.NEEDS_END
        inputs = [_edge(first + index, carries) for index in range(count)]
        if not workers:  # what follows waits for what came before all the same
            inputs = [
                _edge(source(edge), kind_of(edge) & ~EdgeKind.CARRIES) for edge in node.inputs
            ]
        values = pack([packed_reference(Reference(slot)) for slot in range(count)])
        self._places.append(len(self.nodes))
        self.nodes.append(Node(0, values, inputs, node.id))

    def callbacks(self, nodes: Sequence[Node]) -> list[Node]:
        """Their places go on after the last node's."""
        self._places += range(len(self.nodes), len(self.nodes) + len(nodes))
        return [self._moved(node) for node in nodes]

    def _moved(self, node: Node) -> Node:
        inputs = [_edge(self._places[source(edge)], kind_of(edge)) for edge in node.inputs]
        return node._replace(inputs=inputs)


def _edge(place: int, kind: EdgeKind) -> int:
    return place << KIND_BITS | kind.value


def _check_members(graph: CheckedGraph, names: Mapping[str, Sequence[str]]) -> None:
    """Raise PayloadTooLarge if there would be too many of them, or too large ones.

    Before any is made: a mebibyte for each of a thousand workers would take a leader's memory, and
    then that of the next one.
    """
    nodes = size = 0
    for node in graph.nodes:
        copies = 1
        if node.broadcast:
            copies = len(names.get(graph.specs[node.spec - 1].queue, ()))
            nodes += 1  # the join that has their values
        nodes += copies
        size += copies * (len(node.payload) + (_SHARD_BYTES if node.broadcast else 0))
    for what, count, limit in (("nodes", nodes - 1, NODES_MAX), ("bytes", size, GRAPH_BYTES_MAX)):
        if count > limit:
            raise PayloadTooLarge(
                f"a flow of {count} {what}, with a task for each active worker; {limit} are"
                " allowed: broadcast less, or to fewer workers"
            )
