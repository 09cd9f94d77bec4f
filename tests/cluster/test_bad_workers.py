"""Workers that cannot do what they are given: others do it, as long as there are others."""

from pathlib import Path

import pytest

from raftwork import TaskFailed
from tests.cluster.harness import PATIENCE, Cluster

OLD = "tests.cluster.tasks:old"


def test_a_task_goes_to_a_worker_that_knows_it(cluster: Cluster) -> None:
    cluster.start_worker("old", "--concurrency", "4", target=OLD)
    cluster.start_worker("new", "--concurrency", "1")
    runs = cluster.app.named("add").enqueue_many([(n, 1) for n in range(200)])
    before = [cluster.app.enqueue("old") for _ in range(20)]
    assert [run.result(timeout=PATIENCE) for run in runs] == list(range(1, 201))
    assert [run.result(timeout=PATIENCE) for run in before] == [None] * 20
    assert {mark.worker for mark in cluster.marks()} == {"new"}


def test_a_task_that_no_worker_knows_fails_at_every_one_of_them(cluster: Cluster) -> None:
    cluster.start_worker("v", "--pool", "thread", target=OLD)
    cluster.start_worker("w", "--pool", "thread", target=OLD)
    for run in [cluster.app.enqueue("add", n, 1) for n in range(50)]:
        with pytest.raises(TaskFailed, match="no task 'add'; it knows old"):
            run.result(timeout=PATIENCE)
    assert cluster.app.enqueue("old").result(timeout=PATIENCE) is None


def test_a_task_that_was_lost_waits_for_another_worker(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start_worker("good", "--concurrency", "1")
    busy = cluster.app.enqueue("until", str(tmp_path / "go"))
    cluster.wait_for_start(busy.id)
    cluster.make_bad("deadly", "bad")
    cluster.start_worker("bad", "--concurrency", "1")
    run = cluster.app.enqueue("add", 1, 2)
    cluster.wait_for_start(run.id)
    cluster.wait_until(lambda: cluster.see().queues[0].queued == 1, "it waits again")
    (tmp_path / "go").touch()
    assert run.result(timeout=PATIENCE) == 3
    assert [mark.worker for mark in cluster.marks(run.id)] == ["bad", "good"]


def test_a_worker_under_which_tasks_are_lost_rests_until_it_is_well(cluster: Cluster) -> None:
    cluster.start_worker("bad", "--concurrency", "2")
    cluster.start_worker("good", "--concurrency", "2")
    cluster.make_bad("deadly", "bad")
    runs = [cluster.app.enqueue("add", n, 1) for n in range(300)]

    def rests() -> bool:
        """The other one may have done all of them before: its share goes on coming."""
        runs.append(cluster.app.enqueue("add", len(runs), 1))
        return "tasks in a row were lost under it" in cluster.reason("bad")

    cluster.wait_until(rests, "it rests")
    assert [run.result(timeout=PATIENCE) for run in runs] == list(range(1, len(runs) + 1))
    lost = [mark.task for mark in cluster.marks() if mark.worker == "bad"]
    assert 3 <= len(lost) == len(set(lost)) <= 12
    assert cluster.app.dead().list() == []
    cluster.make_bad("deadly", "")

    def done_by_it() -> bool:
        run = cluster.app.enqueue("nap", 0.01)
        run.result(timeout=PATIENCE)
        return any(mark.worker == "bad" for mark in cluster.marks(run.id))

    cluster.wait_until(done_by_it, "it is given tasks again")
    cluster.wait_until(lambda: "lost under it" not in cluster.reason("bad"), "it is forgotten")


def test_a_worker_whose_processes_do_not_start_gets_nothing_until_they_do(
    cluster: Cluster,
) -> None:
    cluster.make_bad("stillbirth", "")
    cluster.start_worker("w1", "--concurrency", "2")
    runs = [cluster.app.enqueue("add", n, 1) for n in range(10)]
    cluster.wait_until(lambda: "processes do not start" in cluster.reason("w1"), "it is said")
    cluster.wait_until(lambda: cluster.see().queues[0].queued == 10, "it hands back what it has")
    cluster.make_good("stillbirth")
    assert [run.result(timeout=PATIENCE) for run in runs] == list(range(1, 11))
    assert {mark.attempt for mark in cluster.marks()} <= {1, 2, 3}  # it was not handed out on end
