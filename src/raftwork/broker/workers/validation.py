"""Checks of what workers report, before it is used. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.errors import BadMessage, NewerMessage, PayloadTooLarge
from raftwork.features.growth import check_grown
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.messages import (
    NAME_MAX,
    PAYLOAD_MAX,
    QUEUES_MAX,
    LimitReached,
    OutcomeMalformed,
    OutcomeTooLarge,
    ResumeAsked,
    RetryAsked,
    decode_ending,
    decode_failure,
    encode_failure,
)
from raftwork.messages.failures import Grown, is_growth

if TYPE_CHECKING:
    from raftwork.features.cluster_settings import ClusterSettings
    from raftwork.messages import Outcome, WorkerHello


#: Bytes of what a lost task logged last.
LOST_LOG_MAX: Final = 16 * 1024
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


class Ended(NamedTuple):
    """How an attempt without a value ended: what to record of it, and what its code asked for."""

    failure: bytes
    #: ms until the next attempt, if it said.
    after: int | None = None
    #: It goes on in another attempt: nothing has failed.
    resumes: bool = False
    #: So do tasks of this limit, empty for all of its, once that pause is over.
    limit: str | None = None


def growth_of(outcome: Outcome, level: int, settings: ClusterSettings) -> Grown | None:
    """The tasks that its code made, if it made any that may go into the log.

    Raises ProtocolError or PayloadTooLarge if they may not, whatever there is room for.
    """
    if level < LEVEL_OPTIONS or not is_growth(outcome.data):
        return None
    try:
        grown = decode_ending(outcome.data)
    except BadMessage:
        return None
    if not isinstance(grown, Grown):
        return None
    if len(grown.value) > PAYLOAD_MAX:
        raise PayloadTooLarge(f"an outcome of {len(grown.value)} bytes; {PAYLOAD_MAX} are allowed")
    for graph in (grown.spawned, grown.replaced):
        if graph:
            check_grown(graph, settings)
    return grown


def failure_of(outcome: Outcome, level: int) -> Ended:
    """The same, packed as this release packs it for a cluster at this level.

    In the log it is read strictly: what is no Failure, or has a newer worker's surplus fields,
    would stop every replica. What brokers store themselves, no worker may: it comes in words.
    """
    size = len(outcome.data)
    if size > PAYLOAD_MAX:
        return Ended(encode_failure(OutcomeTooLarge(size, PAYLOAD_MAX)))
    try:
        found = decode_failure(outcome.data)
        if level < LEVEL_OPTIONS:
            found = found._replace(log="", trace=b"")
        return Ended(encode_failure(found), *_asked(outcome.data))
    except BadMessage as error:
        return Ended(encode_failure(OutcomeMalformed(str(error)[:_WHY_MAX])))


def log_of(outcome: Outcome, level: int) -> str:
    """The last lines that a lost task logged; nothing where the log cannot have any, or too many.

    Sealed they are a third longer, and more.
    """
    if level < LEVEL_OPTIONS or len(outcome.data) > PAYLOAD_MAX:
        return ""
    try:
        log = decode_failure(outcome.data).log
    except BadMessage:
        return ""
    return log if len(log.encode()) <= LOST_LOG_MAX else ""


def _asked(data: bytes) -> tuple[int | None, bool, str | None]:
    try:
        ending = decode_ending(data)
    except NewerMessage:
        return None, False, None
    if isinstance(ending, LimitReached):
        return ending.after, False, ending.limit[:NAME_MAX]
    if isinstance(ending, RetryAsked):
        return ending.after, False, None
    return None, isinstance(ending, ResumeAsked), None
