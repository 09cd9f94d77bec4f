"""A flow that has failed is retried: as a new flow, which shares what has succeeded.

An outcome stands for ever (G3). So the nodes without a value are there once more, under ids of the
new flow, and wait for each other as before; where one of them waits for a node that has succeeded,
it gets that one's value, which is kept for the new flow's sake. To ask twice is to retry once.
"""

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple
from zlib import crc32

from raftwork.errors import PayloadTooLarge, ProtocolError, QueueFull, UnknownTask
from raftwork.features import edges
from raftwork.features.effects import Done, Effect
from raftwork.features.enqueue import check_room
from raftwork.features.entering import enter
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.flow_graph import EDGES_MAX, GRAPH_BYTES_MAX, NODES_MAX
from raftwork.features.flow_joins import meets
from raftwork.features.flow_nodes import UNMADE_BYTES_MAX, fail_too_large
from raftwork.features.flows import (
    EDGES_KEPT_MAX,
    NODES_KEPT_MAX,
    check_ids,
    insert_row,
    open_flow,
)
from raftwork.features.key_order import check_halted
from raftwork.features.lifecycle import Entering
from raftwork.features.queue_limits import check_lanes
from raftwork.features.signal_rows import await_signal, check_kept, say_again, size_of, wait_of
from raftwork.features.tags import tags_of
from raftwork.features.task_batch import check_level
from raftwork.features.task_row import FED, FINISHED, LINKED
from raftwork.messages import ID_MAX, Extras, State, decode_spec
from raftwork.messages.bounds import Between, Id
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: How often a flow may be retried.
RETRIES_MAX: Final = 1_000
#: Of a flow that is retried, as that is one entry: its nodes, those of them that run again, and the
#: edges to these. One that has not grown has half as many at most.
ALL_NODES_MAX: Final = 5 * NODES_MAX
AGAIN_NODES_MAX: Final = 2 * NODES_MAX
AGAIN_EDGES_MAX: Final = 2 * EDGES_MAX
_NEEDS: Final = "to retry a flow needs"

_FLOW = """SELECT number, phase, state, siblings, code, unmade.spec, payload FROM task
    JOIN flow ON number = task.seq LEFT JOIN unmade ON unmade.seq = number WHERE task.id = ?"""
_NODES = """SELECT task.seq, phase, state, due, length(body), key, tenant, code, unmade.spec,
    payload, unmade.worker FROM node CROSS JOIN task ON task.seq = node.seq
    LEFT JOIN unmade ON unmade.seq = task.seq WHERE node.flow = ? ORDER BY task.seq"""
_SIZES = """SELECT count(*), count(unmade.seq), coalesce(sum(length(payload)), 0),
    coalesce(sum((SELECT count(*) FROM edge WHERE dst = unmade.seq)), 0) FROM
    (SELECT seq FROM node WHERE flow = ? ORDER BY seq LIMIT ?) AS part
    LEFT JOIN unmade ON unmade.seq = part.seq"""
_EDGES_TO = "SELECT count(*) FROM edge WHERE dst = ?"
_EDGES = """SELECT dst, slot, src, kind FROM json_each(?) CROSS JOIN edge ON dst = value
    ORDER BY dst, slot"""
_COUNT = """SELECT count(*) FROM task CROSS JOIN node ON node.flow = task.seq
    CROSS JOIN unmade ON unmade.seq = node.seq WHERE task.id = ? AND unmade.code"""
_PIN = "UPDATE task SET due = NULL WHERE seq = ?"
_COUNTS = "UPDATE flow SET nodes = ?, edges = ? WHERE number = ?"
_OPEN = "UPDATE task SET open = ?, flow = ? WHERE seq = ?"


@reply(183)
class FlowRetried(NamedTuple):
    """It goes on as the flow `id`, perhaps since an earlier request."""

    request: int
    id: str


@request(183, reply=FlowRetried)
class RetryFlow(NamedTuple):
    """Run what has no value in a flow that has ended once more."""

    request: int
    id: Annotated[str, Between(1, ID_MAX)]


@command(183, since=2)
class FlowAgain(NamedTuple):
    """As RetryFlow."""

    id: Id


class _Node(NamedTuple):
    """A node of the flow that has ended."""

    seq: int
    phase: int
    state: int
    due: int | None
    size: int
    key: str
    tenant: str
    code: int | None  # None: it has succeeded
    spec: bytes
    payload: bytes
    worker: str  # that may have it alone; empty: any may


def next_id(id_: str) -> str:
    """Of the flow that a retry of this one is: `order`, `order~2`, `order~3`."""
    found = re.fullmatch(r"(.*)~([1-9][0-9]{0,3})", id_, re.DOTALL)
    return f"{found[1]}~{int(found[2]) + 1}" if found else f"{id_}~2"


def _check(view: "View", request: RetryFlow) -> FlowAgain:
    check_level(view.state, _NEEDS)
    return FlowAgain(request.id)


def _answer(_view: "View", request: RetryFlow, _done: Done) -> FlowRetried:
    return FlowRetried(request.request, next_id(request.id))


def _again(ledger: "Ledger", command: FlowAgain, effects: list[Effect]) -> Done:
    new = next_id(command.id)
    if ledger.checksums([new]) == {new: _crc(new)}:
        return Done()
    _check_retries(ledger, command.id, new)
    row = ledger.db.execute(_FLOW, (command.id,)).fetchone()
    if row is None:
        raise UnknownTask(f"no flow has the id {command.id!r}, or it is no longer remembered")
    old, phase, state, siblings, code, spec, template = row
    if not state:
        raise ProtocolError(f"the flow {command.id} has not ended: wait for it, or cancel it first")
    if state == State.SUCCEEDED:
        raise ProtocolError(f"the flow {command.id} has succeeded: there is nothing to run again")
    sizes = _sizes(ledger, command.id, old)
    nodes = [_Node(*each) for each in ledger.db.execute(_NODES, (old,))]
    shared = [node for node in nodes if node.code is None]
    again = [node for node in nodes if node.code is not None]
    there = phase == FINISHED and code is not None and len(nodes) == sizes.nodes
    kept = all((node.phase, node.state) == (FINISHED, State.SUCCEEDED) for node in shared)
    if not there or not kept:
        raise UnknownTask(
            f"what the tasks of the flow {command.id} came to is no longer kept, or what it takes"
            f" to run them again: that is {UNMADE_BYTES_MAX} bytes for all flows, and"
            f" {ledger.links.unmade_bytes} are kept; submit it anew"
        )
    ids = {node.seq: f"{new}/{at}" for at, node in enumerate(nodes, 1)}
    check_ids(ledger, [new, *(ids[node.seq] for node in again)])
    _check_room(ledger, again, shared, sizes.edges)
    check_kept(ledger, size_of(ledger, old))
    flow = ledger.seq = ledger.seq + 1
    insert_row(ledger, flow, new, _crc(new), decode_spec(spec), template, ledger.time)
    open_flow(ledger, flow, siblings=bool(siblings))
    ledger.journal.note(Happened(EventKind.FLOW_STARTED, [new]))
    numbers = {node.seq: 0 for node in again} | {old: flow}
    for at, node in enumerate(again, 1):
        numbers[node.seq] = flow + at
    states = {node.seq: node.state for node in nodes}
    unmet, met = _edges(ledger, [*(node.seq for node in again), old], numbers, states)
    say_again(ledger, flow, old)
    waits = Counter(dst for dst, *_ in unmet)
    _enter(ledger, again, flow, numbers, ids, waits, effects)
    edges.add(ledger, unmet, met)
    ready = [numbers[node.seq] for node in again if node.code and not waits[numbers[node.seq]]]
    counts = (len(nodes), len(unmet) + len(met))
    _add(ledger, flow, [numbers[node.seq] for node in again], *counts)
    _share(ledger, flow, shared)
    fail_too_large(ledger, ready, effects)
    return Done()


def _crc(new: str) -> int:
    return crc32(b"again " + new.encode())


class _Sizes(NamedTuple):
    """Of a flow that is to be retried."""

    nodes: int
    again: int  # those of them that have no value
    payloads: int  # bytes
    edges: int  # to these, and to the flow


def _sizes(ledger: "Ledger", id_: str, flow: int) -> _Sizes:
    """Raise PayloadTooLarge if it has grown so large that one entry cannot enter it again."""
    sizes = _Sizes(*ledger.db.execute(_SIZES, (flow, ALL_NODES_MAX + 1)).get)
    ((to_whole,),) = ledger.db.execute(_EDGES_TO, (flow,))
    sizes = sizes._replace(edges=sizes.edges + to_whole)
    for what, count, limit in (
        ("tasks", sizes.nodes, ALL_NODES_MAX),
        ("tasks to run again", sizes.again, AGAIN_NODES_MAX),
        ("bytes of arguments to run again", sizes.payloads, GRAPH_BYTES_MAX),
        ("edges", sizes.edges, AGAIN_EDGES_MAX),
    ):
        if count > limit:
            raise PayloadTooLarge(
                f"the flow {id_} has grown to {count} {what} or more; {limit} can be retried:"
                " enqueue what has failed in it anew, in flows of its own"
            )
    return sizes


def _check_retries(ledger: "Ledger", id_: str, new: str) -> None:
    """Raise ProtocolError for a retry of a retry of … that are too many."""
    number = int(new.rpartition("~")[2])
    if number > RETRIES_MAX and ledger.checksums([id_]) == {id_: _crc(id_)}:
        raise ProtocolError(
            f"the flow {id_} would be retried as the {number}th; {RETRIES_MAX} are allowed: submit"
            " it anew"
        )


def _check_room(ledger: "Ledger", again: list[_Node], shared: list[_Node], edge_count: int) -> None:
    """Raise QueueFull unless all may enter."""
    links, settings = ledger.links, ledger.settings
    tasks = [node for node in again if node.code]
    size = sum(node.size for node in shared)
    for what, count, limit in (
        ("unfinished tasks", ledger.unfinished + len(tasks), settings.tasks),
        ("nodes of flows", links.nodes + len(again) + len(shared), NODES_KEPT_MAX),
        ("edges of flows", links.edges + edge_count, EDGES_KEPT_MAX),
        ("results that flows keep", links.pinned + len(shared), settings.results),
        ("bytes of results that flows keep", links.pinned_bytes + size, settings.result_bytes),
    ):
        if count > limit:
            raise QueueFull(f"no room: this would make {count} {what}, {limit} are allowed")
    queues: dict[str, list[bytes]] = {}
    lanes: dict[bytes, tuple[set[tuple[str, str]], set[str]]] = {}
    for node in tasks:
        keys, workers = lanes.setdefault(node.spec, (set(), set()))
        keys.add((node.key, node.tenant))
        workers.add(node.worker)
        queues.setdefault(decode_spec(node.spec).queue, []).append(node.payload)
    for packed, (keys, workers) in lanes.items():
        spec = decode_spec(packed)
        check_halted(ledger, spec)
        check_lanes(ledger, spec, keys, workers)
    for queue, payloads in queues.items():
        check_room(ledger, queue, payloads)


def _edges(
    ledger: "Ledger", dsts: list[int], numbers: "Mapping[int, int]", states: "Mapping[int, int]"
) -> tuple[list[edges.Edge], list[edges.Edge]]:
    """The edges to these, between the new numbers: those that are unmet, and the others."""
    unmet: list[edges.Edge] = []
    met: list[edges.Edge] = []
    for dst, slot, src, kind in list(ledger.db.execute(_EDGES, (str(dsts),))):
        waits = src in numbers or not meets(kind, states[src])
        if waits and src not in numbers:  # it waits for a failure that never will be: it is to end
            ledger.links.unfired.append(src)
        (unmet if waits else met).append((numbers[dst], slot, numbers.get(src, src), kind))
    return unmet, met


def _enter(
    ledger: "Ledger",
    again: list[_Node],
    flow: int,
    numbers: "Mapping[int, int]",
    ids: "Mapping[int, str]",
    unmet: Counter[int],
    effects: list[Effect],
) -> None:
    """The nodes that have no value."""
    for node in again:
        seq, spec = numbers[node.seq], decode_spec(node.spec)
        count = unmet[seq]
        if node.code:
            extras = Extras(tenant=node.tenant, tags=tags_of(ledger, node.seq))
            contents = ([ids[node.seq]], [0], [node.payload])
            task = Entering(seq, *contents, node.key, extras, ledger.time)
            task.flags, task.flow = LINKED | FED, flow
            task.open, task.blocked = count, count > 0
            task.worker = node.worker
            enter(ledger, spec, node.spec, task, effects)
            continue
        ledger.seq = seq
        insert_row(ledger, seq, ids[node.seq], 0, spec, node.payload, ledger.time)
        wait = wait_of(ledger, node.seq)
        ledger.db.execute(_OPEN, (count + (wait is not None), flow, seq))
        if wait is not None:
            await_signal(ledger, flow, seq, wait.name, wait.timeout)
        elif not count:
            ledger.links.ready.append(seq)


def _add(ledger: "Ledger", flow: int, seqs: list[int], node_count: int, edge_count: int) -> None:
    """The nodes that are new, and the edges, are the new flow's. What it shares counts as well."""
    ledger.db.execute(_OPEN, (len(seqs), flow, flow))
    ledger.db.execute(_COUNTS, (node_count, edge_count, flow))
    ledger.links.nodes += node_count
    ledger.links.edges += edge_count
    ledger.db.executemany("INSERT INTO node VALUES (?, ?, 1)", [(flow, seq) for seq in seqs])


def _share(ledger: "Ledger", flow: int, shared: list[_Node]) -> None:
    """These have succeeded: their results are kept for the new flow, too."""
    rows = [(flow, node.seq) for node in shared]
    ledger.db.executemany("INSERT INTO node VALUES (?, ?, 2)", rows)
    free = [node for node in shared if node.due is not None]  # the others some flow keeps already
    ledger.db.executemany(_PIN, [(node.seq,) for node in free])
    ledger.results -= len(free)
    ledger.result_bytes -= sum(node.size for node in free)
    pinned = (len(shared), sum(node.size for node in shared))
    ledger.links.pin(*pinned)
    ledger.db.execute(
        "UPDATE flow SET pinned = ?, pinned_bytes = ? WHERE number = ?", (*pinned, flow)
    )


def _grows(view: "View", request: RetryFlow) -> int:
    check_level(view.state, _NEEDS)
    ((count,),) = view.state.db.execute(_COUNT, (request.id,))
    return int(count)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, change, transition

    return Feature(
        "retries of flows",
        rules=[change(RetryFlow, _check, _answer, grows=_grows)],
        transitions=[transition(FlowAgain, _again)],
        budget=Budget(requests=100),
    )
