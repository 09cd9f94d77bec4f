"""Tasks on an engine that is somebody else's: any `concurrent.futures.Executor`.

1. What is submitted is a function of this file and a task's bytes: the engine pickles nothing of a
   user's. It imports the App where it runs, once in each process, and returns the outcome.
2. What was submitted counts as begun: few engines say whether a future runs or still waits, and one
   that is taken back might run all the same.
3. What ends without an outcome is a loss: a broken engine, a process that was killed, a
   cancellation. An engine that is broken is made anew.
4. The code is out of reach while it runs: no progress, no checkpoints, and `current().cancelled`
   is never true. If the engine cannot cancel it, it holds its slot until it ends.
"""

import functools
import importlib
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from time import monotonic_ns
from typing import cast

from raftwork.errors import LoadError, PoolBroken
from raftwork.hooks import Hooks
from raftwork.messages import Hopeless, Loss, Outcome, PushedTask, Wait
from raftwork.worker.context import carry_into_threads
from raftwork.worker.executor_calls import served
from raftwork.worker.hook_calls import hooked, start
from raftwork.worker.loader import functions, load, place_first
from raftwork.worker.pool import Running
from raftwork.worker.pool.thread import Waker
from raftwork.worker.runner import Ended, Registry, Runner, failure, kind_of, message_of
from raftwork.worker.task_notes import Board
from raftwork.worker.typed_tasks import typed

Make = Callable[[], Executor]


def maker(target: str) -> Make:
    """What "MODULE:FUNCTION" names, which makes an executor. Raises LoadError."""
    module, _, name = target.partition(":")
    place_first()
    try:
        found: object = getattr(importlib.import_module(module), name, None)
    except BaseException as error:
        raise LoadError(f"cannot import {module!r}: {_words(error)}") from error
    if not callable(found):
        raise LoadError(f"{target!r} names no function that makes an executor")
    return cast("Make", found)


class EnginePool:
    """Up to `slots` tasks are with the engine at a time; the others wait here."""

    def __init__(
        self, make: Make, app_target: str, brokers: Sequence[str], worker: str, slots: int
    ) -> None:
        """`make` makes the engine. Raises PoolBroken if it does not."""
        self._make = make
        self._where = app_target, tuple(brokers), worker
        self._size = slots
        self._backlog: deque[PushedTask] = deque()
        #: Submitted and not collected, with the time of that, ns, by token.
        self._flying: dict[int, tuple[Future[Ended], int]] = {}
        self._landed: deque[int] = deque()
        self._lost: list[Ended] = []
        self._abandoned: set[int] = set()
        self._waker = Waker()
        self.notes = Board(self._waker.wake, logs=False)
        self._engine = self._made()

    @property
    def slots(self) -> int:
        """How many tasks can run at once; see `Pool.slots`."""
        return self._size - len(self._abandoned)

    @property
    def wakers(self) -> Sequence[int]:
        """File descriptors that become readable when `collect` has something."""
        return [self._waker.fd]

    def start(self, tasks: Collection[PushedTask]) -> None:
        """Take these tasks, to be started in this order."""
        self._backlog.extend(tasks)
        self._submit()

    def collect(self) -> list[Ended]:
        """The tasks that ended since the last call. Raises PoolBroken if no engine can be made."""
        self._waker.clear()
        ended, self._lost = self._lost, []
        with suppress(IndexError):
            while True:
                token = self._landed.popleft()
                future, since = self._flying.pop(token)
                self._abandoned.discard(token)
                ended.append(_ended(token, future, since))
        self._submit()
        return ended

    def running(self) -> list[Running]:
        """The tasks that are with the engine."""
        return [Running(token, since // 1_000_000) for token, (_, since) in self._flying.items()]

    def waiting(self) -> Collection[Wait]:
        """Nothing is known of waits there."""
        return ()

    def end_waits(self, hopeless: Collection[Hopeless]) -> None:
        """See `waiting`."""

    def withdraw(self) -> list[PushedTask]:
        """Return, in order, the tasks that were not submitted; they never will be."""
        tasks = list(self._backlog)
        self._backlog.clear()
        return tasks

    def cancel(self, tokens: Collection[int]) -> list[PushedTask]:
        """Those that were not submitted; the code of the others is out of reach."""
        unstarted = [task for task in self._backlog if task.token in tokens]
        self._backlog = deque(task for task in self._backlog if task.token not in tokens)
        return unstarted

    def drain(self) -> None:
        """The code is out of reach."""

    def stop(self, tokens: Collection[int]) -> None:
        """Forget these if they wait; have the engine cancel them, if it can."""
        self.cancel(tokens)
        for token in tokens:
            flying = self._flying.get(token)
            if flying is not None and not flying[0].cancel():
                self._abandoned.add(token)

    def close(self) -> None:
        """Stop everything that can be stopped."""
        self._backlog.clear()
        try:
            self._engine.shutdown(wait=False, cancel_futures=True)
        except TypeError:  # Dask's takes no such argument
            self._engine.shutdown(wait=False)
        self._waker.close()

    # ---- the engine -----------------------------------------------------------------------------

    def _submit(self) -> None:
        while self._backlog and len(self._flying) < self._size:
            task = self._backlog.popleft()
            try:
                future = self._engine.submit(run_there, *self._where, task)
            except Exception:  # noqa: BLE001 - it may raise anything
                self._engine = self._made()
                future = self._once_more(task)
            self._flying[task.token] = future, monotonic_ns()
            future.add_done_callback(functools.partial(self._land, task.token))

    def _once_more(self, task: PushedTask) -> "Future[Ended]":
        try:
            return self._engine.submit(run_there, *self._where, task)
        except Exception as error:
            raise PoolBroken(f"the executor takes no task: {_words(error)}") from error

    def _land(self, token: int, _: object) -> None:
        """In whatever thread the engine calls this."""
        self._landed.append(token)
        self._waker.wake()

    def _made(self) -> Executor:
        try:
            return self._make()
        except Exception as error:
            raise PoolBroken(f"the executor cannot be made: {_words(error)}") from error


def _ended(token: int, future: "Future[Ended]", since: int) -> Ended:
    why = "it was cancelled"
    if not future.cancelled():
        error = future.exception()
        if error is None:
            return future.result()
        why = _words(error)
    outcome = failure(token, "ProcessDied", f"the executor lost it: {why}")._replace(loss=Loss())
    return Ended(outcome, monotonic_ns() - since)


def _words(error: BaseException) -> str:
    return f"{kind_of(error)}: {message_of(error)}"


# ---- where the engine runs it --------------------------------------------------------------------


#: An engine of threads may run several tasks before the App is there.
_LOADING = threading.Lock()


def run_there(app_target: str, brokers: Sequence[str], worker: str, task: PushedTask) -> Ended:
    """Run a task of the App at MODULE:APP, in whatever process this is."""
    try:
        with _LOADING:
            registry = _registry(app_target, tuple(brokers))
    except LoadError as error:
        return Ended(_refused(task.token, error), 0)
    return Runner(registry, worker).run_once(task)


@functools.cache
def _registry(app_target: str, brokers: tuple[str, ...]) -> Registry:
    """The functions to run, once in each process."""
    app = load(app_target)
    if isinstance(getattr(app, "brokers", None), tuple):
        vars(app)["brokers"] = brokers  # what its tasks enqueue goes to where they came from
    carry_into_threads()
    hooks: object = getattr(app, "hooks", None)
    hooks = hooks if isinstance(hooks, Hooks) else Hooks()
    start(hooks.child_start, "on_child_start")
    tasks = typed(hooked(functions(app.tasks), hooks), app.tasks)
    return {**tasks, **served(app_target, pickles=False)}


def _refused(token: int, error: LoadError) -> Outcome:
    return failure(token, "LoadError", str(error))
