"""Flows that wait for what somebody outside says."""

import pytest

from raftwork.features.effects import Done
from raftwork.features.flow_again import FlowAgain
from raftwork.features.flow_graph import (
    EdgeKind,
    Node,
)
from raftwork.features.signals import Signal
from raftwork.messages import State, decode_failure
from raftwork.wire import pack
from tests.unit.broker.machine.driver import Driver
from tests.unit.features.flow_cases import (
    cancel_flow,
    consistent,
    edge,
    finish,
    given,
    join,
    result,
    submit,
    task,
    value_of,
)


@pytest.fixture
def driver() -> Driver:
    return Driver()


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
