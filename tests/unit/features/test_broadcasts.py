"""Broadcasts as they enter: which tasks a node becomes, and what the flow is worth in the end."""

from types import SimpleNamespace
from typing import cast

import pytest

from raftwork.broker.requests.view import View
from raftwork.errors import PayloadTooLarge
from raftwork.features import broadcasts, flow_graph
from raftwork.features.broadcasts import count_members, expanded
from raftwork.features.cluster_settings import ClusterSettings
from raftwork.features.effects import Done
from raftwork.features.flow_again import FlowAgain
from raftwork.features.flow_graph import (
    BroadcastKind,
    EdgeKind,
    Graph,
    Node,
    encode_graph,
    read_graph,
)
from raftwork.features.flows import Grow
from raftwork.features.pins import WorkerGone
from raftwork.messages import Code, Spec, State, decode_failure, encode_spec
from raftwork.wire import pack, unpack
from tests.unit.broker.machine.driver import Driver
from tests.unit.features.flow_cases import (
    SPEC,
    consistent,
    edge,
    fail,
    finish,
    given,
    graph,
    grew,
    result,
    run,
    task,
    value_of,
)

TWO = [("default", ["w1", "w2"])]


@pytest.fixture
def driver() -> Driver:
    return Driver()


def to_all(kind: BroadcastKind = BroadcastKind.VALUES, *after: int, **more: object) -> Node:
    """A broadcast that waits for these nodes, and gets none of their values."""
    inputs = [edge(src, EdgeKind.NEEDS_VALUE) for src in after]
    return Node(1, pack([["x"], {}]), inputs, broadcast=kind, **more)  # type: ignore[arg-type]


def submitted(
    driver: Driver,
    *nodes: Node,
    workers: list[tuple[str, list[str]]] = TWO,
    callbacks: tuple[Node, ...] = (),
    id: str = "f",  # noqa: A002
) -> Grow:
    packed = encode_graph(Graph([SPEC], list(nodes), list(callbacks)))
    return Grow(driver.now, id, 1_000, False, packed, workers)


def pins(driver: Driver) -> dict[str, str]:
    rows = driver.db.execute("SELECT id, worker FROM pin JOIN task USING (seq)")
    return dict(rows)


def ids(driver: Driver) -> list[str]:
    return [id_ for (id_,) in driver.db.execute("SELECT id FROM task ORDER BY seq")]


def test_it_is_a_task_for_each_worker_and_the_list_of_their_values_in_order(driver: Driver) -> None:
    driver.effects(submitted(driver, to_all(), value_of(0)))
    assert ids(driver) == ["f", "f/1.1", "f/1.2", "f/1"]
    assert pins(driver) == {"f/1.1": "w1", "f/1.2": "w2"}
    finish(driver, "f/1.2", "two")
    assert driver.state("f") is State.BLOCKED
    finish(driver, "f/1.1", "one")
    assert result(driver, "f") == result(driver, "f/1") == ["one", "two"]
    assert pins(driver) == {}
    consistent(driver)


def test_each_knows_which_of_how_many_it_is(driver: Driver) -> None:
    driver.effects(submitted(driver, to_all(), value_of(0)))
    bodies = [
        unpack(driver.db.execute("SELECT body FROM task WHERE id = ?", (id_,)).get)
        for id_ in ("f/1.1", "f/1.2")
    ]
    assert bodies == [[["x"], {}, {"shard": [at, 2]}] for at in (0, 1)]


@pytest.mark.parametrize(
    ("besides", "then"),
    [([{"headers": {"a": "b"}}], {"headers": {"a": "b"}}), ([], {}), ([None], {}), ([[1, 2]], {})],
)
def test_its_headers_go_to_each(
    driver: Driver, besides: list[object], then: dict[str, object]
) -> None:
    """And what no client of ours sends stops no replica."""
    call = to_all()._replace(payload=pack([["x"], {}, *besides]))
    driver.effects(submitted(driver, call, value_of(0)))
    body = driver.db.execute("SELECT body FROM task WHERE id = 'f/1.2'").get
    assert unpack(body) == [["x"], {}, then | {"shard": [1, 2]}]


def test_of_no_worker_it_is_the_empty_list_and_what_follows_runs(driver: Driver) -> None:
    driver.effects(submitted(driver, to_all(), task(0), value_of(1), workers=[]))
    assert ids(driver) == ["f", "f/1", "f/2"]
    assert given(driver, "f/2") == [[]]
    finish(driver, "f/2", 7)
    assert result(driver, "f") == 7
    consistent(driver)


def test_what_follows_a_broadcast_to_nobody_waits_for_what_comes_before_it(driver: Driver) -> None:
    nodes = (task(), to_all(BroadcastKind.VALUES, 0), task(1), value_of(2))
    driver.effects(submitted(driver, *nodes, workers=[]))
    assert driver.state("f/3") is State.BLOCKED
    finish(driver, "f/1")
    assert given(driver, "f/3") == [[]]
    consistent(driver)


def test_it_begins_after_what_comes_before_it_and_others_keep_their_ids_and_edges(
    driver: Driver,
) -> None:
    nodes = (task(), to_all(BroadcastKind.VALUES, 0), task(1, 0), task(2, id="mine"), value_of(3))
    driver.effects(submitted(driver, *nodes))
    assert ids(driver) == ["f", "f/1", "f/2.1", "f/2.2", "f/2", "f/3", "mine"]
    assert driver.state("f/2.1") is State.BLOCKED
    finish(driver, "f/1", 0)
    for each in ("f/2.1", "f/2.2"):
        finish(driver, each, each)
    assert given(driver, "f/3") == [["f/2.1", "f/2.2"], 0]
    finish(driver, "f/3", 3)
    assert given(driver, "mine") == [3]
    finish(driver, "mine", 4)
    assert result(driver, "f") == 4
    consistent(driver)


def test_what_waits_for_the_end_of_the_flow_waits_for_all_of_them(driver: Driver) -> None:
    after = Node(1, pack([[], {}]), [edge(2, EdgeKind.NEEDS_END)])
    undo = Node(
        1, pack([[], {}]), [edge(0, EdgeKind.NEEDS_VALUE), edge(2), edge(3, EdgeKind.NEEDS_END)]
    )
    nodes = (task(), to_all(), value_of(1))
    driver.effects(submitted(driver, *nodes, callbacks=(after, undo)))
    for each in ("f/2.1", "f/1", "f/2.2"):
        assert driver.state("f/end/1") is State.BLOCKED
        finish(driver, each)
    assert driver.state("f/end/1") is State.QUEUED
    assert driver.state("f/end/2") is State.BLOCKED
    finish(driver, "f/end/1")
    assert driver.state("f/end/2") is State.QUEUED
    consistent(driver)


@pytest.mark.parametrize("kind", [BroadcastKind.VALUES, BroadcastKind.ENDS])
def test_where_one_has_no_value_there_is_none_unless_failures_may_stand_there(
    driver: Driver, kind: BroadcastKind
) -> None:
    driver.effects(submitted(driver, to_all(kind), value_of(0)))
    fail(driver, "f/1.1")
    finish(driver, "f/1.2", 2)
    if kind is BroadcastKind.VALUES:
        assert driver.state("f/1") is State.CANCELLED
        assert driver.state("f") is State.FAILED
    else:
        found = result(driver, "f")
        assert isinstance(found, list)
        assert (found[0].type, found[1]) == ("ValueError", 2)
    consistent(driver)


def test_asked_for_again_it_is_there_once_whoever_is_active_by_now(driver: Driver) -> None:
    driver.effects(submitted(driver, to_all(), value_of(0)))
    before = ids(driver)
    later = submitted(driver, to_all(), value_of(0), workers=[("default", ["w3"])])
    assert driver.apply(later).replies == [Done()]
    assert ids(driver) == before


def test_a_retry_is_for_the_same_workers(driver: Driver) -> None:
    driver.effects(submitted(driver, to_all(), value_of(0)))
    finish(driver, "f/1.1", 1)
    driver.apply(WorkerGone("w2", "default"))
    assert driver.state("f") is State.CANCELLED
    driver.tick()
    assert driver.apply(FlowAgain("f")).replies == [Done()]
    assert list(pins(driver).values()) == ["w2"]
    (again,) = pins(driver)
    finish(driver, again, 2)
    assert result(driver, "f~2") == [1, 2]
    consistent(driver)


def test_two_tasks_never_have_one_id(driver: Driver) -> None:
    same = driver.refusal(submitted(driver, to_all(), task(id="f/1.2"), value_of(0)))
    assert (same.code, "'f/1.2'" in same.text) == (Code.PROTOCOL, True)


@pytest.mark.parametrize("limit", ["nodes", "bytes", "edges"])
def test_more_workers_than_a_flow_may_have_tasks_are_refused_with_both_numbers(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    limits = {"nodes": 5, "bytes": 40, "edges": 5}
    monkeypatch.setattr(broadcasts, "NODES_MAX", 5 if limit == "nodes" else 100)
    monkeypatch.setattr(broadcasts, "GRAPH_BYTES_MAX", 40 if limit == "bytes" else 100_000)
    monkeypatch.setattr(flow_graph, "EDGES_MAX", 5 if limit == "edges" else 100)
    names = [f"w{at}" for at in range(6)]
    made = read_graph(
        graph(task(), to_all(BroadcastKind.VALUES, 0), value_of(1)), ClusterSettings()
    )
    with pytest.raises(PayloadTooLarge, match=f"{limit}.* {limits[limit]} are allowed"):
        expanded(made, "f", [("default", names)])


def test_code_that_is_none_and_ids_too_long_to_be_made_longer_are_refused(driver: Driver) -> None:
    joined = Node(0, pack([]), broadcast=BroadcastKind.VALUES)
    assert "no code" in driver.refusal(submitted(driver, joined, value_of(0))).text
    long = to_all(id="x" * 250)
    assert "250 characters; 249 are" in driver.refusal(submitted(driver, long, value_of(0))).text


def test_it_is_no_callback_and_nothing_that_a_task_makes(driver: Driver) -> None:
    after = to_all()._replace(inputs=[edge(1, EdgeKind.NEEDS_END)])
    refused = driver.refusal(submitted(driver, task(), value_of(0), callbacks=(after,)))
    assert refused.code is Code.PROTOCOL
    driver.enqueue("p", spec=encode_spec(Spec("m.f", "default")))
    grew(driver, run(driver, "p"), replaced=graph(to_all(id="child"), value_of(0)))
    assert driver.state("p") is State.FAILED
    assert decode_failure(driver.result("p").data).type == "ProtocolError"


def test_before_it_enters_it_counts_as_a_task_for_each_worker_that_is_there() -> None:
    packed = encode_graph(Graph([SPEC], [task(), to_all(), to_all(), value_of(1)]))
    for workers in (["w1", "w2", "w3"], ["w1"], []):
        takers = SimpleNamespace(takers=lambda _queue, workers=workers: workers)
        view = cast("View", SimpleNamespace(workers=SimpleNamespace(inspection=takers)))
        assert count_members(view, packed) == 2 * max(0, len(workers) - 1)
        assert count_members(view, b"\xc1") == 0
        nowhere = encode_graph(Graph([], [to_all(), value_of(1)]))
        assert count_members(view, nowhere) == 0


def test_what_would_be_too_large_for_all_workers_is_refused_before_any_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mebibyte for each of a thousand workers took the leader's memory, and the next one's."""
    node = Node(1, pack([["x" * 1_000_000], {}]), broadcast=BroadcastKind.VALUES)
    made = read_graph(graph(node, value_of(0)), ClusterSettings())
    monkeypatch.setattr(broadcasts, "as_shard", pytest.fail)
    names = [f"w{at:04}" for at in range(1_000)]
    with pytest.raises(PayloadTooLarge, match=r"of 10000.* bytes.* 16777216 are allowed"):
        expanded(made, "f", [("default", names)])
