"""Who is measured, what each needs to be here, and what its acknowledgements are worth."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import MappingProxyType

from bench.peers.servers import find

REQUIREMENTS = "bench/peers/requirements.txt"
#: The one that all the others are compared with.
RAFTWORK = "raftwork"

_JETSTREAM = (
    "3 servers, work-queue stream in files, client and worker at its leader; results by plain NATS "
    "messages"
)
_NO_CLUSTER = "one Redis: nobody takes over"
_NO_COROUTINES = "its client has none"
_NO_FLOWS = "it knows no tasks that wait for others"
_NO_THREADS = "its client is for coroutines only"


@dataclass(frozen=True, slots=True)
class Peer:
    """One column of the table. `without` says why a measurement does not exist for it."""

    title: str
    module: str
    setting: str
    #: What is on disk, and where, once an enqueue is acknowledged.
    synced: str
    #: Its programs, with what installs each.
    programs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: What its module imports.
    packages: tuple[str, ...] = ()
    without: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def missing(self) -> str | None:
        """Why it cannot be measured here, and what to do about it; None if it can."""
        for program, package in self.programs.items():
            if find(program) is None:
                return f"no program {program} ({package})"
        for package in self.packages:
            if find_spec(package) is None:
                return f"no Python package {package} (pip install -r {REQUIREMENTS})"
        return None


def _apt(package: str) -> str:
    return f"apt-get install --no-install-recommends {package}"


_REDIS = {"redis-server": _apt("redis-server")}
_NATS = {"nats-server": f"pip install -r {REQUIREMENTS}"}
_UNSYNCED = "no: Redis without appendonly, as it comes; in memory, a snapshot now and then"
_ON_REDIS = {"failover": _NO_CLUSTER, "coroutines": _NO_COROUTINES}

PEERS: dict[str, Peer] = {
    RAFTWORK: Peer(
        "Raftwork",
        "bench.peers.ours",
        "3 brokers (Raft), 1 worker with 2 threads",
        "yes: fsync at a majority before each acknowledgement",
    ),
    "celery": Peer(
        "Celery, Redis",
        "bench.peers.celery_redis",
        "1 Redis for tasks and results, 1 worker with 2 processes",
        _UNSYNCED,
        _REDIS,
        ("celery", "redis"),
        _ON_REDIS,
    ),
    "dramatiq": Peer(
        "Dramatiq, Redis",
        "bench.peers.dramatiq_redis",
        "1 Redis for tasks and results, 1 worker with 2 threads",
        _UNSYNCED,
        _REDIS,
        ("dramatiq", "redis"),
        {**_ON_REDIS, "chord": "the callback of a group gets no results"},
    ),
    "huey": Peer(
        "Huey, Redis",
        "bench.peers.huey_redis",
        "1 Redis for tasks and results, 1 worker with 2 threads, notify_result",
        _UNSYNCED,
        _REDIS,
        ("huey", "redis"),
        _ON_REDIS,
    ),
    "rabbitmq": Peer(
        "RabbitMQ quorum queue",
        "bench.peers.rabbitmq",
        "3 nodes, publisher confirms, client and worker at the queue's leader; results by reply-to",
        "yes: fsync at a majority before each confirm",
        {"rabbitmq-server": _apt("rabbitmq-server"), "epmd": _apt("erlang-base")},
        ("aiormq",),
        {"threads": _NO_THREADS, "chord": _NO_FLOWS},
    ),
    "jetstream": Peer(
        "NATS JetStream, R3",
        "bench.peers.jetstream",
        _JETSTREAM,
        "no: written by a majority, synced every 2 minutes (sync_interval as it comes)",
        _NATS,
        ("nats",),
        {"threads": _NO_THREADS, "chord": _NO_FLOWS},
    ),
    "jetstream-synced": Peer(
        "NATS JetStream, R3, synced",
        "bench.peers.jetstream_synced",
        f"{_JETSTREAM}; sync_interval: always",
        "yes: fsync at a majority before each PubAck",
        _NATS,
        ("nats",),
        {"threads": _NO_THREADS, "chord": _NO_FLOWS},
    ),
    "etcd": Peer(
        "etcd put",
        "bench.peers.etcd",
        "3 members, client at the leader",
        "yes: fsync at a majority before each reply",
        {"etcd": _apt("etcd-server")},
        ("grpc",),
        dict.fromkeys(("one-in-flight", "batches", "chord"), "no queue, no worker"),
    ),
}
