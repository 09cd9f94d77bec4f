"""Workers that are told to leave: nothing is lost, nothing runs twice, and the queue goes on."""

import threading
from collections import Counter
from pathlib import Path
from signal import SIGKILL

import pytest

from raftwork import Run, UnknownWorker
from raftwork.testing.processes import Child
from tests.cluster.harness import PATIENCE, Cluster


def _state(cluster: Cluster, name: str) -> list[str]:
    return [w.state for w in cluster.led().workers if w.name == name]


def test_a_drained_worker_finishes_what_runs_and_hands_back_the_rest(
    cluster: Cluster, tmp_path: Path
) -> None:
    worker = cluster.start_worker("w1", "--concurrency", "1", "--pool", "thread")
    running = cluster.app.enqueue("until", str(tmp_path / "go"))
    cluster.wait_for_start(running.id)
    waiting = [cluster.app.enqueue("add", n, 1) for n in range(20)]
    cluster.start_worker("w2", "--concurrency", "1", "--pool", "thread")
    done = cluster.cli("drain", "w1")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert _state(cluster, "w1") == ["draining"]
    assert [run.result(timeout=PATIENCE) for run in waiting] == list(range(1, 21))
    assert worker.alive
    (tmp_path / "go").touch()
    assert worker.wait(timeout=PATIENCE) == 0
    assert running.result(timeout=PATIENCE) == cluster.marks(running.id, "finish")[0].token
    cluster.wait_until(lambda: not _state(cluster, "w1"), "w1 is listed no more")


def test_a_draining_worker_drains_under_the_next_leader_too(
    cluster: Cluster, tmp_path: Path
) -> None:
    worker = cluster.start_worker("w1", "--concurrency", "1")
    run = cluster.app.enqueue("until", str(tmp_path / "go"))
    mark = cluster.wait_for_start(run.id)
    cluster.app.drain("w1")
    old = cluster.leader()
    cluster.kill(old)
    cluster.wait_for_leader(other_than=old)
    cluster.wait_until(lambda: _state(cluster, "w1") == ["draining"], "w1 drains")
    # Beyond its next heartbeat, which says so again.
    cluster.holds_for(lambda: _state(cluster, "w1") == ["draining"], "w1 drains on", 1.5)
    later = cluster.app.enqueue("add", 1, 2)
    waiting = _drain_and_wait(cluster, "w1")
    cluster.holds_for(lambda: worker.alive and waiting.alive, "w1 runs its task", 1.0)
    (tmp_path / "go").touch()
    assert worker.wait(timeout=PATIENCE) == 0
    assert waiting.wait(timeout=PATIENCE) == 0
    assert run.result(timeout=PATIENCE) == mark.token
    cluster.start_worker("w2")
    assert later.result(timeout=PATIENCE) == 3


def _drain_and_wait(cluster: Cluster, name: str) -> Child:
    """`raftwork drain NAME --wait`, from when it waits."""
    flags = ("--wait", "--timeout", str(2 * PATIENCE), "--brokers", cluster.brokers)
    command = cluster.local.start("drain", ["drain", name, *flags])
    cluster.wait_until(lambda: f"{name} drains" in command.log.read_text(), f"{name} drains")
    return command


def test_a_name_that_no_worker_has_is_an_error_that_names_the_others(cluster: Cluster) -> None:
    cluster.start_worker("w1", "--pool", "thread")
    done = cluster.cli("drain", "w2")
    assert (done.code, done.out) == (1, "")
    assert "'w2'" in done.err
    assert "w1" in done.err
    with pytest.raises(UnknownWorker):
        cluster.app.drain("w2")
    assert _state(cluster, "w1") == ["active"]


def test_waiting_for_a_worker_that_is_killed_meanwhile_says_so(
    cluster: Cluster, tmp_path: Path
) -> None:
    worker = cluster.start_worker("w1", "--concurrency", "1", "--pool", "thread")
    run = cluster.app.enqueue("until", str(tmp_path / "go"))
    cluster.wait_for_start(run.id)

    def waited_in_vain() -> bool:
        short = cluster.cli("drain", "w1", "--wait", "--timeout", "1")
        assert (short.code, short.out) == (1, "")
        # The time may be over before a leader has answered anything.
        return "still drains" in short.err

    cluster.wait_until(waited_in_vain, "it is said that w1 still drains")
    waiting = _drain_and_wait(cluster, "w1")
    cluster.holds_for(lambda: waiting.alive, "w1 runs its task", 1.0)
    worker.signal(SIGKILL)
    assert waiting.wait(timeout=PATIENCE) == 1
    assert "w1 was lost" in waiting.tail()


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_rolling_restart_of_all_workers_loses_nothing_and_runs_nothing_twice(
    cluster: Cluster, pool: str
) -> None:
    cluster.trust_workers()
    flags = ("--concurrency", "2", "--pool", pool)
    names = ["w1", "w2", "w3"]
    for name in names:
        cluster.start_worker(name, *flags)
    load = _Load(cluster)
    with load:
        for number, name in enumerate(names):
            old = cluster[name]
            load.wait_for(name)
            cluster.start_worker(f"{name}b", *flags)
            if number % 2:
                assert old.stop(timeout=PATIENCE) == 0
            else:
                assert cluster.cli("drain", name, "--wait", "--timeout", str(PATIENCE)).code == 0
                assert old.wait(timeout=PATIENCE) == 0
            load.wait_for(f"{name}b")
    values = [run.result(timeout=PATIENCE) for run in load.runs]
    marks = cluster.marks(what="finish")
    assert sorted(values) == sorted(mark.token for mark in marks), "each result is of its one run"
    begun = Counter(mark.task for mark in cluster.marks(what="start"))
    assert set(begun) == {run.id for run in load.runs}
    assert set(begun.values()) == {1}


class _Load:
    """Short and longer tasks, more than the workers have slots, without a pause."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.runs: list[Run[int]] = []

    def _run(self) -> None:
        nap = self._cluster.app.named("nap")
        while not self._end.is_set():
            batch = nap.enqueue_many([(0.0,), (0.1,), (0.001,), (0.02,)] * 5)
            self.runs += batch
            batch[-1].result(timeout=PATIENCE)

    def wait_for(self, worker: str) -> None:
        """Until this one, too, has ended tasks, and ten more have ended anywhere."""
        goal = len(self._cluster.marks(what="finish")) + 10

        def enough() -> bool:
            marks = self._cluster.marks(what="finish")
            return len(marks) >= goal and any(mark.worker == worker for mark in marks)

        self._cluster.wait_until(enough, f"ten more tasks, and some of {worker}'s")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
