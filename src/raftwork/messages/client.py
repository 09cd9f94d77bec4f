"""Frames between clients and brokers that any broker answers, leader or not."""

from typing import NamedTuple

from raftwork.messages.facts import BrokerFacts
from raftwork.messages.peer import DiskRoom
from raftwork.messages.registry import reply, request, to_broker


@to_broker.register(2)
class ClientHello(NamedTuple):
    """Opens a client's session. It speaks the versions from `oldest` (0: this one only) on."""

    version: int
    oldest: int = 0


class Terms(NamedTuple):
    """What a worker's weight is made of, each 0 … 1; 1 is the best. See docs/balancing.md."""

    cpu: float = 1.0  # what others leave of its CPUs
    memory: float = 1.0  # what is left before it runs short
    speed: float = 1.0  # of its code, against the fastest worker of the same queues
    fresh: float = 1.0  # how recent its last heartbeat is
    queue: float = 1.0  # a CPU's part for one more thread, by the run queue


class WorkerStatus(NamedTuple):
    """One worker as the leader knows it. Shares are 0 … 1."""

    name: str
    host: str
    pid: int
    slots: int
    running: int
    weight: float
    cpu: float | None
    memory: float | None
    queues: list[str]
    state: str  # active, draining, lost
    #: Why it is given no tasks, or fewer than it could take, for people to read; else empty.
    reason: str = ""
    others: float | None = None  # share of its CPUs that is used by what is not its own
    load: float | None = None  # as in its heartbeat
    terms: Terms = Terms()
    parked: int = 0  # tasks that wait for others, and hold no slot meanwhile


#: QueueStatus has a field of the name `bytes`.
Packed = bytes


class QueueStatus(NamedTuple):
    """One queue's counters and settings."""

    name: str
    queued: int
    running: int
    succeeded: int
    failed: int
    lost: int
    bytes: int = 0  # of the payloads of `queued`
    #: What is set for it, packed (features/queue_settings.py).
    settings: Packed = b""
    scheduled: int = 0  # wait for their time
    blocked: int = 0  # wait for other tasks
    cancelled: int = 0
    paused_until: int = 0  # leader time; 0 while it is not paused
    delayed: int = 0  # of `queued`: wait for a retry

    @property
    def ready(self) -> int:
        """What may be handed out now, as far as it is the queue's own affair."""
        return self.queued - self.delayed


@reply(8)
class BrokerStatus(NamedTuple):
    """One broker's own facts; workers are listed by the active leader only."""

    request: int
    name: str
    address: str
    consensus: str
    role: str
    active: bool
    epoch: int
    leader: str
    committed: int
    applied: int
    workers: list[WorkerStatus]
    queues: list[QueueStatus]
    #: (name, address) of every broker, where this one found it last.
    cluster: tuple[tuple[str, str], ...] = ()
    #: Names of the members that do not answer this one at their addresses.
    unreached: tuple[str, ...] = ()
    #: Of raftwork, what it runs on, the levels that it runs, and that of its tables.
    release: str = ""
    levels: tuple[int, int] = (0, 0)
    level: int = 0
    #: Of its disk, its wall clock (ms since the epoch; 0: not told), and the digest of its list of
    #: keys; empty without keys.
    disk: DiskRoom = DiskRoom()
    wall: int = 0
    access: str = ""
    #: None unless it was asked for.
    facts: BrokerFacts | None = None


@request(6, reply=BrokerStatus)
class StatusRequest(NamedTuple):
    """What does this broker know of itself and the cluster?"""

    request: int
    facts: bool = False  # also what it counts
