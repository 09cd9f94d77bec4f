"""Schedules: many that are due at once, and one that ticks while leaders die."""

import time
from datetime import UTC, datetime, timedelta

from bench.harness import client, cluster, leader, percentiles, statuses, wait_until
from bench.semantics.rows import Reached, Row, at_least, at_most
from bench.tasks import noop
from raftwork import App, RaftworkError
from raftwork.testing.processes import LocalCluster

_MANY = 10_000
#: Seconds for which leaders are killed.
_KILLS_S = 60


def _declare(app: App, due: datetime) -> None:
    """So many schedules whose first tick is at one instant; nobody serves their queue."""
    task = app.named(noop.name, queue="midnight")
    for each in range(_MANY):
        app.schedule(f"s{each}", every=86_400, start=due)(task)
    app.schedules.apply(app.declarations, "bench:app")


def _made(made: LocalCluster) -> int:
    queues = {queue.name: queue for status in statuses(made) for queue in status.queues}
    return queues["midnight"].queued if "midnight" in queues else 0


def _one_by_one(app: App, until: float) -> dict[str, float]:
    """How long an acknowledged enqueue takes, ms."""
    task, samples = app.named(noop.name), []
    while (began := time.time()) < until:
        task.enqueue()
        samples.append((time.time() - began) * 1e3)
    return percentiles(samples)


def _midnight() -> Reached:
    """How long after their instant all of them have made their task, with nothing beside."""
    with cluster(pool="thread", concurrency=2) as made, client(made) as app:
        due = (datetime.now(UTC) + timedelta(seconds=45)).replace(microsecond=0)
        _declare(app, due)
        assert datetime.now(UTC) < due, "it took too long to declare them"
        wait_until(lambda: datetime.now(UTC) >= due, 60, "their time")
        wait_until(lambda: _made(made) == _MANY, 60, "all of them")
        seconds = (datetime.now(UTC) - due).total_seconds()
    return Reached(seconds, f"s, {_MANY:,} schedules", {})


def _beside() -> Reached:
    """The p99 of enqueues one by one while they are due, against that without."""
    with cluster(pool="thread", concurrency=2) as made, client(made) as app:
        due = (datetime.now(UTC) + timedelta(seconds=60)).replace(microsecond=0)
        _declare(app, due)
        at = due.timestamp()
        quiet = _one_by_one(app, time.time() + 5.0)
        assert time.time() < at, "it took too long to declare them"
        wait_until(lambda: time.time() >= at, 60, "their time")
        busy = _one_by_one(app, at + 3.0)
        wait_until(lambda: _made(made) == _MANY, 60, "all of them")
    more = {"without, ms": quiet["p99"], "with, ms": busy["p99"]}
    return Reached(busy["p99"] / quiet["p99"], f"× without, {_MANY:,} due in one second", more)


def _beat() -> Reached:
    """Ticks of `every=1` that ran, of those there were, while each leader is killed."""
    with cluster(pool="thread", concurrency=2) as made, client(made) as app:
        schedules = app.schedules
        schedules.create("beat", noop.name, every=1, overlap="allow", catchup="all")
        until, kills = time.monotonic() + _KILLS_S, 0
        while time.monotonic() < until:
            name = leader(made)
            if name is not None:
                made.children[name].kill()
                made.start_broker(name)
                kills += 1
            time.sleep(1.0)
        wait_until(lambda: leader(made) is not None, 30, "a leader")
        wait_until(lambda: _caught_up(app), 30, "it has made up for the last kill")
        schedules.pause("beat")
        schedule = schedules.get("beat")
        counts = schedule.counts
        last = schedule.last
        assert last is not None
        first = last - timedelta(seconds=counts.fired - 1)
        ids = [
            f"beat@{first + timedelta(seconds=each):%Y-%m-%dT%H:%M:%SZ}"
            for each in range(counts.fired)
        ]
        for id_ in ids:
            app.run(id_).result(30)  # UnknownTask for one that was never made
    lost = counts.overlap + counts.late + counts.full
    more = {"ticks": float(counts.fired), "not run": float(lost), "leaders killed": float(kills)}
    return Reached(100 * counts.fired / (counts.fired + lost), "%, every=1 for a minute", more)


def _caught_up(app: App) -> bool:
    try:
        schedule = app.schedules.get("beat")
    except RaftworkError:
        return False
    last = schedule.last
    return last is not None and datetime.now(UTC) - last < timedelta(seconds=2)


ROWS: tuple[Row, ...] = (
    at_most("midnight", "10^4 schedules due in one second: all fired within, s", 3, _midnight),
    at_most("midnight-beside", "… p99 of other enqueues, × without", 2, _beside),
    at_least("beat", "every=1 while leaders are killed: ticks that ran, %", 100, _beat),
)
