"""A Redis for those that keep their tasks in one, as it is without a configuration of its own.

That is: a snapshot now and then (an hour after one change, a minute after 10,000), and no
append-only file. What was acknowledged since the last snapshot is lost with the process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from bench.peers.servers import Server, running, until
from raftwork.testing.processes import free_addresses


@contextmanager
def redis_server(directory: Path, servers: list[Server]) -> Iterator[str]:
    """Its URL; whatever is appended to `servers` ends before it."""
    (address,) = free_addresses(1)
    # Its title would overwrite the environment by which a reaper finds it.
    flags = ("--bind", "127.0.0.1", "--set-proc-title", "no")
    command = ("redis-server", "--port", address.partition(":")[2], *flags)
    with running([Server(command, directory / "redis")]) as made, running(servers):
        url = f"redis://{address}/0"
        with redis.Redis.from_url(url) as asking:
            failures = (redis.ConnectionError,)
            until(lambda: bool(asking.ping()), made, "Redis", failures=failures)
        yield url


def version(url: str) -> str:
    with redis.Redis.from_url(url) as asking:
        return f"Redis {asking.info('server')['redis_version']}, redis-py {redis.__version__}"
