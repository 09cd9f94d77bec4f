"""Workers that die, stall, leave or run bad code: one owner, one outcome, and the queue goes on."""

import time
from pathlib import Path

import psutil
import pytest

from raftwork import App, Run, Status, TaskFailed, TaskLost
from tests.cluster.harness import PATIENCE, Cluster

POOLS = ["process", "thread", "async"]


@pytest.mark.parametrize("pool", POOLS)
def test_every_pool_runs_every_kind_of_task(one_broker: Cluster, pool: str) -> None:
    one_broker.start_worker("w1", "--pool", pool, "--concurrency", "2")
    app = one_broker.app
    value = {"list": [1, 2.5, None, True], "bytes": b"\x00\xff", "text": "é"}
    assert app.enqueue("echo", value).result(timeout=PATIENCE) == value
    assert app.enqueue("add", 1, y=2).result(timeout=PATIENCE) == 3
    runs = [app.enqueue("anap", 0.01), app.enqueue("nap", 0.01)]
    tokens = [run.result(timeout=PATIENCE) for run in runs]
    assert tokens == [one_broker.marks(run.id, "finish")[0].token for run in runs]
    assert {mark.worker for mark in one_broker.marks()} == {"w1"}


def test_a_task_of_a_killed_worker_runs_again_under_a_greater_token(
    cluster: Cluster, tmp_path: Path
) -> None:
    first = cluster.start_worker("w1", "--concurrency", "1")
    run = cluster.app.enqueue("until", str(tmp_path / "go"))
    old = cluster.wait_for_start(run.id)
    cluster.start_worker("w2", "--concurrency", "1")
    first.kill()
    new = cluster.wait_for_start(run.id, attempt=2)
    assert (new.worker, new.token > old.token) == ("w2", True)
    (tmp_path / "go").touch()
    assert run.result(timeout=PATIENCE) == new.token


def test_nobody_waits_for_a_killed_worker_to_come_back(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.cli("cluster", "set", "worker_lease=600", "worker_reconnect=600").code == 0
    first = cluster.start_worker("w1", "--concurrency", "1")
    run = cluster.app.enqueue("until", str(tmp_path / "go"))
    old = cluster.wait_for_start(run.id)
    cluster.start_worker("w2", "--concurrency", "1")
    first.kill()
    new = cluster.wait_for_start(run.id, attempt=2)
    assert (new.worker, psutil.pid_exists(old.pid)) == ("w2", False)
    (tmp_path / "go").touch()
    assert run.result(timeout=PATIENCE) == new.token


def test_a_killed_worker_takes_its_pool_with_it(one_broker: Cluster, tmp_path: Path) -> None:
    worker = one_broker.start_worker("w1", "--concurrency", "2")
    run = one_broker.app.enqueue("until", str(tmp_path / "go"))
    pid = one_broker.wait_for_start(run.id).pid
    assert pid != worker.pid
    worker.kill()
    one_broker.wait_until(lambda: not psutil.pid_exists(pid), "the pool's process has ended")


def test_the_late_result_of_a_worker_that_was_paused_is_refused(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "1")
    run = cluster.app.enqueue("until", str(tmp_path / "go"))
    old = cluster.wait_for_start(run.id)
    cluster.pause("w1")
    cluster.start_worker("w2", "--pool", "thread", "--concurrency", "1")
    new = cluster.wait_for_start(run.id, attempt=2)
    assert new.worker == "w2"
    (tmp_path / "go").touch()
    assert run.result(timeout=PATIENCE) == new.token > old.token
    cluster.resume("w1")
    cluster.wait_until(
        lambda: any(m.worker == "w1" for m in cluster.marks(run.id, "finish")),
        "the old owner's code has ended too",
    )
    # The worker is as good as new: it is listed again, and what it runs now counts.
    cluster["w2"].kill()
    after = cluster.app.enqueue("nap", 0.0)
    assert after.result(timeout=PATIENCE) == cluster.marks(after.id, "finish")[0].token
    assert cluster.marks(after.id)[0].worker == "w1"
    with App(brokers=cluster.brokers) as fresh:
        assert fresh.run(run.id).result(timeout=PATIENCE) == new.token
    assert sum(q.succeeded for q in cluster.led().queues) == 2


def test_a_task_that_may_run_once_is_lost_with_its_worker_and_never_run_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    worker = cluster.start_worker("w1", "--concurrency", "1")
    app = cluster.app
    task = app.named("until", delivery="at_most_once")
    run = task.enqueue(str(tmp_path / "go"))
    waiting = [task.enqueue(str(tmp_path / "go")) for _ in range(5)]
    cluster.wait_for_start(run.id)
    worker.kill()
    cluster.start_worker("w1", "--concurrency", "2")
    with pytest.raises(TaskLost):
        run.result(timeout=PATIENCE)
    assert run.status() is Status.LOST
    (tmp_path / "go").touch()
    ended = []
    for other in waiting:
        try:
            other.result(timeout=PATIENCE)
        except TaskLost:
            ended.append(other.id)
    assert not ended, "tasks that may run once are not held ahead"
    starts = [mark.task for mark in cluster.marks(what="start")]
    assert sorted(starts) == sorted({run.id, *(other.id for other in waiting)})


def test_a_task_that_may_run_once_and_ended_unheard_is_not_run_again(cluster: Cluster) -> None:
    """Its worker is killed before it could tell, and its fork server knows only what runs."""
    assert cluster.cli("cluster", "set", "worker_lease=600", "worker_reconnect=600").code == 0
    worker = cluster.start_worker("w1", "--concurrency", "1", "--max-tasks-per-child", "1")
    run = cluster.app.named("unheard", delivery="at_most_once").enqueue()
    pid = cluster.wait_for_start(run.id).pid
    cluster.wait_until(lambda: not psutil.pid_exists(pid), "its process has done its part")
    cluster.start_worker("w2", "--concurrency", "1")
    worker.kill()
    with pytest.raises(TaskLost):
        run.result(timeout=PATIENCE)
    assert len(cluster.marks(run.id, "start")) == 1


def test_a_worker_told_to_stop_finishes_what_runs_and_hands_back_the_rest(
    cluster: Cluster, tmp_path: Path
) -> None:
    worker = cluster.start_worker("w1", "--concurrency", "1", "--pool", "thread")
    running = cluster.app.enqueue("until", str(tmp_path / "go"))
    cluster.wait_for_start(running.id)
    waiting = [cluster.app.enqueue("add", n, 1) for n in range(20)]
    cluster.start_worker("w2", "--concurrency", "1", "--pool", "thread")
    from signal import SIGTERM

    worker.signal(SIGTERM)
    assert [run.result(timeout=PATIENCE) for run in waiting] == list(range(1, 21))
    assert worker.alive
    (tmp_path / "go").touch()
    assert worker.wait(timeout=PATIENCE) == 0
    (mark,) = cluster.marks(running.id, "finish")
    assert running.result(timeout=PATIENCE) == mark.token
    assert mark.worker == "w1"


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_second_signal_stops_a_worker_at_once_and_its_task_goes_back(
    one_broker: Cluster, tmp_path: Path, pool: str
) -> None:
    from signal import SIGTERM

    worker = one_broker.start_worker("w1", "--concurrency", "1", "--pool", pool)
    run = one_broker.app.enqueue("until", str(tmp_path / "go"))
    one_broker.wait_for_start(run.id)
    one_broker.start_worker("w2", "--concurrency", "1", "--pool", pool)
    worker.signal(SIGTERM)
    one_broker.wait_until(
        lambda: any(w.state == "draining" for w in one_broker.see().workers), "w1 is draining"
    )
    worker.signal(SIGTERM)
    worker.wait(timeout=PATIENCE)
    assert one_broker.wait_for_start(run.id, attempt=2).worker == "w2"
    (tmp_path / "go").touch()
    run.result(timeout=PATIENCE)


@pytest.mark.parametrize(("pool", "task"), [("process", "nap"), ("async", "anap")])
def test_a_task_over_its_time_limit_fails_and_frees_its_slot(
    one_broker: Cluster, pool: str, task: str
) -> None:
    one_broker.start_worker("w1", "--pool", pool, "--concurrency", "1")
    began = time.monotonic()
    run = one_broker.app.named(task, timeout=0.3).enqueue(60.0)
    with pytest.raises(TaskFailed, match=r"0\.3"):
        run.result(timeout=PATIENCE)
    assert time.monotonic() - began < 60, "it ran to its end"
    assert run.status() is Status.FAILED
    assert not one_broker.marks(run.id, "finish")
    assert one_broker.app.enqueue("add", 1, 2).result(timeout=PATIENCE) == 3


@pytest.mark.parametrize(
    ("pool", "task"),
    [("async", "deaf"), ("async", "blocking"), ("async", "nap"), ("thread", "nap")],
)
def test_code_that_cannot_be_stopped_keeps_no_worker_from_stopping(
    one_broker: Cluster, pool: str, task: str
) -> None:
    worker = one_broker.start_worker("w1", "--pool", pool, "--concurrency", "2")
    run = one_broker.app.named(task, timeout=0.2).enqueue(*([3600.0] if task == "nap" else []))
    with pytest.raises(TaskFailed):
        run.result(timeout=PATIENCE)
    assert worker.stop(timeout=PATIENCE) == 0


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_a_task_enqueues_where_its_worker_gets_its_work(one_broker: Cluster, pool: str) -> None:
    one_broker.start_worker("w1", "--pool", pool, "--concurrency", "2")
    assert one_broker.app.enqueue("add_elsewhere", 1, 2).result(timeout=PATIENCE) == 3


def test_a_failing_task_is_retried_with_growing_pauses(one_broker: Cluster) -> None:
    one_broker.start_worker("w1", "--pool", "thread")
    began = time.monotonic()
    run = one_broker.app.named("fail", retries=3, backoff=0.2).enqueue(3)
    assert run.result(timeout=PATIENCE) == 4
    assert time.monotonic() - began > 0.2 + 0.4 + 0.8
    attempts = [(mark.attempt, mark.token) for mark in one_broker.marks(run.id, "start")]
    assert [attempt for attempt, _ in attempts] == [1, 2, 3, 4]
    assert attempts == sorted(attempts)


@pytest.mark.parametrize("pool", POOLS)
def test_what_an_attempt_left_outlives_its_worker_and_the_leader(
    cluster: Cluster, tmp_path: Path, pool: str
) -> None:
    first = cluster.start_worker("w1", "--concurrency", "1", "--pool", pool)
    run = cluster.app.enqueue("climb", str(tmp_path / "go"))
    cluster.wait_for_start(run.id)
    cluster.wait_until(lambda: _said(run) == "attempt 1", "the leader knows how far it is")
    cluster.kill(cluster.leader())
    cluster.wait_for_leader()
    cluster.wait_until(lambda: _said(run) == "attempt 1", "the next leader knows it, too")
    first.kill()
    cluster.start_worker("w2", "--concurrency", "1", "--pool", pool)
    cluster.wait_for_start(run.id, attempt=2)
    cluster.wait_until(lambda: _said(run) == "attempt 2", "how far the next attempt is")
    (tmp_path / "go").touch()
    assert run.result(timeout=PATIENCE) == [1, 2]


def _said(run: Run[object]) -> str:
    progress = run.progress()
    return "" if progress is None else progress.text


def test_a_task_that_keeps_failing_fails_with_its_last_error(one_broker: Cluster) -> None:
    one_broker.start_worker("w1")
    run = one_broker.app.named("fail", retries=1, backoff=0.01).enqueue(5)
    with pytest.raises(TaskFailed) as caught:
        run.result(timeout=PATIENCE)
    assert caught.value.type == "ValueError"
    assert caught.value.message == "attempt 2 fails as asked"
    assert "in fail" in caught.value.traceback
    assert len(one_broker.marks(run.id, "start")) == 2


def test_a_task_that_kills_its_process_does_not_take_the_worker_with_it(
    one_broker: Cluster,
) -> None:
    worker = one_broker.start_worker("w1", "--concurrency", "1")
    run = one_broker.app.enqueue("crash")
    with pytest.raises((TaskFailed, TaskLost)):
        run.result(timeout=PATIENCE)
    assert 1 <= len(one_broker.marks(run.id, "start")) <= 10
    assert worker.alive
    assert one_broker.app.enqueue("add", 1, 2).result(timeout=PATIENCE) == 3


def test_a_worker_serves_only_its_queues(one_broker: Cluster) -> None:
    one_broker.start_worker("w1", "--pool", "thread", "--queues", "mail,bulk")
    other = one_broker.app.enqueue("add", 1, 1)
    run = one_broker.app.named("add", queue="bulk").enqueue(1, 2)
    assert run.result(timeout=PATIENCE) == 3
    assert other.status() is Status.QUEUED
    one_broker.start_worker("w2", "--pool", "thread")
    assert other.result(timeout=PATIENCE) == 2


def test_an_unknown_task_name_fails_and_says_what_the_worker_knows(one_broker: Cluster) -> None:
    one_broker.start_worker("w1", "--pool", "thread")
    with pytest.raises(TaskFailed, match=r"no task 'nosuch'; it knows add, .*until"):
        one_broker.app.enqueue("nosuch").result(timeout=PATIENCE)
