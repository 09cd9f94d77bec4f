"""Graphs, and a machine that runs them: what tests of flows have in common."""

from collections.abc import Sequence
from typing import Any

from raftwork.broker.machine.commands import Assign, Fail, Finish, Grew
from raftwork.broker.machine.links import Links
from raftwork.features import flow_joins, flow_nodes
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.effects import Assigned, Done, Effect
from raftwork.features.flow_graph import (
    KIND_BITS,
    EdgeKind,
    Graph,
    Node,
    encode_graph,
)
from raftwork.features.flows import Grow
from raftwork.messages import Spec, State, encode_spec
from raftwork.messages.flow_values import Reference, packed_reference, unpack_value
from raftwork.wire import pack
from tests.unit.broker.machine.driver import FAILURE, WORKER, Driver

VALUE = EdgeKind.CARRIES
ANY = EdgeKind.NEEDS_END | EdgeKind.CARRIES
SPEC = encode_spec(Spec("module.task", "default", result_ttl=1_000))


def edge(src: int, kind: EdgeKind = VALUE) -> int:
    return src << KIND_BITS | kind


def task(*sources: int | tuple[int, EdgeKind], spec: int = 1, **more: Any) -> Node:
    """A node that waits for these and gets their values as arguments."""
    inputs = [edge(s) if isinstance(s, int) else edge(*s) for s in sources]
    return Node(
        spec,
        pack(([packed_reference(Reference(i)) for i in range(len(inputs))], {})),
        inputs,
        **more,
    )


def join(*sources: int | tuple[int, EdgeKind]) -> Node:
    inputs = [edge(s) if isinstance(s, int) else edge(*s) for s in sources]
    return Node(0, pack([packed_reference(Reference(i)) for i in range(len(inputs))]), inputs)


def value_of(source: int) -> Node:
    """A flow whose value is that of one node."""
    return Node(0, pack(packed_reference(Reference(0))), [edge(source)])


def grow(
    driver: Driver,
    *nodes: Node,
    id: str = "f",  # noqa: A002
    siblings: bool = False,
    specs: Sequence[bytes] = (SPEC,),
) -> Grow:
    return Grow(driver.now, id, 1_000, siblings, encode_graph(Graph(list(specs), list(nodes))))


def submit(driver: Driver, *nodes: Node, **more: Any) -> list[Effect]:
    return driver.effects(grow(driver, *nodes, **more))


def seq_of(driver: Driver, id_: str) -> int:
    ((seq,),) = driver.db.execute("SELECT seq FROM task WHERE id = ?", (id_,))
    return int(seq)


def run(driver: Driver, id_: str) -> int:
    """Hand it out; its token."""
    (effect,) = driver.apply(Assign(WORKER, [seq_of(driver, id_)])).effects
    assert isinstance(effect, Assigned), effect
    return effect.tasks[0][0]


def finish(driver: Driver, id_: str, value: object = None) -> list[Effect]:
    return driver.apply(Finish([(run(driver, id_), pack(value))])).effects


def fail(driver: Driver, id_: str) -> list[Effect]:
    return driver.apply(Fail(run(driver, id_), FAILURE, 0)).effects


def given(driver: Driver, id_: str) -> list[object]:
    """The values that a task is handed out with, by slot."""
    seq = seq_of(driver, id_)
    return [unpack_value(data) for _, data in flow_joins.inputs(driver.machine.state, [seq])[seq]]


def made_by(driver: Driver, id_: str) -> tuple[str, str]:
    """The ids of a task's flow, and of the task that made it."""
    seq = seq_of(driver, id_)
    return flow_nodes.flows_of(driver.machine.state, [seq])[seq]


def result(driver: Driver, id_: str) -> object:
    found = driver.result(id_)
    assert found.state is State.SUCCEEDED, found
    return unpack_value(found.data)


def consistent(driver: Driver) -> None:
    """What is counted is what is there; memory is what a restart would find."""
    for seq, count in driver.db.execute(
        "SELECT seq, open FROM task WHERE phase IN (5, 6) AND flow != seq"
    ).fetchall():
        ((edges,),) = driver.db.execute("SELECT count(*) FROM unmet WHERE dst = ?", (seq,))
        ((signals,),) = driver.db.execute(
            "SELECT count(*) FROM signal WHERE signal.seq = ? AND NOT EXISTS"
            " (SELECT 1 FROM signal AS said WHERE said.flow = signal.flow"
            " AND said.name = signal.name AND said.seq = 0)",
            (seq,),
        )
        assert count == edges + signals
    for flow, count in driver.db.execute(
        "SELECT seq, open FROM task WHERE phase = 6 AND flow = seq"
    ).fetchall():
        ((nodes,),) = driver.db.execute(
            "SELECT count(*) FROM node JOIN task USING (seq) WHERE node.flow = ? AND state = 0",
            (flow,),
        )
        assert count == nodes
    links, before = driver.machine.state.links, driver.machine.state
    known = _known(links)
    sums = (before.results, before.result_bytes, before.unfinished)
    claims: list[tuple[int, int]] = list(
        driver.db.execute(
            "SELECT seq, length(body) FROM node JOIN task USING (seq) WHERE kept > 0 AND state > 0"
            " UNION ALL SELECT seq, length(body) FROM task JOIN flow ON number = seq"
            " WHERE phase = 2 AND due IS NULL"
        )
    )
    assert (len(claims), sum(size for _, size in claims)) == (links.pinned, links.pinned_bytes)
    kept = driver.db.execute("SELECT seq FROM task WHERE phase = 2 AND due IS NULL").fetchall()
    assert {seq for seq, _ in claims} == {seq for (seq,) in kept}
    driver.reopen()
    links, after = driver.machine.state.links, driver.machine.state
    assert known == _known(links)
    assert sums == (after.results, after.result_bytes, after.unfinished)


def _known(links: Links) -> tuple[int, ...]:
    pinned = (links.pinned, links.pinned_bytes)
    return (links.nodes, links.edges, *pinned, links.flows, links.signal_bytes, links.unmade_bytes)


def graph(*nodes: Node) -> bytes:
    return encode_graph(Graph([SPEC], list(nodes)))


def grew(
    driver: Driver, token: int, value: object = None, spawned: bytes = b"", replaced: bytes = b""
) -> list[Effect]:
    return driver.apply(Grew(token, pack(value), spawned, replaced, driver.now)).effects


def cancel_flow(driver: Driver, id_: str = "f", limit: int = 500, after: int = 0) -> Done:
    (reply,) = driver.apply(
        CancelSome(Scope.FLOW, [], id_, "", 1_000, after, driver.machine.state.seq, limit)
    ).replies
    assert isinstance(reply, Done), reply
    return reply
