"""RabbitMQ: a quorum queue on three nodes, publisher confirms, and one worker.

The worker takes a message, says the result to the queue of the one who asks, and acknowledges it.
That queue is a `reply-to` pseudo-queue of RabbitMQ: results are kept nowhere.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiormq
from pamqp.commands import Basic

from bench.peers import measures
from bench.peers.measures import ENQUEUERS, TIMEOUT_S, Loop, Measure, Running
from bench.peers.servers import Server, find, path_to_bench, running, until
from raftwork.testing.processes import free_addresses

NODES = 3
SERVED, KEPT = "served", "kept"
REPLIES = "amq.rabbitmq.reply-to"
#: A publish that waits for a leader is confirmed once there is one: this long (s), then again.
RETRY_S = 5.0
#: A worker may have so many messages unacknowledged.
PREFETCH = 1_000
#: Persistent, as a quorum queue keeps all its messages.
DURABLE = 2

LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"

#: What an enqueuer meets while its node or the queue's leader is missing.
FAILURES = (OSError, TimeoutError, aiormq.exceptions.AMQPError, RuntimeError)


class Cluster:
    """Three nodes on loopback, and an epmd of their own that ends with them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        addresses = free_addresses(2 * NODES + 1)
        self.addresses = addresses[:NODES]
        ports = [address.partition(":")[2] for address in addresses]
        self._names = [f"peer{i}-{ports[-1]}@localhost" for i in range(NODES)]
        # The home is where the cookie is, which all of them share.
        self._env = {"HOME": str(directory), "ERL_EPMD_PORT": ports[-1]}
        (directory / "plugins").write_text("[].\n")
        (directory / "configuration.conf").write_text(self._configuration())
        cookie = directory / ".erlang.cookie"
        cookie.write_text(os.urandom(16).hex())
        cookie.chmod(0o400)
        epmd = Server(("epmd", "-address", "127.0.0.1", "-port", ports[-1]), directory / "epmd")
        self.nodes = [self._node(i, ports[i], ports[NODES + i]) for i in range(NODES)]
        self.servers = [epmd, *self.nodes]

    def _configuration(self) -> str:
        lines = [
            "log.console = true",
            "log.console.level = warning",
            "cluster_formation.peer_discovery_backend = classic_config",
        ]
        for i, name in enumerate(self._names):
            lines.append(f"cluster_formation.classic_config.nodes.{i + 1} = {name}")
        return "\n".join(lines) + "\n"

    def _node(self, number: int, port: str, distribution: str) -> Server:
        where = self._directory / f"r{number}"
        env = self._env | {
            "RABBITMQ_NODENAME": self._names[number],
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": port,
            "RABBITMQ_DIST_PORT": distribution,
            # Its script then becomes the node instead of waiting for it.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_CONFIG_FILE": str(self._directory / "configuration"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._directory / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(where / "data"),
            "RABBITMQ_LOG_BASE": str(where / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": LOOPBACK,
            "RABBITMQ_PID_FILE": str(where / "pid"),
        }
        return Server(("rabbitmq-server",), where, env)

    def url(self, number: int) -> str:
        return f"amqp://guest:guest@{self.addresses[number % NODES]}/"

    def ask(self, node: int, *command: str) -> Any:
        """What rabbitmqctl is told by this node. Raises CalledProcessError."""
        program = find("rabbitmqctl") or "rabbitmqctl"
        done = subprocess.run(
            (program, "-n", self._names[node], "-q", *command, "--formatter", "json"),
            env=os.environ | self._env | {"RABBITMQ_CONF_ENV_FILE": "/dev/null"},
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout)

    def ready(self) -> bool:
        return len(self.ask(0, "cluster_status")["running_nodes"]) == NODES

    def leader(self, queue: str, asked: int = 0) -> int | None:
        """Which node leads it, once all its members are online."""
        for found in self.ask(asked, "list_queues", "name", "leader", "online"):
            if found["name"] == queue and len(found["online"]) == NODES:
                return self._names.index(found["leader"])
        return None

    def version(self) -> str:
        nodes = self.ask(0, "cluster_status")["versions"]
        (each,) = {(node["rabbitmq_version"], node["erlang_version"]) for node in nodes.values()}
        return f"RabbitMQ {each[0]}, Erlang {each[1]}"


class Channel:
    """A connection with one channel, that enqueues and is told results."""

    def __init__(self, connection: Any, channel: Any) -> None:
        self.connection, self._channel = connection, channel
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    @classmethod
    async def open(cls, url: str, *, confirms: bool = True) -> "Channel":
        connection = await aiormq.connect(url)
        return cls(connection, await connection.channel(publisher_confirms=confirms))

    async def declare(self) -> None:
        arguments = {"x-queue-type": "quorum", "x-quorum-initial-group-size": NODES}
        for name in (SERVED, KEPT):
            await self._channel.queue_declare(name, durable=True, arguments=arguments)

    async def listen(self) -> None:
        await self._channel.basic_consume(REPLIES, self._done, no_ack=True)

    async def _done(self, message: Any) -> None:
        waiting = self._waiting.pop(message.header.properties.correlation_id, None)
        if waiting is not None:
            waiting.set_result(None)

    def _task(self) -> tuple[asyncio.Future[None], Basic.Properties]:
        number = str(next(self._numbers))
        done = self._waiting[number] = asyncio.get_running_loop().create_future()
        asked = Basic.Properties(delivery_mode=DURABLE, correlation_id=number, reply_to=REPLIES)
        return done, asked

    async def _publish(self, queue: str, properties: Basic.Properties, within: float) -> None:
        await self._channel.basic_publish(
            b"", routing_key=queue, properties=properties, timeout=within
        )

    async def one(self) -> None:
        """Enqueue one, confirmed, and wait for its result."""
        done, asked = self._task()
        await self._publish(SERVED, asked, TIMEOUT_S)
        await asyncio.wait_for(done, TIMEOUT_S)

    async def keep(self, within: float = TIMEOUT_S) -> None:
        await self._publish(KEPT, Basic.Properties(delivery_mode=DURABLE), within)

    async def enqueue_many(self, count: int) -> list[asyncio.Future[None]]:
        tasks = [self._task() for _ in range(count)]
        await asyncio.gather(*(self._publish(SERVED, asked, TIMEOUT_S) for _, asked in tasks))
        return [done for done, _ in tasks]

    async def results(self, runs: list[asyncio.Future[None]]) -> None:
        await asyncio.wait_for(asyncio.gather(*runs), TIMEOUT_S)

    async def work(self) -> None:
        """Take tasks until the process ends."""

        async def take(message: Any) -> None:
            asked = message.header.properties
            said = Basic.Properties(correlation_id=asked.correlation_id)
            await self._channel.basic_publish(
                b"", routing_key=asked.reply_to, properties=said, wait=False
            )
            await self._channel.basic_ack(message.delivery.delivery_tag, wait=False)

        await self._channel.basic_qos(prefetch_count=PREFETCH)
        await self._channel.basic_consume(SERVED, take)
        await asyncio.Event().wait()


class Enqueuer:
    """Keeps enqueuing whichever node is lost: after each failure it goes to the next one."""

    def __init__(self, cluster: Cluster, loop: Loop, first: int) -> None:
        self._cluster, self._loop, self._node = cluster, loop, first
        self._channel: Channel | None = None

    def __call__(self) -> None:
        try:
            self._loop.run(self._keep(), 2 * RETRY_S)
        except FAILURES:
            self._node += 1
            self._channel = None
            raise

    async def _keep(self) -> None:
        if self._channel is None:
            self._channel = await Channel.open(self._cluster.url(self._node))
        await self._channel.keep(RETRY_S)


@contextmanager
def start(directory: Path) -> Iterator[Running]:
    cluster = Cluster(directory)
    with running(cluster.servers), Loop() as loop:
        not_yet = (subprocess.CalledProcessError, KeyError)
        until(cluster.ready, cluster.servers, "three nodes", failures=not_yet, every=0.5)
        loop.run(_declare(cluster))
        url = cluster.url(_led_by(cluster, SERVED))
        command = (sys.executable, "-m", __name__, url)
        with running([Server(command, directory / "worker", path_to_bench())]):
            client = loop.run(Channel.open(url))
            loop.run(client.listen())
            loop.run(client.one())
            keeper = loop.run(Channel.open(cluster.url(_led_by(cluster, KEPT))))
            told = f"{cluster.version()}, aiormq {version('aiormq')}"
            yield Running(told, _measures(cluster, loop, client, keeper))


async def _declare(cluster: Cluster) -> None:
    channel = await Channel.open(cluster.url(0))
    await channel.declare()
    await channel.connection.close()


def _led_by(cluster: Cluster, queue: str, asked: int = 0) -> int:
    """Waits until all the members of the queue are online."""
    found: list[int | None] = []

    def known() -> bool:
        found.append(cluster.leader(queue, asked))
        return found[-1] is not None

    failures = (subprocess.CalledProcessError, ValueError, KeyError)
    until(known, cluster.servers, f"the queue {queue}", failures=failures, every=0.5)
    assert found[-1] is not None
    return found[-1]


def _measures(cluster: Cluster, loop: Loop, client: Channel, keeper: Channel) -> dict[str, Measure]:
    def kill_leader() -> tuple[float, Callable[[], None]]:
        victim = _led_by(cluster, KEPT)
        moment = time.monotonic()
        cluster.nodes[victim].kill()

        def mend() -> None:
            cluster.nodes[victim].restart()
            _led_by(cluster, KEPT, (victim + 1) % NODES)

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
            [Enqueuer(cluster, loop, i) for i in range(ENQUEUERS)], FAILURES, kill_leader
        ),
    }


async def _work(url: str) -> None:
    channel = await Channel.open(url, confirms=False)
    await channel.work()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1]))
