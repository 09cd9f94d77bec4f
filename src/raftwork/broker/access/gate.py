"""Whether a broker does what a frame asks for, by the key that it came under. Sans-IO.

A frame comes with the grant of its sender's key, looked up anew for each: a routing id may be taken
by another process once its owner is gone, and a key may be revoked at any time.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from raftwork.broker.access.rates import Rates
from raftwork.broker.access.rights import RIGHTS, may
from raftwork.features.enqueue import Enqueue
from raftwork.features.unique import EnqueueUnique
from raftwork.messages import Code, PeerHello, Refused
from raftwork.messages.registry import replies
from raftwork.wire import array_length

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raftwork.broker.access.access_list import Grant
    from raftwork.messages import ToBroker


@lru_cache(maxsize=4_096)
def allows(patterns: tuple[str, ...], queue: str) -> bool:
    """Whether a queue is one of those that are meant."""
    return any(fnmatchcase(queue, pattern) for pattern in patterns)


class Gate:
    """Of one broker."""

    def __init__(self) -> None:
        self._rates = Rates()

    def refusal(
        self, grant: Grant, message: ToBroker, size: int, now: int, *, leads: bool
    ) -> Refused | None:
        """What to answer to a message that its sender may not send (now); None if it may.

        It came in a frame of `size` bytes. What may be enqueued is counted where it is stored.
        """
        why = objection(grant, message)
        if why is not None:
            number = cast("int", message[0]) if type(message) in replies else 0
            return Refused(number, Code.PERMISSION_DENIED, why)
        if leads and isinstance(message, Enqueue | EnqueueUnique):
            if not (grant.tasks_per_second or grant.bytes_per_second):
                return None
            why = self._rates.objection(grant, array_length(message.tasks), size, now)
            if why is not None:
                return Refused(message.request, Code.QUEUE_FULL, why)
        return None


def objection(grant: Grant, message: ToBroker) -> str | None:
    """Why the sender may not send this; None if it may. Raises BadMessage for a Spec that is none.

    Ids of tasks are not looked up here: see confinement.py.
    """
    kind = type(message)
    if not may(grant.roles, kind):
        right = RIGHTS.get(kind)
        takes = " or ".join(sorted(right.roles)) if right else "no role that there is"
        has = ", ".join(sorted(grant.roles))
        return f"the key {grant.name} has the role {has}, and {kind.__name__} takes {takes}"
    if kind is PeerHello and cast("PeerHello", message).name != grant.name:
        called = cast("PeerHello", message).name
        return f"the key {grant.name} is that broker's, and of none that is called {called!r:.80}"
    return _beyond(grant, message) if grant.confined else None


def _beyond(grant: Grant, message: ToBroker) -> str | None:
    """The same of a key that is for some queues only."""
    reach = RIGHTS[type(message)].reach(message)
    patterns = ", ".join(grant.queues)
    only = f"the key {grant.name} is for the queues {patterns} only"
    if reach.cluster or "" in reach.queues:
        return f"{only}, and {type(message).__name__} is about all of them"
    out = _first(queue for queue in reach.queues if not allows(grant.queues, queue))
    return None if out is None else f"{only}, and not for {out!r:.80}"


def _first(found: Iterable[str]) -> str | None:
    return next(iter(found), None)
