"""The tables of level 2: they come with the raise, and ordinary tasks have nothing in them."""

import pytest

from raftwork.broker.machine import level_two
from raftwork.broker.machine.commands import Tick
from raftwork.broker.machine.level_two import TABLES, ByLevel
from raftwork.features.effects import Done
from raftwork.features.enqueue import Admit
from raftwork.features.upgrade import Raise
from raftwork.messages import Spec, State, encode_spec
from raftwork.release import RELEASE
from raftwork.wire import pack
from tests.unit.broker.machine.driver import Driver, spec_of


def columns(driver: Driver, table: str) -> list[str]:
    return [name for _, name, *_ in driver.db.execute(f"PRAGMA table_info({table})")]


def tables(driver: Driver) -> set[str]:
    rows = driver.db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    return {name for (name,) in rows}


def rows(driver: Driver) -> int:
    """So many rows are in the tables of level 2 that are of tasks; a name is of many."""
    of_tasks = TABLES.keys() - {"name", "worker"}
    return sum(driver.db.execute(f"SELECT count(*) FROM {table}").get for table in of_tasks)


def test_they_are_made_by_the_raise_and_not_before() -> None:
    driver = Driver(level=1)
    driver.enqueue("a")
    assert tables(driver).isdisjoint(TABLES)
    assert "flags" not in columns(driver, "task")
    assert driver.apply(Raise(level_two.LEVEL, RELEASE)).replies == [Done()]
    assert tables(driver) >= set(TABLES)
    assert "flags" in columns(driver, "task")
    assert driver.state("a") is State.QUEUED


def test_who_waits_for_a_retry_is_counted_before_the_raise_with_it_and_after_it() -> None:
    """A replica that starts anew counts as those that did not: else their tables differ."""
    driver = Driver(level=1)
    tokens = [driver.start(name, spec=spec_of(retries=3)) for name in "ab"]
    for token in tokens:
        driver.fail(token, driver.now + 1_000)

    def delayed() -> int:
        return driver.machine.queues()[0].delayed

    for _ in range(2):
        assert (delayed(), driver.machine.queues()[0].ready) == (2, 0)
        driver.reopen()
    assert driver.apply(Raise(level_two.LEVEL, RELEASE)).replies == [Done()]
    assert driver.db.execute("SELECT delayed FROM queue").get == 2
    driver.reopen()
    assert delayed() == 2
    driver.tick(later=1_000)
    driver.reopen()
    assert (delayed(), driver.machine.queues()[0].ready) == (0, 2)


def test_each_names_an_order_of_columns_that_it_has() -> None:
    driver = Driver()
    for table, order in TABLES.items():
        assert set(order.split(", ")) <= set(columns(driver, table))
        ((text,),) = driver.db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,))
        assert text.rstrip().endswith(("STRICT", "STRICT, WITHOUT ROWID")), table


def test_an_ordinary_task_leaves_no_row_in_them_and_the_defaults_in_its_own() -> None:
    driver = Driver()
    driver.enqueue("done", "back", "waits")
    done, back = driver.assign(1, 2)
    driver.finish(done)
    driver.release(back)
    assert rows(driver) == 0
    new = ("flags", "place", "lane", "created", "gates", "tenant", "open", "flow")
    found = driver.db.execute(f"SELECT {', '.join(new)} FROM task")
    assert {tuple(row) for row in found} == {(0, 0, 0, 0, "", "", 0, 0)}


def test_nothing_is_left_in_them_of_what_has_ended() -> None:
    driver = Driver()
    spec = Spec("module.task", "default", delay=10, priority=150, expires=500, deadline=900)
    tasks = pack([["a", b""], ["b", b""]])
    assert driver.apply(Admit(driver.now, encode_spec(spec), tasks)).replies == [Done()]
    assert rows(driver) > 0
    driver.tick(later=10)
    driver.finish(driver.assign(1)[0])
    driver.tick(later=500)
    assert [driver.state(task) for task in "ab"] == [State.SUCCEEDED, State.CANCELLED]
    driver.apply(Tick())
    assert rows(driver) == 0


@pytest.mark.parametrize(
    ("level", "text"),
    [(1, "SELECT 0, '' FROM task"), (2, "SELECT task.flags, task.tenant FROM task")],
)
def test_a_statement_has_a_column_or_what_stands_for_it(level: int, text: str) -> None:
    assert ByLevel("SELECT {flags}, {tenant} FROM task").at(level) == text
