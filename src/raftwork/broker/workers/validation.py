"""What workers and clients say, looked at before it is believed. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.errors import BadMessage
from raftwork.messages import (
    NAME_MAX,
    PAYLOAD_MAX,
    QUEUES_MAX,
    AskQueue,
    DrainWorker,
    ListDead,
    OutcomeMalformed,
    OutcomeTooLarge,
    PurgeDead,
    decode_failure,
    encode_failure,
)

if TYPE_CHECKING:
    from raftwork.messages import Outcome, ToBroker, WorkerHello


#: Characters of what is said of bytes that cannot be read.
_WHY_MAX = 200


def objection(hello: WorkerHello) -> str | None:
    """Why this hello opens no session, or None."""
    if len(hello.incarnation) != 16:
        return f"an incarnation of {len(hello.incarnation)} bytes; it has 16"
    if len(hello.queues) > QUEUES_MAX:
        return f"{len(hello.queues)} queues; a worker may serve {QUEUES_MAX}"
    longest = max(map(len, (hello.name, hello.host, *hello.queues)))
    if longest > NAME_MAX:
        return f"a name of {longest} characters; {NAME_MAX} are allowed"
    return None


def request_objection(request: ToBroker) -> str | None:
    """Why a client's request is not carried out, or None.

    A name goes into the log or comes back in a refusal, so its length is bounded before either.
    What else a request says is checked where it is carried out.
    """
    match request:
        case DrainWorker(_, name) | AskQueue(_, name) | ListDead(_, name) | PurgeDead(_, _, name):
            if len(name) > NAME_MAX:
                return f"a name of {len(name)} characters; {NAME_MAX} are allowed"
        case _:
            pass
    return None


def failure_of(outcome: Outcome) -> bytes:
    """What to record of an attempt that gave no value, packed as this release packs it.

    In the log it is read strictly: what is no Failure, or has a newer worker's surplus fields,
    would stop every replica. What brokers store themselves, no worker may: it comes in words.
    """
    size = len(outcome.data)
    if size > PAYLOAD_MAX:
        return encode_failure(OutcomeTooLarge(size, PAYLOAD_MAX))
    try:
        return encode_failure(decode_failure(outcome.data))
    except BadMessage as error:
        return encode_failure(OutcomeMalformed(str(error)[:_WHY_MAX]))
