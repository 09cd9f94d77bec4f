"""Frames between clients and brokers."""

from typing import NamedTuple

from raftwork.messages.shared import Result
from raftwork.wire import record_check


class ClientHello(NamedTuple):
    """Opens a client's session. It speaks the versions from `oldest` (0: this one only) on."""

    version: int
    oldest: int = 0


class Task(NamedTuple):
    id: str
    payload: bytes
    key: str = ""  # the balancer consistent_hash sends equal ones to the same worker


class Enqueue(NamedTuple):
    """Store these tasks, all or none. `tasks` is a packed list of Task."""

    request: int
    created: int  # leader time of the first attempt
    spec: bytes  # a packed Spec
    tasks: bytes


class Enqueued(NamedTuple):
    """All tasks of the request are on a majority's disks."""

    request: int


class Watch(NamedTuple):
    """Push the outcome of each of these to this session, now or once it is committed."""

    request: int
    ids: list[str]


class Watched(NamedTuple):
    """The watch stands for this session; outcomes come as Results."""

    request: int


class Results(NamedTuple):
    """Outcomes (final states) of watched tasks, or UNKNOWN for ids nobody enqueued."""

    results: list[Result]


class Ask(NamedTuple):
    """The state of these tasks now (linearizable)."""

    request: int
    ids: list[str]


class Answer(NamedTuple):
    """States only: outcomes come as Results, to who watches."""

    request: int
    results: list[Result]


class StatusRequest(NamedTuple):
    request: int


class Terms(NamedTuple):
    """What a worker's weight is made of, each 0 … 1; 1 is the best. See docs/balancing.md."""

    cpu: float = 1.0  # what others leave of its CPUs
    memory: float = 1.0  # what is left before it runs short
    speed: float = 1.0  # of its code, against the fastest worker of the same queues
    fresh: float = 1.0  # how recent its last heartbeat is
    queue: float = 1.0  # a CPU's part for one more thread, by the run queue


class WorkerStatus(NamedTuple):
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


class QueueStatus(NamedTuple):
    name: str
    queued: int
    running: int
    succeeded: int
    failed: int
    lost: int
    bytes: int = 0  # of the payloads of `queued`
    #: What was set for it at run time; None where nothing was.
    balancer: str | None = None
    max_length: int | None = None
    max_bytes: int | None = None


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


class DrainWorker(NamedTuple):
    """Let every worker of this name take nothing new, finish what it runs, and end."""

    request: int
    name: str


class WorkerDraining(NamedTuple):
    """The workers of that name know it themselves, so that it outlives this leader."""

    request: int


class SetQueue(NamedTuple):
    """Change a queue's settings: None leaves one as it is, an empty name or 0 clears it."""

    request: int
    queue: str
    balancer: str | None = None
    max_length: int | None = None  # tasks that wait
    max_bytes: int | None = None  # of their payloads


class QueueSet(NamedTuple):
    """The settings stand, whoever leads."""

    request: int


class AskQueue(NamedTuple):
    """What is set for this queue now (linearizable)?"""

    request: int
    queue: str


class QueueSettings(NamedTuple):
    """What is set; None where nothing is."""

    request: int
    balancer: str | None
    max_length: int | None
    max_bytes: int | None


#: Checks one Task of Enqueue.tasks.
task_check = record_check(Task)
