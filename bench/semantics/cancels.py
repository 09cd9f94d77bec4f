"""Cancelling: of a million tasks that wait, and of one that runs."""

import statistics
import time
from functools import cache

from bench.harness import client, cluster, statuses, wait_until
from bench.semantics import turns
from bench.semantics.rows import Reached, Row, at_most
from bench.tasks import noop, until_cancelled
from raftwork import Status
from raftwork.testing.processes import LocalCluster

_MANY = 1_000_000
_RUNNING = 100


def _many() -> Reached:
    """A queue of so many that nobody serves: how long until all are cancelled, s."""
    seconds, _ = _of_many()
    return Reached(seconds, f"s, {_MANY:,} waiting", {})


def _turn() -> Reached:
    """The longest turn of any broker meanwhile, ms: for so long it answered nobody."""
    seconds, longest = _of_many()
    more = {f"broker {name}, ms": float(took) for name, took in longest.items()}
    more["until done, s"] = seconds
    return Reached(max(longest.values()), f"ms, {_MANY:,} waiting", more)


@cache
def _of_many() -> tuple[float, dict[str, int]]:
    with (
        turns.noted() as env,
        cluster(workers=0, env=dict(env)) as made,
        client(made, timeout=300) as app,
    ):
        task = app.named(noop.name, queue="waits")
        for _ in range(_MANY // 10_000):
            task.enqueue_many([()] * 10_000)
        wait_until(lambda: _all_know(made), 60, "all brokers know them")
        before = turns.turns(made)
        assert max(map(len, before.values())), "no turn of a hundred batches of 10,000 was noted"
        began = time.perf_counter()
        cancelled = app.cancel(queue="waits")
        seconds = time.perf_counter() - began
        assert cancelled == _MANY, f"{cancelled} cancelled"
        longest = turns.longest(made, before)
    return seconds, longest


def _all_know(made: LocalCluster) -> bool:
    """Whether every broker has applied all that was enqueued: turns for that are none of ours."""
    return all(
        {queue.name: queue.queued for queue in status.queues}.get("waits") == _MANY
        for status in statuses(made, made.addresses)
    )


def _told() -> Reached:
    """Of a task that runs: from the call of `cancel` until its code is told, ms."""
    late: list[float] = []
    with cluster(pool="thread", concurrency=2) as made, client(made) as app:
        for _ in range(_RUNNING):
            run = app.named(until_cancelled.name).enqueue()
            wait_until(lambda: run.status() is Status.RUNNING, 10, "it runs")  # noqa: B023
            began = time.time()
            assert run.cancel()
            told: float = run.result(10)
            late.append((told - began) * 1e3)
    return Reached(statistics.median(late), f"ms, median of {_RUNNING}", {"max": max(late)})


ROWS: tuple[Row, ...] = (
    at_most("cancel-turn", "cancel of 10^6 waiting: longest turn of a broker, ms", 20, _turn),
    at_most("cancel", "… until done, s", 30, _many),
    at_most("cancel-running", "cancel of a running task: until its code knows, ms", 20, _told),
)
