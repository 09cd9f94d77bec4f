"""What is said of a schedule in code and on calls, checked, and as brokers keep it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from raftwork.client.options import Duration, label, milliseconds
from raftwork.client.per_call import instant
from raftwork.conversion import NO_TYPES, Types, Unknown
from raftwork.errors import NotSerializable
from raftwork.features.schedule_plan import (
    SCHEDULE_ID_MAX,
    CatchUp,
    Fields,
    Overlap,
    encode_fields,
    pack_extras,
)
from raftwork.serialization import call_packer, pack_call

if TYPE_CHECKING:
    from raftwork.client.task import BoundTask

OverlapPolicy = Literal["skip", "allow", "queue_one", "queue_all", "cancel_previous"]
CatchUpPolicy = Literal["one", "none", "all"]


class ScheduleFields(TypedDict, total=False):
    """What `app.schedule` and `app.schedules` take; durations in seconds.

    docs/howto-schedules.md explains them.
    """

    cron: str
    """5 fields (minute, hour, day of month, month, day of week), 6 with seconds first, or a
    nickname such as `@daily`."""
    every: Duration
    """The time between two ticks, 1 s at least; they are at `start`, or its creation, plus
    multiples of it. Instead of `cron`."""
    tz: str
    """The time zone of `cron`, such as `Europe/Berlin`."""
    overlap: OverlapPolicy
    """What a tick does while a task of an earlier one waits or runs: it makes none (`skip`), one
    all the same (`allow`), one that waits behind it (`queue_one`, `queue_all` up to 1,000 of them),
    or one that takes its place (`cancel_previous`)."""
    catchup: CatchUpPolicy
    """Which ticks of an outage are run after it: the latest (`one`), `none`, or `all` in order."""
    window: Duration
    """How old a tick may be to be run after an outage."""
    jitter: Duration
    """Each tick's task is made up to so much later, always equally for the same tick."""
    start: datetime | None
    """No tick is earlier."""
    end: datetime | None
    """No tick is later."""
    limit: int | None
    """So many tasks are made, and no more."""
    args: Sequence[object]
    """The arguments of its tasks by place; with `kwargs` they are all that its tasks get."""
    kwargs: Mapping[str, object]
    """The arguments of its tasks by name."""


def schedule_id(value: object) -> str:
    """A schedule's id. Raises TypeError, ValueError."""
    return label("a schedule's id", value, SCHEDULE_ID_MAX)


def pack_fields(
    task: BoundTask[..., object] | None,
    said: Mapping[str, Any],
    types: Types = NO_TYPES,
    payload: bytes | None = None,
) -> bytes:
    """What is said, checked and packed; without a task it is part of a schedule.

    `types` are the App's; `payload` stands in the place of the arguments.

    Raises TypeError, ValueError, NotSerializable, PayloadTooLarge.
    """
    said = {name: value for name, value in said.items() if value is not None or name in _CLEARED}
    if unknown := said.keys() - _CHECKS.keys() - {"args", "kwargs"}:
        raise TypeError(
            f"no such field: {', '.join(sorted(unknown))}; the fields are"
            f" {', '.join([*_CHECKS, 'args', 'kwargs'])}"
        )
    if task is not None and ("cron" in said) == ("every" in said):
        raise ValueError("a schedule needs cron or every, and not both")
    if "cron" in said and "every" in said:
        raise ValueError("a schedule has cron or every, not both")
    fields = Fields(**{name: _CHECKS[name](said[name]) for name in _CHECKS if name in said})
    if "cron" in said:
        fields = fields._replace(every=0)
    if "every" in said:
        fields = fields._replace(cron="")
    if task is not None or "args" in said or "kwargs" in said:
        fields = fields._replace(payload=payload or _payload(task, said, types))
    if task is not None:
        extras = pack_extras(task.extras(fields.payload or b""))
        fields = fields._replace(spec=task.chosen.spec(task.name), extras=extras)
    _check_times(fields)
    return encode_fields(fields)


def check_fields(task: BoundTask[..., object], said: Mapping[str, Any]) -> None:
    """Raise as `pack_fields`; of annotated arguments only what needs no annotation.

    Code that declares a schedule is being imported: an annotation may name what comes further down.
    """
    payload = None
    if not task.signature.plain:
        task.check_arguments(*_arguments(said))
        payload = pack_call(call_packer(), task.name, (), {})
    pack_fields(task, said, payload=payload)


def _payload(task: BoundTask[..., object] | None, said: Mapping[str, Any], types: Types) -> bytes:
    args, kwargs = _arguments(said)
    if task is not None:
        return task.packed(args, kwargs)
    pack = partial(pack_call, call_packer(), "the schedule's task")
    try:
        return pack(args, kwargs)
    except NotSerializable as error:
        return pack(*Unknown(types).rescue(error, args, kwargs))


def _arguments(said: Mapping[str, Any]) -> tuple[list[object], dict[str, object]]:
    args, kwargs = said.get("args", ()), said.get("kwargs", {})
    if isinstance(args, str | bytes) or not isinstance(args, Sequence):
        raise TypeError(f"args must be a sequence of arguments, got {type(args).__name__}")
    if not isinstance(kwargs, Mapping) or any(type(name) is not str for name in kwargs):
        raise TypeError("kwargs must be a mapping by the parameters' names")
    return list(args), dict(kwargs)


def _check_times(fields: Fields) -> None:
    """What can be told here, without the brokers. Raises ValueError."""
    from raftwork.recurrence import Rule, has_zones

    if fields.start and fields.end and fields.end < fields.start:
        raise ValueError("end is before start, so it would never tick")
    # Brokers know better than a machine without a tz database.
    tz = fields.tz if fields.tz is not None and has_zones() else "UTC"
    Rule(fields.cron or "@daily", tz=tz).check()


def _text(what: str) -> Callable[[Any], str]:
    def check(value: object) -> str:
        if type(value) is not str:
            raise TypeError(f"{what} must be a str, got {type(value).__name__}")
        return value

    return check


def _cron(value: object) -> str:
    text = _text("cron")(value)
    if not text:
        raise ValueError("cron must not be empty")
    return text


def _every(value: Any) -> int:
    every = milliseconds("every", value)
    if every < _EVERY_MIN_MS:
        raise ValueError(f"every must be at least 1 s, got {every / 1000:g} s")
    return every


def _limit(value: object) -> int:
    if value is None:
        return 0
    if type(value) is not int:
        raise TypeError(f"limit must be an int or None, got {type(value).__name__}")
    if not 1 <= value < 2**31:
        raise ValueError(f"limit must be between 1 and 2^31-1, got {value}")
    return value


def _one_of(what: str, kind: type[Overlap | CatchUp]) -> Callable[[Any], Any]:
    def check(value: object) -> object:
        names = [each.name.lower() for each in kind]
        if value not in names:
            raise ValueError(f"{what} must be one of {', '.join(names)}, got {value!r}")
        return kind[str(value).upper()]

    return check


def _perhaps(what: str) -> Callable[[Any], int]:
    return lambda value: 0 if value is None else instant(what, value)


#: Those that None takes away.
_CLEARED: Final = frozenset({"start", "end", "limit"})
overlap_policy: Callable[[Any], Overlap] = _one_of("overlap", Overlap)
_EVERY_MIN_MS: Final = 1_000
#: What checks each field, and returns it as Fields have it. Raises TypeError, ValueError.
_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "cron": _cron,
    "every": _every,
    "tz": _text("tz"),
    "start": _perhaps("start"),
    "end": _perhaps("end"),
    "jitter": lambda value: milliseconds("jitter", value),
    "overlap": overlap_policy,
    "catchup": _one_of("catchup", CatchUp),
    "window": lambda value: milliseconds("window", value),
    "limit": _limit,
}
