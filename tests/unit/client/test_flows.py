"""Graphs of calls as programs make them: their nodes, edges and values, and what is refused."""

from typing import Any, cast

import pytest

from raftwork import App, Flow, NotSerializable, PayloadTooLarge, chain, chord, group, mapreduce
from raftwork import replace as replace_by
from raftwork.client import graph_builder
from raftwork.client.canvas import Canvas
from raftwork.features.flow_graph import BroadcastKind, Graph, decode_graph, kind_of, source
from raftwork.messages.flow_values import Reference, unpack_value

app = App("127.0.0.1:1")


@app.task(name="one")
def one(x: Any, y: Any = 0) -> Any:
    return x, y


@app.task(name="none")
def none() -> None: ...


def made(canvas: Canvas) -> Graph:
    flow = canvas._flow("f")
    return decode_graph(flow._builder.graph(flow._whole()))


def shape(graph: Graph) -> list[list[int]]:
    """Of each node, the whole being the last: what it waits for."""
    return [[source(edge) for edge in node.inputs] for node in graph.nodes]


def arguments(graph: Graph, at: int) -> object:
    return unpack_value(graph.nodes[at].payload)


def test_a_step_takes_the_value_of_the_one_before_first() -> None:
    graph = made(one.s(1) | one.s(2) | one.si(3))
    assert shape(graph) == [[], [0], [1], [2]]
    assert arguments(graph, 1) == [[Reference(0), 2], {}]
    assert arguments(graph, 2) == [[3], {}]
    assert arguments(graph, 3) == Reference(0)
    carries = [bool(kind_of(edge) & 4) for node in graph.nodes for edge in node.inputs]
    assert carries == [True, False, True]


def test_a_group_hands_on_a_list_and_a_group_of_one_too() -> None:
    graph = made(group(one.s(1), one.s(2)) | one.s())
    assert arguments(graph, 2) == [[[Reference(0), Reference(1)]], {}]
    assert arguments(made(group([one.s(1)])), 1) == [Reference(0)]


def test_what_follows_a_group_of_none_runs_with_an_empty_list() -> None:
    graph = made(one.s(1) | group() | one.s())
    assert shape(graph) == [[], [0], [1], [2]]  # by way of a join, which waits for the first step
    assert arguments(graph, 1) == []
    assert shape(made(chord([], one.s()))) == [[], [0]]


def test_a_map_of_nothing_is_of_its_tasks_cluster_and_has_no_values() -> None:
    for empty in (one.map([]), one.map([], chunk=3), one.starmap([]), one.chunks([], 2)):
        assert empty.app is app
        assert made(empty).nodes[-1].inputs == []
        assert len(made(empty).nodes) == 1  # the flow's own, whose value is the empty list


def test_between_groups_there_is_one_join_and_no_edge_for_each_pair() -> None:
    graph = made(group(one.s(i) for i in range(100)) | group(one.s() for _ in range(100)))
    assert len(graph.nodes) == 202
    assert sum(len(node.inputs) for node in graph.nodes) == 300
    assert shape(graph)[100] == list(range(100))


def test_groups_nest() -> None:
    graph = made(group(one.s(1), group(one.s(2), one.s(3)) | one.s()) | one.s())
    assert arguments(graph, 4) == [[[Reference(0), Reference(1)]], {}]


def test_a_map_is_a_group_and_a_chunk_one_task() -> None:
    assert len(made(one.map(range(7))).nodes) == 8
    graph = made(one.map(range(7), chunk=3))
    assert arguments(graph, 2) == [[6], {}, {"map": "one"}]
    assert arguments(graph, 3) == [Reference(i, spread=True) for i in range(3)]
    graph = made(one.starmap([(1, 2), (3, 4)], chunk=2))
    assert arguments(graph, 0) == [[[1, 2], [3, 4]], {}, {"map": "star"}]
    assert arguments(made(one.starmap([(1, 2)])), 0) == [[1, 2], {}]


def test_shards_know_which_they_are() -> None:
    graph = made(one.shards(2, "x"))
    assert arguments(graph, 1) == [["x"], {}, {"shard": [1, 2]}]


def test_a_broadcast_is_one_node_that_brokers_make_many_of() -> None:
    graph = made(one.broadcast(1, y=2) | one.s())
    assert [node.broadcast for node in graph.nodes] == [BroadcastKind.VALUES, 0, 0]
    assert arguments(graph, 0) == [[1], {"y": 2}]
    assert arguments(graph, 1) == [[Reference(0)], {}]
    with pytest.raises(TypeError):
        made(one.broadcast())


def test_behind_others_a_broadcast_waits_for_all_of_them_by_one_edge() -> None:
    graph = made(group(one.s(i) for i in range(5)) | one.broadcast(1))
    assert shape(graph)[5:] == [[0, 1, 2, 3, 4], [5], [6]]
    assert arguments(graph, 6) == [[1], {}]


def test_where_failures_are_tolerated_they_stand_in_a_broadcasts_list() -> None:
    graph = made(group([one.broadcast(1)], on_error="continue") | one.s())
    assert graph.nodes[0].broadcast is BroadcastKind.ENDS


def test_a_broadcast_stands_in_for_no_task() -> None:
    with pytest.raises(ValueError, match="enqueue it from the task's code"):
        replace_by(one.broadcast(1) | one.s())


def test_a_mapreduce_reduces_once() -> None:
    graph = made(mapreduce(map=one, reduce=one, items=range(5), chunk=2))
    assert shape(graph) == [[], [], [], [0, 1, 2], [3]]


def test_where_failures_are_tolerated_the_edges_say_so() -> None:
    graph = made(chord([one.s(1), one.s(2)], one.s(), on_error="continue"))
    assert [kind_of(edge) for edge in graph.nodes[2].inputs] == [5, 5]


def test_values_stand_wherever_they_are_put() -> None:
    flow = app.flow("f")
    a, b = flow.add(one, 1), flow.add(one, 2)
    c = flow.add(one, [a, {"b": b}], y=a, after=[b])
    assert (a.id, c.id) == ("f/1", "f/3")
    graph = decode_graph(flow._builder.graph(flow._whole()))
    assert arguments(graph, 2) == [[[Reference(0), {"b": Reference(1)}]], {"y": Reference(0)}]
    assert shape(graph) == [[], [], [0, 1], [2]]


def test_a_flow_of_several_ends_has_the_list_of_their_values() -> None:
    flow = app.flow("f")
    flow.add(one, 1)
    flow.add(one, 2)
    graph = decode_graph(flow._builder.graph(flow._whole()))
    assert arguments(graph, 2) == [Reference(0), Reference(1)]


def test_callbacks_are_given_what_they_can_take() -> None:
    flow = app.flow("f")
    flow.add(one, 1)
    flow.on_success(one).on_failure(none).finally_(one.si(5))
    graph = decode_graph(flow._builder.graph(None))
    given = [unpack_value(node.payload) for node in graph.callbacks]
    assert given == [[[Reference(0)], {}], [[], {}], [[5], {}]]
    assert [kind_of(node.inputs[0]) for node in graph.callbacks] == [4, 2, 1]


def test_undoing_goes_back_from_the_last_step() -> None:
    flow = app.flow("f")
    first = flow.add(one, 1, compensate=one)
    flow.add(one, first, compensate=none)
    graph = decode_graph(flow._builder.graph(flow._whole()))
    sources = [[source(edge) for edge in node.inputs] for node in graph.callbacks]
    assert sources == [[1, 2], [0, 2, 3]]
    kinds = [[int(kind_of(edge)) for edge in node.inputs] for node in graph.callbacks]
    assert kinds == [[0, 2], [4, 2, 1]]


def test_what_replaces_a_task_has_ids_of_its_own() -> None:
    graphs = [decode_graph(replace_by(group(one.s(1), one.s(2))).graph) for _ in range(2)]
    ids = [node.id for graph in graphs for node in graph.nodes[:-1]]
    assert len(set(ids)) == 4
    assert all(ids)


# ---- refused ------------------------------------------------------------------------------------


def test_a_task_of_another_flow_is_named() -> None:
    mine, other = app.flow("mine"), app.flow("other")
    foreign = other.add(one, 1)
    with pytest.raises(ValueError, match="other/1 is a task of the flow other, not of mine"):
        mine.add(one, [foreign])
    with pytest.raises(ValueError, match="of the flow other, not of mine"):
        mine.add(one, 1, after=[foreign])


def test_one_node_too_many_is_refused_before_it_is_sent() -> None:
    flow = app.flow("f")
    for at in range(10_000):
        flow.add(one, at)
    with pytest.raises(PayloadTooLarge, match="more than 10000 nodes"):
        flow.add(one, 10_000)
    with pytest.raises(PayloadTooLarge, match="more than 10000 nodes"):
        made(group(one.s(i) for i in range(10_001)))


def test_more_than_sixteen_mebibytes_are_refused_before_they_are_sent() -> None:
    flow = app.flow("f")
    for _ in range(17):
        flow.add(one, b"x" * 1_000_000)
    with pytest.raises(PayloadTooLarge, match="more than 16777216"):
        flow.enqueue()


def test_too_many_edges_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_builder, "EDGES_MAX", 3)
    flow = app.flow("f")
    nodes = [flow.add(one, at) for at in range(4)]
    with pytest.raises(PayloadTooLarge, match="4 edges, more than 3"):
        flow.add(one, nodes)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: app.flow("f").add(one, object()),
            NotSerializable,
            "argument 1 'x' of one: object",
        ),
        (lambda: app.flow("f").add(one), TypeError, "missing"),
        (lambda: app.flow("f").add(one, 1, on_error="go"), ValueError, "'fail' or 'continue'"),
        (lambda: app.flow("f", siblings="x"), ValueError, "siblings must be 'finish' or 'cancel'"),
        (lambda: app.flow("x" * 241), ValueError, "240"),
        (lambda: app.flow("f").add(one.options(unique="k"), 1), ValueError, "has a unique key"),
        (lambda: chain(cast("Any", one)), TypeError, "expected a call such as task.s"),
        (lambda: one.s(1) | cast("Any", 5), TypeError, "unsupported operand"),
        (lambda: one.map([1], chunk=0), ValueError, "a chunk must be at least one item, got 0"),
        (lambda: one.starmap(cast("Any", [1])), TypeError, r"items\[0\]: each must be a tuple"),
        (lambda: one.shards(0), ValueError, "at least one shard, got 0"),
        (lambda: group().enqueue(), ValueError, "it has no task"),
        (lambda: made(chord([one.s(1)], none.s())), TypeError, "positional argument"),
    ],
)
def test_what_is_wrong_is_said_at_once(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_a_flow_that_is_submitted_takes_no_more() -> None:
    flow = Flow(app, "f")
    flow.add(one, 1)
    flow._submitted = True
    with pytest.raises(RuntimeError, match="the flow f is submitted"):
        flow.add(one, 2)
