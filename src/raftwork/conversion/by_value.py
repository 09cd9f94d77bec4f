"""The plain form of a value whose annotation nobody here knows: by its own type."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from raftwork.conversion.shapes import Misfit
from raftwork.messages.flow_values import Reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.conversion.compiler import Compiler

_PLAIN = (type(None), bool, int, float, str, bytes)


def plain_of(value: object, compiler: Compiler) -> object:
    """Raises Misfit for what has none."""
    kind = type(value)
    if kind in _PLAIN or kind is Reference:
        return value
    if isinstance(value, list | tuple) and kind in (list, tuple):
        return [plain_of(part, compiler) for part in value]
    if isinstance(value, set | frozenset) and kind in (set, frozenset):
        return sorted((plain_of(part, compiler) for part in value), key=repr)
    if isinstance(value, dict) and kind is dict:
        if all(type(key) is str for key in value):
            return {key: plain_of(part, compiler) for key, part in value.items()}
        return [[plain_of(key, compiler), plain_of(part, compiler)] for key, part in value.items()]
    shape = compiler.shape(kind)
    if not shape.rich:
        raise Misfit(kind.__qualname__)
    return shape.out(value)


def is_plain(value: object, plain: object) -> bool:
    """Whether a value is its own plain form, `plain` (of a tuple that is a list)."""
    if isinstance(plain, list) and type(value) in (list, tuple):
        parts = cast("Sequence[object]", value)
        return len(parts) == len(plain) and all(map(is_plain, parts, plain))
    if isinstance(plain, dict) and isinstance(value, dict):
        return all(is_plain(value.get(key), part) for key, part in plain.items())
    return value is plain  # no code of the user's that compares
