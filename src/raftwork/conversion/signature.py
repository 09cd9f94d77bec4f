"""How one function's arguments travel, and the value it returns."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from raftwork.conversion.shapes import Convert, Converters, Misfit, Shape
from raftwork.errors import NotSerializable

if TYPE_CHECKING:
    from raftwork.conversion.compiler import Compiler

#: Nothing of these changes on its way, so nothing need be compiled.
_PLAIN: Final = frozenset(
    {
        *(int, str, float, bool, bytes, list, dict, object, type(None)),
        *("int", "str", "float", "bool", "bytes", "list", "dict", "object", "None", "Any"),
    }
)
Arguments = tuple[Sequence[object], Mapping[str, object]]


class Types:
    """The converters of an App, and what they make of annotations."""

    def __init__(self, converters: Converters) -> None:
        self._converters = converters
        self._compiler: Compiler | None = None

    @property
    def compiler(self) -> Compiler:
        """Made when it is first needed: it imports every type that it knows."""
        if self._compiler is None:
            from raftwork.conversion.compiler import Compiler

            self._compiler = Compiler(self._converters)
        return self._compiler

    def plain_of(self, value: object) -> object:
        """The plain form of a value, by what it is. Raises Misfit for what has none."""
        from raftwork.conversion.by_value import plain_of

        return plain_of(value, self.compiler)

    def packed(self, value: object, pack: Callable[[object], bytes]) -> bytes:
        """The value packed, in its plain form if it must be. Raises what `pack` does."""
        try:
            return pack(value)
        except NotSerializable as error:
            try:
                plain = self.plain_of(value)
            except Misfit:
                raise error from None
        return pack(plain)


_TOO_DEEP: Final = "nested too deep, or within itself"
#: Of every App without converters of its own.
NO_TYPES: Final = Types({})


class Unknown:
    """Of a task whose code is not here: values travel by what they are, and arrive plain."""

    #: Whether arguments travel as they are.
    plain = True
    #: What makes a result of its plain form, if anything is to be made of it.
    reads: Convert | None = None

    def __init__(self, types: Types) -> None:
        self._types = types

    def out(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        """The plain forms of a call's arguments."""
        return args, kwargs

    def rescue(
        self, error: NotSerializable, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> Arguments:
        """The plain forms of arguments that the wire did not take. Raises the error."""
        try:
            return (
                [self._types.plain_of(value) for value in args],
                {name: self._types.plain_of(value) for name, value in kwargs.items()},
            )
        except (Misfit, RecursionError):  # of what is in itself, or too deep
            raise error from None


class _Parts:
    """What the annotations of a function say, as far as it matters."""

    def __init__(self) -> None:
        self.positional: list[tuple[str, Shape | None]] = []
        self.named: dict[str, Shape] = {}
        self.more: tuple[str, Shape] | None = None  # *args
        self.others: Shape | None = None  # **kwargs
        self.returns: Shape | None = None

    def take(self, parameter: inspect.Parameter, shape: Shape | None) -> None:
        """The next parameter; None: it travels as it is."""
        kind = parameter.kind
        if kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            self.positional.append((parameter.name, shape))
        if shape is None:
            return
        if kind is parameter.VAR_POSITIONAL:
            self.more = (f"*{parameter.name}", shape)
        elif kind is parameter.VAR_KEYWORD:
            self.others = shape
        elif kind is not parameter.POSITIONAL_ONLY:
            self.named[parameter.name] = shape

    @property
    def plain(self) -> bool:
        """Whether every argument travels as it is."""
        return not (self.more or self.others or self.named or any(s for _, s in self.positional))

    def at(self, position: int) -> tuple[str, Shape | None]:
        """The parameter that takes this positional argument."""
        if position < len(self.positional):
            return self.positional[position]
        return self.more or ("", None)


class Annotations(Unknown):
    """Of one function. Compiled at its first use: what it names may be defined later than it is."""

    def __init__(self, name: str, function: Callable[..., object], types: Types = NO_TYPES) -> None:
        super().__init__(types)
        self._name, self._function = name, function
        self._parts: _Parts | None = None
        annotations: object = getattr(function, "__annotations__", None)
        said = annotations.values() if isinstance(annotations, dict) else ()
        self.plain = all(map(_says_nothing, said))
        if self.plain:
            self._parts = _Parts()

    def out(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        """The plain forms. Raises NotSerializable, which names the parameter."""
        if self.compiled().plain:
            return args, kwargs
        return self._each(args, kwargs, lambda shape: shape.out, NotSerializable)

    def rescue(
        self, error: NotSerializable, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> Arguments:
        """Raises the error, with what helps: here is the code, so an annotation may."""
        from raftwork.conversion.by_value import is_plain

        plain, named = super().rescue(error, args, kwargs)
        if is_plain(args, plain) and is_plain(kwargs, named):
            raise error from None  # too large a number, say: an annotation changes nothing
        raise NotSerializable(f"{error}; annotate the parameter, and it arrives as one") from None

    def into(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        """What the plain forms stand for. Raises TypeError, which names the parameter."""
        return self._each(args, kwargs, lambda shape: shape.into, TypeError)

    def result_out(self, value: object) -> object:
        """The plain form of what the function returned. Raises NotSerializable."""
        return self._result(value, lambda shape: shape.out)

    def _read(self, value: object) -> object:
        return self._result(value, lambda shape: shape.into)

    def _result(self, value: object, way: Callable[[Shape], Convert]) -> object:
        returns = self.compiled().returns
        if returns is None:
            return value
        try:
            return way(returns)(value)
        except Misfit as misfit:
            raise NotSerializable(f"the result of {self._name}: {misfit}") from None
        except RecursionError:
            raise NotSerializable(f"the result of {self._name}: {_TOO_DEEP}") from None

    def _each(
        self,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        way: Callable[[Shape], Convert],
        error: type[TypeError],
    ) -> Arguments:
        parts, place = self.compiled(), ""
        made, named = list(args), dict(kwargs)
        try:
            for at, value in enumerate(made):
                name, shape = parts.at(at)
                if shape is not None:
                    place = f"{at + 1} {name!r}"
                    made[at] = way(shape)(value)
            for name, value in kwargs.items():
                shape = parts.named.get(name, parts.others)
                if shape is not None:
                    place = repr(name)
                    named[name] = way(shape)(value)
        except Misfit as misfit:
            raise error(f"argument {place} of {self._name}: {misfit}") from None
        except RecursionError:
            raise error(f"argument {place} of {self._name}: {_TOO_DEEP}") from None
        return made, named

    # ---- compiling ------------------------------------------------------------------------------

    def compiled(self) -> _Parts:
        """What the annotations say; read the first time."""
        if self._parts is not None:
            return self._parts
        parts, hints = _Parts(), self._hints()
        try:
            parameters = list(inspect.signature(self._function).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        for each in parameters:
            parts.take(each, self._rich(each.name, hints))
        parts.returns = self._rich("return", hints)
        self.reads = None if parts.returns is None else self._read
        self._parts, self.plain = parts, parts.plain
        return parts

    def _rich(self, name: str, hints: Mapping[str, object]) -> Shape | None:
        try:
            shape = self._types.compiler.shape(hints[name]) if name in hints else None
        except NameError as error:
            self._cannot(name, error)
            return None
        return shape if shape is not None and shape.rich else None

    def _hints(self) -> Mapping[str, object]:
        try:
            return typing.get_type_hints(self._function, include_extras=True)
        except Exception:  # noqa: BLE001 - whatever an annotation raises; one by one tells which
            return self._one_by_one()

    def _one_by_one(self) -> Mapping[str, object]:
        names: dict[str, Any] = getattr(inspect.unwrap(self._function), "__globals__", {})
        annotations: dict[str, object] = getattr(self._function, "__annotations__", {})
        found: dict[str, object] = {}
        for name, annotation in annotations.items():
            holder = type("holder", (), {"__annotations__": {name: annotation}})
            try:
                found |= typing.get_type_hints(holder, names, include_extras=True)
            except Exception as error:  # noqa: BLE001 - as above
                self._cannot(name, error)
        return found

    def _cannot(self, name: str, error: Exception) -> None:
        import logging

        what = "its value" if name == "return" else f"its argument {name!r}"
        logging.getLogger("raftwork").warning(
            "%s: %s stays plain, as its annotation cannot be read (%s); it must be there when the"
            " program runs, not for type checkers alone",
            *(self._name, what, error),
        )


def _says_nothing(annotation: object) -> bool:
    return annotation is Any or (isinstance(annotation, type | str) and annotation in _PLAIN)
