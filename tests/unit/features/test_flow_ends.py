"""Flows that are cancelled, retried, followed and undone."""

from collections.abc import Sequence

import pytest

from raftwork.broker.machine.commands import Fail
from raftwork.features import flow_nodes
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.dead_letters import Retry
from raftwork.features.effects import Done
from raftwork.features.flow_again import FlowAgain, next_id
from raftwork.features.flow_callbacks import HangOn
from raftwork.features.flow_graph import (
    EdgeKind,
    Graph,
    Node,
    encode_graph,
)
from raftwork.features.flows import Grow
from raftwork.messages import State, decode_failure
from tests.unit.broker.machine.driver import FAILURE, Driver
from tests.unit.features.flow_cases import (
    ANY,
    SPEC,
    VALUE,
    cancel_flow,
    consistent,
    fail,
    finish,
    given,
    graph,
    grew,
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


# ---- cancelling, retrying -----------------------------------------------------------------------


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
    assert driver.state("f/1") is State.CANCELLED
    assert driver.state("c1") is State.UNKNOWN
    assert driver.state("f") is State.CANCELLED


def test_what_a_task_has_spawned_that_was_asked_to_end_is_not_there(driver: Driver) -> None:
    submit(driver, task(), task(), join(0, 1))
    token = run(driver, "f/1")
    driver.apply(CancelSome(Scope.IDS, ["f/1"], "", "", 5_000, 0, 10, 10))
    grew(driver, token, 1, graph(task(id="c1"), join()))
    assert driver.state("f/1") is State.CANCELLED
    assert driver.state("c1") is State.UNKNOWN
    assert driver.state("f") is State.BLOCKED  # f/2 may still run
    consistent(driver)


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


def test_what_a_retry_shares_stays_when_the_flow_before_it_lets_go(driver: Driver) -> None:
    submit(driver, task(), task(), task(0, 1), value_of(2))
    finish(driver, "f/1", 1)
    fail(driver, "f/2")
    assert driver.apply(FlowAgain("f")).replies == [Done()]  # before anything was let go
    consistent(driver)
    driver.tick()
    consistent(driver)
    for _ in range(3):
        driver.tick(later=10_000)  # the flow before it is forgotten
    finish(driver, "f~2/2", 2)
    assert given(driver, "f~2/3") == [1, 2]
    finish(driver, "f~2/3", 3)
    for _ in range(5):
        driver.tick(later=10_000)
    for table in ("edge", "flow", "node", "timer", "unmade"):
        assert not list(driver.db.execute(f"SELECT * FROM {table}")), table
    consistent(driver)


def test_what_a_retry_shared_stays_for_those_who_wait_for_the_end_of_the_flow_before_it(
    driver: Driver,
) -> None:
    submit(driver, task(), task(), task(0, 1), value_of(2))
    finish(driver, "f/1", 1)
    driver.apply(hang(driver, EdgeKind.NEEDS_END, "h"))
    fail(driver, "f/2")
    driver.apply(FlowAgain("f"))
    for node, value in (("f~2/2", 2), ("f~2/3", 3)):
        finish(driver, node, value)
    for _ in range(3):
        driver.tick(later=10_000)  # the retry is forgotten, while "h" waits
    consistent(driver)
    assert result(driver, "f/1") == 1
    finish(driver, "h")
    for _ in range(5):
        driver.tick(later=10_000)
    assert driver.state("f/1") is State.UNKNOWN or not driver.result("f/1").data
    consistent(driver)


def test_what_waits_for_the_failure_of_what_a_retry_shares_ends_at_once(driver: Driver) -> None:
    submit(driver, task(), task((0, EdgeKind.NEEDS_FAILURE)), task(0), join(1, 2))
    finish(driver, "f/1", 1)
    fail(driver, "f/3")
    assert driver.state("f/2") is State.CANCELLED
    driver.apply(FlowAgain("f"))
    assert driver.state("f~2/2") is State.CANCELLED
    finish(driver, "f~2/3", 3)
    assert driver.state("f~2") is State.CANCELLED
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
