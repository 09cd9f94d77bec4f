"""What is set for a queue at run time.

Each setting is a field of QueueSettings, with all that is to be known of it: `Queue.set`, the
options of `raftwork queue set`, the tables and the documentation are made of that.

1. A balancer's name is only kept here. Which names there are is the leader's business, so that
   brokers that know different ones still apply the same.
2. A change that is asked for again is carried out again. Of two changes at the same time either may
   be the one that stands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from raftwork.errors import BadMessage, NewerMessage, ProtocolError, Unsupported
from raftwork.features.effects import Done, Effect
from raftwork.features.event_journal import TEXT_MAX, EventKind, Happened
from raftwork.features.limit_settings import (
    BURST_MAX,
    CONCURRENCY_MAX,
    RATE_LENGTH_MAX,
    Quota,
    rate_objection,
    rate_of,
)
from raftwork.features.queue_limits import check_queues
from raftwork.messages import NAME_MAX
from raftwork.messages.bounds import Between, Name
from raftwork.messages.registry import command, reply, request
from raftwork.release import RELEASE
from raftwork.wire import pack, unpack

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: Bytes of packed settings: far more than all of them have.
PACKED_MAX: Final = 4_096
#: Of a limit: beyond it no sum with what waits could be stored.
LIMIT_MAX: Final = 2**53
WEIGHT_MAX: Final = 1_000
#: Bytes of all weights, packed.
WEIGHTS_BYTES_MAX: Final = 3_000
PATIENCE_MAX: Final = 1_000_000


class Setting(NamedTuple):
    """What one setting may be, and what it means."""

    kind: type[str | int | bool | dict[str, int]]
    #: The greatest number, or the most characters of a name. Of a map: the greatest of its numbers.
    most: int = 1
    #: The least number.
    least: int = 1
    #: The level that a cluster must be at for it.
    since: int = 0
    #: Of a number: what it counts.
    unit: str = ""
    #: The fact of a queue that it bounds, as `raftwork status` names it.
    bounds: str = ""
    help: str = ""
    #: What holds where it is not set.
    unset: str = ""
    #: What is wrong with a text, besides its length; empty if nothing is.
    check: Callable[[str], str] = lambda _text: ""


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
    #: Tasks that may wait: also those that wait for their time, a retry or another task.
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
    #: Whether its tenants take turns.
    fair: bool | None = field(
        default=None,
        metadata=_about(
            Setting(
                bool,
                since=2,
                help="Whether tenants take turns, whatever each has waiting",
                unset="tasks in the order in which they came",
            )
        ),
    )
    #: What tenants count for in a fair queue, by name.
    weights: Mapping[str, int] | None = field(
        default=None,
        metadata=_about(
            Setting(
                dict,
                WEIGHT_MAX,
                since=2,
                help="Turns of a tenant in a fair queue for one of another, as acme=3,beta=2",
                unset="1 for each",
            )
        ),
    )
    #: Of so many tasks one is that which waits longest, whatever its priority.
    patience: int | None = field(
        default=None,
        metadata=_about(
            Setting(
                int,
                PATIENCE_MAX,
                least=0,
                since=2,
                unit="tasks",
                help="Of so many tasks handed out one is that which waits longest, whatever its"
                " priority, 0 for none",
                unset="16",
            )
        ),
    )
    #: Its tasks that may run at once.
    concurrency: int | None = field(
        default=None,
        metadata=_about(
            Setting(
                int,
                CONCURRENCY_MAX,
                since=2,
                unit="tasks",
                help="Tasks of it that may run at once, on all workers",
                unset="no limit",
            )
        ),
    )
    #: How many may be handed out in which time, as `100/m`.
    rate: str | None = field(
        default=None,
        metadata=_about(
            Setting(
                str,
                RATE_LENGTH_MAX,
                since=2,
                check=rate_objection,
                help="Tasks of it that are handed out in a time, as 100/m or 1/10s",
                unset="no limit",
            )
        ),
    )
    #: How many of these may come at once.
    burst: int | None = field(
        default=None,
        metadata=_about(
            Setting(
                int,
                BURST_MAX,
                since=2,
                unit="tasks",
                help="Tasks that its rate allows at once, after a pause that was long enough",
                unset="1",
            )
        ),
    )


#: By name, in the order of the fields.
SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {each.name: each.metadata["setting"] for each in fields(QueueSettings)}
)

#: The settings of a queue for which nothing was set.
NOTHING_SET: Final = QueueSettings()


def changes(**values: str | int | Mapping[str, int] | None) -> bytes:
    """Settings by their names, as records and tables carry them; None is one that is not set."""
    return pack({name: values[name] for name in sorted(values)}) if values else b""


def packed(settings: QueueSettings) -> bytes:
    """Those that are set."""
    values = {name: getattr(settings, name) for name in SETTINGS}
    return changes(**{name: value for name, value in values.items() if value is not None})


def settings_of(packed: bytes) -> QueueSettings:
    """What is set, of what was stored or told. Settings that only a newer release has are dropped.

    Raises BadMessage if it is nothing of the kind.
    """
    values = _values(packed)
    return QueueSettings(**{name: values[name] for name in SETTINGS if name in values})


def _values(packed: bytes) -> dict[str, Any]:
    values = unpack(packed) if packed else {}
    if type(values) is not dict or any(type(name) is not str for name in values):
        raise BadMessage("settings must be a map by their names")
    for name in values.keys() & SETTINGS.keys():
        value = values[name]
        if value is not None and type(value) is not SETTINGS[name].kind:
            raise BadMessage(f"{name} must be of type {SETTINGS[name].kind.__name__}")
    return values


def quota_of(settings: QueueSettings) -> Quota | None:
    """How many of a queue's tasks may run, and how fast; None for as many as there are."""
    if not settings.concurrency and not settings.rate:
        return None
    count, period = rate_of(settings.rate) if settings.rate else (0, 0)
    return Quota(settings.concurrency or 0, count, period, settings.burst or 1)


# ---- records ------------------------------------------------------------------------------------


@reply(50)
class QueueSet(NamedTuple):
    """The settings stand, under any later leader."""

    request: int


@request(52, reply=QueueSet)
class SetQueue(NamedTuple):
    """Change a queue's settings, those that are given (`changes`): None clears one."""

    request: int
    queue: Name
    changes: Annotated[bytes, Between(0, PACKED_MAX)]


@reply(53)
class SettingsTold(NamedTuple):
    """What is set."""

    request: int
    settings: bytes


@request(51, reply=SettingsTold)
class AskQueue(NamedTuple):
    """What is set for this queue now (linearizable)?"""

    request: int
    queue: Name


@command(51, since=1)
class Configure(NamedTuple):
    """Change a queue's settings, as SetQueue says it."""

    queue: str
    changes: bytes


@command(50)
class ConfigureThree(NamedTuple):
    """As logs have it that were written before settings were packed. Never proposed any more.

    None leaves a setting as it is, an empty name or 0 clears it.
    """

    queue: str
    balancer: str | None
    max_length: int | None
    max_bytes: int | None


# ---- on the leader ------------------------------------------------------------------------------


def _check(view: "View", request: SetQueue) -> Configure:
    """In the log a surplus setting would stop every replica, and a dropped one would be a lie."""
    change = Configure(request.queue, request.changes)
    try:
        name = check_settings(view.state, change).get("balancer")
    except NewerMessage as error:
        raise Unsupported(
            f"{error}, says this broker of raftwork {RELEASE}: upgrade the brokers first"
        ) from None
    except BadMessage as error:
        raise ProtocolError(str(error)) from None
    if name and name not in view.balancers:
        raise ProtocolError(f"no balancer {name!r:.80}; there are {', '.join(view.balancers)}")
    return change


def _answer(_view: "View", request: SetQueue, _done: Done) -> QueueSet:
    return QueueSet(request.request)


def _read(view: "View", request: AskQueue) -> SettingsTold:
    return SettingsTold(request.request, view.machine.queue(request.queue).settings)


# ---- on every replica ---------------------------------------------------------------------------


def check_settings(
    ledger: "Ledger", change: Configure
) -> dict[str, str | int | Mapping[str, int] | None]:
    """What is to be changed.

    Raises ProtocolError for what cannot be meant, QueueFull for one queue too many, BadMessage for
    what is no change, and NewerMessage for one that only a newer release knows.
    """
    most = ledger.settings.name_length
    if not 1 <= len(change.queue) <= most:
        text = f"a queue's name must have 1 to {most} characters, got {len(change.queue)}"
        raise ProtocolError(text)
    values = _values(change.changes)
    if unknown := values.keys() - SETTINGS.keys():
        names = ", ".join(sorted(unknown))
        raise NewerMessage(f"no such setting: {names:.200}; there are {', '.join(SETTINGS)}")
    if early := [name for name in values if SETTINGS[name].since > ledger.level]:
        raise NewerMessage(
            f"{', '.join(early)} need a cluster at level {SETTINGS[early[0]].since}, this one is at"
            f" level {ledger.level}"
        )
    for name, value in values.items():
        if value is not None and (wrong := objection(name, value)):
            raise ProtocolError(wrong)
    check_queues(ledger, change.queue)
    return values


def objection(name: str, value: str | int | Mapping[str, int]) -> str:
    """What is wrong with a setting of the right type; empty if nothing is."""
    setting = SETTINGS[name]
    if isinstance(value, bool):
        return ""
    if isinstance(value, str):
        if not 1 <= len(value) <= setting.most:
            return f"{name} must have 1 to {setting.most} characters, got {len(value)}"
        return setting.check(value)
    if isinstance(value, int):
        if not setting.least <= value <= setting.most:
            return f"{name} must be between {setting.least} and {setting.most}, got {value}"
    else:
        for key, number in value.items():
            if type(key) is not str or not 1 <= len(key) <= NAME_MAX:
                return f"{name} must be of names of 1 to {NAME_MAX} characters, got {key!r:.80}"
            if type(number) is not int or not setting.least <= number <= setting.most:
                least, most = setting.least, setting.most
                return f"{name} of {key!r:.80} must be an int, {least} to {most}, got {number!r}"
        if (size := len(pack(dict(value)))) > WEIGHTS_BYTES_MAX:
            return f"{name} take {size} bytes, {WEIGHTS_BYTES_MAX} are allowed: name fewer"
    return ""


def configure(ledger: "Ledger", command: Configure, _effects: list[Effect]) -> None:
    """Change a queue's settings, which may make it a queue. Raises as `check_settings`."""
    values = check_settings(ledger, command)
    queue = ledger.touch(command.queue)
    queue.set(replace(queue.settings, **values))  # type: ignore[arg-type]
    if queue.quota is not None:
        ledger.gates.cut(ledger, queue.name, queue.quota)
    said = ", ".join(f"{name}={value}" for name, value in values.items())
    ledger.journal.note(
        Happened(EventKind.QUEUE_CONFIGURED, queue=queue.name, text=said[:TEXT_MAX])
    )


def _configure_three(ledger: "Ledger", command: ConfigureThree, effects: list[Effect]) -> None:
    given = {name: getattr(command, name) for name in SETTINGS if name in command._fields}
    values = {name: value or None for name, value in given.items() if value is not None}
    configure(ledger, Configure(command.queue, changes(**values)), effects)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature, change, read, transition

    return Feature(
        "queues",
        rules=[change(SetQueue, _check, _answer), read(AskQueue, _read)],
        transitions=[
            transition(Configure, configure),
            transition(ConfigureThree, _configure_three),
        ],
    )
