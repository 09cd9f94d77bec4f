"""`current()`: which task this code is running for.

The answer follows the code, not the process: a context variable carries it into coroutines, and
`carry_into_threads` into threads and executors' work items that a task starts. It ends with the
task, so that code which a task leaves behind never passes for another task's: it would fence its
side effects with a token that is not its own.
"""

import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """The task being run.

    `token` is the fencing token: unique and growing over the whole cluster, so that a store which
    refuses writes under a token lower than one it has seen is safe from late owners. `attempt` is 1
    at the first hand-out and one more at every further one. `worker` is the worker's name.
    """

    id: str
    token: int
    attempt: int
    worker: str


class _Scope:
    """One run of one task. Outlives it where a thread or a coroutine does."""

    __slots__ = ("context", "over")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.over = False


_scope: ContextVar[_Scope | None] = ContextVar("raftwork_task", default=None)


def current() -> Context:
    """The task this code runs for, also in its threads and coroutines. RuntimeError outside."""
    scope = _scope.get()
    if scope is None:
        raise RuntimeError("current() was called outside a task")
    if scope.over:
        raise RuntimeError(f"current() was called after its task {scope.context.id} had ended")
    return scope.context


@contextmanager
def running(context: Context) -> Iterator[None]:
    """Within this block, and in what it starts, `current()` is `context`."""
    scope = _Scope(context)
    reset = _scope.set(scope)
    try:
        yield
    finally:
        scope.over = True
        _scope.reset(reset)


def _within(scope: _Scope | None, code: Callable[P, T]) -> Callable[P, T]:
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        reset = _scope.set(scope)
        try:
            return code(*args, **kwargs)
        finally:
            _scope.reset(reset)

    return run


_start = threading.Thread.start
_submit = ThreadPoolExecutor.submit


def _start_within(thread: threading.Thread) -> None:
    scope = _scope.get()
    if scope is not None:
        # An instance attribute: subclasses that override run() are carried too.
        thread.run = _within(scope, thread.run)  # type: ignore[method-assign]
    _start(thread)


def _submit_within(
    executor: ThreadPoolExecutor, code: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> "Future[T]":
    # Also without a task: the executor's thread may have been started by one.
    return _submit(executor, _within(_scope.get(), code), *args, **kwargs)


def carry_into_threads() -> None:
    """Let threads and ThreadPoolExecutor items see the task that starts them. Idempotent.

    Python's threads start with an empty context (before 3.14), so a worker replaces
    `Thread.start` and `ThreadPoolExecutor.submit` in its own process by wrappers that hand over
    this one variable and nothing else.
    """
    threading.Thread.start = _start_within  # type: ignore[method-assign,assignment]
    concurrent.futures.ThreadPoolExecutor.submit = _submit_within  # type: ignore[method-assign,assignment]
