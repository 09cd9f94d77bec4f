"""Flows in the machine: graphs enter, edges are met once, values come in order, flows end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from raftwork.broker.machine import Waiting
from raftwork.broker.machine.commands import Fail, Finish, Lose
from raftwork.features import flow_graph, flow_nodes
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.effects import Done
from raftwork.features.flow_graph import (
    EdgeKind,
    Node,
)
from raftwork.features.task_row import FED, LINKED
from raftwork.messages import Code, Spec, State, decode_failure, encode_spec
from raftwork.messages.flow_values import Failure as FailedValue
from raftwork.messages.flow_values import Reference, packed_reference
from raftwork.wire import pack
from tests.unit.broker.machine.driver import FAILURE, Driver
from tests.unit.features.flow_cases import (
    ANY,
    VALUE,
    consistent,
    edge,
    fail,
    finish,
    given,
    grow,
    join,
    result,
    run,
    seq_of,
    submit,
    task,
    value_of,
)


@pytest.fixture
def driver() -> Driver:
    return Driver()


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


def test_a_node_whose_own_id_is_another_ones_by_its_place_is_refused(driver: Driver) -> None:
    """It would have stopped every replica."""
    refused = driver.refusal(grow(driver, task(id="f/2"), task(), value_of(1)))
    assert (refused.code, "'f/2'" in refused.text) == (Code.PROTOCOL, True)


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
    assert "bytes together; 10 are allowed" in words.message
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
    monkeypatch.setattr(flow_nodes, "STEPS_AN_ENTRY", 9)
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
    monkeypatch.setattr(flow_nodes, "STEPS_AN_ENTRY", 9)
    submit(driver, task(), *[task(i) for i in range(10)], value_of(10))
    fail(driver, "f/1")
    assert driver.state("f/5") is State.BLOCKED
    for _ in range(10):
        driver.tick()
        consistent(driver)
    assert driver.state("f/11") is State.CANCELLED
    assert driver.state("f") is State.FAILED


# ---- what a node costs --------------------------------------------------------------------------


@contextmanager
def statements(driver: Driver, beginning: str) -> Iterator[list[str]]:
    """Those of this kind that are executed meanwhile; with many rows once for each."""
    found: list[str] = []

    def look(_cursor: object, sql: str, _bindings: object) -> bool:
        if sql.lstrip().startswith(beginning):
            found.append(sql)
        return True

    driver.db.exec_trace = look
    try:
        yield found
    finally:
        driver.db.exec_trace = None


def test_what_one_entry_releases_is_read_together(driver: Driver) -> None:
    asked: list[int] = []
    for id_, many in (("f", 3), ("g", 30)):
        nodes = [task(), *[task(0)] * many]
        submit(driver, *nodes, join(*range(1, many + 1)), id=id_)
        token = run(driver, f"{id_}/1")
        with statements(driver, "SELECT") as found:
            driver.apply(Finish([(token, b"\xc0")]))
        asked.append(len(found))
        assert driver.state(f"{id_}/{many + 1}") is State.QUEUED
    assert asked[0] == asked[1]


@pytest.mark.parametrize("kind", [VALUE, EdgeKind.NEEDS_VALUE])
def test_values_are_measured_where_edges_bring_them(driver: Driver, kind: EdgeKind) -> None:
    submit(driver, task(), task((0, kind)), value_of(1))
    with statements(driver, "SELECT seq, size") as asked:
        finish(driver, "f/1", 7)
    assert len(asked) == (kind is VALUE)
    assert given(driver, "f/2") == ([7] if kind is VALUE else [])


def test_what_workers_are_told_of_many_nodes_is_read_together(driver: Driver) -> None:
    submit(driver, *[task()] * 5, *[task(at) for at in range(5)], join(*range(5, 10)))
    for at in range(1, 6):
        finish(driver, f"f/{at}", at)
    seqs = [seq_of(driver, f"f/{at}") for at in range(6, 11)]
    with statements(driver, "SELECT") as asked:
        told = driver.machine.about(
            [Waiting(seq, "", b"", b"", 1, 0, flags=LINKED | FED) for seq in seqs]
        )
    assert [about.flow for about in told.values()] == ["f"] * 5
    assert [about.inputs for about in told.values()] == [[(0, pack(at))] for at in range(1, 6)]
    assert len(asked) <= 3


def test_the_outcome_of_a_node_is_written_once(driver: Driver) -> None:
    written: list[int] = []
    for id_, many in (("f", 3), ("g", 30)):
        submit(driver, *[task()] * many, join(*range(many)), id=id_)
        tokens = driver.assign(*(seq_of(driver, f"{id_}/{at}") for at in range(1, many + 1)))
        with statements(driver, "UPDATE task") as found:
            driver.apply(Finish([(token, b"\xc0") for token in tokens]))
        written.append(len(found) - many)
    assert written[0] == written[1]


def test_who_has_checked_a_graph_does_not_read_it_again_to_apply_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []

    def noted(data: bytes) -> flow_graph.Graph:
        read.append(data)
        return decode_graph(data)

    decode_graph = flow_graph.decode_graph
    monkeypatch.setattr(flow_graph, "decode_graph", noted)
    asked = grow(driver, task(), value_of(0))
    flow_graph.check_graph(asked.graph, driver.settings)
    driver.apply(asked)
    assert driver.state("f/1") is State.QUEUED
    assert len(read) == 1
    assert flow_graph.read_graph.cache_info().currsize == 0, "it may be large"


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
