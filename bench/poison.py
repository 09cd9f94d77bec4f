"""What ten tasks that kill whatever runs them cost a thousand good ones.

Rounds with and without them alternate in one run on one cluster, and the figure is the ratio of
neighbouring rounds: a machine that is busy with something else is as busy in both.
"""

import statistics
import time

from bench.harness import Figures, client, cluster
from bench.tasks import poison, sleep
from raftwork import App, TaskLost

GOOD, BAD = 1_000, 10
#: How long a good task takes, s.
LENGTH = 0.005
ROUNDS = 5


def main() -> Figures:
    figures = Figures("poison")
    with cluster(workers=2, pool="process", concurrency=2) as made, client(made) as app:
        batch(app, 0)  # warms up
        ratios, clean, mixed = [], [], []
        for _ in range(ROUNDS):
            without, with_ = batch(app, 0), batch(app, BAD)
            clean.append(without)
            mixed.append(with_)
            ratios.append(with_ / without)
        what = f"{GOOD} tasks of {LENGTH * 1000:.0f} ms, 4 processes, {ROUNDS} pairs"
        figures.add("good tasks alone", statistics.median(clean), "s", what)
        figures.add(f"good tasks among {BAD} poison ones", statistics.median(mixed), "s", what)
        spread = {"least": min(ratios), "most": max(ratios)}
        figures.add("with ÷ without, by pairs", statistics.median(ratios), "", what, **spread)
    figures.save()
    return figures


def batch(app: App, bad: int) -> float:
    """Seconds until the last good task has its result; the bad ones lie among them."""
    every = GOOD // bad if bad else GOOD + 1
    began = time.perf_counter()
    good, poisoned = [], []
    for first in range(0, GOOD, every):
        count = min(every, GOOD - first)
        good += app.named(sleep.name).enqueue_many([(LENGTH,)] * count)
        if bad:
            poisoned.append(app.enqueue(poison.name))
    for run in good:
        run.result(timeout=300)
    took = time.perf_counter() - began
    for run in poisoned:
        try:
            run.result(timeout=300)
        except TaskLost:
            continue
        raise AssertionError("a poison task gave a value")
    assert len(poisoned) == bad
    return took


if __name__ == "__main__":
    main()
