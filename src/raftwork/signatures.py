"""Whether a function can be called with some arguments, told in Python's own words.

A stub with the function's parameters and nothing inside is called in its place: that binds as the
call will, raises the same TypeError, and costs a tenth of a microsecond.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from types import FunctionType

Binder = Callable[..., None]

_VAR_POSITIONAL, _VAR_KEYWORD = inspect.CO_VARARGS, inspect.CO_VARKEYWORDS


def binder(function: Callable[..., object]) -> Binder | None:
    """What raises TypeError for arguments with which the function cannot be called.

    None where that cannot be told before. A decorator's wrapper is asked, not what it wraps: that
    is what will be called.
    """
    return _stub(function) if isinstance(function, FunctionType) else None


@lru_cache(maxsize=4096)
def _stub(function: FunctionType) -> Binder:
    code = function.__code__
    names = code.co_varnames
    positional, only = code.co_argcount, code.co_kwonlyargcount
    optional = positional - len(function.__defaults__ or ())
    parts = [f"{name}=0" if at >= optional else name for at, name in enumerate(names[:positional])]
    if code.co_posonlyargcount:
        parts.insert(code.co_posonlyargcount, "/")
    rest = iter(names[positional + only :])
    if code.co_flags & _VAR_POSITIONAL:
        parts.append(f"*{next(rest)}")
    elif only:
        parts.append("*")
    given = function.__kwdefaults__ or {}
    parts += [f"{k}=0" if k in given else k for k in names[positional : positional + only]]
    if code.co_flags & _VAR_KEYWORD:
        parts.append(f"**{next(rest)}")
    made: dict[str, Binder] = {}
    exec(f"def stub({', '.join(parts)}): pass", made)  # noqa: S102 - names that were parsed before
    stub = made["stub"]
    stub.__qualname__ = function.__qualname__
    return stub


def misfit(
    function: Callable[..., object], args: list[object], kwargs: dict[str, object]
) -> str | None:
    """Why the function cannot be called with these, if that can be told."""
    stub = binder(function)
    try:
        if stub is not None:
            stub(*args, **kwargs)
    except TypeError as error:
        return str(error)
    return None
