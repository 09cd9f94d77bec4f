"""Whether a function can be called with given arguments, with Python's own error text.

A stub with the function's parameters and nothing inside is called in its place: that binds as the
call will, raises the same TypeError, and costs a tenth of a microsecond.
"""

import functools
import inspect
from collections.abc import Callable
from functools import lru_cache
from types import FunctionType, MethodType

Binder = Callable[..., None]

_VAR_POSITIONAL, _VAR_KEYWORD = inspect.CO_VARARGS, inspect.CO_VARKEYWORDS
#: Marks a wrapper of ours that passes all arguments on to the function it wraps.
_PASSES_ON = "_raftwork_passes_on"
#: From 3.14 on a partial may leave gaps.
_GAP: object = getattr(functools, "Placeholder", object())
_Cached = type(lru_cache(lambda: None))


def passes_on(wrapper: Callable[..., object]) -> None:
    """Tell that this wrapper (by functools.wraps) takes whatever the wrapped function takes."""
    setattr(wrapper, _PASSES_ON, True)


def positional(function: Callable[..., object]) -> tuple[str, ...]:
    """The names of the parameters that take positional arguments, where they can be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(parameter.name for parameter in parameters if parameter.kind in kinds)


def binder(function: Callable[..., object]) -> Binder | None:
    """A stub that raises TypeError for arguments with which the function cannot be called.

    None where that cannot be known in advance. A decorator's wrapper is asked, not what it wraps:
    the wrapper is what will be called. Of a partial, a method, a cache or an object with
    `__call__` the function behind it is asked, with what is bound to it.
    """
    if isinstance(function, FunctionType):
        return _stub(function)
    if isinstance(function, functools.partial):
        if any(given is _GAP for given in function.args):
            return None
        return _bound(function.func, function)
    if isinstance(function, MethodType):
        return _bound(function.__func__, functools.partial(function.__func__, function.__self__))
    if isinstance(function, staticmethod):
        return binder(function.__func__)
    if isinstance(function, _Cached):
        return binder(function.__wrapped__)
    call: object = getattr(type(function), "__call__", None)  # noqa: B004 - the function itself
    if isinstance(function, type) or not isinstance(call, FunctionType):
        return None
    return functools.partial(_stub(call), function)


def _bound(function: Callable[..., object], given: "functools.partial[object]") -> Binder | None:
    stub = binder(function)
    return None if stub is None else functools.partial(stub, *given.args, **given.keywords)


@lru_cache(maxsize=4096)
def _stub(function: FunctionType) -> Binder:
    if _PASSES_ON in function.__dict__:
        return binder(function.__dict__["__wrapped__"]) or _anything
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


def _anything(*_: object, **__: object) -> None: ...


def misfit(stub: Binder | None, args: list[object], kwargs: dict[str, object]) -> str | None:
    """Why this `binder`'s function cannot be called with these; None if it can, or unknown."""
    try:
        if stub is not None:
            stub(*args, **kwargs)
    except TypeError as error:
        return str(error)
    return None
