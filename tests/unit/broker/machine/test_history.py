"""What stays of what ended: names, workers, times, attempts that came to nothing, and tags."""

import pytest

from raftwork.broker.machine.commands import Fail, Finish, Lose, Postpone, Tick
from raftwork.features import history
from raftwork.features.dead_letters import Retry
from raftwork.features.history import NameWorker, Ran
from raftwork.features.purge_queue import DropWaiting
from raftwork.features.tags import tagged, tagged_after, tags_of, tags_of_each
from raftwork.features.task_batch import AS_BEFORE
from raftwork.features.task_row import TAGGED
from raftwork.messages import Extras, Failure, Loss, Spec, encode_failure, encode_spec
from raftwork.release import LEVELS
from raftwork.wire import pack
from tests.unit.broker.machine.driver import FAILURE, WORKER, Driver, spec_of

_ENDED = """SELECT name.name, worker.name, ended_at, run_ms, attempt FROM task
    LEFT JOIN name ON name.number = named LEFT JOIN worker ON worker.number = ran_on
    WHERE task.id = ?"""
_ATTEMPTS = "SELECT attempt.number, worker.name, ended, run_ms, error FROM attempt LEFT JOIN worker"


def ended(driver: Driver, task: str) -> tuple[object, ...]:
    (row,) = list(driver.db.execute(_ENDED, (task,)))
    return tuple(row)


def attempts(driver: Driver) -> list[tuple[object, ...]]:
    return list(driver.db.execute(f"{_ATTEMPTS} ON worker.number = attempt.worker"))


def count(driver: Driver, table: str) -> int:
    ((rows,),) = driver.db.execute(f"SELECT count(*) FROM {table}")
    return int(rows)


def enqueue_tagged(driver: Driver, task: str, **tags: str) -> None:
    extras = Extras(tags=list(tags.items()))
    driver.apply(driver.put(task)._replace(tasks=pack([[task, b"payload", "", extras]])))


def test_an_ended_task_keeps_its_name_its_worker_and_its_times(driver: Driver) -> None:
    driver.apply(NameWorker(WORKER, "w1"))
    token = driver.start("a")
    driver.now += 70
    driver.apply(Ran([(token, 50)]), Finish([(token, b"v")]))
    assert ended(driver, "a") == ("module.task", "w1", driver.now, 50, 1)


def test_a_run_time_is_told_in_the_entry_that_ends_the_token_or_not_at_all(driver: Driver) -> None:
    token = driver.start("a")
    driver.apply(Ran([(token, 50)]))
    driver.apply(Finish([(token, b"v")]))
    assert ended(driver, "a") == ("module.task", None, driver.now, 0, 1)


def test_an_attempt_that_goes_on_in_another_one_is_none_that_failed(driver: Driver) -> None:
    token = driver.start("a", spec=spec_of(retries=3))
    driver.apply(Postpone(token, 0))
    assert attempts(driver) == []
    driver.apply(Fail(driver.assign(1)[0], FAILURE, driver.now))
    assert [row[0] for row in attempts(driver)] == [2]


def test_what_ends_while_it_waits_ran_nowhere(driver: Driver) -> None:
    driver.apply(NameWorker(WORKER, "w1"))
    driver.enqueue("a")
    driver.apply(DropWaiting("default", 1, 10))
    assert ended(driver, "a") == ("module.task", None, driver.now, 0, 0)


def test_attempts_that_failed_or_were_lost_are_kept_until_the_result_goes(driver: Driver) -> None:
    driver.apply(NameWorker(WORKER, "w1"))
    token = driver.start("a", spec=spec_of(retries=3))
    driver.apply(Ran([(token, 30)]), Fail(token, FAILURE, driver.now))
    driver.apply(Lose([(driver.assign(1)[0], True)], Loss("w1")))
    assert attempts(driver) == [
        (1, "w1", driver.now, 30, "ValueError: no"),
        (2, "w1", driver.now, 0, "WorkerLost: w1 vanished"),
    ]
    driver.finish(driver.assign(1)[0], b"v")
    assert len(attempts(driver)) == 2
    driver.now += 1_000
    driver.apply(Tick())
    assert attempts(driver) == []


def test_what_a_failed_attempt_left_for_a_tracer_comes_with_the_next(driver: Driver) -> None:
    def left() -> bytes:
        (task,) = driver.waiting()
        about = driver.machine.about([task]).get(task.seq)
        return b"" if about is None else about.trace

    driver.enqueue("a", spec=spec_of(retries=9))
    driver.enqueue("b")
    driver.assign(2)
    words = Failure("ValueError", "no", "")
    for trace, found in ((b"", b""), (b"one", b"one"), (b"x" * 65, b"one"), (b"two", b"two")):
        failure = encode_failure(words._replace(trace=trace))
        driver.apply(Fail(driver.assign(1)[0], failure, driver.now))
        assert left() == found
    driver.apply(Lose([(driver.assign(1)[0], True)], Loss("w1")))
    assert left() == b"two"
    driver.reopen()
    assert left() == b"two"


def test_below_level_two_nothing_is_left_for_a_tracer() -> None:
    driver = Driver(level=LEVELS.most - 1)
    token = driver.start("a", spec=spec_of(retries=1))
    driver.apply(Fail(token, FAILURE, driver.now))
    (task,) = driver.waiting()
    assert driver.machine.about([task]) == {}


def test_one_that_is_handed_back_unstarted_leaves_no_attempt(driver: Driver) -> None:
    driver.release(driver.start("a"))
    assert attempts(driver) == []


def test_the_last_attempts_of_a_task_are_kept(driver: Driver) -> None:
    driver.enqueue("a", spec=spec_of(retries=100))
    for _ in range(history.ATTEMPTS_MAX + 5):
        driver.apply(Fail(driver.assign(1)[0], FAILURE, driver.now))
    numbers = [row[0] for row in attempts(driver)]
    assert numbers == list(range(6, history.ATTEMPTS_MAX + 6))


def test_the_newest_names_and_workers_have_numbers(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "NUMBERED_MAX", 2)
    for at in range(3):
        name = f"n{at}"
        driver.apply(NameWorker(name.encode(), name))
        driver.enqueue(name, spec=encode_spec(Spec(name, "default")))
        driver.finish(driver.assign(at + 1, worker=name.encode())[0], b"v")
    assert [ended(driver, f"n{at}")[:2] for at in range(3)] == [
        (None, None),
        ("n1", "n1"),
        ("n2", "n2"),
    ]
    driver.reopen()
    driver.apply(NameWorker(b"n3", "n3"))
    assert list(driver.db.execute("SELECT number, name FROM worker")) == [(3, "n2"), (4, "n3")]
    assert list(driver.db.execute("SELECT * FROM name")) == [(2, "n1"), (3, "n2")]


def test_a_worker_is_named_once(driver: Driver) -> None:
    driver.apply(NameWorker(WORKER, "w1"), NameWorker(WORKER, "w2"))
    assert list(driver.db.execute("SELECT * FROM worker")) == [(1, WORKER, "w1")]


def test_below_level_two_nothing_of_it_is_kept() -> None:
    driver = Driver(level=LEVELS.most - 1)
    token = driver.start("a", spec=spec_of(retries=1))
    driver.apply(Fail(token, FAILURE, driver.now))
    driver.finish(driver.assign(1)[0], b"v")
    driver.enqueue("b")
    driver.apply(DropWaiting("default", 2, 10))
    assert [driver.state(task).name for task in "ab"] == ["SUCCEEDED", "FAILED"]


def test_tags_go_with_the_result(driver: Driver) -> None:
    enqueue_tagged(driver, "a", customer="7", region="eu")
    enqueue_tagged(driver, "b", customer="7")
    driver.enqueue("plain")
    assert list(driver.db.execute("SELECT * FROM tag ORDER BY 1, 2, 3")) == [
        ("customer", "7", 1, 1, 1),
        ("customer", "7", 2, 2, 1),
        ("region", "eu", 1, 1, 1),
    ]
    assert [row[0] for row in driver.db.execute("SELECT flags FROM task")] == [TAGGED, TAGGED, 0]
    driver.finish(driver.assign(1)[0], b"v")
    assert count(driver, "tag") == 3
    driver.now += 1_000
    driver.apply(Tick())
    assert list(driver.db.execute("SELECT * FROM tag")) == [("customer", "7", 2, 2, 1)]


def test_tasks_that_enter_together_have_one_row_of_each_tag(driver: Driver) -> None:
    extras = Extras(tags=[("customer", "7"), ("region", "eu")])
    rows = [["a", b"", "", extras], *([each, b"", "", AS_BEFORE] for each in "bcd")]
    driver.apply(driver.put("a")._replace(tasks=pack(rows)))
    enqueue_tagged(driver, "e", customer="8")
    assert count(driver, "tag") == 3
    ledger = driver.machine.state
    assert [tags_of(ledger, seq) for seq in range(1, 7)] == [extras.tags] * 4 + [
        [("customer", "8")],
        [],
    ]
    assert tags_of_each(ledger, [5, 2, 3]) == {
        2: extras.tags,
        3: extras.tags,
        5: [("customer", "8")],
    }
    assert tagged(ledger, "customer", "7", 4, 2) == [(3, True), (2, True)]
    assert tagged_after(ledger, "customer", "7", 1, 3, 9) == [(2, True), (3, True)]


def test_a_row_of_tags_goes_with_the_last_result(driver: Driver) -> None:
    rows = [["a", b"", "", Extras(tags=[("customer", "7")])], ["b", b"", "", AS_BEFORE]]
    driver.apply(driver.put("a")._replace(tasks=pack(rows)))
    first, second = driver.assign(1, 2)
    driver.finish(second, b"v")
    driver.now += 1_000
    driver.apply(Tick())
    ledger = driver.machine.state
    assert [tags_of(ledger, seq) for seq in (1, 2)] == [[("customer", "7")], []]
    assert tagged(ledger, "customer", "7", 9, 9) == [(2, False), (1, True)]
    assert tagged_after(ledger, "customer", "7", 0, 9, 9) == [(1, True), (2, False)]
    driver.finish(first, b"v")
    driver.now += 1_000
    driver.apply(Tick())
    assert count(driver, "tag") == 0


def test_who_runs_a_dead_task_again_runs_it_with_its_tags(driver: Driver) -> None:
    enqueue_tagged(driver, "a", customer="7")
    driver.fail(driver.assign(1)[0])
    driver.apply(Retry(driver.now, "a", "again"))
    assert list(driver.db.execute("SELECT * FROM tag")) == [
        ("customer", "7", 1, 1, 1),
        ("customer", "7", 2, 2, 1),
    ]


def test_who_runs_a_dead_task_again_runs_it_for_its_tenant(driver: Driver) -> None:
    extras = Extras(tenant="acme")
    driver.apply(driver.put("a")._replace(tasks=pack([["a", b"payload", "", extras]])))
    driver.fail(driver.assign(1)[0])
    driver.apply(Retry(driver.now, "a", "again"))
    assert [row[0] for row in driver.db.execute("SELECT tenant FROM task")] == ["acme", "acme"]
