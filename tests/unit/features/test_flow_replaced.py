"""A task that was replaced is cancelled: what replaces it ends with it, at any depth."""

import pytest

from raftwork.features import flow_ends
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.task_row import CANCELLING
from raftwork.messages import State, decode_failure
from tests.unit.broker.machine.driver import Driver
from tests.unit.features.flow_cases import (
    cancel_flow,
    consistent,
    fail,
    finish,
    graph,
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


def cancel(driver: Driver, id_: str) -> None:
    driver.apply(CancelSome(Scope.IDS, [id_], "", "", 1_000, 0, 100, 100))
    for _ in range(30):
        driver.tick()


@pytest.mark.parametrize("asked", ["the flow", "f", "f/1"])
@pytest.mark.parametrize("part", [1, 500])
def test_what_replaces_a_task_ends_with_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, asked: str, part: int
) -> None:
    monkeypatch.setattr(flow_ends, "_PART", part)
    submit(driver, task(), task(), task(0), join(1, 2))
    first = graph(task(id="c1"), task(id="c2"), task(0, 1, id="c3"), task(2, id="c4"), join(3))
    grew(driver, run(driver, "f/1"), spawned=graph(task(id="s"), join()), replaced=first)
    grew(driver, run(driver, "c1"), replaced=graph(task(id="d1"), task(0, id="d2"), value_of(1)))
    token = run(driver, "d1")
    if asked == "the flow":
        cancel_flow(driver)
    else:
        cancel(driver, asked)
    for id_ in ("f/1", "f/3", "c1", "c2", "c3", "c4", "d2"):
        assert driver.state(id_) is State.CANCELLED, id_
    assert driver.state("d1") is State.RUNNING
    running = driver.machine.current(token)
    assert running is not None
    assert running.flags & CANCELLING
    consistent(driver)
    driver.tick(later=20_000)
    assert driver.state("d1") is State.CANCELLED
    if asked == "f/1":
        assert driver.state("s") is driver.state("f/2") is State.QUEUED  # none of its own
        finish(driver, "s")
        finish(driver, "f/2")
    for _ in range(30):
        driver.tick()
    assert driver.state("f") is State.CANCELLED
    assert decode_failure(driver.result("f/1").data).type == "user"
    consistent(driver)
    assert not driver.machine.state.db.execute("SELECT * FROM timer WHERE kind != 17").fetchall()


def test_what_a_cancelled_join_waits_for_goes_on(driver: Driver) -> None:
    submit(driver, task(), task(), join(0), task(2), join(1, 3))
    cancel(driver, "f/3")
    finish(driver, "f/1", 1)
    finish(driver, "f/2", 1)
    assert driver.state("f") is State.CANCELLED
    consistent(driver)


def test_a_replacement_that_ended_has_nothing_to_be_cancelled(driver: Driver) -> None:
    submit(driver, task(), value_of(0))
    grew(driver, run(driver, "f/1"), replaced=graph(task(id="c1"), value_of(0)))
    finish(driver, "c1", 5)
    cancel(driver, "f/1")
    assert result(driver, "f") == 5
    submit(driver, task(), value_of(0), id="g")
    grew(driver, run(driver, "g/1"), replaced=graph(task(id="e1"), task(id="e2"), value_of(0)))
    fail(driver, "e2")
    cancel(driver, "g/1")
    assert driver.state("e1") is State.CANCELLED
