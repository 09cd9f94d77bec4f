"""What is said of a schedule: by the code that declares it, and by operators. Values.

The two are stored apart, so neither overwrites the other: what operators say stands, field by
field, before what the code says, until they take it back.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from raftwork.durations import instant_in_words, ms_in_words
from raftwork.errors import BadMessage, NewerMessage, PayloadTooLarge, ProtocolError, Unsupported
from raftwork.features.task_batch import (
    AT_MAX_MS,
    AT_MOST,
    NO_LATER,
    TAG_LENGTH_MAX,
    TAGS_MAX,
    read_extras,
    read_spec,
)
from raftwork.messages import Extras, Spec, decode_spec
from raftwork.release import RELEASE
from raftwork.wire import Codec, pack, unpack_frame

if TYPE_CHECKING:
    from raftwork.features.cluster_settings import ClusterSettings
    from raftwork.recurrence import Rule

#: Characters of a schedule's id: with an instant behind it, it is a task's.
SCHEDULE_ID_MAX: Final = 200
#: Ticks that wait behind the one that runs, with `queue_all`.
QUEUED_MAX: Final = 1_000
WINDOW_MS: Final = 86_400_000


class Overlap(IntEnum):
    """What a tick does while a task of an earlier one has no outcome: it waits, or runs."""

    SKIP = 0  # it makes none
    ALLOW = 1  # it makes one all the same
    QUEUE_ONE = 2  # it makes one that waits behind, unless one does already
    QUEUE_ALL = 3  # it makes one that waits behind, in order, unless QUEUED_MAX do already
    CANCEL_PREVIOUS = 4  # it makes one that waits behind, and the others are asked to end


class CatchUp(IntEnum):
    """Which ticks of an outage are run after it, of those in `window`."""

    ONE = 0  # the latest
    NONE = 1
    ALL = 2  # in order


class Fields(NamedTuple):
    """What is said of a schedule; None is what is not. Times are ms, 0 is none."""

    spec: bytes | None = None  # a packed Spec
    payload: bytes | None = None  # packed arguments
    extras: bytes | None = None  # packed Extras; empty: none
    cron: str | None = None  # empty: `every` says when
    every: int | None = None
    tz: str | None = None
    start: int | None = None
    end: int | None = None
    jitter: int | None = None
    overlap: Overlap | None = None
    catchup: CatchUp | None = None
    window: int | None = None
    limit: int | None = None  # so many tasks, and no more


class Plan(NamedTuple):
    """All of it: what holds."""

    spec: bytes = b""
    payload: bytes = b""
    extras: bytes = b""
    cron: str = ""
    every: int = 0
    tz: str = "UTC"
    start: int = 0
    end: int = 0
    jitter: int = 0
    overlap: Overlap = Overlap.SKIP
    catchup: CatchUp = CatchUp.ONE
    window: int = WINDOW_MS
    limit: int = 0

    @property
    def task(self) -> str:
        """The name of its tasks."""
        return decode_spec(self.spec).name

    def rule(self, anchor: int) -> "Rule":
        """When it ticks; `every` counts from its start, or from `anchor`."""
        # Here, as workers and clients load this module and need no calendar.
        from raftwork.recurrence import Rule

        since = (self.start or anchor) if self.every else 0
        return Rule(self.cron, self.every, self.tz, since, self.start, self.end)

    def more(self) -> Extras:
        """What its tasks have besides: a unique key, tags."""
        return _extras(self.extras)


_fields: Codec[Fields] = Codec({1: Fields}, strict=True)
#: Of when it ticks: another of these, and the next tick is computed from now.
_WHEN: Final = ("cron", "every", "tz", "start", "end")

encode_fields = _fields.encode


def decode_fields(data: bytes) -> Fields:
    """What was packed; empty is nothing. Raises BadMessage, or NewerMessage for a newer one's."""
    return _fields.decode(data) if data else Fields()


def merged(fields: Fields, over: Fields) -> Fields:
    """`over` where it says something, else `fields`."""
    values: list[Any] = [a if b is None else b for a, b in zip(fields, over, strict=True)]
    return Fields(*values)


def plan_of(declared: bytes, override: bytes) -> Plan:
    """What holds of a schedule."""
    said = decode_fields(declared)
    if override:
        said = merged(said, decode_fields(override))
    values: list[Any] = [a if b is None else b for a, b in zip(Plan(), said, strict=True)]
    return Plan(*values)


def same_times(one: Plan, other: Plan) -> bool:
    """Whether both tick at the same instants."""
    return all(getattr(one, name) == getattr(other, name) for name in _WHEN)


def read_fields(data: bytes) -> Fields:
    """As `decode_fields`, of what a client sent. Raises ProtocolError, Unsupported."""
    try:
        return decode_fields(data)
    except NewerMessage as error:
        raise Unsupported(
            f"the client asks for more than this broker of raftwork {RELEASE} can do ({error}):"
            " upgrade the brokers first"
        ) from None
    except BadMessage as error:
        raise ProtocolError(f"the schedule is malformed: {error}") from None


def check_plan(plan: Plan, settings: "ClusterSettings") -> None:
    """Raise ProtocolError or PayloadTooLarge for what can never work."""
    _check_task(plan, settings)
    for what in ("every", "jitter", "window"):
        if (value := getattr(plan, what)) > AT_MAX_MS:
            raise ProtocolError(f"{what} must be {AT_MOST}, got {ms_in_words(value)}")
    for what in ("start", "end"):
        if (value := getattr(plan, what)) > AT_MAX_MS:
            raise ProtocolError(f"{what} must be {NO_LATER}, got {instant_in_words(value)}")
    if plan.end and plan.end < plan.start:
        start, end = instant_in_words(plan.start), instant_in_words(plan.end)
        raise ProtocolError(f"end is before start, so it would never tick: {end} and {start}")
    try:
        plan.rule(0).check()
    except ValueError as error:
        raise ProtocolError(str(error)) from None


def _check_task(plan: Plan, settings: "ClusterSettings") -> None:
    try:
        spec = read_spec(plan.spec, settings)
        extras = _extras(plan.extras)
    except NewerMessage as error:
        raise Unsupported(f"{error}: upgrade the brokers first") from None
    except BadMessage as error:
        raise ProtocolError(f"the schedule's task is malformed: {error}") from None
    if len(plan.payload) > settings.payload_bytes:
        raise PayloadTooLarge(
            f"a payload of {len(plan.payload)} bytes; {settings.payload_bytes} are allowed"
        )
    if spec.ordered:
        raise ProtocolError(
            "the tasks of a schedule have no key, so they cannot be ordered:"
            ' overlap="queue_all" runs them one after the other'
        )
    tags = extras.tags
    if len(extras.unique) > settings.id_length or len(tags) > TAGS_MAX:
        raise ProtocolError(f"a task may have a key of {settings.id_length}, and {TAGS_MAX} tags")
    if any(not 0 < len(text) <= TAG_LENGTH_MAX for tag in tags for text in tag):
        raise ProtocolError(f"a tag's key and value must have 1 to {TAG_LENGTH_MAX} characters")


def _extras(packed: bytes) -> Extras:
    if not packed:
        return Extras()
    return read_extras(unpack_frame(packed))


def pack_extras(extras: Extras) -> bytes:
    """As Fields have it."""
    return b"" if extras == Extras() else pack(extras)


def in_order(spec: Spec) -> Spec:
    """Of tasks that wait for each other."""
    return spec._replace(ordered=True, halts=False)
