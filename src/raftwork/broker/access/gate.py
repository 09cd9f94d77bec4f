"""Whether a broker does what a frame asks for, by the key that it came under. Sans-IO.

A frame comes with the grant of its sender's key, looked up anew for each: a routing id may be taken
by another process once its owner is gone, and a key may be revoked at any time.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from raftwork.broker.access.rights import RIGHTS, makes_it_an_admins, may
from raftwork.errors import BadMessage, PermissionDenied
from raftwork.features.flow_graph import queues_of_graph
from raftwork.keys import Role
from raftwork.messages import (
    Code,
    Failure,
    PeerHello,
    Refused,
    Report,
    decode_ending,
    encode_failure,
)
from raftwork.messages.failures import Grown, is_growth
from raftwork.messages.registry import replies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raftwork.broker.access.access_list import Grant
    from raftwork.messages import Outcome, ToBroker


@lru_cache(maxsize=4_096)
def allows(patterns: tuple[str, ...], queue: str) -> bool:
    """Whether a queue is one of those that are meant."""
    return any(fnmatchcase(queue, pattern) for pattern in patterns)


def refusal(grant: Grant, message: ToBroker) -> Refused | None:
    """What to answer to a message that its sender may not send; None if it may."""
    number = cast("int", message[0]) if type(message) in replies else 0
    try:
        why = objection(grant, message)
    except BadMessage as error:
        return Refused(number, Code.PROTOCOL, str(error))
    return None if why is None else Refused(number, Code.PERMISSION_DENIED, why)


def within_queues(grant: Grant | None, frame: ToBroker) -> ToBroker:
    """A worker's report without the tasks for other queues than its key's that code made.

    Such a task has failed: to refuse the whole report would have it sent again for ever.
    """
    if grant is None or not grant.confined or not isinstance(frame, Report):
        return frame
    if not any(is_growth(outcome.data) for outcome in frame.outcomes):
        return frame
    return frame._replace(outcomes=[_within(grant, outcome) for outcome in frame.outcomes])


def _within(grant: Grant, outcome: Outcome) -> Outcome:
    if outcome.ok or not is_growth(outcome.data):
        return outcome
    try:
        grown = decode_ending(outcome.data)
        if not isinstance(grown, Grown):
            return outcome
        graphs = [data for data in (grown.spawned, grown.replaced) if data]
        queues = [queue for data in graphs for queue in queues_of_graph(data)]
    except BadMessage:
        return outcome  # it is found out where it is used
    out = _first(queue for queue in queues if not allows(grant.queues, queue))
    if out is None:
        return outcome
    why = f"its code made tasks: {_only(grant)}, and not for {out!r:.80}"
    failed = encode_failure(Failure(PermissionDenied.__name__, why, ""))
    return outcome._replace(data=failed, final=True)


def objection(grant: Grant, message: ToBroker) -> str | None:
    """Why the sender may not send this; None if it may. Raises BadMessage for what cannot be read.

    Ids of tasks are not looked up here: see confinement.py.
    """
    kind = type(message)
    has = f"the key {grant.name} has the role {', '.join(sorted(grant.roles))}"
    if not may(grant.roles, kind):
        right = RIGHTS.get(kind)
        takes = " or ".join(sorted(right.roles)) if right else "no role that there is"
        return f"{has}, and {kind.__name__} takes {takes}"
    if Role.ADMIN not in grant.roles and (how := makes_it_an_admins(message)):
        return f"{has}, and {kind.__name__} {how}, takes {Role.ADMIN}"
    if kind is PeerHello and cast("PeerHello", message).name != grant.name:
        called = cast("PeerHello", message).name
        return f"the key {grant.name} is that broker's, and of none that is called {called!r:.80}"
    return _beyond(grant, message) if grant.confined else None


def _beyond(grant: Grant, message: ToBroker) -> str | None:
    """The same of a key that is for some queues only."""
    reach = RIGHTS[type(message)].reach(message)
    only = _only(grant)
    if reach.cluster or "" in reach.queues:
        return f"{only}, and {type(message).__name__} is about all of them"
    out = _first(queue for queue in reach.queues if not allows(grant.queues, queue))
    return None if out is None else f"{only}, and not for {out!r:.80}"


def _only(grant: Grant) -> str:
    if not grant.queues:
        return f"the key {grant.name} is for the brokers' status only"
    return f"the key {grant.name} is for the queues {', '.join(grant.queues)} only"


def _first(found: Iterable[str]) -> str | None:
    return next(iter(found), None)
