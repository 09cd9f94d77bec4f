"""What the machine answers to those who dispatch, watch and report."""

from raftwork.broker.machine import Waiting
from raftwork.features.enqueue import Admit
from raftwork.messages import QueueStatus, Result, State
from tests.unit.broker.machine.driver import WORKER, Driver, spec_of, tasks_of


def test_lookup_answers_in_the_order_of_the_question(driver: Driver) -> None:
    driver.finish(driver.start("done"), b"value")
    driver.start("runs")
    driver.enqueue("waits")
    assert driver.machine.lookup(["waits", "none", "done", "runs", "done"]) == [
        Result("waits", State.QUEUED, b""),
        Result("none", State.UNKNOWN, b""),
        Result("done", State.SUCCEEDED, b"value"),
        Result("runs", State.RUNNING, b""),
        Result("done", State.SUCCEEDED, b"value"),
    ]
    assert driver.machine.lookup([]) == []


def test_waiting_gives_whole_tasks_after_a_number(driver: Driver) -> None:
    driver.effects(Admit(driver.now, spec_of(), tasks_of(("a", b"1"), ("b", b"2"))))
    assert driver.machine.waiting("default", 1, 10, 100) == [
        Waiting(2, "b", spec_of(), b"2", 1, 0),
    ]
    assert driver.machine.waiting("default", 2, 10, 100) == []
    assert driver.machine.waiting("nowhere", 0, 10, 100) == []


def test_waiting_keeps_queues_apart(driver: Driver) -> None:
    driver.enqueue("a")
    driver.enqueue("b", spec=spec_of("other"))
    driver.enqueue("c")
    assert driver.waiting_ids() == ["a", "c"]
    assert driver.waiting_ids("other") == ["b"]


def test_waiting_is_limited_in_tasks_and_in_bytes(driver: Driver) -> None:
    driver.enqueue("a", "b", "c", payload=b"12345")
    ids = [t.id for t in driver.machine.waiting("default", 0, 2, 100)]
    assert ids == ["a", "b"]
    assert [t.id for t in driver.machine.waiting("default", 0, 9, 5)] == ["a"]
    assert [t.id for t in driver.machine.waiting("default", 0, 9, 6)] == ["a", "b"]


def test_a_read_that_stopped_early_leaves_no_transaction_open(driver: Driver) -> None:
    driver.enqueue("a", "b", "c")
    driver.machine.waiting("default", 0, 9, 1)
    assert not driver.db.in_transaction
    assert driver.db.txn_state() == 0


def test_waiting_by_gives_those_that_wait_now_in_order(driver: Driver) -> None:
    driver.enqueue("a", "b", "c")
    driver.assign(2)
    assert [t.id for t in driver.machine.waiting_by([3, 2, 1, 99])] == ["a", "c"]
    assert driver.machine.waiting_by([]) == []


def test_running_tasks_come_in_the_order_of_tokens_also_after_a_restart(driver: Driver) -> None:
    driver.enqueue("a", "b", "c", spec=spec_of("q"))
    driver.assign(3, 1, 2)
    driver.release(2)
    driver.assign(1)
    before = list(driver.machine.running())
    assert [(r.token, r.id, r.queue, r.worker, r.attempt) for r in before] == [
        (1, "c", "q", WORKER, 1),
        (3, "b", "q", WORKER, 1),
        (4, "a", "q", WORKER, 2),
    ]
    driver.reopen()
    assert list(driver.machine.running()) == before
    assert driver.machine.current(3) == before[1]


def test_a_running_task_can_be_pushed_again(driver: Driver) -> None:
    token = driver.start("a")
    assert driver.machine.running_body(token) == Waiting(1, "a", spec_of(), b"payload", 1, 0)
    driver.finish(token)
    assert driver.machine.running_body(token) is None


def test_queues_are_counted_by_name(driver: Driver) -> None:
    driver.enqueue("a", spec=spec_of("z"))
    driver.start("b", spec=spec_of("y"))
    assert driver.machine.queues() == [
        QueueStatus("y", 0, 1, 0, 0, 0),
        QueueStatus("z", 1, 0, 0, 0, 0, len(b"payload")),
    ]
    driver.reopen()
    assert [q.name for q in driver.machine.queues()] == ["y", "z"]
