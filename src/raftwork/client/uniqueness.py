"""The options of unique tasks, checked, and the key that a task's arguments are."""

from hashlib import blake2b
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final, Literal

from raftwork.errors import AlreadyEnqueued
from raftwork.messages import ID_MAX
from raftwork.wire import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.client.options import Options

Until = Literal["finished", "started"]
Conflict = Literal["return", "raise", "replace", "rerun"]

#: `max_wait` that is not given, in units of `debounce`.
MAX_WAIT_TIMES: Final = 10
_CONFLICTS = ("return", "raise", "replace", "rerun")
#: Options that only count with a unique key.
_NEED_A_KEY: Final = ("until", "period", "on_conflict", "debounce")
_GIVEN, _USUAL = attrgetter(*_NEED_A_KEY), itemgetter(*_NEED_A_KEY)


def unique_key(value: object) -> str | bool:
    """A key, True for the arguments; none is empty. Raises TypeError, ValueError."""
    if value is None or value is False:
        return ""
    if value is True:
        return True
    if type(value) is not str:
        raise TypeError(f"unique must be a str, True or None, got {type(value).__name__}")
    if not 1 <= len(value) <= ID_MAX:
        raise ValueError(f"unique must have 1 to {ID_MAX} characters, got {len(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"unique has a lone surrogate: {value!a}") from None
    return value


def until(value: object) -> str:
    """Raises ValueError."""
    if value not in ("finished", "started"):
        raise ValueError(f"until must be 'finished' or 'started', got {value!r}")
    return str(value)


def on_conflict(value: object) -> str:
    """Raises ValueError."""
    if value not in _CONFLICTS:
        raise ValueError(f"on_conflict must be one of {', '.join(_CONFLICTS)}, got {value!r}")
    return str(value)


def check_uniqueness(options: "Options") -> None:
    """Raise ValueError for options that contradict each other."""
    if options.max_wait and options.max_wait < options.debounce:
        raise ValueError(
            f"max_wait must be at least debounce ({options.debounce / 1000} s),"
            f" got {options.max_wait / 1000} s"
        )
    if options.max_wait and not options.debounce:
        raise ValueError("max_wait is for debounce, which is not given")
    if options.debounce and options.on_conflict not in ("return", "replace"):
        raise ValueError(
            f"debounce replaces the arguments: on_conflict={options.on_conflict!r} contradicts it"
        )


def check_no_key_needed(options: "Options") -> None:
    """Raise ValueError if an option is given that only counts with a unique key."""
    if _GIVEN(options) == _USUAL(options._field_defaults):  # in one step, as each enqueue asks
        return
    for name in _NEED_A_KEY:
        if getattr(options, name) != options._field_defaults[name]:
            raise ValueError(f"{name} is for tasks with a unique key: give unique=, too")


def key_of(payload: bytes) -> str:
    """The key that packed arguments are: the same for equal ones, however they are ordered.

    Headers are no arguments: a trace that differs makes no other task.
    """
    call = unpack(payload)
    match call:
        case [args, kwargs, {"headers": _, **others}]:
            call = [args, kwargs, others] if others else [args, kwargs]
    return "arguments " + blake2b(pack(_sorted(call)), digest_size=20).hexdigest()


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(each) for each in value]
    return value


def check_conflicts(existing: "Sequence[tuple[int, str]]") -> None:
    """Raise AlreadyEnqueued if there are any."""
    for index, other in existing:
        more = f", and {len(existing) - 1} more of the batch" if len(existing) > 1 else ""
        raise AlreadyEnqueued(
            f"a task of the same unique key is there: {other}, met by task {index} of the"
            f" call{more}; nothing was stored. The key is free with its outcome, but not before the"
            " end of its period, if it has one, or Queue.free_key",
            other,
            index,
        )
