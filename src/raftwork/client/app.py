"""The App: a program's tasks, and its one connection to the cluster."""

import os
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, Self, TypeVar, Unpack, cast, overload

from raftwork.client.addresses import broker_addresses
from raftwork.client.batch import Batch
from raftwork.client.dead import DeadTasks
from raftwork.client.options import (
    Duration,
    OptionFields,
    Options,
    label,
    milliseconds,
    task_id,
    task_key,
)
from raftwork.client.queue import Queue
from raftwork.client.run import Run
from raftwork.client.task import BoundTask, Task
from raftwork.errors import Unavailable
from raftwork.hooks import Hook, Hooks, TaskOutcome
from raftwork.messages import NAME_MAX, DrainWorker, FromBroker, Result

if TYPE_CHECKING:
    from raftwork.client.connection import Connection
    from raftwork.client.protocol import Question

P = ParamSpec("P")
T = TypeVar("T")


class TaskDecorator(Protocol):
    """What `app.task(…)` returns: makes a Task of a function, sync or async."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> Task[P, T, Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Task[P, T, T]: ...


class App:
    """Tasks, and the cluster that runs them.

    `brokers` are addresses `host:port`, as a sequence or separated by commas; without it those of
    RAFTWORK_BROKERS, else the default. `timeout` is how many seconds enqueueing and asking may
    take, failovers included.

    Safe to use from several threads. The connection is made by the first call that needs it and
    ends with `close`, with the program or with the last reference; a forked child makes its own.
    """

    def __init__(
        self, brokers: str | Sequence[str] | None = None, timeout: Duration = 10.0
    ) -> None:
        self.brokers = broker_addresses(brokers)
        self._timeout = milliseconds("timeout", timeout)
        if self._timeout == 0:
            raise ValueError("timeout is more than 0 seconds")
        self._tasks: dict[str, Task[..., object, object]] = {}
        #: See `on_worker_start` and its like.
        self.hooks = Hooks()
        self._closed = False
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._farewell: weakref.finalize[..., App] | None = None
        _apps.add(self)

    # ---- tasks --------------------------------------------------------------------------------

    @property
    def tasks(self) -> Mapping[str, Task[..., object, object]]:
        """The registered tasks by name."""
        return MappingProxyType(self._tasks)

    @overload
    def task(
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> Task[P, T, Coroutine[Any, Any, T]]: ...
    @overload
    def task(self, function: Callable[P, T], /) -> Task[P, T, T]: ...
    @overload
    def task(
        self, /, *, name: str | None = None, **options: Unpack[OptionFields]
    ) -> TaskDecorator: ...
    def task(
        self,
        function: Callable[..., object] | None = None,
        /,
        *,
        name: str | None = None,
        **options: Unpack[OptionFields],
    ) -> object:
        """Make a function a task; bare, or with options (durations in seconds).

        Raises TypeError and ValueError for options that cannot be meant, and ValueError for a name
        another function has.
        """
        checked = Options().changed(options)

        def register(function: Callable[..., object]) -> Task[..., object, object]:
            return self._register(function, name, checked)

        return register if function is None else register(function)

    def named(
        self,
        name: str,
        /,
        *,
        id: str | None = None,  # noqa: A002
        key: str | None = None,
        **options: Unpack[OptionFields],
    ) -> BoundTask[..., Any]:
        """A task by its name, whose code need not be here; with options, id or key, if given."""
        task = self._tasks.get(name)
        known = task.chosen if task else Options()
        return BoundTask(
            self,
            label("name", name, NAME_MAX),
            known.changed(options),
            parameters=task.parameters if task else (),
            id=None if id is None else task_id(id),
            key=None if key is None else task_key(key),
        )

    def enqueue(self, name: str, /, *args: object, **kwargs: object) -> Run[Any]:
        """Enqueue a task by its name; as `Task.enqueue`."""
        return self.named(name).enqueue(*args, **kwargs)

    async def aenqueue(self, name: str, /, *args: object, **kwargs: object) -> Run[Any]:
        """As `enqueue`, for coroutines."""
        return await self.named(name).aenqueue(*args, **kwargs)

    def run(self, id: str) -> Run[Any]:  # noqa: A002
        """A handle for the task of this id, whether there is one or not."""
        return self.handles((task_id(id),))[0]

    # ---- what a worker calls: decorators --------------------------------------------------------

    @property
    def on_worker_start(self) -> Hook[[]]:
        """Called once in the worker's own process, when a process pool has been forked off.

        If it raises, the worker ends with status 1 before it has taken a task.
        """
        return self.hooks.worker_start

    @property
    def on_child_start(self) -> Hook[[]]:
        """Called in every process that runs tasks, before its first one: for connections, threads.

        In a process pool that is each child, later replacements too; with the other pools the
        worker's own process, once. If it raises, no task runs there: a child is started again, with
        growing pauses; a worker without a process pool ends with status 1.
        """
        return self.hooks.child_start

    @property
    def on_task_start(self) -> Hook[[]]:
        """Called where a task runs, just before its code; `current()` says which it is.

        What it raises is logged, and the task runs all the same.
        """
        return self.hooks.task_start

    @property
    def on_task_end(self) -> Hook[[TaskOutcome]]:
        """Called where a task ran, just after its code, with a TaskOutcome.

        Not called if the process was killed. What it raises is logged.
        """
        return self.hooks.task_end

    @property
    def on_worker_stop(self) -> Hook[[]]:
        """Called once in the worker's own process, when it has drained. What it raises is logged.

        Not called if it is stopped at once or killed.
        """
        return self.hooks.worker_stop

    # ---- workers ------------------------------------------------------------------------------

    def drain(self, name: str, /) -> None:
        """Let the worker of this name (all of them, if it repeats) take nothing new and leave.

        It hands back what it has not begun, finishes what runs and ends with status 0. Returns once
        it says that it does so, which no failover undoes. Raises UnknownWorker.
        """
        self._drain(name).result()

    async def adrain(self, name: str, /) -> None:
        """As `drain`, for coroutines."""
        import asyncio

        await asyncio.wrap_future(self._drain(name))

    def _drain(self, name: str) -> "Future[list[Result]]":
        request = DrainWorker(0, label("name", name, NAME_MAX))
        return self._connect().request(request, self._timeout)

    # ---- queues -------------------------------------------------------------------------------

    def queue(self, name: str, /) -> Queue:
        """The queue of this name, whether anybody used it yet or not: its limits and balancer."""
        return Queue(self, name)

    # ---- dead tasks ---------------------------------------------------------------------------

    def dead(self, queue: str | None = None) -> DeadTasks:
        """The tasks (of one queue) that failed after all retries or were lost: list, show, retry.

        They are kept as long as their results, and of all of them the newest 10,000 and 64 MiB.
        """
        return DeadTasks(self, queue)

    def inquire(self, question: "Question") -> "Future[FromBroker]":
        """Have the leader answer. For `DeadTasks` and `Queue`."""
        return self._connect().inquire(question, self._timeout)

    # ---- the cluster --------------------------------------------------------------------------

    def submit(self, spec: bytes, batch: Batch, *, patient: bool = False) -> "Future[list[Result]]":
        """Send a batch; the future ends once it is stored, or with the error. For `BoundTask`."""
        try:
            connection = self._connect()
        except Unavailable as error:
            raise Unavailable(str(error), batch.ids) from error
        return connection.enqueue(spec, batch.tasks, batch.ids, self._timeout, patient=patient)

    def handles(self, ids: Sequence[str]) -> list[Run[Any]]:
        """The handle of each id: the live one, else a new one. For `BoundTask`."""
        return cast("list[Run[Any]]", self._connect().handles.find_or_add(ids, self._handle))

    def _handle(self, id: str) -> Run[Any]:  # noqa: A002
        return Run(id, self._connect, self._timeout)

    def close(self) -> None:
        """End the connection; calls that are out get Unavailable, later ones RuntimeError."""
        with self._lock:
            self._closed = True
            connection = self._connection
        if connection is not None:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<App {','.join(self.brokers)}>"

    # ---- inside -------------------------------------------------------------------------------

    def _register(
        self, function: Callable[..., object], name: str | None, options: Options
    ) -> Task[..., object, object]:
        if not callable(function):
            raise TypeError(f"a task is made of a function, not {type(function).__name__}")
        chosen = _default_name(function) if name is None else name
        label("name", chosen, NAME_MAX)
        old = self._tasks.get(chosen)
        # The same definition run again (a reloaded module, a notebook's cell) replaces itself.
        if old is not None and not _same_place(old.function, function):
            raise ValueError(f"the name {chosen} belongs to another task")
        task = Task[..., object, object](self, chosen, function, options)
        self._tasks[chosen] = task
        return task

    def _connect(self) -> "Connection":
        connection = self._connection
        if connection is not None and not connection.failed:
            return connection
        # Imported here because a worker imports programs but opens no client's sockets.
        try:
            from raftwork.client.connection import Connection
        except (OSError, ImportError) as error:  # no file can be opened, be it a module's
            raise Unavailable(f"this program can open no connection: {error}") from error

        with self._lock:
            if self._closed:
                raise RuntimeError("this App is closed")
            if self._connection is None or self._connection.failed:
                if self._farewell is not None:
                    self._farewell.detach()
                self._connection = Connection(self.brokers)
                # Also at exit, so that the thread ends before the interpreter does.
                self._farewell = weakref.finalize(self, self._connection.vanish)
            return self._connection

    def _start_afresh(self) -> None:
        """No connection yet; in a forked child, that of the parent is not to be touched."""
        self._lock = threading.Lock()
        if self._connection is not None:
            _inherited.append(self._connection)
            self._connection = None


_apps: "weakref.WeakSet[App]" = weakref.WeakSet()
#: Connections of a parent process, kept so that nothing ever closes their sockets here.
_inherited: list[object] = []


def _after_fork() -> None:
    for app in list(_apps):
        app._start_afresh()  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork)


def _default_name(function: Callable[..., object]) -> str:
    module = function.__module__
    if module == "__main__":
        module = _main_module()
    return f"{module}.{function.__qualname__}"


def _main_module() -> str:
    """The name under which a worker imports what runs as `__main__` here."""
    main = sys.modules["__main__"]
    if (spec := getattr(main, "__spec__", None)) is not None:  # python -m package.module
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"


def _same_place(one: Callable[..., object], other: Callable[..., object]) -> bool:
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)
