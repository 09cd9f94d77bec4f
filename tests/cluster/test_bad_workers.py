"""Workers that cannot do what they are given: others do it, as long as there are others."""

import pytest

from raftwork import TaskFailed
from tests.cluster.harness import Cluster

OLD = "tests.cluster.tasks:old"


def test_a_task_goes_to_a_worker_that_knows_it(cluster: Cluster) -> None:
    cluster.start_worker("old", "--concurrency", "4", target=OLD)
    cluster.start_worker("new", "--concurrency", "1")
    runs = cluster.app.named("add").enqueue_many([(n, 1) for n in range(200)])
    before = [cluster.app.enqueue("old") for _ in range(20)]
    assert [run.result(timeout=20) for run in runs] == list(range(1, 201))
    assert [run.result(timeout=20) for run in before] == [None] * 20
    assert {mark.worker for mark in cluster.marks()} == {"new"}


def test_a_task_that_no_worker_knows_fails_at_every_one_of_them(cluster: Cluster) -> None:
    cluster.start_worker("v", "--pool", "thread", target=OLD)
    cluster.start_worker("w", "--pool", "thread", target=OLD)
    for run in [cluster.app.enqueue("add", n, 1) for n in range(50)]:
        with pytest.raises(TaskFailed, match="no task 'add'; it knows old"):
            run.result(timeout=20)
    assert cluster.app.enqueue("old").result(timeout=20) is None
