"""What is set for the whole cluster: how much it may hold, for how long, and how patient it is.

Each setting is a field of ClusterSettings, with all that is to be known of it: the rows that every
replica keeps, `Cluster.set`, `raftwork cluster settings`, its checks and the documentation are made
of that.

1. The log decides: a setting holds for what is applied after the entry that changed it. What is in
   stays in, whatever is set later; results and dead tasks over a new limit go, the oldest first.
2. The defaults are those of level 1, which no release may change: replicas of several releases make
   the same rows. A client that clears a setting has the leader write the default into the log.
3. A million results may be over a new limit, and one entry must not hold up others: the leader
   lowers the limit by steps. What a failover interrupts is asked for again by its client.
4. An id is never forgotten while its enqueue may still come again: `enqueue_window` is never more
   than `tombstone_ttl` ever was, whatever either is changed to.
5. A worker is not told what its lease is: it sends a heartbeat a second whatever is set, and no
   lease is shorter than three of them. So a change can take no task from a worker that speaks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from raftwork.errors import BadMessage, NewerMessage, ProtocolError, Unsupported
from raftwork.features.effects import Done, Effect, Reply
from raftwork.features.event_journal import TEXT_MAX, EventKind, Happened
from raftwork.messages import (
    BATCH_BYTES_MAX,
    BATCH_TASKS_MAX,
    HEARTBEAT_MS,
    ID_MAX,
    NAME_MAX,
    PAYLOAD_MAX,
)
from raftwork.messages.bounds import Between
from raftwork.messages.registry import command, reply, request
from raftwork.release import RELEASE
from raftwork.wire import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: Bytes of packed changes: far more than all settings have.
PACKED_MAX: Final = 4_096
#: Results, and dead tasks, that an entry drops because a limit is lowered: 10 ms of a replica.
_PART: Final = 1_000
#: Beyond it no sum with what is stored could be stored.
_COUNT_MAX: Final = 2**53
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
#: What clients ask for at most, too.
_CENTURY_MS: Final = 100 * 366 * _DAY_MS
#: The unit of times.
MS: Final = "ms"


class Setting(NamedTuple):
    """What one setting may be, and what it means."""

    #: What it counts.
    unit: str
    least: int
    most: int
    help: str


def _setting(default: int, unit: str, least: int, most: int, text: str) -> int:
    about = MappingProxyType({"setting": Setting(unit, least, most, text)})
    return field(default=default, metadata=about)


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """The settings of one cluster. Times are milliseconds."""

    tasks: int = _setting(
        *(2_000_000, "tasks", 1, _COUNT_MAX),
        "Tasks that may be unfinished, of all queues; further ones are refused with QueueFull",
    )
    queues: int = _setting(
        1_000, "queues", 1, 10_000, "Queues that may ever be used; tasks of another one are refused"
    )
    results: int = _setting(
        *(1_000_000, "results", 1, _COUNT_MAX),
        "Results that are kept; over it the next to expire are dropped early",
    )
    result_bytes: int = _setting(
        *(1 << 30, "bytes", PAYLOAD_MAX, _COUNT_MAX),
        "Bytes of the results that are kept; over it the next to expire are dropped early",
    )
    #: On disk, about 100 bytes each: an hour of 13,000 tasks a second.
    tombstones: int = _setting(
        *(50_000_000, "tasks", 1, _COUNT_MAX),
        "Finished tasks whose ids are known although their results were dropped; over it new tasks"
        " are refused",
    )
    enqueue_window: int = _setting(
        *(_HOUR_MS, MS, 60_000, _HOUR_MS),
        "An enqueue that was first tried longer ago is refused: its id may have been forgotten",
    )
    tombstone_ttl: int = _setting(
        *(_HOUR_MS, MS, _HOUR_MS, _CENTURY_MS),
        "How long a finished task's id, and what became of it, is known after its result",
    )
    result_ttl: int = _setting(
        *(30 * _DAY_MS, MS, 1_000, _CENTURY_MS),
        "The most that a task's result_ttl may ask for; more is cut to it",
    )
    max_losses: int = _setting(
        *(100, "losses", 1, 100), "The most that a task's max_losses may ask for; more is cut to it"
    )
    dead: int = _setting(
        *(10_000, "tasks", 1, 1_000_000),
        "Dead tasks that can be retried; over it the oldest are dropped",
    )
    dead_bytes: int = _setting(
        *(64 << 20, "bytes", PAYLOAD_MAX, 1 << 40),
        "Bytes of the arguments of dead tasks; over it the oldest are dropped",
    )
    # What frames and their readers have room for cannot be raised.
    batch_tasks: int = _setting(
        BATCH_TASKS_MAX, "tasks", 1, BATCH_TASKS_MAX, "Tasks of one batch; a larger one is refused"
    )
    batch_bytes: int = _setting(
        *(BATCH_BYTES_MAX, "bytes", 1_024, BATCH_BYTES_MAX),
        "Bytes of one batch; a larger one is refused",
    )
    payload_bytes: int = _setting(
        *(PAYLOAD_MAX, "bytes", 1_024, PAYLOAD_MAX),
        "Bytes of one task's arguments; with more it is refused",
    )
    #: Two names of any characters, and room for what later levels add. Every task stores its spec.
    spec_bytes: int = _setting(
        4_096, "bytes", 1_024, 4_096, "Bytes of one task's options; with more it is refused"
    )
    id_length: int = _setting(ID_MAX, "characters", 36, ID_MAX, "Characters of a task's id or key")
    name_length: int = _setting(
        NAME_MAX, "characters", 64, NAME_MAX, "Characters of a task's or queue's name"
    )
    #: A few milliseconds at most, and never too little to keep up (machine/retention.py).
    sweep: int = _setting(
        *(500, "tasks", 100, 10_000),
        "Of each kind of work that time alone brings (retries due, results and ids to be dropped),"
        " what one log entry does at most; a small one does less",
    )
    worker_lease: int = _setting(
        *(3 * HEARTBEAT_MS, MS, 3 * HEARTBEAT_MS, 600_000),
        "A worker's silence after which its tasks go to others",
    )
    worker_reconnect: int = _setting(
        *(500, MS, 500, 600_000),
        "How long a worker whose connection has closed may take to come back, within its lease",
    )
    #: Ten times the stalls of disks and schedulers that were seen on shared machines.
    election_timeout: int = _setting(
        *(750, MS, 250, 60_000),
        "How long a leader may be silent before the brokers elect another one",
    )


#: By name, in the order of the fields.
SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {each.name: each.metadata["setting"] for each in fields(ClusterSettings)}
)
#: What holds where nothing was set.
DEFAULTS: Final = ClusterSettings()


def changes(values: Mapping[str, int | None]) -> bytes:
    """Settings by their names, as a request carries them; None is its default."""
    return pack({name: values[name] for name in sorted(values)})


def differences(before: ClusterSettings, after: ClusterSettings) -> tuple[str, ...]:
    """What is another value by now, for people."""
    return tuple(
        f"{name} from {old} to {new} {about.unit}"
        for name, about in SETTINGS.items()
        if (old := getattr(before, name)) != (new := getattr(after, name))
    )


# ---- records ------------------------------------------------------------------------------------


class ToldSetting(NamedTuple):
    """One setting as the leader's release knows it; times in ms."""

    name: str
    value: int
    default: int
    unit: str
    least: int
    most: int
    help: str


@reply(71)
class ClusterSettingsTold(NamedTuple):
    """Every setting, in the order of the documentation."""

    request: int
    settings: list[ToldSetting]


@request(71, reply=ClusterSettingsTold)
class AskClusterSettings(NamedTuple):
    """What is set for the cluster now (linearizable)?"""

    request: int


@reply(72)
class ClusterSettingsSet(NamedTuple):
    """The settings stand, under any later leader."""

    request: int


@request(72, reply=ClusterSettingsSet)
class SetClusterSettings(NamedTuple):
    """Change those settings that are given (`changes`): None is the default."""

    request: int
    changes: Annotated[bytes, Between(1, PACKED_MAX)]


@command(71, since=1)
class ConfigureCluster(NamedTuple):
    """Change these settings. The names are in order, each but once."""

    values: list[tuple[str, int]]


# ---- on the leader ------------------------------------------------------------------------------


class _Lowering:
    """A change on its way into the log, as many entries as it takes to drop what is over it."""

    def __init__(self, values: dict[str, int]) -> None:
        self._values = values
        self._done = False

    def command(self, view: "View") -> ConfigureCluster:
        floors = _floors(view.state) if self._values.keys() & _DROPPING else {}
        step = {name: max(value, floors.get(name, 0)) for name, value in self._values.items()}
        self._done = step == self._values
        return ConfigureCluster(sorted(step.items()))

    def applied(self, _view: "View", reply: Reply) -> Reply | None:
        return reply if self._done or not isinstance(reply, Done) else None


#: Limits that what is stored is cut to.
_DROPPING: Final = frozenset({"results", "result_bytes", "dead", "dead_bytes"})


def _floors(state: "Ledger") -> dict[str, int]:
    """How low each of these may be set by an entry that drops a part of what is kept.

    What finishes meanwhile is dropped besides.
    """
    results, dead = state.first_to_drop(_PART)
    return {
        "results": state.results - len(results),
        "result_bytes": state.result_bytes - max(1, sum(results)),  # those without a byte, too
        "dead": state.dead - len(dead),
        "dead_bytes": state.dead_bytes - sum(dead),
    }


def _check(view: "View", request: SetClusterSettings) -> _Lowering:
    """In the log an unknown setting would stop every replica."""
    try:
        values = values_of(request.changes)
    except BadMessage as error:
        raise ProtocolError(str(error)) from None
    try:
        changed(view.machine.settings, values.items())
    except NewerMessage as error:
        raise Unsupported(
            f"{error}, says this broker of raftwork {RELEASE}: upgrade the brokers first"
        ) from None
    return _Lowering(values)


def values_of(packed: bytes) -> dict[str, int]:
    """The changes of a request, with defaults where it has None. Raises BadMessage."""
    values: Any = unpack(packed)
    if type(values) is not dict or not values:
        raise BadMessage("changes must be a map of settings by their names, at least one")
    for name, value in values.items():
        if type(name) is not str or not (value is None or type(value) is int):
            raise BadMessage("a setting must be a number, or none, by its name")
        if value is None:
            values[name] = getattr(DEFAULTS, name, 0)
    return dict(values)


def _answer(_view: "View", request: SetClusterSettings, _done: Done) -> ClusterSettingsSet:
    return ClusterSettingsSet(request.request)


def _read(view: "View", request: AskClusterSettings) -> ClusterSettingsTold:
    settings = view.machine.settings
    told = [
        ToldSetting(name, getattr(settings, name), getattr(DEFAULTS, name), *about)
        for name, about in SETTINGS.items()
    ]
    return ClusterSettingsTold(request.request, told)


# ---- on every replica ---------------------------------------------------------------------------


def changed(settings: ClusterSettings, values: "Iterable[tuple[str, int]]") -> ClusterSettings:
    """The settings with some of them replaced.

    Raises ProtocolError for what cannot be meant, and NewerMessage for a name that this release
    does not know: in the log it stops the replica, and no leader proposes it.
    """
    new = dict(values)
    for name, value in new.items():
        about = SETTINGS.get(name)
        if about is None:
            raise NewerMessage(f"no such setting: {name:.80}; there are {', '.join(SETTINGS)}")
        if not about.least <= value <= about.most:
            raise ProtocolError(
                f"{name} must be between {about.least} and {about.most} {about.unit}, got {value}"
            )
    return replace(settings, **new)


def configure(ledger: "Ledger", command: ConfigureCluster, _effects: list[Effect]) -> None:
    """Change settings. Raises ProtocolError for what cannot be meant."""
    before = ledger.settings
    ledger.change_settings(changed(before, command.values))
    said = ", ".join(differences(before, ledger.settings))
    ledger.journal.note(Happened(EventKind.SETTINGS_CHANGED, text=said[:TEXT_MAX]))


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, change, read, transition

    return Feature(
        "the cluster's settings",
        rules=[change(SetClusterSettings, _check, _answer), read(AskClusterSettings, _read)],
        transitions=[transition(ConfigureCluster, configure)],
        budget=Budget(requests=100),
    )
