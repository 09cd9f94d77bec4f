"""etcd with three members: what a replicated, synced write costs; it has no queue and no worker.

The client is gRPC itself with its messages encoded by hand: less than any library around it does.
It asks the leader, which spares the request a hop.
"""

import itertools
import json
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from bench.peers import measures
from bench.peers.measures import ENQUEUERS, TIMEOUT_S, Loop, Measure, Running
from bench.peers.servers import Server, running, until
from raftwork.testing.processes import free_addresses

MEMBERS = 3
PUT = "/etcdserverpb.KV/Put"
VALUE = b"a task that does nothing"
#: While a leader is missing etcd lets a put wait for five seconds and more, and then fails it:
#: trying again sooner shows when puts work again.
RETRY_S = 0.1


class Cluster:
    """Three members on loopback."""

    def __init__(self, directory: Path) -> None:
        addresses = free_addresses(2 * MEMBERS)
        self.clients, peers = addresses[:MEMBERS], addresses[MEMBERS:]
        whole = ",".join(f"m{i}=http://{peer}" for i, peer in enumerate(peers))
        self.servers = [
            Server(
                (
                    *("etcd", "--name", f"m{i}", "--data-dir", "data"),
                    *("--listen-client-urls", f"http://{mine}"),
                    *("--advertise-client-urls", f"http://{mine}"),
                    *("--listen-peer-urls", f"http://{peer}"),
                    *("--initial-advertise-peer-urls", f"http://{peer}"),
                    *("--initial-cluster", whole, "--log-level", "warn"),
                ),
                directory / f"m{i}",
            )
            for i, (mine, peer) in enumerate(zip(self.clients, peers, strict=True))
        ]

    def wait(self) -> None:
        until(lambda: self.leader() is not None, self.servers, "three members and a leader")

    def status(self, member: int) -> dict[str, Any]:
        """What this member says of itself. Raises OSError if it cannot be asked."""
        url = f"http://{self.clients[member]}/v3/maintenance/status"
        with urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=5) as reply:
            said: dict[str, Any] = json.load(reply)
        return said

    def leader(self) -> int | None:
        """Which member leads, once all of them agree. Raises OSError if one cannot be asked."""
        said = [self.status(member) for member in range(MEMBERS)]
        named = {each.get("leader") for each in said}
        leading = [i for i, each in enumerate(said) if {each["header"]["member_id"]} == named]
        return leading[0] if leading else None

    def kill_leader(self) -> tuple[float, Callable[[], None]]:
        leader = self.leader()
        assert leader is not None
        moment = time.monotonic()
        self.servers[leader].kill()

        def mend() -> None:
            self.servers[leader].restart()
            self.wait()

        return moment, mend


def put_request(key: bytes, value: bytes) -> bytes:
    """etcdserverpb.PutRequest of a key and a value of less than 128 bytes each."""
    return b"\x0a%c%b\x12%c%b" % (len(key), key, len(value), value)


class Puts:
    """Requests that all have other keys."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def next(self) -> bytes:
        return put_request(b"tasks/%016d" % next(self._numbers), VALUE)


@contextmanager
def start(directory: Path) -> Iterator[Running]:
    cluster = Cluster(directory)
    with running(cluster.servers), Loop() as loop:
        cluster.wait()
        leader = cluster.leader()
        assert leader is not None
        with grpc.insecure_channel(cluster.clients[leader]) as channel:
            aput = loop.run(_aput(cluster.clients[leader]))
            yield Running(
                f"etcd {cluster.status(leader)['version']}, grpcio {grpc.__version__}",
                _measures(cluster, channel, loop, aput),
            )


async def _aput(address: str) -> Callable[[bytes], Awaitable[bytes]]:
    """Made inside the loop that it belongs to."""
    call = grpc.aio.insecure_channel(address).unary_unary(PUT)

    async def put(request: bytes) -> bytes:
        reply: bytes = await call(request, timeout=TIMEOUT_S)
        return reply

    return put


def _measures(
    cluster: Cluster, channel: Any, loop: Loop, aput: Callable[[bytes], Awaitable[bytes]]
) -> dict[str, Measure]:
    puts = Puts()
    call = channel.unary_unary(PUT)

    def put() -> object:
        return call(puts.next(), timeout=TIMEOUT_S)

    # Each enqueuer has a connection of its own, and none depends on one member alone.
    channels = [grpc.insecure_channel(address) for address in cluster.clients]

    return {
        "enqueue": measures.one_by_one(put),
        "threads": measures.threads(put),
        "coroutines": measures.coroutines(loop, lambda: aput(puts.next())),
        "failover": measures.failover(
            [_any_member(channels[i:] + channels[:i], puts) for i in _spread()],
            (grpc.RpcError,),
            cluster.kill_leader,
        ),
    }


def _spread() -> list[int]:
    return [number % MEMBERS for number in range(ENQUEUERS)]


def _any_member(channels: list[Any], puts: Puts) -> Callable[[], object]:
    """Puts by the first of these members, and after each failure by the next."""
    calls = [channel.unary_unary(PUT) for channel in channels]

    def put() -> object:
        try:
            return calls[0](puts.next(), timeout=RETRY_S)
        except grpc.RpcError:
            calls.append(calls.pop(0))
            raise

    return put
