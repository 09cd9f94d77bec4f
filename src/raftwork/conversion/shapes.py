"""What an annotation means for the values that travel under it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from raftwork.messages.flow_values import STAND_INS

Convert: TypeAlias = Callable[[Any], object]


class Misfit(Exception):
    """A value that is none of its annotation's. Its text says what was expected, and what came."""

    def within(self, place: str) -> Misfit:
        """The same, seen from around: at `[3]`, or `.name`."""
        return Misfit(self.args[0], place + self.path)

    @property
    def path(self) -> str:
        """Where in the argument it is: `.lines[3].price`; empty for the argument itself."""
        return str(self.args[1]) if len(self.args) > 1 else ""

    def __str__(self) -> str:
        return f"{self.args[0]} at {self.path}" if self.path else str(self.args[0])


class Shape(NamedTuple):
    """Both ways of one annotation. Each raises Misfit.

    `out` takes a value, or its plain form, and gives the plain form; `into` takes the plain form.
    """

    words: str  #: The annotation, as errors say it.
    out: Convert
    into: Convert
    rich: bool = True  #: Whether a value changes on its way.


class Converter(NamedTuple):
    """How values of a type of yours travel: `App(types=[Converter(Money, str, Money.parse)])`.

    `dump` makes a plain value of one (None, bool, int, float, str, bytes, and lists and dicts of
    them), `load` makes it again. Both may raise whatever they like.
    """

    type: type
    dump: Callable[[Any], object]
    load: Callable[[Any], object]


Converters: TypeAlias = Mapping[type, Converter]


def converters(types: Iterable[object]) -> Converters:
    """By their types. Raises TypeError for anything but (type, function, function)."""
    found: dict[type, Converter] = {}
    for each in types:
        parts = tuple(each) if isinstance(each, tuple) else ()
        if len(parts) != 3 or not isinstance(parts[0], type) or not all(map(callable, parts[1:])):
            raise TypeError(f"types must be Converter(type, dump, load), got {each!r:.200}")
        found[parts[0]] = Converter(*parts)
    return found


def expected(words: str, value: object) -> Misfit:
    """Something else came."""
    return Misfit(f"expected {words}, got {shown(value)}")


def shown(value: object) -> str:
    """A value's type and, if it is short, the value."""
    kind = type(value).__qualname__
    if value is None:
        return "None"
    if type(value) in (int, float, bool) or (type(value) is str and len(value) <= 40):
        return f"{kind} {value!r}"
    return kind


def each(convert: Convert, values: Iterable[object]) -> list[object]:
    """All of them converted; a Misfit says which."""
    try:
        return [convert(value) for value in values]
    except Misfit:
        for at, value in enumerate(values):
            try:
                convert(value)
            except Misfit as misfit:
                raise misfit.within(f"[{at}]") from None
        raise


def passing(shape: Shape) -> Shape:
    """The same, but for what stands in a flow where a value will stand, or would: it passes."""

    def past(convert: Convert) -> Convert:
        def run(value: object) -> object:
            return value if type(value) in STAND_INS else convert(value)

        return run

    return shape._replace(out=past(shape.out), into=past(shape.into))


def foreign(words: str, convert: Convert) -> Convert:
    """Code that is not ours: whatever it raises is a misfit."""

    def run(value: object) -> object:
        try:
            return convert(value)
        except Misfit:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error!s:.200}"
            raise Misfit(f"expected {words}, got {shown(value)} ({why})") from error

    return run


def _itself(value: object) -> object:
    return value


#: Of what has no annotation, or one that says nothing here: it travels as it is.
ANYTHING: Final = Shape("anything", _itself, _itself, rich=False)
