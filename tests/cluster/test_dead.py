"""Tasks that kill what runs them, and tasks that fail for good: kept apart, shown, run again."""

import json

import pytest

from raftwork import Status, TaskFailed, TaskLost, UnknownTask
from tests.cluster.harness import PATIENCE, Cluster


def test_a_poison_task_takes_so_many_processes_down_and_no_more(cluster: Cluster) -> None:
    worker = cluster.start_worker("w1", "--concurrency", "2")
    poison = cluster.app.enqueue("crash")
    good = [cluster.app.enqueue("add", n, 1) for n in range(50)]
    assert [run.result(timeout=PATIENCE) for run in good] == list(range(1, 51))
    with pytest.raises(TaskLost, match=r"lost 3 times .* w1 lost the process to signal 9"):
        poison.result(timeout=PATIENCE)
    assert len(cluster.marks(poison.id, "start")) == 3
    assert worker.alive
    report = cluster.app.dead().show(poison.id)
    assert (report.task.status, report.task.losses, report.task.failures) == (Status.LOST, 3, 0)
    assert {(loss.worker, loss.signal, loss.exit) for loss in report.losses} == {("w1", 9, None)}
    assert len(report.losses) == 3
    assert all(loss.memory and loss.memory > 2**20 for loss in report.losses)


def test_the_dead_are_listed_retried_once_and_purged(cluster: Cluster) -> None:
    cluster.start_worker("w1", "--concurrency", "1")
    run = cluster.app.enqueue("fail", 1)
    with pytest.raises(TaskFailed):
        run.result(timeout=PATIENCE)
    listed = json.loads(cluster.cli("dead", "list", "--json").out)
    assert [(task["id"], task["status"], task["failures"]) for task in listed] == [
        (run.id, "failed", 1)
    ]
    shown = cluster.cli("dead", "show", run.id)
    assert "called with (1)" in shown.out and "attempt 1 fails as asked" in shown.out
    first, second = (cluster.cli("dead", "retry", run.id) for _ in range(2))
    assert (first.code, first.out) == (0, second.out)
    again = cluster.app.run(first.out.strip())
    with pytest.raises(TaskFailed):
        again.result(timeout=PATIENCE)
    assert len(cluster.marks(again.id, "start")) == 1
    old = cluster.leader()
    cluster.kill(old)
    cluster.wait_for_leader(other_than=old)
    assert [task.id for task in cluster.app.dead().list()] == [again.id, run.id]
    assert cluster.cli("dead", "purge", "--queue", "default").out == "2\n"
    assert cluster.app.dead("default").list() == []
    assert run.status() is Status.FAILED
    with pytest.raises(UnknownTask, match="no dead task"):
        cluster.app.dead().retry(run.id)
