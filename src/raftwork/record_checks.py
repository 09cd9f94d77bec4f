"""From a record's annotations to the function that checks decoded values and builds the record.

Checks are a good part of what a small frame costs, and a call for each field would be most of that.
So the fields of a record are written out, one after the other, as the source of one function, as
`dataclasses` does for `__init__`. Nothing but types and numbers goes into that source.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from functools import partial
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from raftwork.errors import BadMessage, NewerMessage

INT_MAX = 2**63 - 1

Check = Callable[[object], object]
R = TypeVar("R", bound=tuple[object, ...])
#: Equal to a number, and no number, are `true` and floats.
_TAG = ("if type(tag) is not int:", "    raise BadMessage('an integer for a tag')")


def maker(record: type[R]) -> Callable[[tuple[object, ...]], R]:
    """What makes the record of all its fields, which nobody counts: in half the time of the record.

    For what is made by the thousand, of columns that a statement names.
    """
    return partial(tuple.__new__, record)


def record_check(
    record: type[tuple[object, ...]], *, strict: bool = False, tagged: bool = False
) -> Check:
    """Compile a NamedTuple's annotations into a check that builds it from a decoded list.

    With `tagged` the list begins with a tag that is none of the record's fields. The check raises
    BadMessage, saying what should have been there, and with `strict` NewerMessage for a field too
    many.
    """
    fields: tuple[str, ...] = record._fields  # type: ignore[attr-defined]
    defaults: dict[str, object] = record._field_defaults  # type: ignore[attr-defined]
    hints = get_type_hints(record)
    kinds = [hints[name] for name in fields]
    make = maker(record)
    return _array(kinds, tuple(defaults.values()), make, strict=strict, tagged=tagged)


def _array(
    kinds: Sequence[Any],
    defaults: tuple[object, ...],
    make: Callable[[tuple[object, ...]], object],
    *,
    strict: bool,
    tagged: bool = False,
) -> Check:
    """A check of a list with a type for each place, of which the last may be missing."""
    names = [f"v{at}" for at in range(len(kinds))]
    tag = ["tag"] if tagged else []
    whole = len(tag) + len(kinds)
    required = whole - len(defaults)
    scope: dict[str, object] = {"INT_MAX": INT_MAX, "BadMessage": BadMessage, "make": make}
    lines = [line for at in zip(names, kinds, strict=True) for line in _field(*at, scope, strict)]

    def other(value: list[object], given: int) -> object:
        """Fewer than all is an older peer, for which the defaults stand; more is a newer one."""
        if given < required:
            raise BadMessage(f"an array of at least {required - len(tag)} values")
        if given > whole:
            if strict:
                raise NewerMessage(f"{given - len(tag)} fields instead of {whole - len(tag)}")
            return check(value[:whole])
        if given not in shorter:
            there, rest = kinds[: given - len(tag)], defaults[given - required :]
            shorter[given] = _array(
                there, (), lambda values: make((*values, *rest)), strict=strict, tagged=tagged
            )
        return shorter[given](value)

    shorter: dict[int, Check] = {}
    scope["other"] = other
    size: tuple[str, ...]
    taken = f"[{', '.join(tag + names)}] = value"
    if defaults:
        size = (f"if (given := len(value)) != {whole}:", "    return other(value, given)", taken)
    else:  # another number is rare: to be told of it may cost more than to ask
        size = ("try:", f"    {taken}", "except ValueError:", "    return other(value, len(value))")
    source = [
        "def check(value):",
        "    if type(value) is not list:",
        f"        raise BadMessage('an array of at least {required - len(tag)} values')",
        *(f"    {line}" for line in size),
        *(f"    {line}" for line in _TAG if tag),
        *(f"    {line}" for line in lines),
        f"    return make(({''.join(f'{name}, ' for name in names)}))",
    ]
    exec("\n".join(source), scope)  # noqa: S102 - it was written just now, see above
    check = cast("Check", scope["check"])
    return check


def _field(name: str, kind: Any, scope: dict[str, object], strict: bool) -> Iterator[str]:
    """The lines that check, and may replace, the variable `name`."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is int:
        yield f"if type({name}) is not int or not 0 <= {name} <= INT_MAX:"
        yield "    raise BadMessage('an integer from 0 to 2^63-1')"
    elif kind in (bool, str, bytes):
        yield f"if type({name}) is not {kind.__name__}:"
        yield f"    raise BadMessage('a value of type {kind.__name__}')"
    elif origin is UnionType or (origin is not None and NoneType in args):
        (inner,) = (arg for arg in args if arg is not NoneType)
        yield f"if {name} is not None:"
        for line in _field(name, inner, scope, strict):
            yield f"    {line}"
    else:
        scope[f"check_{name}"] = _value(kind, strict=strict)
        yield f"{name} = check_{name}({name})"


def _value(kind: Any, *, strict: bool) -> Check:
    """A check of a value that takes more than a line."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is float:
        return _float
    if origin is list:
        return _many_ints if args[0] is int else _many(args[0], list, strict=strict)
    if origin is tuple and len(args) == 2 and args[1] is ...:
        return _many(args[0], tuple, strict=strict)
    if origin is tuple:
        return _array(args, (), tuple, strict=strict)
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        return _enum(kind)
    return record_check(kind, strict=strict)


def _float(value: object) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    raise BadMessage("a number")


def _many(kind: Any, make: Callable[[Iterable[object]], object], *, strict: bool) -> Check:
    scope: dict[str, object] = {"INT_MAX": INT_MAX, "BadMessage": BadMessage}
    if kind in (str, bytes):
        return _many_of(kind, make)
    lines = list(_field("value", kind, scope, strict))
    source = ["def check(value):", *(f"    {line}" for line in lines), "    return value"]
    exec("\n".join(source), scope)  # noqa: S102 - as above
    # One line calls a check that may as well be called itself; more may let None pass before.
    inner = cast("Check", scope["check_value" if len(lines) == 1 else "check"])

    def check(value: object) -> object:
        if type(value) is not list:
            raise BadMessage("a list")
        return make(map(inner, value))

    return check


def _many_of(kind: type, make: Callable[[Iterable[object]], object]) -> Check:
    """As `_many`, without a call for each."""

    def check(value: object) -> object:
        if type(value) is not list:
            raise BadMessage("a list")
        if value and set(map(type, value)) != {kind}:
            raise BadMessage(f"values of type {kind.__name__}")
        return value if make is list else make(value)

    return check


def _many_ints(value: object) -> object:
    """As `_many`, without a call for each."""
    if type(value) is not list:
        raise BadMessage("a list")
    if value and (set(map(type, value)) != {int} or min(value) < 0 or max(value) > INT_MAX):
        raise BadMessage("integers from 0 to 2^63-1")
    return value


def _enum(kind: type[IntEnum]) -> Check:
    members = {member.value: member for member in kind}  # to call `kind` takes five times as long

    def named(value: object) -> object:
        """One that a newer peer knows may have a stand-in here."""
        if type(value) is not int or not 0 <= value <= INT_MAX:
            raise BadMessage("an integer from 0 to 2^63-1")
        try:
            return kind(value)
        except ValueError:
            raise BadMessage(f"the number of a {kind.__name__}") from None

    def check(value: object) -> object:
        known = members.get(value) if type(value) is int else None
        return known if known is not None else named(value)

    return check
