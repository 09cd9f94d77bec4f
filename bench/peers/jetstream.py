"""NATS JetStream: a stream with three replicas on three servers, and one worker.

A task is a message of a work-queue stream. The worker takes it, says the result to the inbox that
the message names, and acknowledges it, which deletes it. Results are plain NATS messages: they are
kept nowhere.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nats
from nats.errors import Error
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig

from bench.peers import measures
from bench.peers.measures import ENQUEUERS, TIMEOUT_S, Loop, Measure, Running
from bench.peers.servers import Server, path_to_bench, running, until
from raftwork.testing.processes import free_addresses

SERVERS = 3
SERVED, KEPT, DURABLE = "served", "kept", "workers"
#: Publishing to a stream without a leader is not answered at all.
RETRY_S = 0.1
#: A worker may have so many messages unacknowledged.
PREFETCH = 1_000

CONFIGURATION = """
server_name: n{number}
listen: "{client}"
jetstream {{ store_dir: "{directory}", sync_interval: {sync_interval} }}
cluster {{ name: peers, listen: "{peer}", routes: [{routes}] }}
"""


class Cluster:
    """Three servers on loopback."""

    def __init__(self, directory: Path, sync_interval: str) -> None:
        addresses = free_addresses(2 * SERVERS)
        self.clients, peers = addresses[:SERVERS], addresses[SERVERS:]
        routes = ", ".join(f'"nats://{peer}"' for peer in peers)
        self.servers: list[Server] = []
        for number, (client, peer) in enumerate(zip(self.clients, peers, strict=True)):
            where = directory / f"n{number}"
            where.mkdir()
            text = CONFIGURATION.format(
                number=number,
                client=client,
                peer=peer,
                routes=routes,
                directory=where / "store",
                sync_interval=sync_interval,
            )
            (where / "configuration").write_text(text)
            self.servers.append(Server(("nats-server", "-c", where / "configuration"), where))

    def urls(self, first: int = 0) -> list[str]:
        """All of them, that one before the others."""
        return [f"nats://{each}" for each in self.clients[first:] + self.clients[:first]]


async def connect(urls: list[str], **options: Any) -> Any:
    """To the first that answers; a lost connection is made again at once, to any of them."""

    async def quiet(_: Exception) -> None:
        """What fails is noticed by the call that it fails."""

    return await nats.connect(
        urls,
        dont_randomize=True,
        reconnect_time_wait=0,
        max_reconnect_attempts=-1,
        error_cb=quiet,
        **options,
    )


async def work(urls: list[str]) -> None:
    """The worker: takes tasks until its process ends."""
    connection = await connect(urls)

    async def take(message: Any) -> None:
        await connection.publish(message.data.decode(), b"")
        await message.ack()

    await connection.jetstream().subscribe(
        SERVED,
        durable=DURABLE,
        cb=take,
        manual_ack=True,
        config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, max_ack_pending=PREFETCH),
    )
    await asyncio.Event().wait()


class Client:
    """Enqueues, and is told results."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.stream = connection.jetstream()
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._inbox = connection.new_inbox()

    @property
    def server_version(self) -> str:
        return str(self._connection.connected_server_version).strip("<>").split()[-1]

    async def listen(self) -> None:
        await self._connection.subscribe(f"{self._inbox}.*", cb=self._done)

    async def _done(self, message: Any) -> None:
        waiting = self._waiting.pop(message.subject, None)
        if waiting is not None:
            waiting.set_result(None)

    def task(self) -> tuple[bytes, asyncio.Future[None]]:
        """A message, and what is done once a worker has said its result."""
        inbox = f"{self._inbox}.{next(self._numbers)}"
        done = self._waiting[inbox] = asyncio.get_running_loop().create_future()
        return inbox.encode(), done

    async def one(self) -> None:
        """Enqueue one, acknowledged, and wait for its result."""
        data, done = self.task()
        await self.stream.publish(SERVED, data, timeout=TIMEOUT_S)
        await asyncio.wait_for(done, TIMEOUT_S)

    async def keep(self, within: float = TIMEOUT_S) -> None:
        await self.stream.publish(KEPT, b"", timeout=within)

    async def enqueue_many(self, count: int) -> list[asyncio.Future[None]]:
        """Some thousand at a time may be unacknowledged: that is how its client does batches."""
        tasks = [self.task() for _ in range(count)]
        told = [await self.stream.publish_async(SERVED, data) for data, _ in tasks]
        await asyncio.wait_for(asyncio.gather(*told), TIMEOUT_S)
        return [done for _, done in tasks]

    async def results(self, runs: list[asyncio.Future[None]]) -> None:
        await asyncio.wait_for(asyncio.gather(*runs), TIMEOUT_S)


async def client_of(urls: list[str]) -> Client:
    made = Client(await connect(urls))
    await made.listen()
    return made


async def make_streams(urls: list[str]) -> bool:
    """Both streams with three replicas. Raises nats.errors.Error while servers are not ready."""
    connection = await connect(urls, allow_reconnect=False)
    try:
        for name in (SERVED, KEPT):
            await connection.jetstream(timeout=5).add_stream(
                StreamConfig(
                    name=name,
                    subjects=[name],
                    retention=RetentionPolicy.WORK_QUEUE,
                    storage=StorageType.FILE,
                    num_replicas=SERVERS,
                )
            )
        return True
    finally:
        await connection.close()


async def leader(client: Client, stream: str) -> int | None:
    """Which server leads this stream, once all its replicas are up to date."""
    info = await client.stream.stream_info(stream)
    replicas = info.cluster.replicas or []
    if len(replicas) < SERVERS - 1 or not all(each.current for each in replicas):
        return None
    name = info.cluster.leader
    return int(name.removeprefix("n")) if name else None


@contextmanager
def start(directory: Path, sync_interval: str = "2m") -> Iterator[Running]:
    """That interval is what it has without a configuration; "always" syncs each message."""
    cluster = Cluster(directory, sync_interval)
    with running(cluster.servers), Loop() as loop:
        until(
            lambda: loop.run(make_streams(cluster.urls()), 20),
            cluster.servers,
            "three servers and their streams",
            failures=(OSError, Error, TimeoutError),
        )
        asking = loop.run(client_of(cluster.urls()))
        served, kept = (led_by(cluster, loop, asking, name) for name in (SERVED, KEPT))
        command = (sys.executable, "-m", __name__, *cluster.urls(served))
        worker = Server(command, directory / "worker", path_to_bench())
        with running([worker]):
            client = loop.run(client_of(cluster.urls(served)))
            keeper = loop.run(client_of(cluster.urls(kept)))
            loop.run(client.one())
            told = f"NATS {client.server_version}, nats-py {version('nats-py')}"
            yield Running(told, _measures(cluster, loop, client, keeper))


def led_by(cluster: Cluster, loop: Loop, asking: Client, stream: str) -> int:
    """Waits until that is so."""
    found: list[int | None] = []

    def known() -> bool:
        found.append(loop.run(leader(asking, stream), 5))
        return found[-1] is not None

    until(known, cluster.servers, f"the stream {stream}", failures=(OSError, Error))
    assert found[-1] is not None
    return found[-1]


def _measures(cluster: Cluster, loop: Loop, client: Client, keeper: Client) -> dict[str, Measure]:
    # Each enqueuer has a connection of its own, and none depends on one server alone.
    spread = [loop.run(client_of(cluster.urls(i % SERVERS))) for i in range(ENQUEUERS)]

    def kill_leader() -> tuple[float, Callable[[], None]]:
        victim = led_by(cluster, loop, keeper, KEPT)
        moment = time.monotonic()
        cluster.servers[victim].kill()

        def mend() -> None:
            cluster.servers[victim].restart()
            led_by(cluster, loop, keeper, KEPT)

        return moment, mend

    return {
        "one-in-flight": measures.aone_in_flight(loop, client.one),
        "enqueue": measures.aone_by_one(loop, keeper.keep),
        "coroutines": measures.coroutines(loop, keeper.keep),
        "batches": measures.batches(
            lambda count: loop.run(client.enqueue_many(count)),
            lambda runs: loop.run(client.results(runs)),
        ),
        "failover": measures.failover(
            [partial(_try_to_keep, loop, each) for each in spread], (OSError, Error), kill_leader
        ),
    }


def _try_to_keep(loop: Loop, client: Client) -> None:
    loop.run(client.keep(RETRY_S), TIMEOUT_S)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1:]))
