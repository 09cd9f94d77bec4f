"""What is set for a queue at run time, and whether new tasks fit into it.

Each setting is a field of QueueSettings, with all that is to be known of it: `Queue.set`, the
options of `raftwork queue set`, the tables and the documentation are made of that.

1. The log decides: a batch meets the settings that stand, and the tasks that wait, where it is
   applied. What is in stays in, whatever is set later; what comes back is never refused.
2. A balancer's name is only kept here. Which names there are is the leader's business, so that
   brokers that know different ones still apply the same.
3. A change that is asked for again is carried out again. Of two changes at the same time either may
   be the one that stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.errors import ProtocolError, QueueFull
from raftwork.features.effects import Done, Effect
from raftwork.features.feature import Feature, change, read, transition
from raftwork.messages import NAME_MAX
from raftwork.messages.bounds import Between, Name, OptionalName
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger, Queue
    from raftwork.broker.requests.view import View

#: Of a limit: beyond it no sum with what waits could be stored.
LIMIT_MAX: Final = 2**53


@dataclass(frozen=True, slots=True)
class Setting:
    """What one setting may be, and what it means."""

    kind: type[str | int]
    #: The greatest number, or the most characters of a name; the least is 1.
    most: int
    #: Of a number: what it counts.
    unit: str = ""
    #: The fact of a queue that it bounds, as `raftwork status` names it.
    bounds: str = ""
    help: str = ""
    #: What holds where it is not set.
    unset: str = ""


def _about(setting: Setting) -> Mapping[str, Setting]:
    return MappingProxyType({"setting": setting})


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """What is set for a queue; None where nothing is."""

    #: The load balancer of its tasks.
    balancer: str | None = field(
        default=None,
        metadata=_about(
            Setting(
                str,
                NAME_MAX,
                help="How its tasks are given to workers",
                unset="as the cluster's are",
            )
        ),
    )
    #: Tasks that may wait, those that wait for a retry among them.
    max_length: int | None = field(
        default=None,
        metadata=_about(
            Setting(
                int,
                LIMIT_MAX,
                unit="tasks",
                bounds="queued",
                help="Tasks that may wait",
                unset="no limit",
            )
        ),
    )
    #: Bytes of their arguments, packed.
    max_bytes: int | None = field(
        default=None,
        metadata=_about(
            Setting(
                int,
                LIMIT_MAX,
                unit="bytes",
                bounds="bytes",
                help="Bytes of arguments that may wait",
                unset="no limit",
            )
        ),
    )


#: By name, in the order of the fields.
SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {each.name: each.metadata["setting"] for each in fields(QueueSettings)}
)

# ---- records -------------------------------------------

Limit = Annotated[int, Between(0, LIMIT_MAX)]


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
class SettingsTold(NamedTuple):
    """What is set; None where nothing is."""

    request: int
    balancer: str | None
    max_length: int | None
    max_bytes: int | None


@request(51, reply=SettingsTold)
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


def _read(view: View, request: AskQueue) -> SettingsTold:
    status = view.machine.queue(request.queue)
    return SettingsTold(request.request, status.balancer, status.max_length, status.max_bytes)


# ---- on every replica ---------------------------------------------------------------------------


def check_settings(ledger: Ledger, change: Configure) -> None:
    """Raise ProtocolError for what cannot be meant, QueueFull for one queue too many."""
    most = ledger.limits.name_length
    for what, name, least in (("queue", change.queue, 1), ("balancer", change.balancer or "", 0)):
        if not least <= len(name) <= most:
            raise ProtocolError(f"a {what} of {len(name)} characters; 1 to {most} are allowed")
    for what, value in (("max_length", change.max_length), ("max_bytes", change.max_bytes)):
        if value is not None and not 0 <= value <= LIMIT_MAX:
            raise ProtocolError(f"{what} is from 1 to {LIMIT_MAX}, not {value}")
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
