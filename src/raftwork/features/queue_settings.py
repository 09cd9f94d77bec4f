"""What is set for a queue at run time, and whether new tasks fit into it.

1. The log decides: a batch meets the settings that stand, and the tasks that wait, where it is
   applied. What is in stays in, whatever is set later; what comes back is never refused.
2. A balancer's name is only kept here. Which names there are is the leader's business, so that
   brokers that know different ones still apply the same.
3. A change that is asked for again is carried out again. Of two changes at the same time either may
   be the one that stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from raftwork.errors import ProtocolError, QueueFull
from raftwork.features.effects import Done, Effect
from raftwork.features.feature import Feature, change, read, transition
from raftwork.messages import NAME_MAX
from raftwork.messages.bounds import Between, Name, OptionalName
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger, Queue
    from raftwork.broker.requests.view import View

#: Of a setting: beyond it no sum with what waits could be stored.
SETTING_MAX = 2**53
Limit = Annotated[int, Between(0, SETTING_MAX)]


@reply(50)
class QueueSet(NamedTuple):
    """The settings stand, whoever leads."""

    request: int


@request(50, reply=QueueSet)
class SetQueue(NamedTuple):
    """Change a queue's settings: None leaves one as it is, an empty name or 0 clears it."""

    request: int
    queue: Name
    balancer: OptionalName | None = None
    max_length: Limit | None = None  # tasks that wait
    max_bytes: Limit | None = None  # of their payloads


@reply(51)
class QueueSettings(NamedTuple):
    """What is set; None where nothing is."""

    request: int
    balancer: str | None
    max_length: int | None
    max_bytes: int | None


@request(51, reply=QueueSettings)
class AskQueue(NamedTuple):
    """What is set for this queue now (linearizable)?"""

    request: int
    queue: Name


@command(50)
class Configure(NamedTuple):
    """Change a queue's settings: None leaves one as it is, an empty name or 0 clears it."""

    queue: str
    balancer: str | None
    max_length: int | None
    max_bytes: int | None


# ---- on the leader ------------------------------------------------------------------------------


def _check(view: View, request: SetQueue) -> Configure:
    name = request.balancer
    if name and name not in view.balancers:
        raise ProtocolError(f"no balancer {name!r:.80}; there are {', '.join(view.balancers)}")
    change = Configure(*request[1:])
    check_settings(view.state, change)
    return change


def _answer(_view: View, request: SetQueue, _done: Done) -> QueueSet:
    return QueueSet(request.request)


def _read(view: View, request: AskQueue) -> QueueSettings:
    status = view.machine.queue(request.queue)
    return QueueSettings(request.request, status.balancer, status.max_length, status.max_bytes)


# ---- on every replica ---------------------------------------------------------------------------


def check_settings(ledger: Ledger, change: Configure) -> None:
    """Raise ProtocolError for what cannot be meant, QueueFull for one queue too many."""
    for what, name, least in (("queue", change.queue, 1), ("balancer", change.balancer or "", 0)):
        if not least <= len(name) <= NAME_MAX:
            raise ProtocolError(f"a {what} of {len(name)} characters; 1 to {NAME_MAX} are allowed")
    for what, value in (("max_length", change.max_length), ("max_bytes", change.max_bytes)):
        if value is not None and not 0 <= value <= SETTING_MAX:
            raise ProtocolError(f"{what} is from 1 to {SETTING_MAX}, not {value}")
    check_queues(ledger, change.queue)


def check_queues(ledger: Ledger, queue: str) -> None:
    """Raise QueueFull if this would be one queue too many."""
    count = len(ledger.queues) + (queue not in ledger.queues)
    if count > ledger.limits.queues:
        raise QueueFull(
            f"no room: this would make {count} queues, {ledger.limits.queues} are allowed"
        )


def configure(ledger: Ledger, command: Configure, _effects: list[Effect]) -> None:
    """Change a queue's settings, which may make it a queue. Raises as `check_settings`."""
    check_settings(ledger, command)
    queue = ledger.touch(command.queue)
    if command.balancer is not None:
        queue.balancer = command.balancer
    if command.max_length is not None:
        queue.max_length = command.max_length
    if command.max_bytes is not None:
        queue.max_bytes = command.max_bytes


def check_fits(queue: Queue, tasks: int, size: int) -> None:
    """Raise QueueFull if new tasks with payloads of `size` bytes would take it over a limit."""
    for what, held, new, limit in (
        ("tasks", queue.queued, tasks, queue.max_length),
        ("bytes", queue.bytes, size, queue.max_bytes),
    ):
        if limit and held + new > limit:
            raise QueueFull(
                f"queue {queue.name!r} is full: {held} {what} wait, {limit} may, "
                f"and {new} more were to come in"
            )


FEATURE = Feature(
    "queues",
    rules=[change(SetQueue, _check, _answer), read(AskQueue, _read)],
    transitions=[transition(Configure, configure)],
)
