"""Calls a program's hooks: those of a start can prevent it, the others only observe."""

import functools
import inspect
import logging
import time
import traceback
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
)
from typing import ParamSpec, cast

from raftwork.errors import HookFailed
from raftwork.hooks import Hook, Hooks, TaskOutcome
from raftwork.instruments import flush
from raftwork.logs import speak_on
from raftwork.signatures import passes_on
from raftwork.worker.forked_copies import ends_copies
from raftwork.worker.runner import Function, Registry, kind_of, message_of

log = logging.getLogger("raftwork.worker")
P = ParamSpec("P")


def start(hook: Hook[[]], occasion: str) -> None:
    """Call all functions of a start hook. Raises HookFailed, with the traceback as its text."""
    for function in hook.functions:
        try:
            with ends_copies():
                function()
        except BaseException as error:  # noqa: BLE001 - sys.exit too ends the start, not us
            raise HookFailed(f"{occasion} failed: {_described(error)}") from None
        finally:
            speak_on()


def watch(hook: Hook[P], occasion: str, *args: P.args, **kwargs: P.kwargs) -> None:
    """Call all functions of an observing hook: what one raises is logged."""
    for function in hook.functions:
        try:
            with ends_copies():
                function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - as above
            # What is described is a user's: logging would trip over some of it.
            log.error("%s failed: %s", occasion, _described(error))  # noqa: TRY400


def stop_child(hooks: Hooks) -> None:
    """This process has run its last task."""
    watch(hooks.child_stop, "on_child_stop")
    flush()


def stop(hooks: Hooks, *, runs_here: bool) -> None:
    """The worker has drained; `runs_here` says that this process ran its tasks."""
    if runs_here:
        stop_child(hooks)
    watch(hooks.worker_stop, "on_worker_stop")


def hooked(registry: Registry, hooks: Hooks) -> Registry:
    """The registry with the hooks of tasks around every function, if there are any."""
    made = registry
    if hooks.task_start or hooks.task_end:
        made = {name: _watched(function, hooks) for name, function in made.items()}
    if hooks.around:
        made = {name: _around(function, hooks.around) for name, function in made.items()}
    return made


def _watched(function: Function, hooks: Hooks) -> Function:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: object, **kwargs: object) -> object:
            with _Watched(hooks), ends_copies():
                return await function(*args, **kwargs)

        passes_on(run_async)
        return run_async

    @functools.wraps(function)
    def run(*args: object, **kwargs: object) -> object:
        with _Watched(hooks), ends_copies():
            return function(*args, **kwargs)

    passes_on(run)
    return run


def _around(function: Function, around: Hook[[]]) -> Function:
    """Within the context managers that `around` gives, the first of them the outermost."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: object, **kwargs: object) -> object:
            async with AsyncExitStack() as stack:
                for make in around.functions:
                    await _enter(stack, make())
                with ends_copies():
                    return await function(*args, **kwargs)

        passes_on(run_async)
        return run_async

    @functools.wraps(function)
    def run(*args: object, **kwargs: object) -> object:
        with ExitStack() as stack:
            for make in around.functions:
                stack.enter_context(cast("AbstractContextManager[object]", make()))
            with ends_copies():
                return function(*args, **kwargs)

    passes_on(run)
    return run


async def _enter(stack: AsyncExitStack, manager: object) -> None:
    if hasattr(manager, "__aenter__"):
        await stack.enter_async_context(cast("AbstractAsyncContextManager[object]", manager))
    else:
        stack.enter_context(cast("AbstractContextManager[object]", manager))


class _Watched:
    """Around a task's code."""

    __slots__ = ("_began", "_hooks")

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def __enter__(self) -> None:
        watch(self._hooks.task_start, "on_task_start")
        self._began = time.monotonic()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        outcome = TaskOutcome(error, time.monotonic() - self._began)
        watch(self._hooks.task_end, "on_task_end", outcome)


def _described(error: BaseException) -> str:
    text = f"{kind_of(error)}: {message_of(error)}"
    try:
        return text + "\n" + "".join(traceback.format_tb(error.__traceback__)).rstrip()
    except BaseException:  # noqa: BLE001 - its class is a user's
        return text
