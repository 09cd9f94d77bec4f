"""What choosing costs: µs a task among many workers, and end to end against round_robin.

python -m bench balancing-cost
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from random import Random
from time import process_time

from bench.harness import Figures, client, cluster
from bench.tasks import noop
from bench.throughput import end_to_end
from raftwork.broker.balancers import BALANCERS, Candidate
from raftwork.broker.weight import Gauge, weigh

WORKERS = 1_000
TASKS = 20_000
ROUNDS = 5


def choosing(figures: Figures) -> None:
    """The candidates are made anew for every plan, as the dispatcher does."""
    rng = Random(1)
    facts = [(4, 8, rng.randrange(4), 0.02 + 0.98 * rng.random()) for _ in range(WORKERS)]
    names = [(f"w{i:04}", rng.randbytes(16)) for i in range(WORKERS)]
    for name, make in BALANCERS.items():
        balancer = make(Random(1))
        for batch in (100, 1_000, 1):
            rounds = max(10, 2_000 // batch)
            keys = [f"key {i}" for i in range(batch)]
            balancer.plan([Candidate(*f, *n) for f, n in zip(facts, names, strict=True)], keys)
            began = process_time()
            for _ in range(rounds):
                balancer.plan([Candidate(*f, *n) for f, n in zip(facts, names, strict=True)], keys)
            spent = (process_time() - began) / rounds / batch * 1e6
            figures.add(
                f"choose among {WORKERS:,} workers, {name}", spent, "µs/task", f"batches of {batch}"
            )
    gauges = [Gauge(host=name) for name, _ in names]
    began = process_time()
    for now in range(20):
        weigh(gauges, now)
    spent = (process_time() - began) / 20 * 1e3
    figures.add(f"weigh {WORKERS:,} workers", spent, "ms", "five times a second")


def throughput(figures: Figures) -> None:
    """Two clusters side by side, one per strategy; they take turns, so that drift hits both."""
    names = ("round_robin", "weighted")
    with ExitStack() as stack:
        apps = {}
        for name in names:
            made = stack.enter_context(cluster(workers=4, balancer=name))
            apps[name] = stack.enter_context(client(made))
            end_to_end(apps[name], noop.name, (), 2_000, 10)
        rates: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(2 * ROUNDS):
            for name in names[:: 1 if turn % 2 else -1]:
                rates[name].append(end_to_end(apps[name], noop.name, (), TASKS // 2, 10))
    where = f"4 thread workers of 2, batches of 1,000, median of {2 * ROUNDS} turns"
    for name in names:
        figures.add(f"end to end, {name}", statistics.median(rates[name]), "tasks/s", where)
    ratios = [w / r for w, r in zip(rates["weighted"], rates["round_robin"], strict=True)]
    figures.add("weighted / round_robin", statistics.median(ratios), "", "median of paired turns")


def main() -> Figures:
    figures = Figures("balancing-cost")
    choosing(figures)
    throughput(figures)
    figures.save()
    return figures
