"""What strangers put into flows stops no replica, and is carried out by parts."""

import pytest

from raftwork.errors import BadMessage, PayloadTooLarge
from raftwork.features import flow_again, flow_joins, flow_nodes, key_order
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.cluster_settings import ClusterSettings
from raftwork.features.flow_again import FlowAgain
from raftwork.features.flow_callbacks import HangOn
from raftwork.features.flow_graph import (
    TEMPLATE_BYTES_MAX,
    EdgeKind,
    Graph,
    Node,
    check_graph,
    encode_graph,
)
from raftwork.features.flows import Grow
from raftwork.messages import Code, Spec, State, decode_failure, encode_spec
from raftwork.messages.flow_values import JoinTooLarge, Reference, joined, packed_reference
from raftwork.wire import pack
from tests.unit.broker.machine.driver import Driver
from tests.unit.features.flow_cases import (
    SPEC,
    cancel_flow,
    consistent,
    edge,
    fail,
    finish,
    grew,
    join,
    result,
    run,
    submit,
    task,
    value_of,
)


@pytest.fixture
def driver() -> Driver:
    return Driver()


FIRST = packed_reference(Reference(0))


# ---- values of joins ----------------------------------------------------------------------------


def test_a_join_of_one_value_many_times_fails_and_stops_no_replica(driver: Driver) -> None:
    """A mebibyte a thousand times is more than SQLite stores: it would stop all, for ever."""
    submit(driver, task(), Node(0, pack([FIRST] * 1_100), [edge(0)]), value_of(1))
    finish(driver, "f/1", "x" * 1_000_000)
    assert driver.state("f/2") is State.FAILED
    words = decode_failure(driver.result("f/2").data)
    assert words.type == "PayloadTooLarge"
    size = 1_100 * len(pack("x" * 1_000_000)) + 3
    assert f"have {size} bytes together; 16777216 are allowed" in words.message
    assert driver.state("f") is State.FAILED
    consistent(driver)


def test_lists_in_lists_are_counted_too() -> None:
    inputs = {0: pack("12345678")}
    template = pack([[FIRST, [FIRST]], FIRST])
    made = joined(template, inputs)
    assert joined(template, inputs, len(made)) == made
    with pytest.raises(JoinTooLarge) as told:
        joined(template, inputs, len(made) - 1)
    assert told.value.size == len(made)


@pytest.mark.parametrize(
    "packed", [b"\xdd\xff\xff\xff\xff", b"\x92\x01", b"\x91\x01\x02", b"\x91\xc1"]
)
def test_what_is_no_list_after_all_stands_for_itself(packed: bytes) -> None:
    """Of a worker that is none of ours: it must not take its neighbours' places."""
    spread = packed_reference(Reference(0, spread=True))
    assert joined(pack([spread, 7]), {0: packed}) == b"\x92" + packed + b"\x07"


def test_a_join_of_a_template_too_large_is_refused_before_it_is_in_the_log() -> None:
    template = pack([None] * TEMPLATE_BYTES_MAX)
    graph = encode_graph(Graph([], [Node(0, template), Node(0, b"\x90")]))
    with pytest.raises(PayloadTooLarge, match=rf"{len(template)} bytes.* {TEMPLATE_BYTES_MAX} are"):
        check_graph(graph, ClusterSettings())


def test_an_entry_makes_so_many_joins_and_the_next_go_on(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_joins, "STEPS_AN_ENTRY", 3 * flow_joins.STEPS_A_JOIN)
    submit(driver, *[join() for _ in range(10)], join(*range(10)))
    made = [sum(driver.state(f"f/{at}") is State.SUCCEEDED for at in range(1, 11))]
    while driver.state("f") is State.BLOCKED:
        consistent(driver)
        driver.tick()
        made.append(sum(driver.state(f"f/{at}") is State.SUCCEEDED for at in range(1, 11)))
        assert made[-1] - made[-2] <= 3
        assert len(made) < 20
    assert made[0] == 3
    assert result(driver, "f") == [[]] * 10
    driver.tick()
    consistent(driver)


def test_large_joins_are_made_by_parts(driver: Driver) -> None:
    value, count = "x" * 900_000, 8
    copies = [Node(0, pack([FIRST] * 8), [edge(0)]) for _ in range(count)]
    submit(driver, task(), *copies, join())
    finish(driver, "f/1", value)
    done = [sum(driver.state(f"f/{at}") is State.SUCCEEDED for at in range(2, 2 + count))]
    while done[-1] < count:
        driver.tick()
        done.append(sum(driver.state(f"f/{at}") is State.SUCCEEDED for at in range(2, 2 + count)))
        assert done[-1] - done[-2] == 1
    assert done[0] == 1


# ---- what stopped replicas ----------------------------------------------------------------------


def callback(driver: Driver, flow: str, *ids: str) -> HangOn:
    nodes = [task((0, EdgeKind.NEEDS_END), id=id_) for id_ in ids]
    return HangOn(flow, encode_graph(Graph([SPEC], [join()], nodes)))


def test_a_callback_without_an_id_is_refused(driver: Driver) -> None:
    submit(driver, task(), value_of(0))
    refused = driver.refusal(callback(driver, "f", "c", ""))
    assert refused.code is Code.PROTOCOL
    assert "id" in refused.text


def test_a_flow_without_nodes_is_kept_for_what_waits_for_its_end(driver: Driver) -> None:
    """It was forgotten before, and the callback's end stopped every replica."""
    after = task((0, EdgeKind.NEEDS_END), id="c")
    graph = encode_graph(Graph([SPEC], [join()], [after]))
    driver.apply(Grow(driver.now, "f", 1_000, False, graph))
    assert driver.state("f") is State.SUCCEEDED
    driver.tick(later=10_000_000)
    driver.tick(later=10_000_000)
    finish(driver, "c")
    assert driver.state("f") is State.SUCCEEDED
    driver.tick(later=1)
    driver.tick(later=10_000_000)
    driver.tick(later=10_000_000)
    assert driver.state("f") is State.UNKNOWN
    consistent(driver)


def test_a_flow_whose_tasks_are_forgotten_is_not_retried(driver: Driver) -> None:
    """It stands for what waits for its end; an edge from what is gone stopped every replica."""
    submit(driver, task(), task(0), value_of(1))
    fail(driver, "f/1")
    driver.apply(callback(driver, "f", "c"))
    for _ in range(4):
        driver.tick(later=10_000_000)
    assert driver.state("f/1") is State.UNKNOWN
    assert driver.state("f") is State.FAILED
    assert "no longer kept" in driver.refusal(FlowAgain("f")).text


def test_the_cause_of_a_failure_is_found_once_at_any_depth(driver: Driver) -> None:
    """Each of those that were replaced has it from the one below: not by a walk to the last."""
    submit(driver, task(), value_of(0))
    last, depth = "f/1", 60
    for at in range(depth):
        grew(
            driver,
            run(driver, last),
            replaced=encode_graph(Graph([SPEC], [task(id=f"c{at}"), value_of(0)])),
        )
        last = f"c{at}"
    asked = 0

    def count(statement: str, _bindings: object) -> bool:
        nonlocal asked
        asked += "kind, src, state" in " ".join(statement.split())
        return True

    driver.db.exec_trace = lambda _cursor, sql, bindings: count(sql, bindings)
    fail(driver, last)
    driver.db.exec_trace = None
    driver.tick()
    assert decode_failure(driver.result("f").data).type == "ValueError"
    assert asked < 8 * depth


def test_a_template_that_no_broker_understands_is_its_nodes_failure() -> None:
    with pytest.raises(BadMessage):
        joined(b"\xdd\xff\xff\xff\xff" + b"\x01", {})


# ---- retries ------------------------------------------------------------------------------------


def failed(driver: Driver) -> None:
    """A flow of four nodes: one has succeeded, three have not."""
    submit(driver, task(), task(), task(1), task(2), join(0, 3))
    finish(driver, "f/1", "value")
    fail(driver, "f/2")
    driver.tick()


@pytest.mark.parametrize(
    ("name", "limit", "words"),
    [
        ("ALL_NODES_MAX", 3, "grown to 4 tasks or more; 3 can"),
        ("AGAIN_NODES_MAX", 2, "grown to 3 tasks to run again or more; 2 can"),
        ("AGAIN_EDGES_MAX", 3, "grown to 4 edges or more; 3 can"),
        ("GRAPH_BYTES_MAX", 10, "bytes of arguments to run again or more; 10 can"),
    ],
)
def test_a_flow_that_has_grown_too_large_is_not_entered_again_in_one_entry(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, name: str, limit: int, words: str
) -> None:
    failed(driver)
    monkeypatch.setattr(flow_again, name, limit)
    refused = driver.refusal(FlowAgain("f"))
    assert (refused.code, words in refused.text) == (Code.PAYLOAD_TOO_LARGE, True), refused
    monkeypatch.setattr(flow_again, name, limit + 1_000)
    driver.apply(FlowAgain("f"))
    assert driver.state("f~2") is State.BLOCKED


@pytest.mark.parametrize(
    ("name", "limit", "words"),
    [
        ("NODES_KEPT_MAX", 7, "8 nodes of flows, 7 are"),
        ("EDGES_KEPT_MAX", 7, "8 edges of flows, 7 are"),
    ],
)
def test_what_a_retry_adds_is_counted_before_it_enters(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, name: str, limit: int, words: str
) -> None:
    """Shared nodes are rows, too: a thousand retries of a large flow would be a thousand times."""
    failed(driver)
    monkeypatch.setattr(flow_again, name, limit)
    refused = driver.refusal(FlowAgain("f"))
    assert (refused.code, words in refused.text) == (Code.QUEUE_FULL, True), refused
    monkeypatch.setattr(flow_again, name, limit + 1)
    driver.apply(FlowAgain("f"))
    links = driver.machine.state.links
    assert (links.nodes, links.edges) == (8, 8)
    consistent(driver)


def test_what_a_retry_keeps_is_within_the_results_limit() -> None:
    driver = Driver(ClusterSettings(results=1_000))
    failed(driver)
    driver.machine.state.links.pin(1_000, 0)  # so much is kept by others
    assert "1001 results that flows keep, 1000 are" in driver.refusal(FlowAgain("f")).text


def test_a_retry_of_what_may_halt_a_key_is_refused_while_too_many_are(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    halts = encode_spec(Spec("module.task", "default", ordered=True, halts=True))
    submit(driver, task(key="k"), value_of(0), specs=[halts])
    driver.apply(CancelSome(Scope.IDS, ["f/1"], "", "", 1_000, 0, 10, 10))
    driver.tick()
    monkeypatch.setattr(key_order, "HALTED_MAX", 0)
    assert "keys are halted, 0 are allowed" in driver.refusal(FlowAgain("f")).text


def test_a_flow_is_retried_so_many_times(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_again, "RETRIES_MAX", 3)
    submit(driver, task(), value_of(0), id="f~3")  # a name of its own, which is no retry's
    fail(driver, "f~3/1")
    driver.apply(FlowAgain("f~3"))
    fail(driver, "f~4/1")
    assert "retried as the 5th; 3 are allowed" in driver.refusal(FlowAgain("f~4")).text


def test_what_it_takes_to_run_failed_nodes_again_is_bounded_and_the_oldest_goes(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flow that failed is kept for as long as its result: a century, if that is asked for."""
    for id_ in ("f", "g", "h"):
        submit(driver, task(), task(), join(0, 1), id=id_)
    one = fail_both(driver, "f")
    monkeypatch.setattr(flow_nodes, "UNMADE_BYTES_MAX", 2 * one - 1)
    fail_both(driver, "g")
    consistent(driver)
    assert driver.machine.state.links.unmade_bytes <= 2 * one - 1
    refused = driver.refusal(FlowAgain("f"))
    assert refused.code is Code.UNKNOWN_TASK
    assert "submit it anew" in refused.text
    driver.apply(FlowAgain("g"))
    assert driver.state("g~2") is State.BLOCKED
    for _ in range(6):
        driver.tick(later=10_000_000)
    fail(driver, "h/1")
    consistent(driver)


def fail_both(driver: Driver, flow: str) -> int:
    fail(driver, f"{flow}/1")
    fail(driver, f"{flow}/2")
    return driver.machine.state.links.unmade_bytes


def test_no_entry_drops_more_of_that_than_a_part(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(driver, *[task() for _ in range(6)], join(*range(6)))
    cancel_flow(driver)
    monkeypatch.setattr(flow_nodes, "UNMADE_BYTES_MAX", 0)
    monkeypatch.setattr(flow_nodes, "_UNMADE_AN_ENTRY", 2)
    left = [rows_of(driver)]
    for at in range(4):
        submit(driver, join(), id=f"e{at}")
        left.append(rows_of(driver))
    assert left == [7, 5, 3, 1, 0]
    consistent(driver)


def rows_of(driver: Driver) -> int:
    ((rows,),) = driver.db.execute("SELECT count(*) FROM unmade")
    return int(rows)


def test_a_flow_of_which_one_failed_node_is_gone_is_not_retried_without_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(driver, task(), task(), join(0, 1))
    monkeypatch.setattr(flow_nodes, "UNMADE_BYTES_MAX", 0)
    fail(driver, "f/1")
    monkeypatch.undo()
    fail(driver, "f/2")
    assert driver.refusal(FlowAgain("f")).code is Code.UNKNOWN_TASK


def test_values_that_are_too_large_together_fail_the_retry_of_their_task_too(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was handed out, in a frame that no worker reads."""
    monkeypatch.setattr(flow_nodes, "INPUT_BYTES_MAX", 10)
    submit(driver, task(), task(), task(0, 1), value_of(2))
    finish(driver, "f/1", "12345")
    finish(driver, "f/2", "12345")
    driver.apply(FlowAgain("f"))
    assert driver.state("f~2/3") is State.FAILED
    assert decode_failure(driver.result("f~2/3").data).type == "PayloadTooLarge"
    assert driver.waiting() == []
    assert driver.state("f~2") is State.FAILED
    consistent(driver)
