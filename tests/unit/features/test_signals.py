"""Flows that wait for what somebody outside says."""

import pytest

from raftwork.features import flow_graph, signal_rows
from raftwork.features.effects import Done
from raftwork.features.flow_again import FlowAgain
from raftwork.features.flow_graph import (
    EdgeKind,
    Graph,
    Node,
    encode_graph,
)
from raftwork.features.flows import SubmitFlow
from raftwork.features.signals import SaySignal, Signal, SignalSaid
from raftwork.messages import Code, Refused, State, decode_failure
from raftwork.wire import pack
from tests.unit.broker.machine.driver import Driver
from tests.unit.broker.request_harness import RequestHarness
from tests.unit.features.flow_cases import (
    cancel_flow,
    consistent,
    edge,
    finish,
    given,
    graph,
    grew,
    grow,
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


# ---- bounds -------------------------------------------------------------------------------------


def copies(driver: Driver) -> int:
    """Bytes of the rows that wait, or have waited."""
    ((size,),) = driver.db.execute("SELECT sum(length(body)) FROM task WHERE flow != seq")
    return int(size)


def test_a_word_is_not_copied_to_those_that_still_wait_for_others(driver: Driver) -> None:
    """All that wait for it take it in one entry: a thousand copies of 64 KiB would be one, too."""
    many = 50
    submit(driver, task(), *[waits_for("approved", 0) for _ in range(many)], join(*range(1, 51)))
    before = copies(driver)
    signal(driver, "approved", "x" * 10_000)
    assert copies(driver) == before
    finish(driver, "f/1")
    while driver.state("f") is State.BLOCKED:
        consistent(driver)
        driver.tick()
    assert result(driver, "f") == ["x" * 10_000] * many


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("FLOW_SIGNAL_BYTES_MAX", "signals to this flow would have 22 bytes, 21 are allowed"),
        ("SIGNAL_BYTES_KEPT_MAX", "flows that are kept would have 22 bytes, 21 are allowed"),
    ],
)
def test_what_is_said_to_flows_is_bounded(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setattr(signal_rows, name, 21)
    submit(driver, waits_for("end"), value_of(0))
    signal(driver, "a", "x" * 10)
    refused = driver.refusal(Signal("f", "b", pack("y" * 10)))
    assert (refused.code, words in refused.text) == (Code.QUEUE_FULL, True), refused
    assert signal(driver, "a", "z" * 100) == 0  # it stands
    signal(driver, "end", "")
    consistent(driver)
    for _ in range(4):
        driver.tick(later=10_000_000)
    assert driver.machine.state.links.signal_bytes == 0
    consistent(driver)


def test_a_retry_that_copies_what_was_said_needs_room_for_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(driver, waits_for("a", timeout=100), waits_for("b"), join(0, 1))
    signal(driver, "b", "x" * 10)
    driver.tick(later=100)
    monkeypatch.setattr(signal_rows, "SIGNAL_BYTES_KEPT_MAX", 21)
    assert "would have 22 bytes, 21 are" in driver.refusal(FlowAgain("f")).text
    monkeypatch.undo()
    driver.apply(FlowAgain("f"))
    assert driver.machine.state.links.signal_bytes == 22
    consistent(driver)


def test_so_many_nodes_of_a_flow_may_wait_for_signals(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal_rows, "SIGNALS_MAX", 2)
    submit(driver, task(), waits_for("a"), join(0, 1))
    more = graph(
        task(id="c"), waits_for("b")._replace(id="w"), waits_for("b")._replace(id="v"), join()
    )
    grew(driver, run(driver, "f/1"), 1, more)
    assert driver.state("f/1") is State.FAILED
    assert "no room" in decode_failure(driver.result("f/1").data).message
    monkeypatch.setattr(flow_graph, "SIGNALS_MAX", 2)
    refused = driver.refusal(grow(driver, *[waits_for("a")] * 3, join(), id="g"))
    assert "3 nodes of one flow wait for signals; 2 may" in refused.text


@pytest.mark.parametrize(
    "waits", [waits_for("a")._replace(id="w"), task(0, id="w"), join(0)._replace(id="w")]
)
def test_a_task_of_no_flow_spawns_nothing_that_waits(driver: Driver, waits: Node) -> None:
    """The rows for that go with a flow, and would stay for ever."""
    driver.enqueue("p")
    grew(driver, run(driver, "p"), 1, graph(task(id="c"), waits, join()))
    assert driver.state("p") is State.FAILED
    assert not list(driver.db.execute("SELECT seq FROM signal UNION SELECT src FROM edge"))


def test_a_full_disk_refuses_a_signal_but_not_one_that_stands() -> None:
    harness = RequestHarness()
    waits = encode_graph(Graph([], [waits_for("approved"), waits_for("end"), join(0, 1)]))
    harness.done(SubmitFlow(1, harness.now, "f", 1_000, False, waits))
    assert harness.done(SaySignal(2, "f", "approved", pack(1))) == [SignalSaid(2, 1)]
    harness.disk.look(10, 0)
    (refused,) = harness.ask(SaySignal(3, "f", "end", pack(1)))
    assert isinstance(refused, Refused)
    assert refused.code is Code.QUEUE_FULL
    assert harness.ask(SaySignal(4, "f", "approved", pack(1))) == [SignalSaid(4, 0)]
