"""Flows in the machine: graphs enter, edges are met once, values come in order, flows end."""

from collections.abc import Sequence
from typing import Any

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import Assign, Fail, Finish, Grew, Lose
from raftwork.features import flow_nodes
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.dead_letters import Retry
from raftwork.features.effects import Assigned, Done, Effect, TokenRejected
from raftwork.features.flow_again import FlowAgain, next_id
from raftwork.features.flow_callbacks import HangOn
from raftwork.features.flow_graph import (
    KIND_BITS,
    EdgeKind,
    Graph,
    Node,
    encode_graph,
)
from raftwork.features.flows import Grow
from raftwork.features.signals import Signal
from raftwork.messages import Spec, State, decode_failure, encode_spec
from raftwork.messages.flow_values import Failure as FailedValue
from raftwork.messages.flow_values import Reference, packed_reference, unpack_value
from raftwork.wire import pack
from tests.unit.broker.machine.driver import FAILURE, WORKER, Driver

VALUE = EdgeKind.CARRIES
ANY = EdgeKind.NEEDS_END | EdgeKind.CARRIES
SPEC = encode_spec(Spec("module.task", "default", result_ttl=1_000))


@pytest.fixture
def driver() -> Driver:
    return Driver()


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
    return [
        unpack_value(data)
        for _, data in flow_nodes.inputs(driver.machine.state, seq_of(driver, id_))
    ]


def result(driver: Driver, id_: str) -> object:
    found = driver.result(id_)
    assert found.state is State.SUCCEEDED, found
    return unpack_value(found.data)


def consistent(driver: Driver) -> None:
    """What is counted is what is there; memory is what a restart would find."""
    for seq, count in driver.db.execute(
        "SELECT seq, open FROM task WHERE phase IN (5, 6) AND flow != seq"
    ).fetchall():
        ((edges,),) = driver.db.execute(
            "SELECT count(*) FROM edge WHERE dst = ? AND met = 0", (seq,)
        )
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
    known = (links.nodes, links.edges, links.pinned, links.pinned_bytes, links.flows)
    sums = (before.results, before.result_bytes, before.unfinished)
    kept = list(
        driver.db.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0) FROM task"
            " WHERE phase = 2 AND due IS NULL"
        )
    )
    assert kept == [(links.pinned, links.pinned_bytes)]
    driver.reopen()
    links, after = driver.machine.state.links, driver.machine.state
    assert known == (links.nodes, links.edges, links.pinned, links.pinned_bytes, links.flows)
    assert sums == (after.results, after.result_bytes, after.unfinished)


# ---- chains and chords --------------------------------------------------------------------------


def test_a_step_waits_for_the_one_before_and_gets_its_value(driver: Driver) -> None:
    submit(driver, task(), task(0), value_of(1))
    assert driver.state("f/2") is State.BLOCKED
    assert driver.state("f") is State.BLOCKED
    finish(driver, "f/1", 7)
    assert driver.state("f/2") is State.QUEUED
    assert given(driver, "f/2") == [7]
    consistent(driver)
    finish(driver, "f/2", 8)
    assert result(driver, "f") == 8
    driver.tick()
    consistent(driver)


def test_a_body_waits_for_all_and_gets_their_values_in_order(driver: Driver) -> None:
    submit(driver, task(), task(), task(), task(0, 1, 2), value_of(3))
    for each in (3, 1, 2):
        assert driver.state("f/4") is State.BLOCKED
        finish(driver, f"f/{each}", each)
    assert given(driver, "f/4") == [1, 2, 3]


def test_what_it_waits_for_is_met_in_the_entry_of_the_last_outcome(driver: Driver) -> None:
    submit(driver, task(), task(), task(0, 1), value_of(2))
    tokens = [run(driver, "f/1"), run(driver, "f/2")]
    driver.apply(Finish([(token, pack(token)) for token in tokens]))
    assert driver.state("f/3") is State.QUEUED
    consistent(driver)


def test_no_retry_and_no_loss_meets_an_edge(driver: Driver) -> None:
    spec = encode_spec(Spec("module.task", "default", retries=1))
    submit(driver, task(), task(0), value_of(1), specs=[spec])
    driver.apply(Fail(run(driver, "f/1"), FAILURE, 0))
    assert driver.state("f/2") is State.BLOCKED
    driver.apply(Lose([(run(driver, "f/1"), True)]))
    assert driver.state("f/2") is State.BLOCKED
    finish(driver, "f/1")
    assert driver.state("f/2") is State.QUEUED


def test_a_list_stays_a_list(driver: Driver) -> None:
    submit(driver, task(), join(0), id="one")
    submit(driver, join(), id="none")
    finish(driver, "one/1", 5)
    assert result(driver, "one") == [5]
    assert result(driver, "none") == []
    consistent(driver)


def test_joins_are_rows_whose_value_is_a_list(driver: Driver) -> None:
    submit(driver, task(), task(), join(0, 1), task(2), task(2), join(3, 4))
    finish(driver, "f/1", 1)
    finish(driver, "f/2", [2])
    assert result(driver, "f/3") == [1, [2]]
    assert given(driver, "f/4") == given(driver, "f/5") == [[1, [2]]]
    finish(driver, "f/4", 4)
    finish(driver, "f/5", 5)
    assert result(driver, "f") == [4, 5]
    driver.tick()
    consistent(driver)


# ---- failures -----------------------------------------------------------------------------------


def test_what_waits_for_a_failure_is_cancelled_and_so_on_and_the_flow_has_failed(
    driver: Driver,
) -> None:
    submit(driver, task(), task(0), task(1), task(2), value_of(3))
    fail(driver, "f/1")
    for each in ("f/2", "f/3", "f/4"):
        assert driver.state(each) is State.CANCELLED
        assert decode_failure(driver.result(each).data).type == "upstream"
    assert driver.state("f") is State.FAILED
    assert decode_failure(driver.result("f").data).type == "ValueError"
    consistent(driver)


def test_others_go_on_and_the_flow_ends_after_them(driver: Driver) -> None:
    submit(driver, task(), task(), task(0), join(1, 2))
    fail(driver, "f/1")
    assert driver.state("f") is State.BLOCKED
    finish(driver, "f/2")
    assert driver.state("f") is State.FAILED


def test_siblings_are_cancelled_where_that_is_asked_for(driver: Driver) -> None:
    submit(driver, task(), task(), task(), join(0, 1, 2), siblings=True)
    token = run(driver, "f/2")
    fail(driver, "f/1")
    driver.tick()
    assert driver.state("f/3") is State.CANCELLED
    assert driver.state("f/2") is State.RUNNING
    driver.apply(Fail(token, FAILURE, 0))
    assert driver.state("f/2") is State.CANCELLED
    assert driver.state("f") is State.FAILED
    consistent(driver)


def test_a_failure_comes_as_a_value_where_that_is_asked_for(driver: Driver) -> None:
    submit(driver, task(), task(), task((0, ANY), (1, ANY)), value_of(2))
    fail(driver, "f/1")
    finish(driver, "f/2", 2)
    failed, two = given(driver, "f/3")
    assert failed == FailedValue("ValueError", "no", "Traceback", "failed")
    assert two == 2
    finish(driver, "f/3", "body")
    assert result(driver, "f") == "body"
    consistent(driver)


def test_failures_stand_in_the_list_of_a_join(driver: Driver) -> None:
    submit(driver, task(), task(), join((0, ANY), 1))
    fail(driver, "f/1")
    finish(driver, "f/2", 2)
    assert result(driver, "f") == [FailedValue("ValueError", "no", "Traceback", "failed"), 2]


def test_a_lost_and_a_cancelled_task_settle_their_edges_too(driver: Driver) -> None:
    once = encode_spec(Spec("module.task", "default", at_most_once=True))
    submit(driver, task(), task(0), value_of(1), id="lost", specs=[once])
    driver.apply(Lose([(run(driver, "lost/1"), True)]))
    assert driver.state("lost/2") is State.CANCELLED
    assert driver.state("lost") is State.LOST
    submit(driver, task(), task(0), value_of(1), id="gone")
    driver.apply(CancelSome(Scope.IDS, ["gone/1"], "", "", 0, 0, 10, 10))
    assert driver.state("gone/2") is State.CANCELLED
    assert decode_failure(driver.result("gone").data).type == "user"


def test_values_that_are_too_large_together_fail_the_task_by_name(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_nodes, "INPUT_BYTES_MAX", 10)
    submit(driver, task(), task(), task(0, 1), value_of(2))
    finish(driver, "f/1", "12345")
    finish(driver, "f/2", "12345")
    assert driver.state("f/3") is State.FAILED
    words = decode_failure(driver.result("f/3").data)
    assert words.type == "PayloadTooLarge"
    assert "12 bytes together; 10 are allowed" in words.message
    assert driver.state("f") is State.FAILED


@pytest.mark.parametrize(
    "template",
    [
        b"",
        b"\xc1",
        pack(packed_reference(Reference(7))),
        b"\xd4\x01\xc0",  # a reference to no number
        b"\xc7\x02\x01\x91\x00",  # … to a list
        b"\x91" * 3_000,
    ],
)
def test_a_join_that_cannot_be_made_fails_and_stops_no_replica(
    driver: Driver, template: bytes
) -> None:
    submit(driver, task(), Node(0, template, [edge(0)]))
    finish(driver, "f/1")
    assert driver.state("f") is State.FAILED
    consistent(driver)


# ---- bounds -------------------------------------------------------------------------------------


def test_an_entry_meets_so_many_edges_and_the_next_go_on(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_nodes, "EDGES_A_TURN", 3)
    submit(driver, task(), *[task(0)] * 8, join(*range(1, 9)))
    finish(driver, "f/1")
    states = [driver.state(f"f/{i}") for i in range(2, 10)]
    assert states.count(State.QUEUED) == 3
    assert driver.machine.due == driver.now
    driver.tick()
    driver.tick()
    assert {driver.state(f"f/{i}") for i in range(2, 10)} == {State.QUEUED}
    consistent(driver)


def test_a_long_line_that_is_cancelled_is_cancelled_by_parts(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_nodes, "EDGES_A_TURN", 3)
    submit(driver, task(), *[task(i) for i in range(10)], value_of(10))
    fail(driver, "f/1")
    assert driver.state("f/5") is State.BLOCKED
    for _ in range(10):
        driver.tick()
        consistent(driver)
    assert driver.state("f/11") is State.CANCELLED
    assert driver.state("f") is State.FAILED


# ---- submitting ---------------------------------------------------------------------------------


def test_submitted_twice_it_is_there_once(driver: Driver) -> None:
    submit(driver, task(), value_of(0))
    before = driver.machine.digest()
    assert driver.apply(grow(driver, task(), value_of(0))).replies == [Done()]
    assert driver.machine.digest() == before


def test_an_id_with_other_contents_is_refused(driver: Driver) -> None:
    submit(driver, task(), value_of(0))
    assert "already used, with other contents" in driver.refusal(grow(driver, task(), join(0))).text
    driver.enqueue("g/1")
    assert "'g/1' is already a task's" in driver.refusal(grow(driver, task(), join(0), id="g")).text


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        (
            (task(1), task(0), join()),
            "a cycle, or an edge from another flow: node 0 waits for node 1",
        ),
        ((task(0), join()), "a cycle, or an edge from another flow: node 0 waits for node 0"),
        ((task(), task(7), join()), "a cycle, or an edge from another flow"),
        ((task(spec=2), join()), "node 0 is of kind 2, of 1"),
        ((task(),), "the last node of a graph is a join"),
        ((), "the last node of a graph is a join"),
        ((task(id="a"), task(id="a"), join()), "two nodes of one flow with the same id"),
    ],
)
def test_what_is_no_graph_is_refused_by_name(
    driver: Driver, nodes: Sequence[Node], text: str
) -> None:
    assert text in driver.refusal(grow(driver, *nodes)).text


def test_ten_thousand_nodes_may_enter_and_one_more_not(driver: Driver) -> None:
    text = driver.refusal(grow(driver, *[task()] * 10_001, join())).text
    assert "a flow of 10001 nodes; 10000 are allowed" in text
    submit(driver, *[task()] * 10_000, join())
    consistent(driver)


def test_too_many_edges_and_too_many_bytes_are_refused(driver: Driver) -> None:
    nodes = [task() for _ in range(251)] + [task(*range(251)) for _ in range(200)]
    assert (
        "a flow of 50200 edges; 50000 are allowed"
        in driver.refusal(grow(driver, *nodes, join())).text
    )
    large = [Node(1, b"x" * 1_000_000) for _ in range(17)]
    assert "16777216 are allowed" in driver.refusal(grow(driver, *large, join())).text


# ---- what is kept -------------------------------------------------------------------------------


def test_results_are_kept_until_the_flow_ends_and_then_as_long_as_its_own(driver: Driver) -> None:
    submit(driver, task(), task(0), value_of(1))
    finish(driver, "f/1", 7)
    driver.tick(later=10_000)
    assert given(driver, "f/2") == [7]
    finish(driver, "f/2", 8)
    driver.tick()
    assert result(driver, "f/1") == 7
    driver.tick(later=1_001)
    driver.tick()
    driver.tick()
    for each in ("f", "f/1", "f/2"):
        assert driver.result(each).forgotten
    for table in ("edge", "flow", "node", "timer"):
        assert not list(driver.db.execute(f"SELECT * FROM {table}")), table
    consistent(driver)


# ---- tasks that tasks make ----------------------------------------------------------------------


def graph(*nodes: Node) -> bytes:
    return encode_graph(Graph([SPEC], list(nodes)))


def grew(
    driver: Driver, token: int, value: object = None, spawned: bytes = b"", replaced: bytes = b""
) -> list[Effect]:
    return driver.apply(Grew(token, pack(value), spawned, replaced, driver.now)).effects


def test_children_enter_with_their_parents_outcome_and_a_lost_one_leaves_none(
    driver: Driver,
) -> None:
    driver.enqueue("p")
    lost = run(driver, "p")
    driver.apply(Lose([(lost, True)]))
    children = graph(task(id="c1"), task(id="c2"), join())
    assert grew(driver, lost, 1, children) == [TokenRejected(lost)]
    assert driver.state("c1") is State.UNKNOWN
    token = run(driver, "p")
    grew(driver, token, 1, children)
    assert driver.state("p") is State.SUCCEEDED
    assert driver.state("c1") is driver.state("c2") is State.QUEUED
    assert grew(driver, token, 1, children) == [TokenRejected(token)]
    assert flow_nodes.flow_of(driver.machine.state, seq_of(driver, "c1")) == ("", "p")
    finish(driver, "c1")
    consistent(driver)


def test_a_flow_waits_for_what_its_tasks_spawn_and_fails_with_it(driver: Driver) -> None:
    submit(driver, task(), value_of(0))
    grew(driver, run(driver, "f/1"), 1, graph(task(id="c1"), task(id="c2"), join()))
    consistent(driver)
    assert driver.state("f") is State.BLOCKED
    assert flow_nodes.flow_of(driver.machine.state, seq_of(driver, "c1")) == ("f", "f/1")
    finish(driver, "c1")
    assert driver.state("f") is State.BLOCKED
    fail(driver, "c2")
    assert driver.state("f") is State.FAILED
    consistent(driver)


def test_no_room_for_children_is_a_failure_of_the_attempt() -> None:
    driver = Driver(ClusterSettings(tasks=2))
    driver.enqueue("p", spec=encode_spec(Spec("module.task", "default", retries=1)))
    children = graph(task(id="c1"), task(id="c2"), join())
    grew(driver, run(driver, "p"), 1, children)
    assert driver.state("p") is State.QUEUED
    grew(driver, run(driver, "p"), 1, children)
    assert driver.state("p") is State.FAILED
    words = decode_failure(driver.result("p").data)
    assert (words.type, words.message) == (
        "QueueFull",
        "the 2 tasks that its code made were refused: no room",
    )
    assert driver.state("c1") is State.UNKNOWN


def test_a_task_of_no_flow_that_is_replaced_has_the_outcome_of_what_replaces_it(
    driver: Driver,
) -> None:
    driver.enqueue("p")
    grew(driver, run(driver, "p"), replaced=graph(task(id="c1"), task(id="c2"), join(0, 1)))
    assert driver.state("p") is State.BLOCKED
    consistent(driver)
    finish(driver, "c2", 2)
    finish(driver, "c1", 1)
    assert result(driver, "p") == [1, 2]
    assert driver.counts()[2] == 3  # succeeded
    driver.tick()
    consistent(driver)


def test_what_waits_for_a_task_waits_for_what_replaces_it_at_any_depth(driver: Driver) -> None:
    submit(driver, task(), task(0), task(1), value_of(2))
    finish(driver, "f/1", 0)
    grew(driver, run(driver, "f/2"), replaced=graph(task(id="c1"), task(id="c2"), join(0, 1)))
    assert driver.state("f/2") is driver.state("f/3") is State.BLOCKED
    consistent(driver)
    finish(driver, "c1", 1)
    grew(driver, run(driver, "c2"), replaced=graph(task(id="d1"), value_of(0)))
    assert driver.state("c2") is driver.state("f/3") is State.BLOCKED
    consistent(driver)
    finish(driver, "d1", 2)
    assert given(driver, "f/3") == [[1, 2]]
    finish(driver, "f/3", 3)
    assert result(driver, "f") == 3
    driver.tick()
    consistent(driver)


def test_a_task_that_is_replaced_by_what_fails_has_failed(driver: Driver) -> None:
    submit(driver, task(), task(0), value_of(1))
    grew(driver, run(driver, "f/1"), replaced=graph(task(id="c1"), task(0, id="c2"), value_of(1)))
    fail(driver, "c1")
    assert driver.state("f/1") is State.FAILED
    assert driver.state("f/2") is State.CANCELLED
    assert driver.state("f") is State.FAILED
    assert decode_failure(driver.result("f").data).type == "ValueError"
    consistent(driver)


def test_a_task_that_was_asked_to_end_leaves_no_children(driver: Driver) -> None:
    driver.enqueue("p")
    token = run(driver, "p")
    driver.apply(CancelSome(Scope.IDS, ["p"], "", "", 1_000, 0, 10, 10))
    grew(driver, token, replaced=graph(task(id="c1"), value_of(0)))
    assert driver.state("p") is State.CANCELLED
    assert driver.state("c1") is State.UNKNOWN


def test_the_id_of_a_child_that_is_used_fails_the_attempt(driver: Driver) -> None:
    driver.enqueue("c1", "p")
    grew(driver, run(driver, "p"), 1, graph(task(id="c1"), join()))
    assert driver.state("p") is State.FAILED
    assert decode_failure(driver.result("p").data).type == "ProtocolError"


# ---- cancelling, retrying -----------------------------------------------------------------------


def cancel_flow(driver: Driver, id_: str = "f", limit: int = 500, after: int = 0) -> Done:
    (reply,) = driver.apply(
        CancelSome(Scope.FLOW, [], id_, "", 1_000, after, driver.machine.state.seq, limit)
    ).replies
    assert isinstance(reply, Done), reply
    return reply


def test_a_flow_is_cancelled_as_a_whole(driver: Driver) -> None:
    submit(driver, task(), task(), task(0), join(1, 2))
    token = run(driver, "f/1")
    assert cancel_flow(driver).affected == 3
    assert driver.state("f/1") is State.RUNNING
    assert driver.state("f") is State.BLOCKED
    assert driver.state("f/2") is driver.state("f/3") is State.CANCELLED
    driver.apply(Fail(token, FAILURE, 0))
    assert driver.state("f") is State.CANCELLED
    assert decode_failure(driver.result("f").data).type == "user"
    assert cancel_flow(driver).affected == 0
    consistent(driver)


def test_a_flow_is_cancelled_by_parts(driver: Driver) -> None:
    submit(driver, *[task()] * 7, join(*range(7)))
    done = cancel_flow(driver, limit=3)
    assert (done.affected, driver.state("f/4")) == (3, State.QUEUED)
    cancel_flow(driver, limit=10, after=done.rest_after)
    assert driver.state("f") is State.CANCELLED


def test_cancelled_by_its_id_as_a_task_it_ends_too(driver: Driver) -> None:
    submit(driver, task(), task(0), value_of(1))
    driver.apply(CancelSome(Scope.IDS, ["f"], "", "", 0, 0, 10, 10))
    driver.tick()
    assert driver.state("f/1") is driver.state("f/2") is driver.state("f") is State.CANCELLED


def test_a_flow_that_was_asked_to_end_takes_no_children(driver: Driver) -> None:
    submit(driver, task(), task(), join(0, 1))
    token = run(driver, "f/1")
    cancel_flow(driver)
    grew(driver, token, 1, graph(task(id="c1"), join()))
    assert driver.state("f/1") is State.SUCCEEDED
    assert driver.state("c1") is State.UNKNOWN
    assert driver.state("f") is State.CANCELLED


def test_an_unknown_flow_cannot_be_cancelled(driver: Driver) -> None:
    driver.enqueue("a")
    for id_ in ("a", "b"):
        command = CancelSome(Scope.FLOW, [], id_, "", 0, 0, 10, 10)
        assert "no flow has the id" in driver.refusal(command).text


def test_a_retry_shares_what_has_succeeded_and_runs_the_rest(driver: Driver) -> None:
    submit(driver, task(), task(), task(0, 1), task(2), value_of(3))
    finish(driver, "f/1", 1)
    fail(driver, "f/2")
    driver.tick()
    assert driver.state("f") is State.FAILED
    assert driver.apply(FlowAgain("f")).replies == [Done()]
    assert driver.state("f~2/2") is State.QUEUED
    assert driver.state("f~2/3") is driver.state("f~2/4") is State.BLOCKED
    assert driver.state("f~2/1") is State.UNKNOWN
    consistent(driver)
    before = driver.machine.digest()
    assert driver.apply(FlowAgain("f")).replies == [Done()]
    assert driver.machine.digest() == before
    driver.tick(later=5_000)  # the result that it shares is kept for its sake
    finish(driver, "f~2/2", 2)
    assert given(driver, "f~2/3") == [1, 2]
    finish(driver, "f~2/3", 3)
    finish(driver, "f~2/4", 4)
    assert result(driver, "f~2") == 4
    assert driver.state("f/2") is State.FAILED
    driver.tick()
    driver.tick(later=10_000)
    for _ in range(4):
        driver.tick()
    for table in ("edge", "flow", "node", "timer", "unmade"):
        assert not list(driver.db.execute(f"SELECT * FROM {table}")), table
    consistent(driver)


def test_what_a_task_made_is_retried_too(driver: Driver) -> None:
    submit(driver, task(), value_of(0))
    grew(driver, run(driver, "f/1"), replaced=graph(task(id="c1"), task(id="c2"), join(0, 1)))
    finish(driver, "c1", 1)
    fail(driver, "c2")
    assert driver.state("f") is State.FAILED
    driver.apply(FlowAgain("f"))
    ((again,),) = driver.db.execute(
        "SELECT task.id FROM task WHERE phase = 0 AND task.id LIKE 'f~2/%'"
    )
    finish(driver, again, 2)
    assert result(driver, "f~2") == [1, 2]
    consistent(driver)


def test_a_dead_task_of_a_flow_is_not_retried_by_itself(driver: Driver) -> None:
    submit(driver, task(), task(0), value_of(1))
    fail(driver, "f/1")
    driver.tick()
    text = driver.refusal(Retry(driver.now, "f/1", "new")).text
    assert text == "f/1 is a task of the flow f: `raftwork flow retry` runs that again"


def test_a_flow_that_goes_on_or_has_succeeded_is_not_retried(driver: Driver) -> None:
    submit(driver, task(), value_of(0))
    assert "has not ended" in driver.refusal(FlowAgain("f")).text
    finish(driver, "f/1")
    assert "has succeeded" in driver.refusal(FlowAgain("f")).text
    assert "no flow has the id" in driver.refusal(FlowAgain("g")).text


@pytest.mark.parametrize(
    ("id_", "then"), [("f", "f~2"), ("f~2", "f~3"), ("f~0", "f~0~2"), ("a~b", "a~b~2")]
)
def test_the_id_of_a_retry(id_: str, then: str) -> None:
    assert next_id(id_) == then


# ---- callbacks ----------------------------------------------------------------------------------

SUCCESS = VALUE
FAILURE_ALONE = EdgeKind.NEEDS_FAILURE | EdgeKind.CARRIES


def callbacks(at: int, *kinds: EdgeKind, ids: Sequence[str] = ()) -> list[Node]:
    names = ids or [""] * len(kinds)
    return [task((at, kind), id=name) for kind, name in zip(kinds, names, strict=True)]


def submit_with(driver: Driver, nodes: list[Node], *kinds: EdgeKind) -> None:
    whole = Graph([SPEC], nodes, callbacks(len(nodes) - 1, *kinds))
    driver.effects(Grow(driver.now, "f", 1_000, False, encode_graph(whole)))


@pytest.mark.parametrize("fails", [False, True])
def test_of_what_waits_for_a_flows_end_that_runs_whose_case_has_come(
    driver: Driver, fails: bool
) -> None:
    submit_with(driver, [task(), value_of(0)], SUCCESS, FAILURE_ALONE, ANY)
    consistent(driver)
    assert {driver.state(f"f/end/{at}") for at in (1, 2, 3)} == {State.BLOCKED}
    if fails:
        fail(driver, "f/1")
    else:
        finish(driver, "f/1", 7)
    runs, stays = ("f/end/2", "f/end/1") if fails else ("f/end/1", "f/end/2")
    assert driver.state(stays) is State.CANCELLED
    assert driver.state(runs) is driver.state("f/end/3") is State.QUEUED
    driver.tick(later=5_000)  # the flow's result is kept for them
    driver.tick()
    (value,) = given(driver, runs)
    assert (value == 7) is not fails
    consistent(driver)
    finish(driver, runs)
    finish(driver, "f/end/3")
    driver.tick()
    consistent(driver)
    driver.tick(later=5_000)
    for _ in range(3):
        driver.tick()
    for table in ("edge", "flow", "node", "timer", "unmade"):
        assert not list(driver.db.execute(f"SELECT * FROM {table}")), table
    consistent(driver)


def hang(driver: Driver, kind: EdgeKind, id_: str) -> HangOn:
    return HangOn("f", encode_graph(Graph([SPEC], [join()], callbacks(0, kind, ids=[id_]))))


def test_a_callback_may_be_added_before_and_after_the_end(driver: Driver) -> None:
    submit(driver, task(), value_of(0))
    driver.apply(hang(driver, SUCCESS, "before"))
    driver.apply(hang(driver, SUCCESS, "before"))
    finish(driver, "f/1", 7)
    assert driver.state("before") is State.QUEUED
    driver.apply(hang(driver, SUCCESS, "after"), hang(driver, FAILURE_ALONE, "not"))
    assert driver.state("after") is State.QUEUED
    assert driver.state("not") is State.CANCELLED
    assert given(driver, "after") == [7]
    consistent(driver)
    finish(driver, "before")
    finish(driver, "after")
    driver.tick(later=5_000)
    for _ in range(3):
        driver.tick()
    assert "no flow has the id" in driver.refusal(hang(driver, SUCCESS, "late")).text
    consistent(driver)


def test_what_a_callback_makes_is_of_no_flow(driver: Driver) -> None:
    submit_with(driver, [task(), value_of(0)], ANY)
    finish(driver, "f/1")
    grew(driver, run(driver, "f/end/1"), 1, graph(task(id="c1"), join()))
    assert driver.state("f/end/1") is State.SUCCEEDED
    assert flow_nodes.flow_of(driver.machine.state, seq_of(driver, "c1"))[0] == ""
    finish(driver, "c1")
    consistent(driver)


# ---- signals ------------------------------------------------------------------------------------


def waits_for(name: str, *sources: int, timeout: int = 0) -> Node:
    inputs = [edge(source, EdgeKind.NEEDS_VALUE) for source in sources]
    return Node(0, pack(None), inputs, signal=name, timeout=timeout)


def signal(driver: Driver, name: str, value: object) -> int:
    (reply,) = driver.apply(Signal("f", name, pack(value))).replies
    assert isinstance(reply, Done), reply
    return reply.affected


def test_a_flow_waits_until_somebody_says_it_and_the_first_word_counts(driver: Driver) -> None:
    submit(driver, waits_for("approved"), task(0), value_of(1))
    consistent_signals = driver.state("f/1"), driver.state("f/2")
    assert consistent_signals == (State.BLOCKED, State.BLOCKED)
    assert signal(driver, "other", 0) == 1
    assert driver.state("f/1") is State.BLOCKED
    assert signal(driver, "approved", {"by": ["ada"]}) == 1
    assert signal(driver, "approved", "again") == 0
    assert given(driver, "f/2") == [{"by": ["ada"]}]
    finish(driver, "f/2", 2)
    assert result(driver, "f") == 2
    assert "has ended" in driver.refusal(Signal("f", "late", pack(1))).text
    assert "no flow has the id" in driver.refusal(Signal("g", "late", pack(1))).text


def test_what_was_said_before_anybody_waits_counts(driver: Driver) -> None:
    submit(driver, task(), waits_for("approved", 0, timeout=100), task(1), value_of(2))
    signal(driver, "approved", 7)
    assert driver.state("f/2") is State.BLOCKED  # it waits for a task, too
    driver.tick(later=500)
    assert driver.state("f/2") is State.BLOCKED
    finish(driver, "f/1")
    assert given(driver, "f/3") == [7]


def test_its_time_counts_from_when_it_waits_for_nothing_else(driver: Driver) -> None:
    submit(driver, task(), waits_for("approved", 0, timeout=100), task(1), value_of(2))
    driver.tick(later=500)
    finish(driver, "f/1")
    driver.tick(later=99)
    assert driver.state("f/2") is State.BLOCKED
    driver.tick(later=1)
    assert driver.state("f/2") is State.FAILED
    words = decode_failure(driver.result("f/2").data)
    assert (words.type, words.message) == (
        "TimeoutError",
        "the signal approved did not come within 100 ms",
    )
    assert driver.state("f") is State.FAILED


@pytest.mark.parametrize("said", [False, True])
def test_no_timer_outlives_a_wait(driver: Driver, said: bool) -> None:
    submit(driver, waits_for("approved", timeout=10**9), join(0))
    if said:
        signal(driver, "approved", 1)
    else:
        cancel_flow(driver)
    assert driver.state("f") is (State.SUCCEEDED if said else State.CANCELLED)
    driver.tick()
    assert not list(driver.db.execute("SELECT * FROM timer"))


def test_a_retried_flow_waits_for_what_was_not_said_and_knows_what_was(driver: Driver) -> None:
    submit(driver, waits_for("a", timeout=100), waits_for("b"), join(0, 1))
    signal(driver, "b", 2)
    driver.tick(later=100)
    assert driver.state("f") is State.FAILED
    driver.apply(FlowAgain("f"))
    assert driver.state("f~2") is State.BLOCKED
    driver.apply(Signal("f~2", "a", pack(1)))
    assert result(driver, "f~2") == [1, 2]
    consistent(driver)


# ---- compensation -------------------------------------------------------------------------------


def saga(driver: Driver) -> None:
    """Two steps with an undo each, in reverse, and a third step."""
    nodes = [task(), task(0), task(1), value_of(2)]
    whole, control = (3, EdgeKind.NEEDS_FAILURE), EdgeKind.NEEDS_END
    undo = [task((1, VALUE), whole, id="u2"), task((0, VALUE), whole, (4, control), id="u1")]
    driver.effects(Grow(driver.now, "f", 1_000, False, encode_graph(Graph([SPEC], nodes, undo))))


def test_what_was_done_is_undone_in_reverse_order_once_the_flow_has_failed(driver: Driver) -> None:
    saga(driver)
    finish(driver, "f/1", 1)
    finish(driver, "f/2", 2)
    assert driver.state("u1") is driver.state("u2") is State.BLOCKED
    fail(driver, "f/3")
    assert (driver.state("u2"), driver.state("u1")) == (State.QUEUED, State.BLOCKED)
    driver.tick(later=5_000)
    assert given(driver, "u2")[0] == 2
    consistent(driver)
    fail(driver, "u2")
    assert driver.state("u1") is State.QUEUED
    assert given(driver, "u1")[0] == 1
    finish(driver, "u1")
    driver.tick(later=5_000)
    for _ in range(4):
        driver.tick()
    for table in ("edge", "flow", "node", "timer", "unmade"):
        assert not list(driver.db.execute(f"SELECT * FROM {table}")), table
    consistent(driver)


def test_what_was_never_done_is_not_undone(driver: Driver) -> None:
    saga(driver)
    finish(driver, "f/1", 1)
    fail(driver, "f/2")
    assert (driver.state("u2"), driver.state("u1")) == (State.CANCELLED, State.QUEUED)
    consistent(driver)


def test_nothing_is_undone_of_a_flow_that_succeeds(driver: Driver) -> None:
    saga(driver)
    for at in (1, 2, 3):
        finish(driver, f"f/{at}", at)
    assert driver.state("f") is State.SUCCEEDED
    assert driver.state("u1") is driver.state("u2") is State.CANCELLED
    driver.tick(later=5_000)
    for _ in range(4):
        driver.tick()
    assert not list(driver.db.execute("SELECT * FROM flow"))
    consistent(driver)
