"""Where a task comes from, and what it made."""

import pytest

from raftwork.broker.machine.commands import Assign, Fail
from raftwork.features import lineage
from raftwork.features.dead_letters import Retry
from raftwork.features.lineage import Lineage, lineage_of
from tests.unit.broker.machine.driver import FAILURE, WORKER, Driver
from tests.unit.features.flow_cases import graph, grew, join, run, seq_of, submit, task, value_of


@pytest.fixture
def driver() -> Driver:
    return Driver()


def of(driver: Driver, id_: str) -> Lineage:
    return lineage_of(driver.machine.state, seq_of(driver, id_), id_)


def test_an_ordinary_task_has_no_kin(driver: Driver) -> None:
    driver.enqueue("a")
    assert of(driver, "a") == Lineage()


def test_a_node_knows_its_flow_and_who_made_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(driver, task(), value_of(0))
    assert of(driver, "f/1") == Lineage(flow="f")
    assert of(driver, "f") == Lineage()
    grew(driver, run(driver, "f/1"), 1, graph(task(id="c1"), task(id="c2"), join()))
    assert of(driver, "c1") == Lineage(flow="f", parent="f/1")
    assert of(driver, "f/1") == Lineage(flow="f", children=["c1", "c2"])
    monkeypatch.setattr(lineage, "CHILDREN_MAX", 1)
    assert of(driver, "f/1") == Lineage(flow="f", children=["c1"], more=True)


def test_what_is_of_no_flow_knows_who_made_it(driver: Driver) -> None:
    driver.enqueue("p")
    grew(driver, run(driver, "p"), 1, graph(task(id="c1"), join()))
    assert of(driver, "c1") == Lineage(parent="p")


def test_a_retry_knows_what_it_runs_again(driver: Driver) -> None:
    driver.enqueue("a")
    driver.apply(Assign(WORKER, [1]), Fail(1, FAILURE, 0, final=True))
    driver.apply(Retry(driver.now, "a", "b"))
    assert of(driver, "b") == Lineage(retry_of="a")
