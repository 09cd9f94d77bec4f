"""What workers and clients say, looked at before it is believed. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.errors import BadMessage
from raftwork.messages import (
    NAME_MAX,
    PAYLOAD_MAX,
    QUEUES_MAX,
    Failure,
    decode_failure,
    encode_failure,
)

if TYPE_CHECKING:
    from raftwork.messages import Outcome, WorkerHello


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


def failure_of(outcome: Outcome) -> bytes:
    """What to record of an attempt that gave no value.

    The machine refuses what is no Failure, and the token would never come to an end.
    """
    size = len(outcome.data)
    if size > PAYLOAD_MAX:
        text = f"an outcome of {size} bytes; {PAYLOAD_MAX} are allowed"
        return encode_failure(Failure("PayloadTooLarge", text, ""))
    try:
        decode_failure(outcome.data)
    except BadMessage as error:
        text = f"the worker told no proper failure: {error}"
        return encode_failure(Failure("BadMessage", text, ""))
    return outcome.data
