"""Finding the user's App by "MODULE:APP", and the functions behind its tasks."""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from os.path import samefile
from types import ModuleType
from typing import NoReturn, Protocol, cast

from raftwork.errors import LoadError
from raftwork.worker.runner import Function, Registry, kind_of, message_of


class AppLike(Protocol):
    """What a worker needs of an App."""

    @property
    def tasks(self) -> Mapping[str, Callable[..., object]]:
        """The functions of the tasks, by name."""
        ...


def load(target: str) -> AppLike:
    """APP of "MODULE:APP"; MODULE is imported with the current directory on the path.

    Raises LoadError.
    """
    module_name, app_name = parse_target(target)
    place_first()
    try:
        module = importlib.import_module(module_name)
        app: object = getattr(module, app_name, None)
        file: object = getattr(module, "__file__", None)
        tasks: object = getattr(app, "tasks", None)
        fitting = isinstance(tasks, Mapping) and all(map(callable, tasks.values()))
    except BaseException as error:
        text = f"cannot import {module_name!r}: {kind_of(error)}: {message_of(error)}"
        raise LoadError(text + (_absent(module_name, error) or _place(error))) from error
    if app is None:
        hint = _hidden(module_name, str(file or "")) or _apps(module)
        raise LoadError(f"module {module_name!r} has no {app_name!r}{hint}")
    if not fitting:
        kind = type(app).__name__
        raise LoadError(f"{target!r} is not an App but of type {kind}{_apps(module)}")
    return cast("AppLike", app)


def place_first() -> None:
    """Have the current directory on the path."""
    with suppress(FileNotFoundError):  # it was removed: the path must do
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())


def _apps(module: ModuleType) -> str:
    """A hint: the names of the module's Apps, known by a mapping `tasks` and their hooks."""
    names = [
        name
        for name, value in sorted(vars(module).items())
        if name.isidentifier() and type(value).__name__ == "App"
    ]
    return f": write {module.__name__}:{names[0]}" if len(names) == 1 else ""


def parse_target(target: str) -> tuple[str, str]:
    """MODULE and APP of "MODULE:APP". Raises LoadError, which says what to write instead."""
    module, colon, app = target.partition(":")
    named_as_file = module.endswith(".py") and os.path.isfile(module)
    if all(part.isidentifier() for part in module.split(".")) and not named_as_file:
        if colon and app.isidentifier():
            return module, app
        return _refuse(target, f"{module}:{app if app.isidentifier() else 'app'}")
    path = module.replace("\\", "/").removesuffix(".py").removesuffix("/__init__")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    app = app if app.isidentifier() else "app"
    if path.startswith("/") or ".." in parts:
        directory = path.rpartition("/")[0] or "/"
        return _refuse(target, f"{parts[-1] if parts else 'MODULE'}:{app}", directory)
    if parts and all(name.isidentifier() for part in parts for name in part.split(".")):
        return _refuse(target, f"{'.'.join(parts)}:{app}")
    return _refuse(target, "tasks:app")


def _refuse(target: str, instead: str, directory: str = "") -> NoReturn:
    there = f" in the directory {directory}" if directory else ""
    raise LoadError(
        f"{target!r} is not MODULE:APP, a module's dotted name (not its file) and the name of the"
        f" App in it: write {instead}{there}"
    )


def _hidden(module: str, file: str) -> str:
    """Python's modules that are imported already, such as `queue`, hide those in the directory."""
    path = module.replace(".", "/")
    for own in (f"{path}.py", f"{path}/__init__.py"):
        if os.path.isfile(own) and not (os.path.exists(file) and samefile(own, file)):
            return (
                f"; it is the one of {file or 'Python itself'}, which hides your {own}: "
                "give yours another name"
            )
    return ""


def _absent(module: str, error: BaseException) -> str:
    """A hint where it was looked for, if the module itself, or a package it is in, is not there."""
    if not isinstance(error, ModuleNotFoundError):
        return ""
    names = {module, *(module[:dot] for dot, each in enumerate(module) if each == ".")}
    if error.name not in names:
        return ""
    with suppress(OSError):  # it was removed
        return f"; start this where {error.name.replace('.', '/')}.py is: here is {os.getcwd()}"
    return ""


def _place(error: BaseException) -> str:
    """Where in the user's code it was raised, if it was there."""
    try:
        last = traceback.extract_tb(error.__traceback__)[-1]
    except BaseException:  # noqa: BLE001 - its class is a user's
        return ""
    return "" if last.filename.startswith("<") else f" ({last.filename}:{last.lineno})"


def functions(tasks: Mapping[str, Callable[..., object]]) -> Registry:
    """The function to run under each name: a Task's own `function`, or the callable itself."""
    return {name: _function(task) for name, task in tasks.items()}


def _function(task: Callable[..., object]) -> Function:
    function: object = getattr(task, "function", task)
    assert callable(function), f"{task!r} cannot be called"
    return function
