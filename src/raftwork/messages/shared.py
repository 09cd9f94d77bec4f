"""Records and limits that several kinds of frames share, and the frames of any session."""

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from raftwork import errors
from raftwork.messages.registry import from_broker, to_broker
from raftwork.wire import Codec, pack

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
    CANCELLED = 6
    SCHEDULED = 7  # waits for its time
    BLOCKED = 8  # waits for other tasks

    @property
    def final(self) -> bool:
        """Whether the task has its outcome."""
        return State.SUCCEEDED <= self <= State.CANCELLED


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
    PERMISSION_DENIED = errors.PermissionDenied.code
    UNKNOWN_SCHEDULE = errors.UnknownSchedule.code
    SCHEDULE_CONFLICT = errors.ScheduleConflict.code
    UNAVAILABLE = errors.Unavailable.code

    @classmethod
    def _missing_(cls, value: object) -> "Code":  # noqa: ARG003
        return cls.OTHER


class OnConflict(IntEnum):
    """What an enqueue does where an unfinished task has its unique key."""

    RETURN = 0  # the handle of the one that is there
    RAISE = 1
    REPLACE = 2  # its arguments, while it has not begun; else as RERUN
    RERUN = 3  # one more, once that one has ended


class Backoff(IntEnum):
    """How the pause before a retry grows with the number of failures."""

    EXPONENTIAL = 0
    LINEAR = 1
    CONSTANT = 2


#: The priority that a task has unless it says otherwise. Users count from it: -100 to 100.
PRIORITY_USUAL = 100
PRIORITY_MAX = 200


class Spec(NamedTuple):
    """What is the same for every task of a batch. Brokers store it; workers obey it.

    The fields from `delay` on are of level 2 (release.py), and left out where all that follow have
    their defaults: so an ordinary task's Spec is what it was at level 1, byte for byte.
    """

    name: str
    queue: str
    timeout: int = 0  # ms of run time; 0 is no limit
    retries: int = 0  # further attempts after a failure
    backoff: int = 1_000  # ms before the first retry, doubled at each further one
    max_backoff: int = 60_000  # ms
    at_most_once: bool = False
    result_ttl: int = 86_400_000  # ms a result is kept
    max_losses: int = 3  # so many workers or processes lost under it, and it is lost itself
    delay: int = 0  # ms from the enqueue until it may be handed out
    priority: int = PRIORITY_USUAL  # larger ones are handed out sooner, 0 to PRIORITY_MAX
    expires: int = 0  # ms from the enqueue: unless it has begun by then, it is cancelled
    deadline: int = 0  # ms from the enqueue: unless it has ended by then, it has failed
    limits: tuple[str, ...] = ()  # the names of the limits that it counts for
    ordered: bool = False  # tasks of equal keys run one after the other
    halts: bool = False  # after a final failure the ordered tasks behind it wait for a resume
    until_started: bool = False  # its unique key is free once it has begun, not once it has ended
    on_conflict: OnConflict = OnConflict.RETURN
    period: int = 0  # ms from the enqueue for which its unique key stays taken at least
    debounce: int = 0  # ms without a further enqueue of its unique key until it may be handed out
    max_wait: int = 0  # ms from the first of these until then, at most
    backoff_kind: Backoff = Backoff.EXPONENTIAL
    retry_on: tuple[str, ...] = ()  # names of exceptions; others are final. Empty: all are retried
    no_retry_on: tuple[str, ...] = ()  # names of exceptions that are final


#: So many fields of a Spec are always sent.
_ALWAYS_SENT = Spec._fields.index("delay")
_DEFAULTS: tuple[object, ...] = tuple(Spec._field_defaults[name] for name in Spec._fields[2:])
_WITHOUT_DEFAULT = len(Spec._fields) - len(_DEFAULTS)


class Extras(NamedTuple):
    """What one task has that others of its batch need not have; of level 2."""

    unique: str = ""  # at most one unfinished task has this key; empty: it has none
    at: int = 0  # leader time before which it is not handed out; 0 is none
    tenant: str = ""  # on whose behalf it runs, for fairness and limits
    tags: list[tuple[str, str]] = []  # noqa: RUF012 - never changed, as all of a record


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
    """The leader, as this broker knows it; the highest activated epoch wins.

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
    """Client to broker: are you there, and which broker leads?"""


_spec: Codec[Spec] = Codec({1: Spec})
_spec_in_log: Codec[Spec] = Codec({1: Spec}, strict=True)


def encode_spec(spec: Spec) -> bytes:
    """As it is sent and stored, without the defaults at its end."""
    fields = len(spec)
    while fields > _ALWAYS_SENT and spec[fields - 1] == _DEFAULTS[fields - 1 - _WITHOUT_DEFAULT]:
        fields -= 1
    return pack((1, *spec[:fields]))


#: Specs repeat: a cluster runs some dozens of kinds of task, and each hop reads them per task.
decode_spec = lru_cache(maxsize=1024)(_spec.decode)
#: As a log entry must have it: a Spec with more fields than are known here raises NewerMessage.
decode_spec_strictly = lru_cache(maxsize=1024)(_spec_in_log.decode)
