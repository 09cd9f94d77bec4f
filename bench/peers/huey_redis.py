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


class _Tasks:
    """A queue that is served, with a task and the body of a chord, and one that is not."""

    def __init__(self, url: str) -> None:
        self.queue = RedisHuey("served", url=url, store_none=True, notify_result=True)
        self.served: Any = self.queue.task(name="noop")(_nothing)
        self.body: Any = self.queue.task(name="body")(len)
        self.kept: Any = RedisHuey("unserved", url=url).task(name="kept")(_nothing)

    def chord(self, count: int) -> object:
        made = library.chord([self.served.s() for _ in range(count)], self.body)
        return self.queue.enqueue(made).get(blocking=True, timeout=TIMEOUT_S)


#: What the consumer is told to run.
consumed = _Tasks(os.environ[VARIABLE]).queue if VARIABLE in os.environ else None


@contextmanager
def start(directory: Path) -> Iterator[Running]:
    servers: list[Server] = []
    with redis_server(directory, servers) as url:
        tasks = _Tasks(url)
        served, kept = tasks.served, tasks.kept
        command = (sys.executable, "-m", "huey.bin.huey_consumer", f"{__name__}.consumed")
        flags = ("--workers", "2", "--worker-type", "thread", "--quiet")
        env = path_to_bench() | {VARIABLE: url}
        servers.append(Server((*command, *flags), directory / "worker", env))
        _results([served()])
        yield Running(
            f"Huey {library.__version__}, {version(url)}",
            {
                "one-in-flight": measures.one_in_flight(lambda: _results([served()])),
                "chord": measures.chord(tasks.chord),
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
