"""Models of pydantic and msgspec, which do both ways themselves. Neither is imported from here: a
program that has no such model has none in `sys.modules`, or need not have it.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from raftwork.conversion.shapes import Shape, expected, foreign

#: What of `Annotated[int, …]` is pydantic's to check.
_CONSTRAINTS = ("pydantic", "pydantic_core", "annotated_types")


def model(words: str, annotation: object, kind: object) -> Shape | None:
    """The shape of a model; None if it is none. `kind` is its class, `annotation` says more."""
    pydantic, msgspec = sys.modules.get("pydantic"), sys.modules.get("msgspec")
    if not isinstance(kind, type):
        return None
    if pydantic is not None and (
        issubclass(kind, pydantic.BaseModel) or hasattr(kind, "__pydantic_validator__")
    ):
        return _pydantic(words, pydantic, annotation, kind)
    if msgspec is not None and issubclass(kind, msgspec.Struct):
        return _msgspec(words, msgspec, annotation, kind)
    return None


def constrained(words: str, annotation: object, metadata: tuple[object, ...]) -> Shape | None:
    """The shape of `Annotated[…]` with a constraint that pydantic checks; None without one."""
    pydantic = sys.modules.get("pydantic")
    roots = {type(each).__module__.partition(".")[0] for each in metadata}
    if pydantic is None or not roots.intersection(_CONSTRAINTS):
        return None
    return _pydantic(words, pydantic, annotation, None)


def _pydantic(words: str, pydantic: ModuleType, annotation: object, kind: type | None) -> Shape:
    adapter: Any = pydantic.TypeAdapter(annotation)
    to_json: Any = sys.modules["pydantic_core"].to_json
    # As JSON, where a strict model, too, takes text for a date; and by name, as it was dumped.
    read = foreign(
        words,
        lambda plain: adapter.validate_json(
            to_json(plain, inf_nan_mode="constants"), by_alias=True, by_name=True
        ),
    )
    dump = foreign(
        words,
        lambda value: adapter.dump_python(value, mode="json", by_alias=False, warnings="error"),
    )

    def out(value: object) -> object:
        if kind is None:  # with a constraint: what is dumped may still break it
            made = dump(value)
            read(made)
            return made
        if type(value) is kind:
            return dump(value)
        if isinstance(value, kind):
            raise expected(words, value)
        read(value)
        return value

    return Shape(words, out, read)


def _msgspec(words: str, msgspec: ModuleType, annotation: object, kind: type) -> Shape:
    read = foreign(words, lambda plain: msgspec.convert(plain, annotation, builtin_types=(bytes,)))
    dump = foreign(words, lambda value: msgspec.to_builtins(value, builtin_types=(bytes,)))

    def out(value: object) -> object:
        if type(value) is kind:
            return dump(value)
        read(value)
        return value

    return Shape(words, out, read)
