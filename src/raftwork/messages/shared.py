"""What more than one kind of frame speaks of, the limits all keep, and frames of any session."""

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from raftwork import errors
from raftwork.messages.registry import from_broker, to_broker
from raftwork.wire import Codec

#: The newest version of the frames that this release speaks, and the oldest. Speakers of no version
#: in between are refused at the hello.
PROTOCOL = 3
PROTOCOL_OLDEST = 3

PAYLOAD_MAX = 1024 * 1024
BATCH_TASKS_MAX = 10_000
BATCH_BYTES_MAX = 16 * 1024 * 1024
ID_MAX = 255
NAME_MAX = 255
#: Queues of one worker.
QUEUES_MAX = 1_000
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
        """Whether the task has its outcome."""
        return self >= State.SUCCEEDED


class Code(IntEnum):
    """Why a request was refused; the client raises the error of the same name.

    A newer broker's reason is read as OTHER: what it says is for people all the same.
    """

    OTHER = errors.RaftworkError.code
    PROTOCOL = errors.ProtocolError.code
    PAYLOAD_TOO_LARGE = errors.PayloadTooLarge.code
    QUEUE_FULL = errors.QueueFull.code
    NOT_LEADER = errors.NotLeader.code
    UNKNOWN_TASK = errors.UnknownTask.code
    UNKNOWN_WORKER = errors.UnknownWorker.code
    UNSUPPORTED = errors.Unsupported.code

    @classmethod
    def _missing_(cls, value: object) -> "Code":  # noqa: ARG003
        return cls.OTHER


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
    max_losses: int = 3  # so many workers or processes lost under it, and it is lost itself


class Loss(NamedTuple):
    """A worker, or one process of it, was lost while it ran a task.

    Of a whole worker that vanished only the name is known.
    """

    worker: str = ""  # its name
    exit: int | None = None  # the status with which the process ended by itself
    signal: int | None = None  # or the signal that ended it
    memory: int | None = None  # the most it had resident, bytes
    time: int = 0  # leader time, ms


class Result(NamedTuple):
    """A task's state; `data` is its packed value, or a packed failure (failures.py)."""

    id: str
    state: State
    data: bytes
    #: The outcome is known but its data were dropped after their retention.
    forgotten: bool = False


@from_broker.register(1)
class HelloFirst(NamedTuple):
    """This broker has no session for you: say hello (again)."""


@from_broker.register(2)
class Refused(NamedTuple):
    """The request was not carried out. `request` is 0 if it could not be read."""

    request: int
    code: Code
    text: str


@from_broker.register(3)
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


@to_broker.register(1)
class Ping(NamedTuple):
    """Client to broker: are you there, and who leads?"""


_spec: Codec[Spec] = Codec({1: Spec})
_spec_in_log: Codec[Spec] = Codec({1: Spec}, strict=True)

encode_spec = _spec.encode
#: Specs repeat: a cluster runs some dozens of kinds of task, and each hop reads them per task.
decode_spec = lru_cache(maxsize=1024)(_spec.decode)
#: As a log entry must have it: a Spec with more fields than are known here raises NewerMessage.
decode_spec_strictly = lru_cache(maxsize=1024)(_spec_in_log.decode)
