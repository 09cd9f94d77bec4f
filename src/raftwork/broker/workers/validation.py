"""Checks of what workers report, before it is used. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.errors import BadMessage
from raftwork.messages import (
    NAME_MAX,
    PAYLOAD_MAX,
    QUEUES_MAX,
    OutcomeMalformed,
    OutcomeTooLarge,
    decode_failure,
    encode_failure,
)

if TYPE_CHECKING:
    from raftwork.messages import Outcome, WorkerHello


#: Characters of what is said of bytes that cannot be read.
_WHY_MAX = 200


def objection(hello: WorkerHello) -> str | None:
    """Why this hello opens no session, or None."""
    if len(hello.incarnation) != 16:
        return f"an incarnation must have 16 bytes, got {len(hello.incarnation)}"
    if len(hello.queues) > QUEUES_MAX:
        return f"{len(hello.queues)} queues; a worker may serve {QUEUES_MAX}"
    longest = max(map(len, (hello.name, hello.host, *hello.queues)))
    if longest > NAME_MAX:
        return f"a name must have at most {NAME_MAX} characters, got {longest}"
    return None


def failure_of(outcome: Outcome) -> bytes:
    """What to record of an attempt that returned no value, packed as this release packs it.

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
