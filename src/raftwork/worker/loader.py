"""Finding the user's App by "MODULE:APP", and the functions behind its tasks."""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from raftwork.worker.runner import Function, Registry


class AppLike(Protocol):
    """What a worker wants of an App."""

    @property
    def tasks(self) -> Mapping[str, Callable[..., object]]: ...


class LoadError(Exception):
    """There is no such module or App, or importing it failed. The text says which."""


def load(target: str) -> AppLike:
    """APP of "MODULE:APP"; MODULE is imported with the current directory on the path.

    Raises LoadError.
    """
    module_name, _, app_name = target.partition(":")
    if not module_name or not app_name:
        raise LoadError(f"{target!r} is not MODULE:APP")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        text = f"cannot import {module_name!r}: {type(error).__name__}: {error}"
        raise LoadError(text + _place(error)) from error
    app: object = getattr(module, app_name, None)
    if app is None:
        raise LoadError(f"module {module_name!r} has no {app_name!r}")
    if not isinstance(getattr(app, "tasks", None), Mapping):
        raise LoadError(f"{target!r} is not an App: it has no mapping `tasks`")
    return cast("AppLike", app)


def _place(error: BaseException) -> str:
    """Where in the user's code it was raised, if it was there."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return "" if last.filename.startswith("<") else f" ({last.filename}:{last.lineno})"


def functions(tasks: Mapping[str, Callable[..., object]]) -> Registry:
    """What runs under each name: a Task's own `function`, or the callable itself."""
    return {name: _function(task) for name, task in tasks.items()}


def _function(task: Callable[..., object]) -> Function:
    function: object = getattr(task, "function", task)
    assert callable(function), f"{task!r} cannot be called"
    return function
