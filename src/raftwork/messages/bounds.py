"""How long a request's texts and lists may be, and between what its numbers lie.

A name goes into the log or comes back in a refusal, so it is measured before either. The bounds
stand with the field's type, and the broker's request processor refuses what breaks them.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple, TypeGuard, get_args, get_origin, get_type_hints

from raftwork.messages.registry import Frame
from raftwork.messages.shared import ID_MAX, NAME_MAX

#: What is wrong with a field's value; None if nothing is.
Objection = Callable[[object], str | None]


class Between(NamedTuple):
    """Characters of a text, items of a list, bytes, or the value of a number; both ends count."""

    least: int
    most: int


#: A name that is given, or perhaps not.
Name = Annotated[str, Between(1, NAME_MAX)]
OptionalName = Annotated[str, Between(0, NAME_MAX)]
#: A task's id.
Id = Annotated[str, Between(1, ID_MAX)]


def objections(record: type[Frame]) -> Callable[[Frame], str | None]:
    """A check of all of a record's fields; it returns what is wrong with the first that is."""
    hints = get_type_hints(record, include_extras=True)
    fields: tuple[str, ...] = record._fields  # type: ignore[attr-defined]
    checks: list[tuple[int, Objection]] = []
    for at, name in enumerate(fields):
        checks += ((at, objection) for objection in _field(name, hints[name]))

    def check(values: Frame) -> str | None:
        for at, objection in checks:
            wrong = objection(values[at])
            if wrong is not None:
                return wrong
        return None

    return check


def bounded(record: type[Frame]) -> bool:
    """Whether any of its fields has bounds: the others need not be looked at."""
    hints = get_type_hints(record, include_extras=True)
    return any(_field(name, hint) for name, hint in hints.items())


def lists(record: type[Frame]) -> tuple[int, ...]:
    """At which of a record's fields there are lists."""
    kinds = get_type_hints(record).values()
    return tuple(at for at, kind in enumerate(kinds) if get_origin(kind) is list)


def unbounded(record: type[Frame]) -> list[str]:
    """The fields whose texts or lists may be of any length. Bytes count by the frame's size.

    Those of a record in it are named after the field and the record's own: `waits.ids`.
    """
    hints = get_type_hints(record, include_extras=True)
    return [found for name, hint in hints.items() for found in _unbounded(name, hint)]


def _unbounded(name: str, hint: object) -> list[str]:
    within = get_args(hint)
    if get_origin(hint) is Annotated:
        within = get_args(within[0])
    elif hint is str or get_origin(hint) is list or within[-1:] == (...,):
        return [name]
    elif _is_record(hint):
        return [f"{name}.{each}" for each in unbounded(hint)]
    return [found for each in within for found in _unbounded(name, each)]


def _is_record(hint: object) -> TypeGuard[type[Frame]]:
    return isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")


def _field(name: str, hint: object) -> list[Objection]:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        kind, *marks = args
        found = [_measure(name, kind, mark) for mark in marks if isinstance(mark, Between)]
        (item,) = get_args(kind) if get_origin(kind) is list else (None,)
        return found + ([] if item is None else [_each(o) for o in _field(f"one of {name}", item)])
    if type(None) in args:
        return [_given(o) for arg in args for o in _field(name, arg)]
    if _is_record(hint) and bounded(hint):
        return [_nested(name, objections(hint))]
    return []


def _nested(name: str, check: Callable[[Frame], str | None]) -> Objection:
    def objection(value: object) -> str | None:
        wrong = check(value) if isinstance(value, tuple) else "not a record"
        return None if wrong is None else f"{name}: {wrong}"

    return objection


def _measure(name: str, kind: object, bounds: Between) -> Objection:
    least, most = bounds.least, bounds.most
    if kind is int:
        return lambda value: (
            None
            if least <= value <= most  # type: ignore[operator]
            else f"{name} must be between {least} and {most}, got {value}"
        )
    what = {str: "characters", bytes: "bytes"}.get(kind, "items")  # type: ignore[call-overload]
    return lambda value: (
        None
        if least <= len(value) <= most  # type: ignore[arg-type]
        else f"{name} must have {least} to {most} {what}, got {len(value)}"  # type: ignore[arg-type]
    )


def _given(objection: Objection) -> Objection:
    return lambda value: None if value is None else objection(value)


def _each(objection: Objection) -> Objection:
    def check(values: object) -> str | None:
        return next(filter(None, map(objection, values)), None)  # type: ignore[call-overload]

    return check
