"""Tasks that tasks make: with their outcome, and not otherwise."""

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import Lose
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.effects import TokenRejected
from raftwork.messages import Spec, State, decode_failure, encode_spec
from tests.unit.broker.machine.driver import Driver
from tests.unit.features.flow_cases import (
    consistent,
    fail,
    finish,
    given,
    graph,
    grew,
    join,
    made_by,
    result,
    run,
    submit,
    task,
    value_of,
)


@pytest.fixture
def driver() -> Driver:
    return Driver()


# ---- tasks that tasks make ----------------------------------------------------------------------


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
    assert made_by(driver, "c1") == ("", "p")
    finish(driver, "c1")
    consistent(driver)


def test_a_flow_waits_for_what_its_tasks_spawn_and_fails_with_it(driver: Driver) -> None:
    submit(driver, task(), value_of(0))
    grew(driver, run(driver, "f/1"), 1, graph(task(id="c1"), task(id="c2"), join()))
    consistent(driver)
    assert driver.state("f") is State.BLOCKED
    assert made_by(driver, "c1") == ("f", "f/1")
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
