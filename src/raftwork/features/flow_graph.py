"""Graphs of tasks as they travel and stand in the log: what they must be, read and measured.

1. A node is a task, or a join: a row without code, whose value is made of others' values. Its edges
   are listed with it, by the places of the nodes that they come from. Those stand before it: so no
   list of nodes has a cycle, and one look tells.
2. Whoever makes a graph counts its nodes and bytes; brokers refuse what is larger, before it is in
   the log.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum, IntFlag
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.durations import ms_in_words
from raftwork.errors import BadMessage, NewerMessage, PayloadTooLarge, ProtocolError
from raftwork.features.task_batch import AT_MAX_MS, AT_MOST, NO_EXTRAS, check_extras, read_spec
from raftwork.messages import Extras, Spec, decode_spec
from raftwork.wire import Codec, pack

if TYPE_CHECKING:
    from raftwork.features.cluster_settings import ClusterSettings

#: Of one graph: nodes, edges between them, and bytes, all that it carries included.
NODES_MAX: Final = 10_000
EDGES_MAX: Final = 50_000
GRAPH_BYTES_MAX: Final = 16 * 1024 * 1024
#: Kinds of tasks in one graph, each with a Spec of its own.
SPECS_MAX: Final = 1_000
#: Signals that are said to one flow, and nodes of it that wait for some.
SIGNALS_MAX: Final = 1_000
#: Of the values that one node gets and its arguments, or that a join is made of. More would be
#: refused by a worker's socket (FRAME_BYTES_MAX).
INPUT_BYTES_MAX: Final = 16 * 1024 * 1024
#: Of what a join is made of: ten thousand references, and room for what stands between them. Every
#: replica reads it, in a tenth of a second.
TEMPLATE_BYTES_MAX: Final = 256 * 1024
#: Characters that the id of a task of a broadcast has more than the broadcast's: a dot, a number.
MEMBER_ID_MORE: Final = 6
#: An edge is packed as `source << KIND_BITS | kind`.
KIND_BITS: Final = 3
_KIND: Final = (1 << KIND_BITS) - 1


class EdgeKind(IntFlag):
    """What an edge asks of the task that it comes from, and what it brings."""

    #: No bit: that task has succeeded; else the waiting one is cancelled.
    NEEDS_VALUE = 0
    #: Whatever its outcome: in the place of a value stands a failure.
    NEEDS_END = 1
    #: It has no value; else the waiting one is cancelled.
    NEEDS_FAILURE = 2
    #: Its value goes to the waiting one.
    CARRIES = 4


_CARRIES: Final = EdgeKind.CARRIES.value


class BroadcastKind(IntEnum):
    """Whether a node stands for several tasks (broadcasts.py)."""

    NO = 0
    #: It is one task for each active worker. Its value is the list of theirs, if all have one.
    VALUES = 1
    #: … and a failure stands for each that has none.
    ENDS = 2


class Node(NamedTuple):
    """One task of a graph. The fields after `inputs` are left out where they say nothing."""

    spec: int  # 1 + its place among the graph's; 0: a join
    payload: bytes  # packed arguments, or a join's template (messages/flow_values.py)
    inputs: list[int] = []  # noqa: RUF012 - edges to it, in the order of their slots
    id: str = ""  # empty: made of the flow's and its place
    key: str = ""
    extras: Extras = Extras()
    #: Of a node without code that waits for a signal: its name, and for how long (ms; 0: for ever).
    signal: str = ""
    timeout: int = 0
    broadcast: BroadcastKind = BroadcastKind.NO


#: The fields from this one on are left out where they say nothing.
_SAID_SELDOM: Final = Node._fields.index("id")
_NOTHING_MORE: Final = Node(0, b"")[_SAID_SELDOM:]


class Graph(NamedTuple):
    """Nodes with their edges. The last one is the flow itself, or what a task is replaced by."""

    specs: list[bytes]
    nodes: list[Node]
    #: Tasks that wait for the end of the whole, by an edge from it; their places go on after it.
    callbacks: list[Node] = []  # noqa: RUF012 - never changed, as all of a record


_graph: Codec[Graph] = Codec({1: Graph}, strict=True)


def decode_graph(data: bytes) -> Graph:
    """As it stands in the log. Raises BadMessage; NewerMessage for more than is known here."""
    return _graph.decode(data)


def encode_graph(graph: Graph) -> bytes:
    """As it is sent and stored: a node without what it need not say."""
    parts = [graph.nodes, graph.callbacks] if graph.callbacks else [graph.nodes]
    return pack((1, graph.specs, *([_short(node) for node in part] for part in parts)))


def _short(node: Node) -> Sequence[object]:
    if node.broadcast:
        return node
    if node.signal or node.timeout:
        return node[:8]
    fields = 6
    if node.extras == NO_EXTRAS:
        fields = 5 if node.key else 4 if node.id else 3
    return node[:fields]


def source(edge: int) -> int:
    """The place of the node that it comes from."""
    return edge >> KIND_BITS


def kind_of(edge: int) -> EdgeKind:
    """Its kind."""
    return EdgeKind(edge & _KIND)


def carries(inputs: Iterable[int]) -> bool:
    """Whether one of these edges brings a value."""
    for edge in inputs:  # noqa: SIM110 - `any` takes three times as long
        if edge & _CARRIES:
            return True
    return False


def edges_to(
    dst: int, inputs: Iterable[int], seqs: Sequence[int], first: int = 0
) -> list[tuple[int, int, int, int]]:
    """The edges to a node of this number (edges.py), whose first one has the slot `first`.

    `seqs` are the numbers of the nodes by their places.
    """
    return [
        (dst, slot, seqs[edge >> KIND_BITS], edge & _KIND)
        for slot, edge in enumerate(inputs, first)
    ]


class CheckedGraph(NamedTuple):
    """A graph that may enter."""

    specs: list[Spec]
    packed: list[bytes]
    nodes: list[Node]
    callbacks: list[Node]
    #: By the place of a node: the name of the only worker that may have it.
    pins: Mapping[int, str] = MappingProxyType({})

    def spec(self, node: Node) -> Spec | None:
        """Of a task; None of a join."""
        return self.specs[node.spec - 1] if node.spec else None

    def by_queue(self) -> Iterator[tuple[str, list[bytes]]]:
        """The payloads of its tasks, by their queues' names, in the order in which these come."""
        queues: dict[str, list[bytes]] = {}
        for node in (*self.nodes, *self.callbacks):
            if node.spec:
                queues.setdefault(self.specs[node.spec - 1].queue, []).append(node.payload)
        yield from queues.items()


@lru_cache(maxsize=1)
def read_graph(data: bytes, settings: "ClusterSettings") -> CheckedGraph:
    """A graph as it came. Raises ProtocolError, PayloadTooLarge or BadMessage.

    The last one is remembered: a leader reads each before it proposes it and where it is applied,
    and ten thousand nodes take some 50 ms. Whoever has applied it forgets it (`cache_clear`).
    """
    if len(data) > GRAPH_BYTES_MAX:
        raise PayloadTooLarge(
            f"a flow of {len(data)} bytes; {GRAPH_BYTES_MAX} are allowed: let a task add the rest"
            " by current().spawn or replace"
        )
    graph = decode_graph(data)
    if len(graph.nodes) > NODES_MAX + 1:
        raise PayloadTooLarge(
            f"a flow of {len(graph.nodes) - 1} nodes; {NODES_MAX} are allowed: let a task add the"
            " rest by current().spawn or replace"
        )
    if len(graph.specs) > SPECS_MAX:
        raise PayloadTooLarge(f"{len(graph.specs)} kinds of tasks; {SPECS_MAX} are allowed")
    specs = [read_spec(spec, settings) for spec in graph.specs]
    _check_nodes(graph, specs, settings)
    check_edges(graph.nodes)
    _check_callbacks(graph)
    return CheckedGraph(specs, graph.specs, graph.nodes, graph.callbacks)


def _check_nodes(graph: Graph, specs: Sequence[Spec], settings: "ClusterSettings") -> None:
    if not graph.nodes or graph.nodes[-1].spec:
        raise ProtocolError("the last node of a graph is a join: what becomes of it as a whole")
    nodes = [*graph.nodes, *graph.callbacks]
    waits = sum(bool(node.signal) for node in graph.nodes)
    if waits > SIGNALS_MAX:
        raise PayloadTooLarge(
            f"{waits} nodes of one flow wait for signals; {SIGNALS_MAX} may: let several wait for"
            " one node that does"
        )
    ids = [node.id for node in nodes if node.id]
    if len(set(ids)) < len(ids):
        raise ProtocolError("two nodes of one flow with the same id")
    for at, node in enumerate(nodes):
        _check_node(at, node, specs, settings)


def _check_node(at: int, node: Node, specs: Sequence[Spec], settings: "ClusterSettings") -> None:
    if node.spec > len(specs):
        raise ProtocolError(f"node {at} is of kind {node.spec}, of {len(specs)}")
    if len(node.payload) > settings.payload_bytes and node.spec:
        raise PayloadTooLarge(
            f"node {at} with a payload of {len(node.payload)} bytes; {settings.payload_bytes} are"
            " allowed"
        )
    if len(node.payload) > TEMPLATE_BYTES_MAX and not node.spec:
        raise PayloadTooLarge(
            f"node {at}, which has no code, is made of {len(node.payload)} bytes;"
            f" {TEMPLATE_BYTES_MAX} are allowed: give large values to a task"
        )
    if node.spec and specs[node.spec - 1].ordered and not node.key:
        raise ProtocolError(f"node {at} is ordered and has no key")
    if node[_SAID_SELDOM:] != _NOTHING_MORE:
        _check_more(at, node, settings)


def _check_more(at: int, node: Node, settings: "ClusterSettings") -> None:
    """Of what few nodes say."""
    longest = max(map(len, (node.id, node.key, node.signal)))
    if longest > settings.id_length:
        raise ProtocolError(
            f"node {at} has an id, a key or a signal of {longest} characters;"
            f" {settings.id_length} are allowed"
        )
    if node.signal and node.spec:
        raise ProtocolError(f"node {at} has code: it cannot wait for a signal by itself")
    if node.broadcast:
        _check_broadcast(at, node, settings)
    if node.timeout > AT_MAX_MS:
        raise ProtocolError(f"a timeout must be {AT_MOST}, got {ms_in_words(node.timeout)}")
    if node.extras != NO_EXTRAS:
        check_extras(node.extras, settings)
    if node.extras.unique:
        raise ProtocolError(f"node {at} has a unique key: a task of a flow cannot be another's")


def _check_broadcast(at: int, node: Node, settings: "ClusterSettings") -> None:
    if not node.spec:
        raise ProtocolError(f"node {at} has no code: there is nothing to broadcast")
    longest = settings.id_length - MEMBER_ID_MORE
    if len(node.id) > longest:
        raise ProtocolError(
            f"node {at}, a broadcast, has an id of {len(node.id)} characters; {longest} are"
            " allowed, as its tasks' ids are made of it"
        )


def check_edges(nodes: Sequence[Node]) -> None:
    """Raise unless there is no cycle, no edge to nowhere, and not too many but to the whole."""
    edges = 0
    for at, node in enumerate(nodes):
        edges += len(node.inputs)
        if node.inputs and source(max(node.inputs)) >= at:
            raise ProtocolError(
                f"a cycle, or an edge from another flow: node {at} waits for node"
                f" {source(max(node.inputs))}, and nodes wait for those before them alone"
            )
    edges -= len(nodes[-1].inputs)
    if edges > EDGES_MAX:
        raise PayloadTooLarge(f"a flow of {edges} edges; {EDGES_MAX} are allowed")


def _check_callbacks(graph: Graph) -> None:
    """Each waits for the whole, and perhaps for nodes, and callbacks, before it."""
    if len(graph.callbacks) > NODES_MAX:
        raise PayloadTooLarge(
            f"{len(graph.callbacks)} tasks wait for the end of a flow; {NODES_MAX} are allowed"
        )
    whole = len(graph.nodes) - 1
    for at, node in enumerate(graph.callbacks, whole + 1):
        sources = [source(edge) for edge in node.inputs]
        wrong = whole not in sources or max(sources) >= at or len(sources) > 3
        if wrong or not node.spec or node.broadcast:
            raise ProtocolError("what waits for the end of a flow is a task with an edge from it")


def queues_of_graph(data: bytes) -> list[str]:
    """The queues that tasks of a packed graph go into. Raises BadMessage."""
    return list(dict.fromkeys(decode_spec(spec).queue for spec in decode_graph(data).specs))


def count_tasks(data: bytes) -> int:
    """Of a packed graph, those that run at its end included; 0 if it cannot be read."""
    try:
        graph = decode_graph(data)
    except BadMessage:
        return 0
    return sum(node.spec > 0 for node in (*graph.nodes, *graph.callbacks))


def count_nodes(data: bytes) -> int:
    """Of a packed graph, but for the whole; 0 if there is none, or it cannot be read."""
    if not data:
        return 0
    try:
        return len(decode_graph(data).nodes) - 1
    except BadMessage:
        return 0


def check_graph(data: bytes, settings: "ClusterSettings") -> CheckedGraph:
    """As `read_graph`, before it is in the log: a graph that cannot be read is refused, too.

    Raises ProtocolError (Unsupported is one) and PayloadTooLarge.
    """
    from raftwork.errors import Unsupported
    from raftwork.release import RELEASE

    try:
        return read_graph(data, settings)
    except NewerMessage as error:
        raise Unsupported(
            f"the client asks for more than this broker of raftwork {RELEASE} can do ({error}):"
            " upgrade the brokers first"
        ) from None
    except BadMessage as error:
        raise ProtocolError(f"the flow is malformed: {error}") from None
