"""`python -m bench rolling [--rounds N] [--keys] [--consensus raft|zab]`: everything restarted, one
after the other, under load.

Three brokers and four workers, as docs/operations/rolling-restart.md says: each broker once
`check may-stop` allows it, the leader last; then each worker. Meanwhile four threads enqueue. Told
are the acknowledged tasks that have no result at the end, those whose code ran more than once, and
the longest time in which nothing was acknowledged.
"""

import argparse
import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from bench.harness import Figures, active_workers, client, cluster, leader, wait_until
from bench.tasks import note
from raftwork import App, Run
from raftwork.client.cluster_status import gather
from raftwork.client.may_stop import by_name, objection
from raftwork.errors import RaftworkError
from raftwork.testing.processes import LocalCluster

WORKERS, THREADS = 4, 4
#: Between two enqueues of one thread, s.
PAUSE_S = 0.005
#: What is promised of the longest gap, s.
GAP_S = 0.5


class Load:
    """Enqueues from several threads, and keeps what was acknowledged when."""

    def __init__(self, app: App, path: Path) -> None:
        self._task, self._path = app.named(note.name), str(path)
        self._over = threading.Event()
        self.runs: list[Run[object]] = []
        self.times: list[float] = []
        self.failed = 0
        self._threads = [threading.Thread(target=self._run) for _ in range(THREADS)]
        for each in self._threads:
            each.start()

    def _run(self) -> None:
        while not self._over.wait(PAUSE_S):
            try:
                run = self._task.enqueue(self._path)
            except RaftworkError:
                self.failed += 1
            else:
                self.times.append(time.monotonic())
                self.runs.append(run)

    def stop(self) -> None:
        self._over.set()
        for each in self._threads:
            each.join()

    def longest_gap(self) -> float:
        """Seconds in which nothing was acknowledged."""
        at = sorted(self.times)
        return max(later - earlier for earlier, later in pairwise(at))


def main(arguments: Sequence[str] = ()) -> Figures:
    parser = argparse.ArgumentParser(prog="python -m bench rolling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="clusters (default %(default)s)")
    parser.add_argument("--keys", action="store_true", help="of brokers with keys")
    parser.add_argument("--consensus", choices=["raft", "zab"], default="raft")
    options = parser.parse_args(arguments)
    figures = Figures("rolling")
    gaps, lost, twice, tasks, failed = [], 0, 0, 0, 0
    for _ in range(options.rounds):
        with (
            cluster(workers=WORKERS, consensus=options.consensus, keys=options.keys) as made,
            client(made, timeout=30) as app,
        ):
            path = made.directory / "ran"
            load = Load(app, path)
            wait_until(lambda load=load: len(load.runs) > 500, 60, "a steady load")  # type: ignore[misc]
            restart_all(made, options.keys)
            load.stop()
            gaps.append(load.longest_gap())
            tasks, failed = tasks + len(load.runs), failed + load.failed
            lost += sum(not _ended(run) for run in load.runs)
            ran = Counter(path.read_text().split())
            twice += sum(count > 1 for count in ran.values())
    where = f"{options.rounds} times 3 brokers and {WORKERS} workers, {tasks} tasks"
    figures.promise("acknowledged tasks that were lost", lost, 0, 0, where)
    figures.promise("tasks whose code ran twice", twice, 0, 0, where)
    figures.promise("enqueues that failed", failed, 0, 0, where)
    figures.promise("longest gap between acknowledgements, s", max(gaps), 0, GAP_S, where)
    figures.add("median of the rounds' longest gaps", statistics.median(gaps), "s", where)
    figures.save()
    return figures


def restart_all(made: LocalCluster, keys: bool) -> None:
    """As the page says."""
    last = leader(made)
    for name in sorted(made.addresses, key=lambda name: name == last):
        wait_until(lambda name=name: _may_stop(made, name), 60, f"{name} may be stopped")  # type: ignore[misc]
        made.children[name].stop(timeout=20)
        files = (f"{made.directory}/{name}.key", f"{made.directory}/access.toml")
        made.start_broker(name, *(("--key", files[0], "--access", files[1]) if keys else ()))
    wait_until(lambda: _may_stop(made, "a"), 60, "all are whole")
    for number in range(WORKERS):
        made.children[f"w{number}"].stop(timeout=60)
        flags = ("--pool", "thread", "--concurrency", "2")
        made.start_worker(f"w{number}", "bench.tasks:app", *flags)
        wait_until(lambda: active_workers(made) >= WORKERS, 60, "the worker is back")


def _may_stop(made: LocalCluster, name: str) -> bool:
    found = by_name(gather(list(made.addresses.values()), 1.0).statuses)
    return name in found and objection(name, found) is None


def _ended(run: Run[object]) -> bool:
    try:
        run.result(timeout=60)
    except (RaftworkError, TimeoutError):
        return False
    return True


if __name__ == "__main__":
    main()
