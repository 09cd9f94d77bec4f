"""Nothing fails: how long one enqueue takes, and how many are acknowledged a second."""

import statistics
import time
from collections import defaultdict

from bench.consensus.table import CONTENDERS, Contender, Table
from bench.harness import client, cluster, percentiles
from bench.tasks import noop
from bench.throughput import end_to_end, enqueue_batches, enqueue_singly
from raftwork import App

_ROUNDS = 3


def main(table: Table, quick: bool) -> None:
    waits: dict[Contender, list[float]] = defaultdict(list)
    rates: dict[tuple[str, Contender], list[float]] = defaultdict(list)
    for _ in range(1 if quick else _ROUNDS):
        for who in CONTENDERS:
            with (
                cluster(brokers=who.replicas, consensus=who.protocol) as made,
                client(made) as app,
            ):
                waits[who] += _one_by_one(app, 50 if quick else 700)
                for name, rate in _rates(app, 1 if quick else 10):
                    rates[name, who].append(rate)
    for who, milliseconds in waits.items():
        cuts = percentiles(milliseconds)
        table.add(
            "enqueue → acknowledged, one in flight", who, cuts.pop("p50"), "ms",
            f"{len(milliseconds)} enqueues", **cuts,
        )  # fmt: skip
    for (name, who), found in sorted(rates.items(), key=lambda item: item[0][0]):
        table.add(name, who, statistics.median(found), "tasks/s", f"median of {len(found)}")


def _one_by_one(app: App, count: int) -> list[float]:
    task = app.task(name="bench.waits", queue="unserved")(noop.function)
    waits = []
    for _ in range(100 + count):
        began = time.perf_counter()
        task.enqueue()
        waits.append((time.perf_counter() - began) * 1e3)
    return waits[100:]


def _rates(app: App, thousands: int) -> list[tuple[str, float]]:
    enqueue_singly(app, 200, 16)
    end_to_end(app, noop.name, (), 1_000, 10)
    return [
        ("enqueue, one by one, 16 threads", enqueue_singly(app, 400 * thousands, 16)),
        (
            "enqueue, batches of 1,000, 4 threads",
            enqueue_batches(app, "unserved", b"", 5_000 * thousands, 4),
        ),
        (
            "end to end, no-op, batches of 1,000",
            end_to_end(app, noop.name, (), 2_000 * thousands, 10),
        ),
    ]
