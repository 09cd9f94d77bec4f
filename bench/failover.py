"""How long nothing is acknowledged when a leader ends, and how soon a dead worker's task reruns."""

import argparse
import signal
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.harness import (
    Figures,
    active_workers,
    add_workers,
    client,
    cluster,
    leader,
    statuses,
    wait_until,
)
from bench.tasks import mark, noop
from raftwork import App
from raftwork.errors import RaftworkError
from raftwork.testing.processes import LocalCluster


class Load:
    """Enqueues steadily from several threads and notes when each was asked for and acknowledged.

    Each thread repeats one of `calls`; one of `failures` means that this enqueue was not
    acknowledged.
    """

    def __init__(
        self, calls: Sequence[Callable[[], object]], failures: tuple[type[Exception], ...]
    ) -> None:
        self._failures = failures
        self._stop = threading.Event()
        self.acknowledged: list[tuple[float, float]] = []
        self.failed = 0
        #: Threads that ran until they were stopped.
        self._left = 0
        self._threads = [
            threading.Thread(target=self._run, args=(call,), daemon=True) for call in calls
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, enqueue: Callable[[], object]) -> None:
        while not self._stop.is_set():
            asked = time.monotonic()
            try:
                enqueue()
            except self._failures:
                self.failed += 1
            else:
                self.acknowledged.append((asked, time.monotonic()))
            time.sleep(0.002)
        self._left += 1

    def stop(self) -> None:
        """Raises RuntimeError if a thread had ended by an exception that was not foreseen."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._left != len(self._threads):
            raise RuntimeError(f"{self._left} of {len(self._threads)} enqueuing threads were left")

    def first_after(self, moment: float) -> float | None:
        """Seconds from `moment` to the first acknowledgement that the dead leader cannot have sent.

        That is one that was asked for after it, or came more than 20 ms after it.
        """
        past = moment + 0.02
        later = [at for asked, at in list(self.acknowledged) if asked > moment or at > past]
        return min(later) - moment if later else None


def steady_load(app: App, threads: int = 4) -> Load:
    """Into a queue nobody serves."""
    task = app.task(name=noop.name, queue="load")(noop.function)
    return Load([task.enqueue] * threads, (RaftworkError,))


def end_leader(made: LocalCluster, load: Load, number: signal.Signals) -> float:
    name = leader(made)
    assert name is not None
    child = made.children[name]
    moment = time.monotonic()
    child.signal(number)
    wait_until(lambda: load.first_after(moment) is not None, 60, "an acknowledgement")
    gap = load.first_after(moment)
    assert gap is not None
    child.wait(timeout=20)
    made.start_broker(name)
    wait_until(lambda: settled(made), 30, "all three brokers")
    return gap


def settled(made: LocalCluster) -> bool:
    """Whether all brokers are up, follow the same leader and have applied what it has."""
    found = statuses(made)
    if len(found) < len(made.addresses) or not any(status.active for status in found):
        return False
    applied = [status.applied for status in found]
    return len({status.leader for status in found}) == 1 and max(applied) - min(applied) < 30


def starts(path: Path, count: int) -> bool:
    return path.exists() and path.read_text().count("\n") == count


def worker_loss(rounds: int, pool: str) -> list[float]:
    """kill -9 of a worker that runs a task → the task starts on another, seconds.

    With the process pool something is left that tells of it; with threads its connection closes.
    """
    gaps = []
    with cluster(workers=1, pool=pool, concurrency=1) as made, client(made) as app:
        task = app.task(name=mark.name)(mark.function)
        for i in range(rounds):
            add_workers(made, 1, pool, 1)
            path = made.directory / f"marks{i}"
            run = task.enqueue(str(path), 1.0)
            wait_until(partial(starts, path, 1), 30, "a start")
            victim = made.children[path.read_text().split()[1]]
            moment = time.time()
            victim.signal(signal.SIGKILL)
            wait_until(partial(starts, path, 2), 30, "the second start")
            gaps.append(float(path.read_text().splitlines()[1].split()[0]) - moment)
            run.result(timeout=30)
            wait_until(lambda: active_workers(made) == 1, 30, "one worker")
    return gaps


def main(rounds: int = 20) -> Figures:
    figures = Figures("failover")
    with cluster(workers=0) as made, client(made, timeout=30) as app:
        load = steady_load(app)
        for number, name in ((signal.SIGKILL, "kill -9"), (signal.SIGTERM, "graceful stop")):
            gaps = [end_leader(made, load, number) * 1e3 for _ in range(rounds)]
            where = f"3 replicas, 4 enqueueing threads, {rounds} times"
            figures.add(
                f"{name} of the leader → next acknowledged enqueue",
                statistics.median(gaps),
                "ms",
                where,
                min=min(gaps),
                max=max(gaps),
            )
        load.stop()
        figures.add("enqueues that failed meanwhile", load.failed, "", "30 s timeout")
    for pool in ("process", "thread"):
        gaps = [gap * 1e3 for gap in worker_loss(10, pool)]
        figures.add(
            f"kill -9 of a worker → its task starts again, {pool} pool",
            statistics.median(gaps),
            "ms",
            f"{len(gaps)} times",
            min=min(gaps),
            max=max(gaps),
        )
    figures.save()
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    main(parser.parse_args().rounds)
