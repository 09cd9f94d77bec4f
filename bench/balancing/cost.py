"""What choosing costs: µs a task among many workers, and end to end against round_robin.

python -m bench balancing-cost
"""

from __future__ import annotations

from contextlib import ExitStack
from math import inf, sqrt
from random import Random
from statistics import mean, median, stdev
from time import process_time

from bench.harness import Figures, Strangers, client, cluster
from bench.tasks import noop
from bench.throughput import end_to_end
from raftwork.broker.placement.balancers import BALANCERS, Candidate
from raftwork.broker.workers.load import LoadEstimate, weigh

WORKERS = 1_000
TASKS = 10_000
#: Turns of both clusters; more, up to a limit, until the mean ratio is known as well as ERROR.
TURNS, TURNS_MAX, ERROR = 10, 40, 0.01
#: What must hold: the throughput of round_robin that `weighted` has at least; and µs a task.
SLOWER, CHOOSING = 0.95, 20.0


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
            what, where = f"choose among {WORKERS:,} workers, {name}", f"batches of {batch}"
            figures.add(what, spent, "µs/task", where)
            if name == "weighted" and batch == 100:
                figures.promise(f"{what}, µs/task", spent, 0.0, CHOOSING, where)
    gauges = [LoadEstimate(host=name) for name, _ in names]
    began = process_time()
    for now in range(20):
        weigh(gauges, now)
    spent = (process_time() - began) / 20 * 1e3
    figures.add(f"weigh {WORKERS:,} workers", spent, "ms", "five times a second")


def throughput(figures: Figures) -> None:
    """Two clusters side by side, one per strategy; they take turns, so that drift hits both."""
    names = ("round_robin", "weighted")
    rates: dict[str, list[float]] = {name: [] for name in names}
    ratios: list[float] = []
    with ExitStack() as stack:
        apps = {}
        for name in names:
            made = stack.enter_context(cluster(workers=4, balancer=name))
            apps[name] = stack.enter_context(client(made))
            end_to_end(apps[name], noop.name, (), 2_000, 10)
        strangers = Strangers()
        while len(ratios) < TURNS or (error(ratios) > ERROR and len(ratios) < TURNS_MAX):
            for name in names[:: 1 if len(ratios) % 2 else -1]:
                rates[name].append(end_to_end(apps[name], noop.name, (), TASKS, 10))
            ratios.append(rates["weighted"][-1] / rates["round_robin"][-1])
        others = strangers.share()
    where = f"4 thread workers of 2, batches of 1,000, {len(ratios)} turns"
    for name in names:
        figures.add(f"end to end, {name}", median(rates[name]), "tasks/s", where)
    figures.add("others' share of the CPUs", others, "", where)
    what = f"weighted / round_robin (± {error(ratios):.3f})"
    figures.promise(what, mean(ratios), SLOWER, inf, where)


def error(ratios: list[float]) -> float:
    return stdev(ratios) / sqrt(len(ratios))


def main() -> Figures:
    figures = Figures("balancing-cost")
    choosing(figures)
    throughput(figures)
    figures.save()
    return figures
