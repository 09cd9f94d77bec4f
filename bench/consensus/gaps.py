"""How long nothing is acknowledged: a leader killed, a leader that leaves, all of them started."""

import signal
import statistics
import time
from collections import defaultdict

from bench.consensus.table import CONTENDERS, Contender, Table
from bench.failover import end_leader, steady_load
from bench.harness import client, cluster
from bench.tasks import noop
from raftwork.testing.processes import LocalCluster

_WAYS = (
    (signal.SIGKILL, "kill -9 of the leader → next acknowledged enqueue"),
    (signal.SIGTERM, "graceful stop of the leader → next acknowledged enqueue"),
)
#: A fresh cluster for every so many, in turn with the other contenders.
_ROUNDS = 2


def main(table: Table, quick: bool) -> None:
    kills, stops, starts = (1, 1, 1) if quick else (10, 5, 3)
    gaps: dict[tuple[str, Contender], list[float]] = defaultdict(list)
    for _ in range(_ROUNDS):
        for who in CONTENDERS:
            with (
                cluster(brokers=who.replicas, workers=0, consensus=who.protocol) as made,
                client(made, timeout=30) as app,
            ):
                load = steady_load(app)
                for (number, name), times in zip(_WAYS, (kills, stops), strict=True):
                    gaps[name, who] += [end_leader(made, load, number) for _ in range(times)]
                load.stop()
                name = "kill -9 of all, start of all → next acknowledged enqueue"
                gaps[name, who] += [_cold_start(made) for _ in range(starts)]
    for (name, who), found in sorted(gaps.items(), key=lambda item: item[0][0]):
        where = f"{len(found)} times, {'4 threads enqueue' if 'all' not in name else 'idle'}"
        milliseconds = [gap * 1e3 for gap in found]
        table.add(name, who, statistics.median(milliseconds), "ms", where, max=max(milliseconds))


def _cold_start(made: LocalCluster) -> float:
    """Seconds from the start of the processes, Python's own start included."""
    for child in made.children.values():
        child.kill()
    began = time.monotonic()
    for name in made.addresses:
        made.start_broker(name)
    with client(made, timeout=30) as app:
        app.enqueue(noop.name)
    return time.monotonic() - began
