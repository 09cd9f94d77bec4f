"""Kinds of exceptions by name: a task's options name them, and its worker asks what was raised.

An exception goes by its module and its name there. A client that names one has its class, or has
not; the worker has the object, and so knows all the classes that it is derived from.
"""

import builtins
import sys
from collections.abc import Callable, Mapping
from os.path import basename, splitext
from typing import Final

#: What programs are called while they run as such; the second in children of multiprocessing.
_MAIN: Final = ("__main__", "__mp_main__")

#: Past whatever a metaclass puts in their places.
_MODULE: Final[Callable[[type], object]] = type.__dict__["__module__"].__get__
_QUALNAME: Final[Callable[[type], str]] = type.__dict__["__qualname__"].__get__
_MRO: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__


def exception_name(what: str, kind: object) -> str:
    """The name of an exception's class, or the name that is given, checked.

    Raises TypeError, ValueError; `what` is the option that it is for.
    """
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return _name(kind)
    if not isinstance(kind, str):
        raise TypeError(f"{what} must name exceptions, got {kind!r:.80}")
    if isinstance(getattr(builtins, kind, None), type):
        return exception_name(what, getattr(builtins, kind))
    if "." not in kind or not all(part.isidentifier() for part in kind.split(".")):
        raise ValueError(
            f"{what} must name exceptions by module and name, such as"
            f' "requests.exceptions.ConnectionError", got {kind!r:.80}'
        )
    return kind


def kinds_of(error: BaseException) -> tuple[str, ...]:
    """The names of an exception's class and of all that this is derived from."""
    return tuple(map(_name, _MRO(type(error))))


def _name(kind: type) -> str:
    module = str(_MODULE(kind))
    if module in _MAIN:
        module = main_module(vars(sys.modules.get(module, object)))
    # `python -m pkg` runs pkg.__main__; a worker may import it as that or have it from pkg.
    return f"{module.removesuffix('.__main__')}.{_QUALNAME(kind)}"


def main_module(space: Mapping[str, object]) -> str:
    """The name under which a worker imports what runs as `__main__` here, by its variables."""
    name = getattr(space.get("__spec__"), "name", "__main__")
    if name != "__main__":  # python -m package.module
        return str(name)
    file = space.get("__file__")
    return splitext(basename(str(file)))[0] if file else "__main__"
