"""How a task failed or was lost, as it is stored and as it is shown.

An exception's text comes from the worker, and is stored as such (Failure). What brokers find is
stored as a record, and put into words where it is read (`in_words`): brokers of two releases word
it differently and must store the same.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple, Protocol, TypeVar, cast

import msgpack

from raftwork.errors import BadMessage, NewerMessage, PayloadTooLarge, QueueFull
from raftwork.messages.shared import Loss
from raftwork.wire import Codec, pack

_failure: Codec[tuple[object, ...]] = Codec()
_failure_in_log: Codec[tuple[object, ...]] = Codec(strict=True)


class Ending(Protocol):
    """Why a task has no value. A NamedTuple."""

    def in_words(self) -> "Failure":
        """As a type, a message and a traceback, for people."""
        ...


E = TypeVar("E", bound=type[tuple[object, ...]])


def ending(number: int) -> Callable[[E], E]:
    """A class decorator: the record is stored under this number, which never changes.

    Raises ValueError if the number or the record is registered already.
    """

    def register(record: E) -> E:
        _failure.register(number)(record)
        return _failure_in_log.register(number)(record)

    return register


@ending(1)
class Failure(NamedTuple):
    """In words: of an exception its type, message and traceback."""

    type: str
    message: str
    traceback: str
    #: Of level 2, and left out where there is nothing: the last lines that it logged, and what it
    #: left for a tracer of the next attempt.
    log: str = ""
    trace: bytes = b""

    def in_words(self) -> "Failure":
        """See `Ending.in_words`."""
        return self


@ending(2)
class TimeLimitPassed(NamedTuple):
    """It ran longer than its limit (ms), and the worker did not say so."""

    limit: int

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        return Failure("TimeLimitExceeded", f"ran longer than its limit of {self.limit} ms", "")


@ending(3)
class WorkerLost(NamedTuple):
    """It was running when a worker was lost for the last time; `once`: it may run only once."""

    losses: int
    by: Loss
    once: bool

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        last = lost_by(self.by)
        if self.once:
            why = f"{last} while it ran it, and it may not be handed out twice"
        else:
            why = f"lost {self.losses} times while it ran, the last time: {last}"
        return Failure("WorkerLost", why, "")


@ending(39)
class WorkerLostSaying(NamedTuple):
    """As WorkerLost, with the last lines that it logged."""

    losses: int
    by: Loss
    once: bool
    log: str

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        return WorkerLost(self.losses, self.by, self.once).in_words()._replace(log=self.log)


def lost_by(loss: Loss) -> str:
    """How it was lost: "w1 vanished"."""
    return f"{loss.worker or 'its worker'} {_how(loss)}"


@ending(4)
class OutcomeTooLarge(NamedTuple):
    """What it returned or raised has so many bytes."""

    size: int
    limit: int

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        text = f"an outcome of {self.size} bytes; {self.limit} are allowed"
        return Failure("PayloadTooLarge", text, "")


@ending(5)
class OutcomeMalformed(NamedTuple):
    """What the worker told of its failure cannot be read: why."""

    why: str

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        return Failure("BadMessage", f"the worker told no proper failure: {self.why}", "")


class CancelReason(IntEnum):
    """Why a task was cancelled. A newer release's is read as OTHER."""

    OTHER = 0
    USER = 1
    EXPIRED = 2
    UPSTREAM = 3
    SUPERSEDED = 4
    WORKER_GONE = 5

    @classmethod
    def _missing_(cls, value: object) -> "CancelReason":  # noqa: ARG003
        return cls.OTHER

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


_WHY_CANCELLED = {
    CancelReason.OTHER: "it was cancelled",
    CancelReason.USER: "it was cancelled on request",
    CancelReason.EXPIRED: "it had not begun when it expired",
    CancelReason.UPSTREAM: "a task that it waited for has no value",
    CancelReason.SUPERSEDED: "a newer call took its place",
    CancelReason.WORKER_GONE: "the worker that it was meant for is gone",
}


@ending(7)
class Cancelled(NamedTuple):
    """It was ended for this reason: the outcome of tasks in the state CANCELLED."""

    reason: CancelReason

    def in_words(self) -> Failure:
        """See `Ending.in_words`. The type is the reason's word."""
        return Failure(str(self.reason), _WHY_CANCELLED[self.reason], "")


@ending(8)
class DeadlinePassed(NamedTuple):
    """It had not ended at its deadline, so many ms after its enqueue."""

    deadline: int

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        text = f"had not ended {self.deadline} ms after its enqueue"
        return Failure("DeadlineExceeded", text, "")


@ending(30)
class RetryAsked(NamedTuple):
    """Its code asked for another attempt, not before so many ms; the rest as in Failure."""

    after: int
    type: str
    message: str
    traceback: str
    log: str = ""
    trace: bytes = b""

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        return Failure(self.type, self.message, self.traceback, self.log, self.trace)


@ending(31)
class ResumeAsked(NamedTuple):
    """Its code asked to go on in another attempt: stored of a task that may have only one."""

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        text = "its code asked to go on in another attempt, and it may be handed out only once"
        return Failure("Resume", text, "")


@ending(20)
class LimitReached(NamedTuple):
    """Its code asked for a pause (ms) of a limit; an empty name is all that it counts for.

    Stored of a task that may be handed out only once, with what it said.
    """

    after: int
    limit: str
    message: str

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        return Failure("RateLimited", self.message, "")


@ending(35)
class InputsTooLarge(NamedTuple):
    """The values that it waited for, and its arguments, have so many bytes together."""

    size: int
    limit: int

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        text = (
            f"the values that it waits for, and its arguments, have {self.size} bytes together;"
            f" {self.limit} are allowed: store large values elsewhere, and hand on where they are"
        )
        return Failure("PayloadTooLarge", text, "")


@ending(36)
class Grown(NamedTuple):
    """Its code returned, and made tasks that enter with its outcome. A worker's word, never stored.

    `value` is packed; `spawned` and `replaced` are packed graphs, or empty. With `replaced` it has
    no value of its own: its outcome is that graph's.
    """

    value: bytes
    spawned: bytes
    replaced: bytes

    def in_words(self) -> Failure:
        """See `Ending.in_words`: as a broker that cannot do it stores it."""
        text = (
            "its code made tasks, which needs a cluster at level 2: upgrade every broker, then run"
            " `raftwork upgrade finish`"
        )
        return Failure("Unsupported", text, "")


@ending(37)
class ChildrenRefused(NamedTuple):
    """The tasks that its code made may not enter: the code of an error, and how many they are."""

    code: int
    tasks: int

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        kind = {QueueFull.code: "QueueFull", PayloadTooLarge.code: "PayloadTooLarge"}
        why = {
            QueueFull.code: "no room",
            PayloadTooLarge.code: "too large",
        }.get(self.code, "an id of theirs is used, or their options contradict each other")
        text = f"the {self.tasks} tasks that its code made were refused: {why}"
        return Failure(kind.get(self.code, "ProtocolError"), text, "")


@ending(38)
class SignalTimedOut(NamedTuple):
    """Nobody said what it waited for within so many ms."""

    name: str
    timeout: int

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        text = f"the signal {self.name} did not come within {self.timeout} ms"
        return Failure("TimeoutError", text, "")


#: Of a packed Grown, behind the header of its array.
_GROWN: Final = b"\x24"


def is_growth(packed: bytes) -> bool:
    """Whether a packed ending is a Grown."""
    return packed[1:2] == _GROWN


#: The tag of a packed Failure, behind the header of its array.
_IN_WORDS = b"\x01"


def encode_failure(ended: Ending) -> bytes:
    """As it is stored and sent."""
    record = cast("tuple[object, ...]", ended)
    if type(ended) is Failure and not ended.trace:
        return pack((1, *record[: 4 if ended.log else 3]))  # three: as it was at level 1
    return _failure.encode(record)


def decode_failure_strictly(packed: bytes) -> Ending:
    """As a log entry must have it. Raises BadMessage; NewerMessage for more than is known here."""
    return cast("Ending", _failure_in_log.decode(packed))


def decode_ending(packed: bytes) -> Ending:
    """As it was sent. Raises BadMessage; NewerMessage for a kind that is not known here."""
    return cast("Ending", _failure.decode(packed))


def decode_failure(packed: bytes) -> Failure:
    """In words, whatever it is stored as; of a kind that only a newer release knows, too.

    Raises BadMessage.
    """
    try:
        return cast("Ending", _failure.decode(packed)).in_words()
    except NewerMessage as error:
        return Failure("Unknown", f"only a newer release of raftwork can say why ({error})", "")


def _how(by: Loss) -> str:
    if by.signal is not None:
        return f"lost the process to signal {by.signal}"
    if by.exit is not None:
        return f"lost the process, which exited with status {by.exit}"
    return "vanished"


def failure_head(packed: bytes, characters: int) -> str:
    """The beginning of "TYPE: MESSAGE" from a packed failure, or from its first bytes alone."""
    if packed[1:2] != _IN_WORDS:
        return _short(packed)[:characters]
    unpacker = msgpack.Unpacker(unicode_errors="replace")
    unpacker.feed(packed)
    texts: list[str] = []
    try:
        unpacker.read_array_header()
        unpacker.skip()  # the tag
        while len(texts) < 2:
            texts.append(str(unpacker.unpack()))
    except msgpack.OutOfData:
        cut = packed[unpacker.tell() :]  # a string whose end is missing
        header = {0xD9: 2, 0xDA: 3, 0xDB: 5}.get(cut[0], 1) if cut else 0
        texts.append(cut[header:].decode(errors="ignore"))
    return ": ".join(texts)[:characters]


def _short(packed: bytes) -> str:
    """What is not stored in words is short, so all of it is there."""
    try:
        failure = decode_failure(packed)
    except BadMessage:
        return ""
    return f"{failure.type}: {failure.message}"
