"""The name under which a worker knows a function, and whether it can know it at all.

A worker imports a module and finds in its App what `@app.task` registered meanwhile. So what an
importing worker does not run, or not under this name, it cannot have: functions typed at a prompt
or in a notebook, functions inside functions, lambdas, methods.
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from raftwork.exception_names import main_module
from raftwork.signatures import Binder

#: What programs are called while they run as such; the second in children of multiprocessing.
_MAIN = ("__main__", "__mp_main__")
#: Where code comes from that was typed in.
_TYPED = (
    *("<stdin>", "<python-input", "<ipython-input", "<console>", "<input>", "<bpython"),
    *("<ptpython", "<pyshell", "<doctest"),
)
_HOW = "or set @app.task(name=…), the name under which the workers' App has it"


def default_name(function: Callable[..., object]) -> str:
    """module.qualname; in a program its module is the one that a worker imports.

    Raises TypeError for an object without such a name.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if inspect.isclass(function) or inspect.ismethod(function) or not (module and name):
        kind = f"the class {name}" if inspect.isclass(function) else _kind(function)
        raise TypeError(f"a task must be a function, got {kind}: define one, {_HOW}")
    if module in _MAIN:
        module = main_module(_space(function))
    # `python -m pkg` runs pkg.__main__; a worker may import it as that or have it from pkg.
    return f"{str(module).removesuffix('.__main__')}.{name}"


def whereabouts(function: Callable[..., object]) -> str | None:
    """Why no worker that imports its module has it under its default name; None if one can."""
    module, name = function.__module__, function.__qualname__
    if _was_typed(function) or (module in _MAIN and not _has_file(_space(function))):
        return (
            f"the task {name} was defined at a prompt, in a notebook or on the command line, which "
            f"no worker can import: put it into a module and import it from there, {_HOW}"
        )
    imported = main_module(_space(function)) if module in _MAIN else module
    if imported == "__main__" or imported.startswith("<"):  # runpy.run_path: <run_path>
        return (
            f"the task {name} is in a program that no worker can import under its name: run it as "
            f"`python -m PACKAGE`, {_HOW}"
        )
    if module in _MAIN and not all(part.isidentifier() for part in imported.split(".")):
        return (
            f"the task {name} is in a program that no worker can import under its name: {imported}"
            " is no name of a module. Name its file with letters, digits and underscores, not"
            f" beginning with a digit, {_HOW}"
        )
    if "<lambda>" in name.rpartition(".")[2]:
        return f"the task {name} is a lambda, which has no name: define a function, {_HOW}"
    if "<locals>" in name:
        return (
            f"the task {name} is defined inside a function, and a worker that imports {module} "
            f"does not run that: define it at the top of a module, {_HOW}"
        )
    if "." in name and _takes_self(function):
        return (
            f"the task {name} is a method, and a worker has no object to call it on: make it a "
            "function at the top of a module"
        )
    return None


def refusing(reason: str) -> Binder:
    """A binder that raises ValueError for every call: none can be enqueued."""

    def refuse(*_: object, **__: object) -> None:
        raise ValueError(reason)

    return refuse


def _kind(function: object) -> str:
    if inspect.ismethod(function):
        return f"the method {function.__qualname__} of an object"
    return f"an instance of {type(function).__qualname__}"


def _has_file(space: Mapping[str, object]) -> bool:
    file = str(space.get("__file__") or "")
    return (space.get("__spec__") is not None or bool(file)) and not file.startswith("<")


def _space(function: Callable[..., object]) -> Mapping[str, object]:
    """The variables of the module in which it was defined.

    Not always those of the module of that name: profilers and tracers run a program as `__main__`
    while they are that themselves.
    """
    for each in _layers(function):
        space = getattr(each, "__globals__", {})
        if space.get("__name__") == function.__module__:
            return space
    return vars(sys.modules.get(function.__module__, object))


def _was_typed(function: Callable[..., object]) -> bool:
    files = (getattr(getattr(f, "__code__", None), "co_filename", "") for f in _layers(function))
    return any(file.startswith(_TYPED) for file in files)


def _layers(function: Callable[..., object]) -> Iterator[object]:
    """What was written, and what decorators made of it."""
    yield function
    with suppress(ValueError):  # it wraps itself
        yield inspect.unwrap(function)


def _takes_self(function: Callable[..., object]) -> bool:
    code = getattr(function, "__code__", None)
    names = getattr(code, "co_varnames", ())[: getattr(code, "co_argcount", 0)]
    return bool(names) and names[0] in ("self", "cls")


def same_place(one: Callable[..., object], other: Callable[..., object]) -> bool:
    """Whether two functions are defined under one name of one module."""
    places = [
        (getattr(each, "__module__", None), getattr(each, "__qualname__", None))
        for each in (one, other)
    ]
    return places[0] == places[1]
