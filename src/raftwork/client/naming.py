"""Under which name a worker knows a function, and whether it can know it at all.

A worker imports a module and finds in its App what `@app.task` registered meanwhile. So what an
importing worker does not run, or not under this name, it cannot have: functions typed at a prompt
or in a notebook, functions inside functions, lambdas, methods.
"""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path

from raftwork.signatures import Binder

#: What programs are called while they run as such; the second in children of multiprocessing.
_MAIN = ("__main__", "__mp_main__")
#: Where code comes from that was typed in.
_TYPED = ("<stdin>", "<python-input", "<ipython-input")
_HOW = "or give @app.task(name=…), the name under which the workers' App has it"


def default_name(function: Callable[..., object]) -> str:
    """module.qualname; in a program its module is the one that a worker imports.

    Raises TypeError for what has no such name.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if inspect.isclass(function) or inspect.ismethod(function) or not (module and name):
        kind = f"the class {name}" if inspect.isclass(function) else _kind(function)
        raise TypeError(f"a task is made of a function, not of {kind}: define one, {_HOW}")
    if module in _MAIN:
        module = _main_module(module)
    # `python -m pkg` runs pkg.__main__; a worker may import it as that or have it from pkg.
    return f"{str(module).removesuffix('.__main__')}.{name}"


def whereabouts(function: Callable[..., object]) -> str | None:
    """Why no worker that imports its module has it under its default name, if that is so."""
    module, name = function.__module__, function.__qualname__
    if module in _MAIN and not _is_file(sys.modules.get(module), function):
        return (
            f"the task {name} was defined at a prompt, in a notebook or on the command line, which "
            f"no worker can import: put it into a module and import it from there, {_HOW}"
        )
    if module in _MAIN and _main_module(module) == "__main__":
        return (
            f"the task {name} is in a program that no worker can import under its name: run it as "
            f"`python -m PACKAGE`, {_HOW}"
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
    """In place of what binds arguments: no call can be enqueued."""

    def refuse(*_: object, **__: object) -> None:
        raise ValueError(reason)

    return refuse


def _kind(function: object) -> str:
    if inspect.ismethod(function):
        return f"the method {function.__qualname__} of an object"
    return f"an instance of {type(function).__qualname__}"


def _main_module(module: str) -> str:
    """The name under which a worker imports what runs as `__main__` here."""
    main = sys.modules.get(module)
    if (spec := getattr(main, "__spec__", None)) is not None:  # python -m package.module
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"


def _is_file(main: object, function: Callable[..., object]) -> bool:
    file = getattr(main, "__file__", None) or ""
    code = getattr(function, "__code__", None)
    typed = str(getattr(code, "co_filename", "")).startswith(_TYPED)
    spec = getattr(main, "__spec__", None)
    return (spec is not None or bool(file)) and not file.startswith("<") and not typed


def _takes_self(function: Callable[..., object]) -> bool:
    code = getattr(function, "__code__", None)
    names = getattr(code, "co_varnames", ())[: getattr(code, "co_argcount", 0)]
    return bool(names) and names[0] in ("self", "cls")
