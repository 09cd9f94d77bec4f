"""The App: a program's tasks, and its one connection to the cluster."""

import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, Unpack, overload

from raftwork.client.addresses import broker_addresses, codec_in_use, key_in_use
from raftwork.client.cancelling import GRACE_S, cancel_all_of
from raftwork.client.cluster import Cluster
from raftwork.client.dead_letters import DeadTasks
from raftwork.client.declarations import B, Declarations
from raftwork.client.events import EventFields, Events
from raftwork.client.flow import Flow, say
from raftwork.client.hook_decorators import HookDecorators
from raftwork.client.known_apps import remember, revive
from raftwork.client.limits import Limits
from raftwork.client.live_log import Tail
from raftwork.client.options import (
    Duration,
    OptionFields,
    Options,
    label,
    milliseconds,
    task_id,
)
from raftwork.client.per_call import PerCall
from raftwork.client.queues import Queue
from raftwork.client.reply import Reply
from raftwork.client.result_registry import Slot
from raftwork.client.run import Run, handles
from raftwork.client.run_info import Found, SearchFields, pages
from raftwork.client.schedule_options import ScheduleFields
from raftwork.client.schedules import Schedules
from raftwork.client.sealed_requests import sealed
from raftwork.client.task import BoundTask, Task, TaskDecorator
from raftwork.client.task_call import TaskCall, in_order, parts
from raftwork.client.task_names import default_name, refusing, same_place, whereabouts
from raftwork.conversion import NO_TYPES, Converter, Types, Unknown, converters
from raftwork.errors import AppClosed, Unavailable
from raftwork.features.cancel import TasksCancelled
from raftwork.features.drain import DrainWorker, WorkerDraining
from raftwork.messages import NAME_MAX, Result

if TYPE_CHECKING:
    from raftwork.client.transport import Connection
    from raftwork.messages.request import Request
    from raftwork.sealing import Codec

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Slot)
T = TypeVar("T")


class App(HookDecorators):
    """Tasks, and the cluster that runs them.

    `brokers` are addresses `host:port`, as a sequence or separated by commas; without it those of
    RAFTWORK_BROKERS, else the default. `timeout` is how many seconds enqueueing and asking may
    take, failovers included. `key` is the file of its key, where brokers want one, else that of
    RAFTWORK_KEY; KeyRefused is raised for none, and where that key is let in no more the file is
    read again. `codec` makes contents unreadable for brokers, else RAFTWORK_SECRETS does. `types`
    say how values of further types travel (see Converter).

    Safe to use from several threads and in signal handlers. The connection is made by the first
    call that needs it and ends with `close`, with the program or with the last reference; a forked
    child makes its own. gevent may replace threads and locks, eventlet may not (`thread=False`).

    Pickled it goes by its addresses: what comes back is the process's App with the same addresses,
    timeout and key file, else a new App. A copy is the App itself.
    """

    def __init__(
        self,
        brokers: str | Sequence[str] | None = None,
        timeout: Duration = 10.0,
        key: "str | os.PathLike[str] | None" = None,
        codec: "Codec | None" = None,
        *,
        types: Iterable[Converter] = (),
    ) -> None:
        # With the App rather than with the first call: a signal handler that calls while the main
        # thread imports would meet half a module. Not with the package: workers need no more.
        import raftwork.client.transport  # noqa: F401

        self.brokers = broker_addresses(brokers)
        self.key = key_in_use(key)
        self.codec = codec_in_use(codec)
        self._timeout = milliseconds("timeout", timeout)
        if self._timeout == 0:
            raise ValueError("timeout must be positive")
        #: How values travel that are not plain.
        self.types = Types(converters(types)) if types else NO_TYPES
        self._by_value = Unknown(self.types)
        self._tasks: dict[str, Task[..., object, object]] = {}
        super().__init__()
        #: The schedules that `schedule` declared.
        self.declarations = Declarations()
        self._closed = False
        self._connection: Connection | None = None
        #: By number, the first of each: a failed one is followed by another.
        self._connections: dict[int, Connection] = {}
        remember(self)

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
        """Make a function a task; bare, or with options (docs/options.md; durations in seconds).

        Its name is module.qualname, in `__main__` with the file's stem as module. A worker runs it
        if importing its MODULE:APP registers a task of this name. So a function without a `name=`
        that no import would bring (typed at a prompt or in a notebook, inside a function, a lambda,
        a method) can be called here, but to enqueue it raises ValueError.

        Raises TypeError and ValueError for invalid options, TypeError for anything but a function,
        and ValueError for a name that another function has.
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
        at: datetime | None = None,
        tenant: str | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Unpack[OptionFields],
    ) -> BoundTask[..., Any]:
        """A task by its name, with what `Task.options` takes; its code need not be here."""
        task = self._tasks.get(name)
        if task is not None:
            return task.options(id=id, key=key, at=at, tenant=tenant, headers=headers, **options)
        return BoundTask(
            self,
            label("name", name, NAME_MAX),
            Options().changed(options),
            once=PerCall.of(id, key, at, tenant, headers),
            signature=self._by_value,
        )

    def enqueue(self, name: str, /, *args: object, **kwargs: object) -> Run[Any]:
        """Enqueue a task by its name; as `Task.enqueue`.

        Where the task is not known here, only its worker can tell whether the arguments fit; if
        not, it fails there, without retries.
        """
        return self.named(name).enqueue(*args, **kwargs)

    async def aenqueue(self, name: str, /, *args: object, **kwargs: object) -> Run[Any]:
        """As `enqueue`, for coroutines."""
        return await self.named(name).aenqueue(*args, **kwargs)

    def enqueue_all(self, calls: Iterable[TaskCall[T]]) -> list[Run[T]]:
        """Enqueue calls of several tasks, made by `Task.call`; handles in their order.

        One round trip for each task and its options: those calls are stored together, or none of
        them. Where it raises, calls of other tasks may be stored; to do it again with the same
        calls is safe, as each has its id. Raises as `Task.enqueue`.
        """
        calls = list(calls)
        return in_order(calls, [part.enqueue() for part in parts(calls)])

    async def aenqueue_all(self, calls: Iterable[TaskCall[T]]) -> list[Run[T]]:
        """As `enqueue_all`, for coroutines."""
        calls = list(calls)
        return in_order(calls, [await part.aenqueue() for part in parts(calls)])

    def run(self, id: str) -> Run[Any]:  # noqa: A002
        """A handle for the task of this id, whether there is one or not."""
        return handles(self, (task_id(id),))[0]

    def cancel(
        self,
        *,
        ids: Iterable[str] | None = None,
        name: str | None = None,
        queue: str | None = None,
        tag: tuple[str, str] | None = None,
        flow: str | None = None,
        all: bool = False,  # noqa: A002
        grace: Duration = GRACE_S,
    ) -> int:
        """End tasks, as `Run.cancel` does; returns how many were ended or asked to end.

        Exactly one scope: `ids`, all of a `name`, a `queue`, a `tag` (its key and value), a `flow`
        (its id), or `all=True`. Meant are those that were enqueued before the call. Of many it
        takes a while; if a failover interrupts it, it goes on, and counts those that it finds then.

        Raises TypeError and ValueError for anything but one scope, UnknownTask if the only id is
        not known, QueueFull while too many such calls are under way, Unavailable, and Unsupported
        from brokers of an older release.
        """
        asked = cancel_all_of(ids, name, queue, tag, all, grace, flow)
        return self.call(asked, TasksCancelled).result().cancelled

    async def acancel(
        self,
        *,
        ids: Iterable[str] | None = None,
        name: str | None = None,
        queue: str | None = None,
        tag: tuple[str, str] | None = None,
        flow: str | None = None,
        all: bool = False,  # noqa: A002
        grace: Duration = GRACE_S,
    ) -> int:
        """As `cancel`, for coroutines."""
        asked = cancel_all_of(ids, name, queue, tag, all, grace, flow)
        return (await self.call(asked, TasksCancelled).aresult()).cancelled

    def runs(self, **wanted: Unpack[SearchFields]) -> Found:
        """The newest tasks that pass all that is given, `limit` (100) of them, without their tags.

        `name` is a glob such as "mail.*", `tag` a key and a value, `since` how long ago a task was
        enqueued at most, `error` a part of its error; `before` is the `number` of a task before
        which to go on. The brokers look at their tasks page by page, and what is found says at how
        many; after `budget` seconds it is what there is by then, and says where to go on.

        Raises Unavailable if no leader answers a page in the App's timeout, TypeError, ValueError.
        """
        found = Found()
        for reply in pages(self, found, **wanted):
            reply.result()
        return found

    async def aruns(self, **wanted: Unpack[SearchFields]) -> Found:
        """As `runs`, for coroutines."""
        found = Found()
        for reply in pages(self, found, **wanted):
            await reply.aresult()
        return found

    def events(
        self, after: str | None = None, *, follow: bool = False, **wanted: Unpack[EventFields]
    ) -> Events:
        """What happened, to be read with `for` or `async for` (docs/howto-follow-events.md).

        It begins behind the event with the cursor `after`, with the oldest that is kept, or with
        what happens from now on ("now"), and ends with the newest, or never (`follow`). Raises
        TypeError, ValueError.
        """
        return Events(self, after, follow=follow, **wanted)

    def tail(self, id_: str, /, *, follow: bool = True) -> Tail:
        """As `Run.tail`, of the task of this id."""
        return self.run(id_).tail(follow=follow)

    # ---- schedules ----------------------------------------------------------------------------

    def schedule(
        self,
        id: str,  # noqa: A002
        /,
        **fields: Unpack[ScheduleFields],
    ) -> Callable[[B], B]:
        """Declare a schedule of a task: put it above `@app.task` (docs/howto-schedules.md).

        A worker that starts creates it if it is missing, and `raftwork schedule apply` makes the
        cluster like the code. Raises TypeError and ValueError for what cannot be meant.
        """
        return self.declarations.declare(id, fields)

    @property
    def schedules(self) -> Schedules:
        """The cluster's schedules: create, look at, change, pause, trigger, delete."""
        return Schedules(self, self.named, self.types)

    # ---- workers ------------------------------------------------------------------------------

    def drain(self, name: str, /) -> None:
        """Let the worker of this name (all of them, if it repeats) take nothing new and leave.

        It hands back what it has not begun, finishes what runs and ends with status 0. Returns once
        it says that it does so, which no failover undoes. Raises UnknownWorker.
        """
        self._drain(name).result()

    async def adrain(self, name: str, /) -> None:
        """As `drain`, for coroutines."""
        await self._drain(name).aresult()

    def _drain(self, name: str) -> Reply[WorkerDraining]:
        return self.call(DrainWorker(0, label("name", name, NAME_MAX)), WorkerDraining)

    # ---- flows --------------------------------------------------------------------------------

    def flow(self, id: str | None = None, *, siblings: str = "finish") -> Flow:  # noqa: A002
        """A flow of this id: to add tasks to in a `with` block, or a handle for one that is there.

        With `siblings="cancel"` all of its tasks are cancelled once one has failed. Raises
        ValueError and TypeError.
        """
        return Flow(self, id, siblings=siblings)

    def signal(self, flow: Flow | str, name: str, value: object = None, /) -> bool:
        """Say something to a flow (`Flow.wait`), once; False if it was said before."""
        return bool(say(self, flow, name, value).result().said)

    async def asignal(self, flow: Flow | str, name: str, value: object = None, /) -> bool:
        """As `signal`, for coroutines."""
        return bool((await say(self, flow, name, value).aresult()).said)

    # ---- queues -------------------------------------------------------------------------------

    def queue(self, name: str, /) -> Queue:
        """The queue of this name, whether it was ever used or not: its limits and balancer."""
        return Queue(self, name)

    @property
    def limits(self) -> Limits:
        """The limits: how many tasks that name one may run at once, or in a time."""
        return Limits(self)

    # ---- dead tasks ---------------------------------------------------------------------------

    def dead(self, queue: str | None = None) -> DeadTasks:
        """The tasks (of one queue) that failed after all retries or were lost: list, show, retry.

        They are kept as long as their results, and of all of them the newest 10,000 and 64 MiB.
        """
        return DeadTasks(self, queue)

    # ---- the cluster --------------------------------------------------------------------------

    @property
    def cluster(self) -> Cluster:
        """The cluster: what is set for all of it."""
        return Cluster(self)

    def call(
        self,
        request: "Request",
        reply: type[R],
        *,
        ids: tuple[str, ...] = (),
        wait_when_full: bool = False,
        slot: Slot | None = None,
    ) -> Reply[R]:
        """Send the leader a request: see `Caller.call`."""
        if self.codec is not None:
            request = sealed(self.codec, request)
        try:
            return self._connect().call(
                request,
                reply,
                self._timeout,
                ids=ids,
                wait_when_full=wait_when_full,
                slot=slot,
            )
        except Unavailable as error:
            error.ids = ids
            raise

    def track(self, ids: Sequence[str], make: Callable[[str], S]) -> list[S]:
        """A handle for each id: see `Caller.track`."""
        return self._connect().track(ids, make)

    def wait_for(self, slot: Slot) -> Reply[Result]:
        """The outcome of a handle's task: see `Caller.wait_for`."""
        return self._connect().wait_for(slot)

    @property
    def patience(self) -> float:
        """How long enqueueing and asking may take, in seconds."""
        return self._timeout / 1000

    def connect(self) -> None:
        """Connect now rather than with the first call. Does not wait for a broker."""
        self._connect().start()

    @property
    def connected(self) -> bool:
        """Whether a call has made the connection."""
        return self._connection is not None

    def close(self) -> None:
        """End the connection; calls that are out get Unavailable, later ones AppClosed."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        import asyncio

        await asyncio.to_thread(self.close)  # it waits for the connection's thread

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return revive, (self.brokers, self._timeout, "" if self.key is None else self.key.file)

    def __repr__(self) -> str:
        return f"<App {','.join(self.brokers)}>"

    # ---- inside -------------------------------------------------------------------------------

    def _is(self, brokers: tuple[str, ...], timeout: int, key: str) -> bool:
        mine = (self.brokers, self._timeout, "" if self.key is None else self.key.file)
        return mine == (brokers, timeout, key) and not self._closed

    def _register(
        self, function: Callable[..., object], name: str | None, options: Options
    ) -> Task[..., object, object]:
        if isinstance(function, Task):  # of another App
            function = function.function
        if not callable(function):
            raise TypeError(f"a task must be a function, got {type(function).__name__}")
        chosen = default_name(function) if name is None else name
        label("name", chosen, NAME_MAX)
        why_not = whereabouts(function) if name is None else None
        old = self._tasks.get(chosen)
        # The same definition run again (a reloaded module, a notebook's cell) replaces itself.
        if old is not None and not same_place(old.function, function):
            raise ValueError(f"the name {chosen} belongs to another task")
        refused = None if why_not is None else refusing(why_not)
        task = Task[..., object, object](self, chosen, function, options, refused)
        self._tasks[chosen] = task
        return task

    def _connect(self) -> "Connection":
        connection = self._connection
        if connection is not None and connection.failure is None:
            return connection
        if self._closed:
            raise AppClosed("this App is closed")
        # Imported here because a worker imports programs but opens no client's sockets.
        try:
            from raftwork.client.transport import Connection
        except (OSError, ImportError) as error:  # no file can be opened, be it a module's
            raise Unavailable(f"cannot open a connection: {error}") from error

        # Two calls may get here, one of them in a handler that interrupts the other: the first one
        # stays (setdefault is atomic), and what was not started costs nothing.
        number = 0 if connection is None else connection.number + 1
        new = Connection(self.brokers, self, number, key=self.key)
        made = self._connections.setdefault(number, new)
        self._connection = made
        self._connections.pop(number - 2, None)
        if self.__dict__["_closed"]:  # meanwhile
            made.close()
        return made

    def start_afresh(self) -> None:
        """Have no connection yet: in a forked child, that of the parent is not to be touched."""
        self._connection = None
        self._connections.clear()
