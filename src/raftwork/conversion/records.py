"""Annotations of classes with fields: dataclasses, NamedTuples, TypedDicts."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from raftwork.conversion.shapes import Convert, Misfit, Shape, expected, foreign

#: How each field is converted, by its name.
Ways: TypeAlias = list[tuple[str, Convert]]


class Field(NamedTuple):
    """One field of a record."""

    name: str
    shape: Shape
    required: bool = True


class Fields:
    """Those of one class. They are known after its shape is: a class may hold itself."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._outs: Ways = []
        self._intos: Ways = []
        self._required: frozenset[str] = frozenset()

    def fill(self, fields: list[Field]) -> None:
        """These are they, in their order."""
        self._outs = [(field.name, field.shape.out) for field in fields]
        self._intos = [(field.name, field.shape.into) for field in fields]
        self._required = frozenset(field.name for field in fields if field.required)

    def out(self, value: object) -> dict[str, object]:
        """The plain forms of an object's attributes."""
        made: dict[str, object] = {}
        name = ""
        try:
            for name, convert in self._outs:
                made[name] = convert(getattr(value, name))
        except Misfit as misfit:
            raise misfit.within(f".{name}") from None
        return made

    def items(self, value: object) -> dict[str, object]:
        """The plain forms of a dict's items. Raises as `into`."""
        return self._of_dict(value, self._outs)

    def into(self, value: object) -> dict[str, object]:
        """What their plain forms stand for. Raises Misfit for one that lacks, or is unknown."""
        return self._of_dict(value, self._intos)

    def _of_dict(self, value: object, converts: Ways) -> dict[str, object]:
        if type(value) is not dict:
            raise expected(self._words, value)
        if missing := self._required.difference(value):
            names = ", ".join(repr(name) for name, _ in converts if name in missing)
            raise Misfit(f"{self._words} needs {names:.200}")
        made: dict[str, object] = {}
        name = ""
        try:
            for name, convert in converts:
                if name in value:
                    made[name] = convert(value[name])
        except Misfit as misfit:
            raise misfit.within(f".{name}") from None
        if len(made) < len(value):
            unknown = ", ".join(repr(name) for name in value if name not in made)
            raise Misfit(f"{self._words} has no {unknown:.200}")
        return made

    def listed(self, value: object) -> list[object]:
        """As `into`, of a list in their order whose end may be left to their defaults."""
        if type(value) not in (list, tuple):
            raise expected(self._words, value)
        assert isinstance(value, list | tuple)
        if not len(self._required) <= len(value) <= len(self._intos):
            raise Misfit(f"{self._words} has {len(self._intos)} parts, got {len(value)}")
        named = dict(zip([name for name, _ in self._intos], value, strict=False))
        return list(self.into(named).values())


def dataclass(words: str, kind: type, fields: Fields) -> Shape:
    """A dict of what its `__init__` takes. Only the class itself: of a subclass more would be lost.

    (A field that `__init__` does not take is made again by the class.)
    """
    make = foreign(words, lambda made: kind(**made))

    def out(value: object) -> object:
        if type(value) is kind:
            return fields.out(value)
        into(value)
        return value

    def into(value: object) -> object:
        return make(fields.into(value))

    return Shape(words, out, into)


def named_tuple(words: str, kind: type, fields: Fields) -> Shape:
    """A list of its parts."""
    make = foreign(words, lambda parts: kind(*parts))

    def out(value: object) -> object:
        if type(value) is kind:
            return list(fields.out(value).values())
        into(value)
        return value

    def into(value: object) -> object:
        return make(fields.listed(value))

    return Shape(words, out, into)


def typed_dict(words: str, fields: Fields) -> Shape:
    """A dict with these keys, some of which may be missing."""
    return Shape(words, fields.items, fields.into)
