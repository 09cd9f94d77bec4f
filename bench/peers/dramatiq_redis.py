"""Dramatiq with Redis as its broker and its result backend, and a worker with two threads.

Its worker imports this module, too: the broker and the actors are made at import, for the Redis
that the environment names.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.peers import measures
from bench.peers.measures import TIMEOUT_S, Running
from bench.peers.redis_server import redis_server, version
from bench.peers.servers import Server, path_to_bench

VARIABLE = "BENCH_PEERS_REDIS"


def _nothing() -> None:
    """All that is measured is Dramatiq's."""


def _actors(url: str) -> tuple[Any, Any]:
    """One that is served, and one that is only enqueued."""
    broker = RedisBroker(url=url)
    broker.add_middleware(Results(backend=RedisBackend(url=url)))
    dramatiq.set_broker(broker)
    served = dramatiq.actor(_nothing, actor_name="noop", store_results=True, broker=broker)
    kept = dramatiq.actor(_nothing, actor_name="kept", queue_name="unserved", broker=broker)
    return served, kept


if VARIABLE in os.environ:
    _actors(os.environ[VARIABLE])


@contextmanager
def start(directory: Path) -> Iterator[Running]:
    servers: list[Server] = []
    with redis_server(directory, servers) as url:
        served, kept = _actors(url)
        command = (sys.executable, "-m", "dramatiq", __name__, "--queues", "default")
        flags = ("--processes", "1", "--threads", "2")
        env = path_to_bench() | {VARIABLE: url}
        servers.append(Server((*command, *flags), directory / "worker", env))
        _results([served.send()])

        yield Running(
            f"Dramatiq {dramatiq.__version__}, {version(url)}",
            {
                "one-in-flight": measures.one_in_flight(lambda: _results([served.send()])),
                "enqueue": measures.one_by_one(kept.send),
                "threads": measures.threads(kept.send),
                "batches": measures.batches(
                    lambda count: [served.send() for _ in range(count)], _results
                ),
            },
        )


def _results(messages: list[Any]) -> None:
    for message in messages:
        message.get_result(block=True, timeout=TIMEOUT_S * 1_000)
