"""What a task that failed or was lost ended with, as it is stored and as it is told.

What an exception said is the worker's text, and stored as such (Failure). What brokers find is
stored as what it is, and put into words where it is read (`render`): brokers of two releases word
it differently and must store the same.
"""

from typing import NamedTuple

import msgpack

from raftwork.errors import BadMessage, NewerMessage
from raftwork.messages.shared import Loss
from raftwork.wire import Codec


class Failure(NamedTuple):
    """In words: of an exception its type, message and traceback."""

    type: str
    message: str
    traceback: str


class TimeLimitPassed(NamedTuple):
    """It ran longer than its limit (ms), and the worker did not say so."""

    limit: int


class WorkerLost(NamedTuple):
    """It was running when a worker was lost for the last time; `once`: it may run only once."""

    losses: int
    by: Loss
    once: bool


class OutcomeTooLarge(NamedTuple):
    """What it returned or raised has so many bytes."""

    size: int
    limit: int


class OutcomeMalformed(NamedTuple):
    """What the worker told of its failure cannot be read: why."""

    why: str


Ending = Failure | TimeLimitPassed | WorkerLost | OutcomeTooLarge | OutcomeMalformed

_ENDINGS: dict[int, type[Ending]] = {
    1: Failure,
    2: TimeLimitPassed,
    3: WorkerLost,
    4: OutcomeTooLarge,
    5: OutcomeMalformed,
}
_failure: Codec[Ending] = Codec(_ENDINGS)
_failure_in_log: Codec[Ending] = Codec(_ENDINGS, strict=True)

#: The tag of a packed Failure, behind the header of its array.
_IN_WORDS = b"\x01"

encode_failure = _failure.encode
#: As a log entry must have it: more than is known here raises NewerMessage.
decode_failure_strictly = _failure_in_log.decode


def decode_failure(packed: bytes) -> Failure:
    """In words, whatever it is stored as; of a kind that only a newer release knows, too.

    Raises BadMessage.
    """
    try:
        return render(_failure.decode(packed))
    except NewerMessage as error:
        return Failure("Unknown", f"only a newer release of raftwork can say why ({error})", "")


def render(ending: Ending) -> Failure:
    """In words."""
    match ending:
        case Failure():
            return ending
        case TimeLimitPassed(limit):
            return Failure("TimeLimitExceeded", f"ran longer than its limit of {limit} ms", "")
        case WorkerLost():
            return Failure("WorkerLost", _lost(ending), "")
        case OutcomeTooLarge(size, limit):
            text = f"an outcome of {size} bytes; {limit} are allowed"
            return Failure("PayloadTooLarge", text, "")
        case OutcomeMalformed(why):
            return Failure("BadMessage", f"the worker told no proper failure: {why}", "")


def _lost(ending: WorkerLost) -> str:
    last = f"{ending.by.worker or 'its worker'} {_how(ending.by)}"
    if ending.once:
        return f"{last} while it ran it, and it may not be handed out twice"
    return f"lost {ending.losses} times while it ran, the last time: {last}"


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
