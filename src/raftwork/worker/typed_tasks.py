"""Tasks whose annotations say more than the wire carries: arguments converted in, values out.

A task with plain ones stays the function that it is, and costs nothing.
"""

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping

from raftwork import attempt_ends
from raftwork.conversion import Annotations, Arguments
from raftwork.signatures import passes_on
from raftwork.worker.runner import Function, Registry, WrongArguments


def typed(registry: Registry, tasks: Mapping[str, Callable[..., object]]) -> Registry:
    """The registry with the conversions of `tasks` around the functions that need any."""
    return {name: _around(function, _signature(tasks[name])) for name, function in registry.items()}


def _signature(task: Callable[..., object]) -> Annotations | None:
    found: object = getattr(task, "signature", None)
    return found if isinstance(found, Annotations) else None


def _around(function: Function, signature: Annotations | None) -> Function:
    if signature is None:
        return function
    parts = signature.compiled()
    if parts.plain and parts.returns is None:
        return function
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: object, **kwargs: object) -> object:
            args_in, kwargs_in = _into(signature, args, kwargs)
            return _out(signature, await function(*args_in, **kwargs_in))

        passes_on(run_async)
        return run_async

    @functools.wraps(function)
    def run(*args: object, **kwargs: object) -> object:
        args_in, kwargs_in = _into(signature, args, kwargs)
        value = function(*args_in, **kwargs_in)
        return _later(signature, value) if inspect.iscoroutine(value) else _out(signature, value)

    passes_on(run)
    return run


def _into(signature: Annotations, args: tuple[object, ...], kwargs: dict[str, object]) -> Arguments:
    """Raises WrongArguments: the function never begins, and never will."""
    try:
        return signature.into(args, kwargs)
    except TypeError as error:
        raise WrongArguments(str(error)) from None


def _out(signature: Annotations, value: object) -> object:
    """What says how the attempt ends is no value, and stays what it is."""
    if type(value).__module__ == attempt_ends.__name__:
        return value
    return signature.result_out(value)


async def _later(signature: Annotations, value: Coroutine[object, object, object]) -> object:
    """Of a plain function that returned a coroutine."""
    return _out(signature, await value)
