"""Delayed tasks: how late they begin, what they cost while they wait, and many due at once."""

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from bench.harness import client, cluster, leader, percentiles, rss_mb, statuses, wait_until
from bench.semantics.rows import Reached, Row, at_least, at_most, cpu_us
from bench.tasks import noop, spin
from bench.throughput import each_batch, end_to_end
from raftwork import App, BoundTask
from raftwork.testing.processes import LocalCluster

#: A year: what is not due while it is measured.
_LATER_S = 366 * 86_400
_MANY = 1_000_000
#: Of one round: so many that the last one's delay, when nothing else is left, counts for little.
_ROUND_TASKS = 30_000
_ROUNDS = 7


@contextmanager
def _served() -> Iterator[tuple[LocalCluster, App]]:
    """A cluster with a worker, warm."""
    with cluster(pool="thread", concurrency=4) as made, client(made) as app:
        end_to_end(app, noop.name, (), 5_000, 10)
        yield made, app


def _mixed() -> Reached:
    """Every task with a delay of 0 to 60 ms and a priority; against ordinary ones."""
    return _against_ordinary({})


def _tagged() -> Reached:
    """As `_mixed`, and with a tag."""
    return _against_ordinary({"tags": {"customer": "4711"}})


def _against_ordinary(options: Mapping[str, Any]) -> Reached:
    rng = Random(1)

    def task() -> BoundTask[Any, Any]:
        delay, priority = rng.random() * 0.06, rng.randint(-9, 9)
        return app.named(noop.name, delay=delay, priority=priority, **options)

    # All of them before any result is waited for: or the client would wait for the batch with the
    # lowest priority of those that it has out, which comes last.
    window = _ROUND_TASKS // 1_000
    rates: list[tuple[float, float]] = []
    spent: list[tuple[float, float]] = []
    with _served() as (made, app):
        for _ in range(5):
            start = cpu_us(made)
            ordinary = end_to_end(app, noop.name, (), _ROUND_TASKS, window)
            between = cpu_us(made)
            rates.append((ordinary, each_batch(task, (), _ROUND_TASKS, window)))
            spent.append((between - start, cpu_us(made) - between))
    shares = [theirs / ordinary * 100 for ordinary, theirs in rates]
    more = {"least": min(shares), "most": max(shares)}
    for what, each in ("ordinary", 0), ("these", 1):
        more[f"{what}, tasks/s"] = statistics.median(rate[each] for rate in rates)
        cpu = statistics.median(us[each] for us in spent) / _ROUND_TASKS
        more[f"{what}, CPU of all processes, us"] = cpu
    conditions = f"%, median of 5 × {_ROUND_TASKS:,} in turn"
    return Reached(statistics.median(shares), conditions, more)


def _lateness() -> Reached:
    """1,000 due in each of 10 s: how long after its time the code of each begins, ms."""
    with _served() as (_, app):
        first = datetime.now(UTC) + timedelta(seconds=12)
        runs = []
        dues = [first + timedelta(milliseconds=i) for i in range(10_000)]
        for i in range(0, 10_000, 10):  # ten of them share a time: one Spec, one batch
            runs += app.named(spin.name, at=dues[i]).enqueue_many([(0.0,)] * 10)
        begins = [run.result(60)[0] for run in runs]
    late = [(begin - dues[i - i % 10].timestamp()) * 1e3 for i, begin in enumerate(begins)]
    early = sum(each < 0 for each in late)
    found = percentiles(late)
    more = {"median": found["p50"], "p95": found["p95"], "max": found["max"], "early": early}
    return Reached(found["p99"], "ms at 1,000/s, p99, 10,000 tasks, thread pool", more)


def _memory() -> Reached:
    """10^6 delayed: how much more memory the leader holds.

    What any tasks fill, and no more than that (SQLite's caches), is full before: 400,000 wait.
    """
    with _served() as (made, app):
        name = leader(made)
        assert name is not None
        pid = made.children[name].pid
        empty = rss_mb(pid)
        _fill(app, "plain", 400_000)
        before = rss_mb(pid)
        _fill(app, "later", _MANY, delay=_LATER_S)
        with_them = rss_mb(pid)
    more = {"empty, MB": empty, "400,000 waiting, MB": before, "with them, MB": with_them}
    return Reached(with_them - before, f"MB, {_MANY:,} delayed tasks", more)


def _beside() -> Reached:
    """Ordinary throughput beside 10^6 delayed tasks, against a cluster without, in turn."""
    with _served() as (_, plain), _served() as (_, laden):
        _fill(laden, "later", _MANY, delay=_LATER_S)
        rates: list[tuple[float, float]] = []
        for each in range(_ROUNDS):
            first, second = (plain, laden) if each % 2 else (laden, plain)
            found = {app: end_to_end(app, noop.name, (), 20_000, 10) for app in (first, second)}
            rates.append((found[plain], found[laden]))
    shares = [with_them / without * 100 for without, with_them in rates]
    more = {"without, /s": statistics.median(without for without, _ in rates)}
    more |= {"least": min(shares), "most": max(shares)}
    return Reached(statistics.median(shares), f"%, {_MANY:,} delayed; {_ROUNDS} rounds", more)


def _fill(app: App, queue: str, count: int, delay: float = 0) -> None:
    task = app.named(noop.name, queue=queue, delay=delay)
    for _ in range(count // 10_000):
        task.enqueue_many([()] * 10_000)


def _herd() -> Reached:
    """10^5 due in one second beside enqueues one by one: p99 of these, against that without."""
    many = 100_000
    with _served() as (made, app):
        quiet = _one_by_one(app, 6.0)
        due = datetime.now(UTC) + timedelta(seconds=15)
        for second in range(10):
            at = due + timedelta(milliseconds=100 * second)
            app.named(noop.name, queue="herd", at=at).enqueue_many([()] * (many // 10))
        wait_until(lambda: datetime.now(UTC) >= due, 60, "their time")
        busy = _one_by_one(app, 6.0)

        def woken() -> bool:
            queues = {q.name: q for status in statuses(made) for q in status.queues}
            return queues["herd"].scheduled == 0

        wait_until(woken, 60, "all of them")
    more = {"without, ms": quiet["p99"], "with, ms": busy["p99"]}
    return Reached(busy["p99"] / quiet["p99"], f"× without, {many:,} due in 1 s", more)


def _one_by_one(app: App, seconds: float) -> dict[str, float]:
    """How long an acknowledged enqueue takes, ms."""
    task, samples = app.named(noop.name), []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        task.enqueue()
        samples.append((time.perf_counter() - began) * 1e3)
    return percentiles(samples)


ROWS: tuple[Row, ...] = (
    at_least("mixed", "delay, priority: end to end, % of ordinary", 80, _mixed),
    at_least("tagged", "… and a tag", 80, _tagged),
    at_most("lateness", "lateness of due tasks, p99 ms", 50, _lateness),
    at_most("memory", "leader's memory for delayed tasks, MB", 20, _memory),
    at_least("beside", "ordinary throughput beside delayed tasks, %", 95, _beside),
    at_most("herd", "p99 of enqueues while many are due, × without", 2, _herd),
)
