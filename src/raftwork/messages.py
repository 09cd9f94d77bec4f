"""Every frame between clients, workers and brokers, and the limits they keep.

A frame is one ZeroMQ message part. A DEALER opens a session with a hello; a broker that has no
session for a routing id answers `HelloFirst`, so a restart on either side mends itself. Nothing is
relied on once: ZeroMQ may drop any frame, so requests go again with the same ids until answered.

Times are integer milliseconds. "Leader time" is the machine time of the active leader, which only
grows over the whole cluster. Tags never change their meaning.
"""

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from raftwork.wire import Codec, record_check

#: Speakers of another version are refused at the hello.
PROTOCOL = 1

PAYLOAD_MAX = 1024 * 1024
BATCH_TASKS_MAX = 10_000
BATCH_BYTES_MAX = 16 * 1024 * 1024
ID_MAX = 255
NAME_MAX = 255
#: A batch and its envelope; sockets refuse longer frames unread.
FRAME_BYTES_MAX = BATCH_BYTES_MAX + 1024 * 1024
WATCH_IDS_MAX = 10_000


class State(IntEnum):
    """A task's state as brokers tell it. The final ones never change once committed."""

    UNKNOWN = 0
    QUEUED = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    LOST = 5

    @property
    def final(self) -> bool:
        return self >= State.SUCCEEDED


class Code(IntEnum):
    """Why a request was refused; the client raises the error of the same name."""

    PROTOCOL = 1
    PAYLOAD_TOO_LARGE = 2
    QUEUE_FULL = 3
    NOT_LEADER = 4
    UNKNOWN_TASK = 5
    UNKNOWN_WORKER = 6


class Spec(NamedTuple):
    """What is the same for every task of a batch. Brokers store it; workers obey it."""

    name: str
    queue: str
    timeout: int = 0  # ms of run time; 0 is no limit
    retries: int = 0  # further attempts after a failure
    backoff: int = 1_000  # ms before the first retry, doubled at each further one
    max_backoff: int = 60_000  # ms
    at_most_once: bool = False
    result_ttl: int = 86_400_000  # ms a result is kept


class Failure(NamedTuple):
    """The `data` of a task that failed or was lost."""

    type: str
    message: str
    traceback: str


class Result(NamedTuple):
    """A task's state; `data` is its packed value, or a packed Failure."""

    id: str
    state: State
    data: bytes
    #: The outcome is known but its data were dropped after their retention.
    forgotten: bool = False


# ---- any session ------------------------------------------------------------------------------


class HelloFirst(NamedTuple):
    """This broker has no session for you: say hello (again)."""


class Refused(NamedTuple):
    """The request was not carried out. `request` is 0 if it could not be read."""

    request: int
    code: Code
    text: str


class Leader(NamedTuple):
    """Who leads, as this broker knows it; the highest activated epoch wins.

    Sent in answer to a hello or a Ping, and to every session when it changes.
    """

    epoch: int
    name: str  # empty if unknown
    address: str
    #: The sender itself is the activated leader; `time` is leader time then, else 0.
    active: bool
    time: int


class Ping(NamedTuple):
    """Client to broker: are you there, and who leads?"""


# ---- clients ----------------------------------------------------------------------------------


class ClientHello(NamedTuple):
    version: int


class Task(NamedTuple):
    id: str
    payload: bytes


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
    """The factors of a worker's weight, each 0 … 1; 1 takes nothing away. See docs/balancing.md."""

    cpu: float = 1.0  # what others leave of its CPUs
    memory: float = 1.0  # what is left before it runs short
    speed: float = 1.0  # of its code, against the fastest worker of the same queues
    fresh: float = 1.0  # how recent its last heartbeat is


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
    #: (name, address) of every broker, so that one that does not answer still has a name.
    cluster: tuple[tuple[str, str], ...] = ()


class DrainWorker(NamedTuple):
    """Let every worker of this name take nothing new, finish what it runs, and end."""

    request: int
    name: str


class WorkerDraining(NamedTuple):
    """The workers of that name know it themselves, so that it outlives this leader."""

    request: int


# ---- workers ----------------------------------------------------------------------------------


class Held(IntEnum):
    """What a worker is doing with a token."""

    WAITING = 0  # received, not started
    RUNNING = 1
    DONE = 2  # its outcome is not acknowledged yet


class Holding(NamedTuple):
    token: int
    held: Held
    age: int  # ms since its code started; 0 while waiting


class WorkerHello(NamedTuple):
    """Opens (or reopens) a worker's session: everything it still holds is listed."""

    version: int
    name: str
    incarnation: bytes  # 16 random bytes of this process
    session: int  # grows with every hello of this incarnation
    host: str
    pid: int
    slots: int
    queues: list[str]
    holding: list[Holding]
    draining: bool


class WorkerWelcome(NamedTuple):
    """The hello's answer. `stop` lists held tokens that are no longer this worker's.

    Tokens the worker did not list and the leader thinks are its own come again in a Push.
    """

    epoch: int
    session: int
    stop: list[int]


class PushedTask(NamedTuple):
    token: int
    id: str
    attempt: int
    spec: bytes
    payload: bytes


class Push(NamedTuple):
    """Tasks handed out, in the order in which to start them."""

    epoch: int
    session: int
    tasks: list[PushedTask]


class Stop(NamedTuple):
    """These tokens are no longer yours: stop their code and forget them."""

    epoch: int
    session: int
    tokens: list[int]


class Acknowledged(NamedTuple):
    """What you reported of these tokens is committed (or refused for good): forget them."""

    epoch: int
    session: int
    tokens: list[int]


class Beat(NamedTuple):
    """Leader to worker, several a second. `pushed` counts the tasks pushed in this session:

    a worker that counted fewer has lost a frame and says hello again.
    """

    epoch: int
    session: int
    pushed: int


class Drain(NamedTuple):
    """Take nothing new, hand back what has not begun, finish what runs, say goodbye."""

    epoch: int
    session: int


class Outcome(NamedTuple):
    token: int
    ok: bool
    data: bytes  # the packed value, or a packed Failure
    #: The worker has no task of that name: a fault of the worker rather than of the task.
    unknown: bool = False


class Started(NamedTuple):
    token: int
    age: int  # ms since its code started


class Report(NamedTuple):
    """What happened at the worker since the last report; outcomes repeat until acknowledged."""

    session: int
    started: list[Started]
    outcomes: list[Outcome]
    released: list[int]  # handed back unstarted
    window: int  # unstarted tasks it may hold beyond its slots


class Heartbeat(NamedTuple):
    """A worker's load, once a second; its lease lives on it. Shares are 0 … 1."""

    session: int
    cpu: float | None
    memory: float | None
    load: float | None  # 1-minute run queue per usable CPU
    running: int
    window: int
    draining: bool
    own: float | None = None  # of `cpu`: what the worker and its tasks use
    #: Tasks whose code ended since the process began, and the sum of log2(ns) of their run times.
    ended: int = 0
    log_times: float = 0.0


class Goodbye(NamedTuple):
    """The worker is leaving for good; whatever it still holds is given to others."""

    session: int


# ---- peers ------------------------------------------------------------------------------------


class PeerHello(NamedTuple):
    """Opens a peer's session. A blank replica has an empty `cluster_id`.

    The id of a cluster is only ever told to an address of `--cluster`. So a blank replica that was
    told one says it back (`joining`): it is where it should be, and may be told the roster.
    """

    version: int
    consensus: str
    name: str
    incarnation: bytes
    cluster_id: bytes
    wall: int  # ms since the epoch: machine time starts from a majority's median
    joining: bool = False


class PeerWelcome(NamedTuple):
    """Answers a PeerHello: who is at the other end. The roster is empty while blank.

    A member answers only who names its cluster.
    """

    name: str
    incarnation: bytes
    cluster_id: bytes
    roster: list[tuple[str, bytes]]
    wall: int


class PeerMessage(NamedTuple):
    """A consensus message, from the broker to the peer that said PeerHello on this connection.

    Consensus flows from a ROUTER to the DEALER that its receiver opened: so its source is the
    address the receiver chose to connect to, and it is read before anybody else's frames. What an
    earlier connection left unread may come after the next one's welcome: `incarnation` is the
    sender's, and a message that is not of who answered there last is dropped.
    """

    incarnation: bytes
    body: bytes


ToBroker = (
    Ping
    | ClientHello
    | Enqueue
    | Watch
    | Ask
    | StatusRequest
    | DrainWorker
    | WorkerHello
    | Report
    | Heartbeat
    | Goodbye
    | PeerHello
)
FromBroker = (
    HelloFirst
    | Refused
    | Leader
    | Enqueued
    | Watched
    | Results
    | Answer
    | BrokerStatus
    | WorkerDraining
    | WorkerWelcome
    | Push
    | Stop
    | Acknowledged
    | Beat
    | Drain
    | PeerWelcome
    | PeerMessage
)

to_broker: Codec[ToBroker] = Codec(
    {
        1: Ping,
        2: ClientHello,
        3: Enqueue,
        4: Watch,
        5: Ask,
        6: StatusRequest,
        10: WorkerHello,
        11: Report,
        12: Heartbeat,
        13: Goodbye,
        20: PeerHello,
        40: DrainWorker,
    }
)
from_broker: Codec[FromBroker] = Codec(
    {
        1: HelloFirst,
        2: Refused,
        3: Leader,
        4: Enqueued,
        5: Watched,
        6: Results,
        7: Answer,
        8: BrokerStatus,
        10: WorkerWelcome,
        11: Push,
        12: Stop,
        13: Acknowledged,
        14: Beat,
        15: Drain,
        20: PeerWelcome,
        21: PeerMessage,
        40: WorkerDraining,
    }
)

_spec: Codec[Spec] = Codec({1: Spec})
_failure: Codec[Failure] = Codec({1: Failure})
#: Checks one Task of Enqueue.tasks.
task_check = record_check(Task)

encode_spec = _spec.encode
#: Specs repeat: a cluster runs some dozens of kinds of task, and each hop reads them per task.
decode_spec = lru_cache(maxsize=1024)(_spec.decode)
encode_failure, decode_failure = _failure.encode, _failure.decode
