"""Huey with Redis, and a consumer with two threads.

Its consumer imports this module, too: `huey` is made at import, for the Redis that the environment
names.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huey as library
from huey import RedisHuey

from bench.peers import measures
from bench.peers.measures import TIMEOUT_S, Running
from bench.peers.redis_server import redis_server, version
from bench.peers.servers import Server, path_to_bench

VARIABLE = "BENCH_PEERS_REDIS"


def _nothing() -> None:
    """All that is measured is Huey's."""


def _tasks(url: str) -> tuple[RedisHuey, Any, Any]:
    """The served queue, a task of it, and one of a queue nobody serves."""
    queue = RedisHuey("served", url=url, store_none=True, notify_result=True)
    unserved = RedisHuey("unserved", url=url)
    return queue, queue.task(name="noop")(_nothing), unserved.task(name="kept")(_nothing)


#: What the consumer is told to run.
consumed = _tasks(os.environ[VARIABLE])[0] if VARIABLE in os.environ else None


@contextmanager
def start(directory: Path) -> Iterator[Running]:
    servers: list[Server] = []
    with redis_server(directory, servers) as url:
        _, served, kept = _tasks(url)
        command = (sys.executable, "-m", "huey.bin.huey_consumer", f"{__name__}.consumed")
        flags = ("--workers", "2", "--worker-type", "thread", "--quiet")
        env = path_to_bench() | {VARIABLE: url}
        servers.append(Server((*command, *flags), directory / "worker", env))
        _results([served()])
        yield Running(
            f"Huey {library.__version__}, {version(url)}",
            {
                "one-in-flight": measures.one_in_flight(lambda: _results([served()])),
                "enqueue": measures.one_by_one(kept),
                "threads": measures.threads(kept),
                "batches": measures.batches(
                    lambda count: [served() for _ in range(count)], _results
                ),
            },
        )


def _results(runs: list[Any]) -> None:
    for run in runs:
        run.get(blocking=True, timeout=TIMEOUT_S)
