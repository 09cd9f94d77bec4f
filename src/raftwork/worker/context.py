"""`current()`: which task this code is running for.

The answer follows the code, not the process: a context variable carries it into coroutines, and
`carry_into_threads` into threads and executors' work items that a task starts. It ends with the
task, so that code which a task leaves behind is never taken for another task's: it would fence
its side effects with a token that is not its own.
"""

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from raftwork.worker.child_calls import child_id, outcome_of
from raftwork.worker.forked_copies import ends_copies

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from raftwork.client.task import BoundTask

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

    def call(
        self, task: "BoundTask[P, T]", /, *args: P.args, **kwargs: P.kwargs
    ) -> "Coroutine[Any, Any, T]":
        """Have this task enqueued, and await its value: `await current().call(add, 1, 2)`.

        Its id is made of this task's id and of how many calls came before, so that another attempt
        finds what the last one called: what has ended since is not run again. So the calls of a
        task must be the same, in the same order, in each of its attempts.

        Raises what `aenqueue` and `aresult` raise: TaskFailed if it failed, NotDeterministic if an
        earlier attempt made this call with something else; RuntimeError outside the task.
        """
        scope = _scope.get()
        if scope is None or scope.over or scope.context is not self:
            raise RuntimeError(f"this code is not of task {self.id}, which alone may call for it")
        scope.calls += 1
        return outcome_of(task, child_id(self.id, scope.calls), scope.calls, args, kwargs)


class _Scope:
    """One run of one task. Outlives it where a thread or a coroutine does."""

    __slots__ = ("calls", "context", "exit", "over", "task")

    def __init__(self, context: Context, task: asyncio.Task[Any] | None) -> None:
        self.context = context
        self.calls = 0  # of other tasks
        self.over = False
        self.task = task  # the coroutine that runs it, in a loop shared with others
        self.exit: BaseException | None = None  # what made that loop end


_scope: ContextVar[_Scope | None] = ContextVar("raftwork_task", default=None)


def task_of_this_code() -> Context | None:
    """As `current()`; None outside a task, or after it."""
    scope = _scope.get()
    return None if scope is None or scope.over else scope.context


def current() -> Context:
    """The task this code runs for, also in its threads and coroutines. RuntimeError outside."""
    scope = _scope.get()
    if scope is None:
        raise RuntimeError("current() was called outside a task")
    if scope.over:
        raise RuntimeError(f"current() was called after its task {scope.context.id} had ended")
    return scope.context


class running:  # noqa: N801 - reads as `with running(context):`
    """Within this block, and in what it starts, `current()` is `context`.

    No generator: contextlib's would touch a user's exception on its way through.
    """

    __slots__ = ("_reset", "_scope")

    def __init__(self, context: Context, task: asyncio.Task[Any] | None = None) -> None:
        self._scope = _Scope(context, task)

    def __enter__(self) -> _Scope:
        self._reset = _scope.set(self._scope)
        return self._scope

    def __exit__(self, *_: object) -> None:
        self._scope.over = True
        _scope.reset(self._reset)


def exited(within: contextvars.Context, error: BaseException) -> Context | None:
    """Code of a task raised what ends an event loop: the task ends with it, and no other.

    `within` is the context that the code ran in. Returns the task; None if it was no task's code.
    """
    scope = within.get(_scope)
    if scope is None or scope.over or scope.task is None:
        return None
    scope.exit = error
    scope.task.cancel()
    return scope.context


def _within(scope: _Scope | None, code: Callable[P, T]) -> Callable[P, T]:
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        reset = _scope.set(scope)
        try:
            with ends_copies():  # of an executor's item one would wait for the next, for ever
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
