"""Annotations, compiled into the Shapes of values."""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import typing
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NewType, TypeVar, Union

from raftwork.attempt_ends import Replacement
from raftwork.conversion import models, records
from raftwork.conversion.containers import collected, listed, mapped, tupled, union
from raftwork.conversion.scalars import scalar
from raftwork.conversion.shapes import (
    ANYTHING,
    Converters,
    Misfit,
    Shape,
    expected,
    foreign,
    passing,
)
from raftwork.messages.flow_values import Failure

_LISTS: Final = (list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection)
_SETS: Final[dict[object, Callable[[list[object]], object]]] = {
    set: set,
    frozenset: frozenset,
    abc.Set: frozenset,
    abc.MutableSet: set,
}
_DICTS: Final = (dict, abc.Mapping, abc.MutableMapping)
#: `Required[int]` is an int, as `Final[int]` is.
_WRAPPERS: Final = tuple(
    getattr(typing, name, object())
    for name in ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar")
)
#: What the parameters of a generic class stand for.
Bound = Mapping[object, object]
_NONE: Final[Bound] = {}


class Compiler:
    """Of one App: with its converters. What it made it keeps."""

    def __init__(self, types: Converters) -> None:
        self._types = types
        self._made: dict[object, Shape] = {}

    def shape(self, annotation: object, bound: Bound = _NONE) -> Shape:
        """What values of this annotation are; ANYTHING if nothing is known about it.

        Raises NameError where a class names what cannot be found.
        """
        try:
            known = self._made.get(annotation) if not bound else None
        except TypeError:  # it cannot be hashed
            return self._passing(annotation, bound)
        if known is None:
            known = self._passing(annotation, bound)
            if not bound:
                self._made[annotation] = known
        return known

    def _passing(self, annotation: object, bound: Bound) -> Shape:
        shape = self._shape(annotation, bound)
        return shape if shape is ANYTHING else passing(shape)

    def _shape(self, annotation: object, bound: Bound) -> Shape:
        if annotation is None:
            annotation = NoneType
        if isinstance(annotation, type) and (own := self._types.get(annotation)) is not None:
            return self._converted(own.type.__name__, own.type, own.dump, own.load)
        if isinstance(annotation, TypeVar):
            return self.shape(bound[annotation]) if annotation in bound else ANYTHING
        if isinstance(annotation, NewType):
            return self.shape(annotation.__supertype__, bound)
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            found = models.constrained(_words(annotation), annotation, args[1:])
            return found or self.shape(args[0], bound)
        if origin in _WRAPPERS:
            return self.shape(args[0], bound)
        if origin is not None:
            return self._generic(annotation, origin, args, bound)
        if (alias := getattr(annotation, "__value__", None)) is not None:  # type X = …
            return self.shape(alias, bound)
        return self._class(annotation) if isinstance(annotation, type) else ANYTHING

    def _generic(
        self, annotation: object, origin: object, args: tuple[object, ...], bound: Bound
    ) -> Shape:
        words = _words(annotation)
        if origin in (Union, UnionType):
            return union(words, [self.shape(each, bound) for each in args])
        if origin is Literal:
            return self._literal(words, args)
        if origin is tuple:
            if len(args) == 2 and args[1] is Ellipsis:
                return collected(words, tuple, self.shape(args[0], bound))
            return tupled(words, [self.shape(each, bound) for each in args])
        if origin in _LISTS:
            return listed(words, self.shape(args[0], bound))
        if origin in _SETS:
            return collected(words, _SETS[origin], self.shape(args[0], bound))
        if origin in _DICTS:
            return mapped(words, self.shape(args[0], bound), self.shape(args[1], bound))
        if (found := models.model(words, annotation, origin)) is not None:
            return found
        if isinstance(origin, type) and dataclasses.is_dataclass(origin):
            given = dict(zip(getattr(origin, "__parameters__", ()), args, strict=False))
            resolved: Bound = {name: bound.get(each, each) for name, each in given.items()}
            return self._dataclass(annotation, words, origin, resolved)
        return ANYTHING

    def _class(self, kind: type) -> Shape:
        words = kind.__name__
        if kind is Failure:
            return _FAILURE
        if kind is Replacement:
            return ANYTHING
        if (single := scalar(kind)) is not None:
            return single
        if kind in _SETS or kind is tuple:
            return collected(words, _SETS.get(kind, tuple), ANYTHING)
        if (found := models.model(words, kind, kind)) is not None:
            return found
        if dataclasses.is_dataclass(kind):
            return self._dataclass(kind, words, kind, _NONE)
        fields = records.Fields(words)
        if typing.is_typeddict(kind):
            required: frozenset[str] = getattr(kind, "__required_keys__", frozenset())
            shape = records.typed_dict(words, fields)
            self._made[kind] = passing(shape)
            self._fill(fields, kind, _hints(kind), lambda name: name in required, _NONE)
            return shape
        if issubclass(kind, tuple) and (names := getattr(kind, "_fields", None)) is not None:
            hints = {name: _hints(kind).get(name, Any) for name in names}
            defaults: Mapping[str, object] = getattr(kind, "_field_defaults", {})
            shape = records.named_tuple(words, kind, fields)
            self._made[kind] = passing(shape)
            self._fill(fields, kind, hints, lambda name: name not in defaults, _NONE)
            return shape
        return ANYTHING

    def _dataclass(self, annotation: object, words: str, kind: type, bound: Bound) -> Shape:
        hints, taken = _hints(kind), {}
        if any(type(hint) is dataclasses.InitVar for hint in hints.values()):
            return ANYTHING  # it could not be made of its fields again
        for each in dataclasses.fields(kind):
            if each.init:
                taken[each.name] = (
                    each.default is dataclasses.MISSING
                    and each.default_factory is dataclasses.MISSING
                )
        fields = records.Fields(words)
        shape = records.dataclass(words, kind, fields)
        self._made[annotation] = passing(shape)
        self._fill(fields, kind, {name: hints[name] for name in taken}, taken.__getitem__, bound)
        return shape

    def _fill(
        self,
        fields: records.Fields,
        kind: type,
        hints: Mapping[str, object],
        required: Callable[[str], bool],
        bound: Bound,
    ) -> None:
        try:
            fields.fill(
                [
                    records.Field(name, self.shape(hint, bound), required(name))
                    for name, hint in hints.items()
                ]
            )
        except NameError:
            self._made.pop(kind, None)
            raise

    def _literal(self, words: str, options: tuple[object, ...]) -> Shape:
        def check(value: object) -> object:
            for option in options:
                if type(option) is type(value) and option == value:
                    return value
            raise expected(words, value)

        return Shape(words, check, check, rich=False)

    def _converted(
        self,
        words: str,
        kind: type,
        dump: Callable[[Any], object],
        load: Callable[[Any], object],
    ) -> Shape:
        write, read = foreign(words, dump), foreign(words, load)

        def out(value: object) -> object:
            if isinstance(value, kind):
                return write(value)
            read(value)
            return value

        def into(value: object) -> object:
            made = read(value)
            if not isinstance(made, kind):
                raise Misfit(f"the converter of {words} loads a {type(made).__qualname__}")
            return made

        return Shape(words, out, into)


def _no_failure(value: object) -> object:
    raise expected("Failure", value)


#: It stands for a task's value (`passing`), and nothing else is one.
_FAILURE: Final = Shape("Failure", _no_failure, _no_failure, rich=False)


def _hints(kind: type) -> dict[str, object]:
    return typing.get_type_hints(kind, include_extras=True)


def _words(annotation: object) -> str:
    """The annotation as it is written, without the modules."""
    if annotation is None or annotation is NoneType:
        return "None"
    if annotation is Ellipsis:
        return "..."
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, UnionType):
        return " | ".join(map(_words, args))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin is Annotated:
        return _words(args[0])
    if args and origin is not None:
        return f"{_words(origin)}[{', '.join(map(_words, args))}]"
    return str(getattr(annotation, "__name__", annotation))
