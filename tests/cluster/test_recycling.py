"""Pool processes that are replaced: between tasks, without losing or repeating one."""

from collections import Counter

from tests.cluster.harness import PATIENCE, Cluster


def test_processes_are_replaced_after_so_many_tasks_and_every_task_runs_once(
    cluster: Cluster,
) -> None:
    cluster.trust_workers()
    cluster.start_worker("w1", "--concurrency", "2", "--max-tasks-per-child", "5")
    runs = [cluster.app.enqueue("add", n, 1) for n in range(60)]
    assert [run.result(timeout=PATIENCE) for run in runs] == list(range(1, 61))
    marks = cluster.marks()
    assert Counter(mark.task for mark in marks) == Counter(run.id for run in runs)
    assert max(Counter(mark.pid for mark in marks).values()) <= 5


def test_only_processes_can_be_replaced(cluster: Cluster) -> None:
    flags = ("--pool", "thread", "--max-memory-per-child", "300MiB")
    done = cluster.cli("worker", "tests.cluster.tasks:app", *flags)
    assert (done.code, "only the process pool" in done.err) == (2, True)
    done = cluster.cli("worker", "tests.cluster.tasks:app", "--max-memory-per-child", "300 MB")
    assert (done.code, "is not a number of bytes" in done.err) == (2, True)
