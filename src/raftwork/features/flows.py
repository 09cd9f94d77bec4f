"""Flows: a graph of tasks enters in one entry, all of it or nothing, and is one unit from then on.

A flow is a row among the tasks that has no code and waits for all others of the flow. So its id is
one of a task, its outcome is watched, kept and forgotten as a task's, and to submit it again is to
submit it once. What becomes of its nodes is in flow_nodes.py.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple
from zlib import crc32

from raftwork.durations import ms_in_words
from raftwork.errors import BadMessage, ProtocolError, QueueFull
from raftwork.features import edges, flow_ends, flow_joins, flow_nodes
from raftwork.features.broadcasts import count_members, expanded, has_broadcast, workers_for
from raftwork.features.effects import Done, Effect
from raftwork.features.enqueue import check_room
from raftwork.features.entering import enter, enter_all
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.flow_graph import (
    CheckedGraph,
    Node,
    carries,
    check_graph,
    count_tasks,
    edges_to,
    read_graph,
)
from raftwork.features.key_order import check_halted
from raftwork.features.lifecycle import Entering
from raftwork.features.queue_limits import check_lanes
from raftwork.features.signal_rows import await_signal
from raftwork.features.task_batch import AT_MAX_MS, check_level, contents_crc
from raftwork.features.task_row import FED, LINKED, WITHOUT_CODE
from raftwork.messages import ID_MAX, Spec, encode_spec
from raftwork.messages.bounds import Between
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: Of a flow's id: its nodes' are made of it and their places, and a retry's of it and a number.
FLOW_ID_MAX: Final = ID_MAX - 15
#: Nodes, and edges, of all flows that are kept.
NODES_KEPT_MAX: Final = 4_000_000
EDGES_KEPT_MAX: Final = 20_000_000
#: Ids that are looked for at a time.
_IDS_AT_A_TIME: Final = 1_000

#: What stands for a flow, and for a join, in place of a task's Spec.
_JOIN = Spec("join", "")

_INSERT = """INSERT INTO task (seq, id, crc, queue, key, spec, body, phase, flags, created,
    open, flow, parent) VALUES (?, ?, ?, 0, '', ?, ?, ?, ?, ?, ?, ?, ?)"""


# ---- records ------------------------------------------------------------------------------------


@reply(180)
class FlowSubmitted(NamedTuple):
    """All of the flow is on a majority's disks."""

    request: int


@request(180, reply=FlowSubmitted)
class SubmitFlow(NamedTuple):
    """Store this graph as a flow of this id, all or none. `graph` is a packed Graph."""

    request: int
    created: int  # leader time of the first attempt
    id: Annotated[str, Between(1, FLOW_ID_MAX)]
    result_ttl: Annotated[
        int, Between(0, AT_MAX_MS)
    ]  # ms that its result, and its nodes', are kept
    siblings: bool  # once a node fails, the others are cancelled
    graph: bytes


@command(180, since=2)
class Grow(NamedTuple):
    """As SubmitFlow."""

    created: int
    id: str
    result_ttl: int
    siblings: bool
    graph: bytes
    #: The active workers' names, in order, by the queues of its broadcasts: the leader's word.
    workers: list[tuple[str, list[str]]] = []  # noqa: RUF012 - never changed, as all of a record


# ---- on the leader ------------------------------------------------------------------------------


def _check(view: "View", request: SubmitFlow) -> Grow | Done:
    ledger = view.state
    check_level(ledger, "a flow needs")
    graph = check_graph(request.graph, ledger.settings)
    asked = Grow(*request[1:], workers_for(view, graph))
    if _is_stored(ledger, asked):
        return Done()
    graph = expanded(graph, request.id, asked.workers)
    ids = [request.id, *_ids(request.id, graph), *callback_ids(request.id, graph)]
    _check_new(ledger, graph, ids)
    return asked


def _needs_all_workers(request: SubmitFlow) -> bool:
    """A broadcast is for all that are active: to a new leader some may say hello yet."""
    try:
        return has_broadcast(request.graph)
    except BadMessage:
        return False  # `_check` says what is wrong


def _answer(_view: "View", request: SubmitFlow, _done: Done) -> FlowSubmitted:
    return FlowSubmitted(request.request)


# ---- whether it may enter -----------------------------------------------------------------------


def _crc(asked: Grow) -> int:
    return crc32(asked.graph, crc32(b"%d %d" % (asked.result_ttl, asked.siblings)))


def _is_stored(ledger: "Ledger", asked: Grow) -> bool:
    known = ledger.checksums([asked.id])
    if known and known[asked.id] != _crc(asked):
        raise ProtocolError(f"the id {asked.id!r} is already used, with other contents")
    return bool(known)


def _ids(whole: str, graph: CheckedGraph) -> list[str]:
    """Of its nodes but the last, which is the whole."""
    return [node.id or f"{whole}/{at}" for at, node in enumerate(graph.nodes[:-1], 1)]


def _check_new(ledger: "Ledger", graph: CheckedGraph, ids: Sequence[str]) -> None:
    """Raise ProtocolError or QueueFull unless all of it may enter."""
    check_ids(ledger, ids)
    check_growth(ledger, graph)


def check_ids(ledger: "Ledger", ids: Sequence[str]) -> None:
    """Raise ProtocolError if one of these is a task's already, or is there twice."""
    if len(set(ids)) < len(ids):
        (twice, _), *_ = Counter(ids).most_common(1)
        raise ProtocolError(f"two tasks would have the id {twice!r}: one was given it")
    for at in range(0, len(ids), _IDS_AT_A_TIME):
        if known := ledger.checksums(ids[at : at + _IDS_AT_A_TIME]):
            raise ProtocolError(f"the id {next(iter(known))!r} is already a task's")


def check_growth(ledger: "Ledger", graph: CheckedGraph) -> None:
    """Raise QueueFull unless there is room for all of a graph."""
    settings, links = ledger.settings, ledger.links
    nodes = [*graph.nodes, *graph.callbacks]
    edges = sum(len(node.inputs) for node in nodes)
    tasks = sum(node.spec > 0 for node in nodes)
    for what, count, limit in (
        ("unfinished tasks", ledger.unfinished + tasks, settings.tasks),
        ("nodes of flows", links.nodes + len(nodes), NODES_KEPT_MAX),
        ("edges of flows", links.edges + edges, EDGES_KEPT_MAX),
    ):
        if count > limit:
            raise QueueFull(f"no room: this would make {count} {what}, {limit} are allowed")
    for what, count, limit in (
        ("results", links.pinned, settings.results),
        ("bytes of results", links.pinned_bytes, settings.result_bytes),
    ):
        if count > limit:
            raise QueueFull(
                f"no room: flows that have not ended keep {count} {what}, {limit} are allowed"
            )
    of_spec: dict[int, set[tuple[str, str]]] = {}
    for node in nodes:
        of_spec.setdefault(node.spec, set()).add((node.key, node.extras.tenant))
    workers = {"", *graph.pins.values()}
    for at, spec in enumerate(graph.specs, 1):
        check_halted(ledger, spec)
        check_lanes(ledger, spec, of_spec.get(at, ()), workers)
    for queue, payloads in graph.by_queue():
        check_room(ledger, queue, payloads)


# ---- on every replica ---------------------------------------------------------------------------


def _grow(ledger: "Ledger", command: Grow, effects: list[Effect]) -> Done:
    graph = read_graph(command.graph, ledger.settings)
    read_graph.cache_clear()  # it may be large
    if _is_stored(ledger, command):
        return Done()
    age, window = ledger.time - command.created, ledger.settings.enqueue_window
    if age > window:
        raise ProtocolError(
            f"first tried {ms_in_words(age)} ago; after {ms_in_words(window)} an id may be"
            " forgotten, so it is too late to try again: look whether it is there before you"
            " enqueue it anew"
        )
    graph = expanded(graph, command.id, command.workers)
    # No attempt was made later than now, whatever a client says: sums of it stay within bounds.
    command = command._replace(created=min(command.created, ledger.time))
    ids = _ids(command.id, graph)
    _check_new(ledger, graph, [command.id, *ids, *callback_ids(command.id, graph)])
    flow = ledger.seq + 1
    ledger.seq = flow
    spec = Spec("flow", "", result_ttl=command.result_ttl)
    template = graph.nodes[-1].payload
    insert_row(ledger, flow, command.id, _crc(command), spec, template, command.created)
    ledger.journal.note(Happened(EventKind.FLOW_STARTED, [command.id]))
    open_flow(ledger, flow, siblings=command.siblings)
    seqs = enter_nodes(ledger, graph, ids, command.created, flow=flow, parent=0, effects=effects)
    add_edges(ledger, flow, graph.nodes[-1].inputs, seqs)
    ends = callback_ids(command.id, graph)
    enter_callbacks(ledger, graph, [*seqs, flow], ends, command.created, effects)
    if not seqs:
        ledger.links.ready.append(flow)
    return Done()


def callback_ids(flow: str, graph: CheckedGraph) -> list[str]:
    """Of the tasks that wait for its end."""
    return [node.id or f"{flow}/end/{at}" for at, node in enumerate(graph.callbacks, 1)]


def enter_callbacks(
    ledger: "Ledger",
    graph: CheckedGraph,
    seqs: list[int],
    ids: Sequence[str],
    created: int,
    effects: list[Effect],
) -> None:
    """Put in the tasks that run once a flow has ended. They are none of its nodes.

    `seqs` are the numbers of the nodes, and of the flow. A callback's flow is negative in its row.
    """
    if not graph.callbacks:
        return
    flow, places = seqs[-1], [*seqs]
    linked: list[edges.Edge] = []
    starts = [crc32(packed) for packed in graph.packed]
    for node, id_ in zip(graph.callbacks, ids, strict=True):
        spec, seq = graph.specs[node.spec - 1], ledger.seq + 1
        places.append(seq)
        crc = contents_crc(starts[node.spec - 1], node.payload, node.key, node.extras)
        task = Entering(seq, [id_], [crc], [node.payload], node.key, node.extras, created)
        task.flags, task.flow = LINKED | FED, -flow
        task.open, task.blocked = len(node.inputs), True
        enter(ledger, spec, graph.packed[node.spec - 1], task, effects)
        linked += edges_to(seq, node.inputs, places)
    edges.add_to_new(ledger, linked)
    counts = (len(graph.callbacks), flow)
    ledger.db.execute("UPDATE flow SET callbacks = callbacks + ? WHERE number = ?", counts)
    ledger.db.executemany(
        "INSERT INTO node VALUES (?, ?, 0)", [(-flow, seq) for seq in places[len(seqs) :]]
    )
    _counted(ledger, flow, len(graph.callbacks), len(linked))


def open_flow(ledger: "Ledger", flow: int, *, siblings: bool) -> None:
    """The row of this number stands for a flow from now on. Nodes are yet to come."""
    ledger.db.execute(
        "INSERT INTO flow VALUES (?, 0, 0, 0, 0, ?, 0, 0, 0, 0, 0, 0)", (flow, siblings)
    )
    ledger.db.execute("UPDATE task SET flow = seq WHERE seq = ?", (flow,))
    ledger.links.flows += 1


def enter_nodes(
    ledger: "Ledger",
    graph: CheckedGraph,
    ids: Sequence[str],
    created: int,
    *,
    flow: int,
    parent: int,
    effects: list[Effect],
) -> list[int]:
    """Put all nodes of a graph in but the last, with their edges; returns their numbers."""
    seqs = list(range(ledger.seq + 1, ledger.seq + len(graph.nodes)))
    ledger.seq += len(seqs)
    tasks: list[tuple[Spec, bytes, Entering]] = []
    awaited: list[tuple[int, Node]] = []
    starts = [crc32(packed) for packed in graph.packed]
    for at, (node, id_, seq) in enumerate(zip(graph.nodes[:-1], ids, seqs, strict=True)):
        spec = graph.spec(node)
        if spec is None:
            insert_row(ledger, seq, id_, 0, _JOIN, node.payload, created)
            count = len(node.inputs) + bool(node.signal)
            ledger.db.execute(
                "UPDATE task SET open = ?, flow = ?, parent = ? WHERE seq = ?",
                (count, flow, parent, seq),
            )
            if node.signal:
                awaited.append((seq, node))
            elif not node.inputs:
                ledger.links.ready.append(seq)
            continue
        crc = contents_crc(starts[node.spec - 1], node.payload, node.key, node.extras)
        task = Entering(seq, [id_], [crc], [node.payload], node.key, node.extras, created)
        task.flags = LINKED | FED if carries(node.inputs) else LINKED
        task.flow, task.parent = flow, parent
        task.open, task.blocked = len(node.inputs), bool(node.inputs)
        task.worker = graph.pins.get(at, "")
        tasks.append((spec, graph.packed[node.spec - 1], task))
    enter_all(ledger, tasks, effects)
    linked: list[edges.Edge] = []
    for node, dst in zip(graph.nodes[:-1], seqs, strict=True):
        linked += edges_to(dst, node.inputs, seqs)
    edges.add_to_new(ledger, linked)
    if flow:
        ledger.db.executemany("INSERT INTO node VALUES (?, ?, 1)", [(flow, seq) for seq in seqs])
        ledger.db.execute("UPDATE task SET open = open + ? WHERE seq = ?", (len(seqs), flow))
        _counted(ledger, flow, len(seqs), len(linked))
    for seq, node in awaited:
        await_signal(ledger, flow, seq, node.signal, node.timeout)
    return seqs


def add_edges(
    ledger: "Ledger", dst: int, inputs: Iterable[int], seqs: Sequence[int], first: int = 0
) -> None:
    """Edges to a row without code; its `open` is the caller's. `first` is the first one's slot."""
    linked = edges_to(dst, inputs, seqs, first)
    edges.add(ledger, linked)
    ((flow,),) = ledger.db.execute("SELECT flow FROM task WHERE seq = ?", (dst,))
    _counted(ledger, flow, 0, len(linked))


def add_sinks(ledger: "Ledger", flow: int, seqs: Sequence[int]) -> None:
    """Of these nodes the flow needs the values as well."""
    first = ledger.db.execute(
        "SELECT coalesce(max(slot) + 1, 0) FROM edge WHERE dst = ?", (flow,)
    ).get
    edges.add(ledger, [(flow, first + at, seq, 0) for at, seq in enumerate(seqs)])
    _counted(ledger, flow, 0, len(seqs))


def _counted(ledger: "Ledger", flow: int, nodes: int, edges: int) -> None:
    ledger.db.execute(
        "UPDATE flow SET nodes = nodes + ?, edges = edges + ? WHERE number = ?",
        (nodes, edges, flow),
    )
    ledger.links.nodes += nodes
    ledger.links.edges += edges


def insert_row(
    ledger: "Ledger", seq: int, id_: str, crc: int, spec: Spec, template: bytes, created: int
) -> None:
    """A row without code."""
    row = (seq, id_, crc, encode_spec(spec), template, WITHOUT_CODE, LINKED, created, 0, 0, 0)
    ledger.db.execute(_INSERT, row)


def _grows(view: "View", request: SubmitFlow) -> int:
    return count_tasks(request.graph) + count_members(view, request.graph)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, change, transition
    from raftwork.features.lifecycle import Lifecycle, TimerKind

    return Feature(
        "flows",
        rules=[change(SubmitFlow, _check, _answer, waits=_needs_all_workers, grows=_grows)],
        transitions=[transition(Grow, _grow)],
        budget=Budget(requests=1_000, bytes=64 * 1024 * 1024),
        lifecycles=[
            Lifecycle(LINKED, settled=flow_nodes.settled, buried=flow_ends.buried),
        ],
        timers=[
            TimerKind(flow_nodes.FIRE, flow_nodes.fire),
            TimerKind(flow_joins.MAKE, flow_joins.make_left),
            TimerKind(flow_joins.LET_GO, flow_ends.let_go),
            TimerKind(flow_nodes.FORGET, flow_ends.forget),
            TimerKind(flow_nodes.STOP, flow_ends.stop),
            TimerKind(flow_ends.END_INPUTS, flow_ends.end_inputs),
        ],
    )
