"""Celery with Redis as its broker and its result backend, and a worker with two slots.

Its worker imports this module, too: `app` and its tasks are made at import, for the Redis that the
environment names.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import celery
from celery.result import ResultSet

from bench.peers import measures
from bench.peers.measures import TIMEOUT_S, Running
from bench.peers.redis_server import redis_server, version
from bench.peers.servers import Server, path_to_bench

VARIABLE = "BENCH_PEERS_REDIS"
app = celery.Celery("peers")
app.conf.update(
    broker_url=os.environ.get(VARIABLE),
    result_backend=os.environ.get(VARIABLE),
    broker_connection_retry_on_startup=True,
)


def _nothing() -> None:
    """All that is measured is Celery's."""


def _body(values: list[None]) -> int:
    return len(values)


served = app.task(name="peers.noop")(_nothing)
body = app.task(name="peers.body")(_body)
kept = app.task(name="peers.kept", queue="nobody-serves-this", ignore_result=True)(_nothing)


@contextmanager
def start(directory: Path) -> Iterator[Running]:
    servers: list[Server] = []
    with redis_server(directory, servers) as url:
        app.conf.update(broker_url=url, result_backend=url)
        command = (sys.executable, "-m", "celery", "-A", __name__, "worker")
        flags = ("--concurrency", "2", "--loglevel", "WARNING")
        env = path_to_bench() | {VARIABLE: url}
        servers.append(Server((*command, *flags), directory / "worker", env))
        served.delay().get(timeout=TIMEOUT_S)
        yield Running(
            f"Celery {celery.__version__}, {version(url)}",
            {
                "one-in-flight": measures.one_in_flight(
                    lambda: served.delay().get(timeout=TIMEOUT_S)
                ),
                "chord": measures.chord(
                    lambda count: celery.chord([served.si() for _ in range(count)])(body.s()).get(
                        timeout=TIMEOUT_S
                    )
                ),
                "enqueue": measures.one_by_one(kept.delay),
                "threads": measures.threads(kept.delay),
                "batches": measures.batches(_enqueue_many, _results),
            },
        )


def _enqueue_many(count: int) -> list[Any]:
    return [served.delay() for _ in range(count)]


def _results(runs: list[Any]) -> None:
    ResultSet(runs).join_native(timeout=TIMEOUT_S)
