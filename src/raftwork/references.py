"""Functions by reference: `module:qualname`, as another process finds them."""

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Final

from raftwork.exception_names import main_module

#: The task that calls what an executor sends.
EXECUTOR_TASK: Final = "raftwork.executor.call"


def reference(function: object) -> str | None:
    """Its reference; None if it would not be found by it, or be another one."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name:
        return None
    home = sys.modules.get(module)
    if home is None or _within(home, name) is not function:
        return None
    if module in ("__main__", "__mp_main__"):
        module = main_module(vars(home))
        if module == "__main__":
            return None  # typed at a prompt
    return f"{module}:{name}"


def referred(text: str) -> Callable[..., object]:
    """What it refers to. Raises LookupError, which says why there is nothing."""
    module, _, name = text.partition(":")
    try:
        found = _within(importlib.import_module(module), name)
    except ImportError as error:
        raise LookupError(f"cannot import {module!r}: {error}") from None
    if not callable(found):
        raise LookupError(f"module {module!r} has no function {name!r}")  # noqa: TRY004
    return found


def _within(home: object, name: str) -> object:
    """By its qualname; of a Task its function's, too: calling either is the same."""
    found: object = home
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def flat(
    function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[Callable[..., object], tuple[object, ...], dict[str, object]]:
    """A call of a partial as the call of its function."""
    while isinstance(function, functools.partial):
        args, kwargs = function.args + args, {**function.keywords, **kwargs}
        function = function.func
    return function, args, kwargs
