"""Raftwork itself: three brokers, a worker with two threads, and one client."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.failover import settled
from bench.harness import client, cluster, leader, wait_until
from bench.peers import measures
from bench.peers.measures import ENQUEUERS, TIMEOUT_S, Loop, Measure, Running
from bench.tasks import count, noop
from raftwork import App, Run, __version__, chord
from raftwork.errors import RaftworkError
from raftwork.testing.processes import LocalCluster


@contextmanager
def start(_: Path) -> Iterator[Running]:
    """The cluster makes a temporary directory of its own."""
    with (
        cluster(pool="thread", concurrency=2) as made,
        client(made, timeout=TIMEOUT_S) as app,
        Loop() as loop,
    ):
        yield Running(f"Raftwork {__version__}", _measures(made, app, loop))


def _measures(made: LocalCluster, app: App, loop: Loop) -> dict[str, Measure]:
    served = app.task(name=noop.name)(noop.function)
    body = app.task(name=count.name)(count.function)
    kept = app.task(name="bench.kept", queue="nobody-serves-this")(noop.function)

    def enqueue_many(count: int) -> list[Run[None]]:
        return served.enqueue_many([()] * count)

    def results(runs: list[Run[None]]) -> None:
        for run in runs:
            run.result(timeout=TIMEOUT_S)

    return {
        "one-in-flight": measures.one_in_flight(lambda: served.enqueue().result(timeout=TIMEOUT_S)),
        "chord": measures.chord(
            lambda count: (
                chord([served.si() for _ in range(count)], body.s())
                .enqueue()
                .result(timeout=TIMEOUT_S)
            )
        ),
        "enqueue": measures.one_by_one(kept.enqueue),
        "threads": measures.threads(kept.enqueue),
        "coroutines": measures.coroutines(loop, kept.aenqueue),
        "batches": measures.batches(enqueue_many, results),
        "failover": measures.failover(
            [kept.enqueue] * ENQUEUERS, (RaftworkError,), lambda: _kill_leader(made)
        ),
    }


def _kill_leader(made: LocalCluster) -> tuple[float, Callable[[], None]]:
    name = leader(made)
    assert name is not None
    moment = time.monotonic()
    made.children[name].kill()

    def mend() -> None:
        made.start_broker(name)
        wait_until(lambda: settled(made), 30, "all three brokers")

    return moment, mend
