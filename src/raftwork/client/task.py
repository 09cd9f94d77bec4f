"""Tasks: functions that can be enqueued, with their options."""

import functools
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, Self, TypeVar, Unpack, overload

from raftwork.client.batch import Batch, many_calls, one_call
from raftwork.client.canvas import Broadcast, Group, Signature, mapped, sharded
from raftwork.client.graph_builder import Call
from raftwork.client.ids import new_ids
from raftwork.client.options import OptionFields, Options
from raftwork.client.per_call import ORDINARY, PerCall
from raftwork.client.run import Run, handles
from raftwork.client.sending import besides_of, followed
from raftwork.client.task_call import TaskCall
from raftwork.client.uniqueness import check_conflicts, key_of
from raftwork.conversion import Annotations, Arguments, Types, Unknown
from raftwork.errors import NotSerializable
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.flow_graph import Node
from raftwork.features.unique import EnqueuedUnique, EnqueueUnique
from raftwork.instruments import installed
from raftwork.messages import Extras
from raftwork.serialization import call_packer, pack_call
from raftwork.signatures import Binder, binder, positional

if TYPE_CHECKING:
    from raftwork.client.caller import Caller
    from raftwork.client.reply import Reply

    class Registry(Caller, Protocol):
        """What a task needs of the App it belongs to."""

        @property
        def tasks(self) -> "Mapping[str, Task[..., object, object]]":
            """The registered tasks by name."""
            ...

        @property
        def types(self) -> Types:
            """How values travel that are not plain."""
            ...


P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class BoundTask(Generic[P, T]):
    """A task's name with options, ready to be enqueued. Made by `App.named`.

    Every Task is one, also what `Task.options` and `App.named` return for a known task: replacing
    `BoundTask.enqueue` in a test replaces it for all, `Task.enqueue` for known ones only.
    """

    def __init__(
        self,
        app: "Registry",
        name: str,
        options: Options,
        *,
        parameters: Sequence[str] = (),
        binder: Binder | None = None,
        once: PerCall = ORDINARY,
        signature: Unknown | None = None,
    ) -> None:
        self._app = app
        self._name = name
        self.chosen = options
        #: Names of the positional parameters, as far as known: for the texts of errors.
        self.parameters = parameters
        self._binder = binder
        self._once = once
        #: How its arguments and its value travel.
        self.signature = signature or Unknown(app.types)
        self._common: tuple[bytes, Extras] | None = None  # see `_in_common`

    @property
    def name(self) -> str:
        """The name under which workers know the task."""
        return self._name

    def identified(self, id: str) -> Self:  # noqa: A002
        """The same task under the same options, for one call with this id.

        Raises ValueError if its options have an id.
        """
        if self._once.id is not None:
            raise ValueError(f"this task has an id already, {self._once.id!r}: leave it out")
        return self._changed(self.chosen, self._once._replace(id=id))

    def _changed(self, chosen: Options, once: PerCall) -> Self:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__, chosen=chosen, _once=once, _common=None)
        return made

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Run[T]:
        """Enqueue one call; returns once a majority of the brokers has it on disk.

        Where there is no room it raises QueueFull at once or, with `when_full="wait"`, if there is
        none within the App's timeout. Where its unique key is taken `on_conflict` says what it
        does, and `existing` of the handle that it is of the task that was there. Before anything is
        sent it raises TypeError for arguments that the function does not take, NotSerializable and
        PayloadTooLarge; then AlreadyEnqueued, ProtocolError (the id is used, with other contents)
        and Unavailable.
        """
        if not installed:
            return self._enqueue(self._call(args, kwargs))[0]
        with followed(self._name, self.chosen.queue) as noted:
            return self._enqueue(noted(self._call(args, kwargs)))[0]

    async def aenqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Run[T]:
        """As `enqueue`, for coroutines."""
        if not installed:
            return (await self._aenqueue(self._call(args, kwargs)))[0]
        with followed(self._name, self.chosen.queue) as noted:
            return (await self._aenqueue(noted(self._call(args, kwargs))))[0]

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> Run[T]:
        """The same as `enqueue`, by the name that Celery gives it."""
        return self.enqueue(*args, **kwargs)

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskCall[T]:
        """A call for `App.enqueue_all`, which has its id from now on. Raises as `enqueue`."""
        return TaskCall(self, self._call(args, kwargs))

    def enqueue_batch(self, batch: Batch) -> list[Run[T]]:
        """Enqueue calls of it that are packed already."""
        with followed(self._name, self.chosen.queue, many=True) as noted:
            return self._enqueue(noted(batch))

    async def aenqueue_batch(self, batch: Batch) -> list[Run[T]]:
        """As `enqueue_batch`, for coroutines."""
        with followed(self._name, self.chosen.queue, many=True) as noted:
            return await self._aenqueue(noted(batch))

    def enqueue_many(
        self,
        calls: Iterable[Sequence[object]],
        *,
        ids: Sequence[str] | None = None,
        keys: Sequence[str] | None = None,
    ) -> list[Run[T]]:
        """Enqueue many calls in one round trip, all or none; handles in the order of the calls.

        Each call is a tuple of positional arguments; `keys` has one for each. Raises as `enqueue`;
        an error about one call names its index.
        """
        with followed(self._name, self.chosen.queue, many=True) as noted:
            batch = noted(self._batch(calls, ids, keys))
            return self._enqueue(batch) if batch.ids else []

    async def aenqueue_many(
        self,
        calls: Iterable[Sequence[object]],
        *,
        ids: Sequence[str] | None = None,
        keys: Sequence[str] | None = None,
    ) -> list[Run[T]]:
        """As `enqueue_many`, for coroutines."""
        with followed(self._name, self.chosen.queue, many=True) as noted:
            batch = noted(self._batch(calls, ids, keys))
            return await self._aenqueue(batch) if batch.ids else []

    def s(self, /, *args: object, **kwargs: object) -> Signature:
        """A call for a chain, a group or a chord: it takes the former value first, if any."""
        return Signature(self, args, kwargs, immutable=False)

    def si(self, /, *args: object, **kwargs: object) -> Signature:
        """A call for a chain, a group or a chord: with these arguments, whatever came before."""
        return Signature(self, args, kwargs, immutable=True)

    def map(self, items: Iterable[object], *, chunk: int = 1) -> Group:
        """A group of one call for each item. With `chunk` one task takes so many, in order."""
        return mapped(self, items, chunk, star=False)

    def starmap(self, items: Iterable[Sequence[object]], *, chunk: int = 1) -> Group:
        """As `map`, of calls whose arguments each item has."""
        return mapped(self, items, chunk, star=True)

    def chunks(self, items: Iterable[Sequence[object]], size: int) -> Group:
        """As `starmap` with chunks of this size."""
        return mapped(self, items, size, star=True)

    def shards(self, count: int, /, *args: object, **kwargs: object) -> Group:
        """A group of so many calls that are alike: `current().shard` is (index, count) in each.

        Which is which never changes, whichever workers there are: a shard whose worker is lost is
        done by another one.
        """
        return sharded(self, count, args, kwargs)

    def broadcast(self, /, *args: object, **kwargs: object) -> Broadcast:
        """A call on each worker that is active and serves its queue, when it is enqueued.

        Each is for one worker, by its name, and runs nowhere else: one whose worker goes before it
        has ended is cancelled (`worker gone`), unless that is back in time. `current().shard` is
        (index, count) in each. Its value is the list of theirs, in the order of the workers' names;
        of no worker the empty list. It stands in chains and groups as a group does.
        """
        return Broadcast(self, args, kwargs)

    def as_node(self) -> Call:
        """What a graph has to know of it. Raises ValueError for options that no node may have."""
        once, chosen = self._once, self.chosen
        if chosen.unique:
            raise ValueError(
                f"{self._name} has a unique key: a task of a flow cannot be another one's"
            )
        spec, extras = self._in_common
        return Call(
            self._app,
            self._name,
            spec,
            chosen.result_ttl,
            once.id,
            once.key,
            extras,
            self.parameters,
            self._binder,
            self.signature,
            once.besides,
        )

    def as_child(self, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[bytes, Node]:
        """One call as `current().spawn` sends it: a packed Spec, and a node with an id.

        Raises as `as_node`; TypeError, NotSerializable, PayloadTooLarge for the arguments.
        """
        call = self.as_node()
        id_ = call.id or new_ids(1)[0]
        return call.spec, Node(1, self.packed(args, kwargs), [], id_, call.key, call.extras)

    def check_arguments(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        """Raise TypeError for arguments that the function does not take, as far as it is known."""
        if self._binder is not None:
            self._binder(*args, **kwargs)

    def extras(self, payload: bytes) -> Extras:
        """What goes with a task of these packed arguments besides. Raises ValueError."""
        _, extras = self._in_common
        return extras._replace(unique=key_of(payload)) if self.chosen.unique is True else extras

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> "str | tuple[object, ...]":
        parts = (self._name, self.chosen, tuple(self.parameters), self._once)
        return _by_name, (self._app, *parts)

    def __repr__(self) -> str:
        options = [f"{name}={value!r}" for name, value in self.chosen.given().items()]
        given = [f"{what}={v!r}" for what, v in self._once._asdict().items() if v]
        return f"<{type(self).__name__} {' '.join([self._name, *options, *given])}>"

    @property
    def _in_common(self) -> tuple[bytes, Extras]:
        """The packed Spec and the extras of all its calls. Raises ValueError."""
        if self._common is None:
            self._common = self.chosen.spec(self._name), self._once.extras(self.chosen)
        return self._common

    def packed(self, args: Sequence[object], kwargs: Mapping[str, object]) -> bytes:
        """One call as it travels. Raises TypeError, NotSerializable, PayloadTooLarge."""
        if self._binder is not None:
            self._binder(*args, **kwargs)
        if not self.signature.plain:
            args, kwargs = self.signature.out(args, kwargs)
        names, besides = self.parameters, besides_of(self._once, self._app.codec, self._once.id)
        try:
            return pack_call(call_packer(), self._name, args, kwargs, names, besides)
        except NotSerializable as error:
            args, kwargs = self.signature.rescue(error, args, kwargs)
        return pack_call(call_packer(), self._name, args, kwargs, names, besides)

    def _call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Batch:
        payload, once = self.packed(args, kwargs), self._once
        extras, whole = self._in_common[1], self.chosen.unique is True
        return one_call(payload, once.id, once.key, extras, by_arguments=whole)

    def _batch(
        self,
        calls: Iterable[Sequence[object]],
        ids: Sequence[str] | None,
        keys: Sequence[str] | None,
    ) -> Batch:
        if self._once.id is not None:
            raise TypeError("many tasks cannot share one id: pass ids=[…]")
        made = list(calls)
        if not self.signature.plain:
            made = self._each(made, self.signature.out)
        once = self._once
        if keys is None and once.key:
            keys = [once.key] * len(made)
        rest = (
            ids,
            self.parameters,
            keys,
            self._binder,
            self._in_common[1],
            besides_of(once, self._app.codec, ids),
        )
        whole = self.chosen.unique is True
        try:
            return many_calls(self._name, made, *rest, by_arguments=whole)
        except NotSerializable:
            made = self._each(made, self._rescued)
        return many_calls(self._name, made, *rest, by_arguments=whole)

    def _each(
        self,
        calls: Sequence[Sequence[object]],
        convert: "Callable[[Sequence[object], Mapping[str, object]], Arguments]",
    ) -> list[Sequence[object]]:
        """The calls with their arguments converted; those that are none are refused later."""
        made = list(calls)
        for at, call in enumerate(made):
            if type(call) is tuple or type(call) is list:
                try:
                    made[at] = tuple(convert(call, {})[0])
                except NotSerializable as error:
                    raise NotSerializable(f"calls[{at}]: {error}") from None
        return made

    def _rescued(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        """Arguments that the wire takes, of any; as `Unknown.rescue`."""
        try:
            pack_call(call_packer(), self._name, args, kwargs, self.parameters)
        except NotSerializable as error:
            return self.signature.rescue(error, args, kwargs)
        return args, kwargs

    def _enqueue(self, batch: Batch) -> list[Run[T]]:
        if self.chosen.unique:
            return self._unique(batch, self._submit_unique(batch).result())
        run = self._handle(batch)
        self._submit(batch, run).result()
        return self._tracked(batch, run)

    async def _aenqueue(self, batch: Batch) -> list[Run[T]]:
        if self.chosen.unique:
            return self._unique(batch, await self._submit_unique(batch).aresult())
        run = self._handle(batch)
        await self._submit(batch, run).aresult()
        return self._tracked(batch, run)

    def _unique(self, batch: Batch, answer: EnqueuedUnique) -> list[Run[T]]:
        """The handles: of tasks that were there where those are what the call's tasks are."""
        if self.chosen.on_conflict == "raise":
            check_conflicts(answer.existing)
        others = dict(answer.existing)
        ids = [others.get(at, id_) for at, id_ in enumerate(batch.ids)]
        runs = handles(self._app, ids, self.signature.reads)
        for at in others:
            runs[at].existing = True
        return runs

    def _submit_unique(self, batch: Batch) -> "Reply[EnqueuedUnique]":
        request = EnqueueUnique(0, 0, self._in_common[0], batch.tasks)
        wait_when_full = self.chosen.when_full == "wait"
        return self._app.call(request, EnqueuedUnique, ids=batch.ids, wait_when_full=wait_when_full)

    def _handle(self, batch: Batch) -> Run[T] | None:
        """Of one task it is made before the enqueue, which may bring a watch of its outcome."""
        if len(batch.ids) != 1:
            return None
        return Run(batch.ids[0], self._app, self.signature.reads)

    def _tracked(self, batch: Batch, run: Run[T] | None) -> list[Run[T]]:
        if run is None:
            return handles(self._app, batch.ids, self.signature.reads)
        if run.watched_by is None and run.outcome is None:
            self._app.track(batch.ids, lambda _: run)
        return [run]

    def _submit(self, batch: Batch, run: Run[T] | None) -> "Reply[Enqueued]":
        request = Enqueue(0, 0, self._in_common[0], batch.tasks)
        waits = self.chosen.when_full == "wait"
        return self._app.call(request, Enqueued, ids=batch.ids, wait_when_full=waits, slot=run)


class Task(BoundTask[P, T], Generic[P, T, R]):
    """A function of an App: call it to run it here, enqueue it to have a worker run it.

    Pickled it goes as functions do, by its module and name, if it is found there; else by its App
    and its name, and becomes a BoundTask where the App does not know it.
    """

    __name__: str
    __qualname__: str

    def __init__(
        self,
        app: "Registry",
        name: str,
        function: Callable[P, R],
        options: Options,
        refused: Binder | None = None,
    ) -> None:
        parameters, binds = positional(function), refused or binder(function)
        signature = Annotations(name, function, app.types)
        super().__init__(
            app, name, options, parameters=parameters, binder=binds, signature=signature
        )
        #: The function itself.
        self.function = function
        functools.update_wrapper(self, function, updated=())
        # Its attributes, too, but for those by which a task would be another one.
        for attribute, value in getattr(function, "__dict__", {}).items():
            if not hasattr(Task, attribute):
                self.__dict__.setdefault(attribute, value)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here, now; an async one returns its coroutine."""
        return self.function(*args, **kwargs)

    def options(
        self,
        *,
        id: str | None = None,  # noqa: A002
        key: str | None = None,
        at: datetime | None = None,
        tenant: str | None = None,
        headers: "Mapping[str, str] | None" = None,
        **given: Unpack[OptionFields],
    ) -> "Task[P, T, R]":
        """The same task under other options, for calls made through it.

        `id` is the task's id. Tasks of equal `key` run on the same worker where their queue's
        balancer is consistent_hash. `at` is an aware datetime before which it is not handed out;
        one that is past is now. `tenant` is on whose behalf it runs. `headers` go with the task, up
        to 8 KiB, and its code finds them in `current().headers`. Raises TypeError, ValueError and
        PayloadTooLarge.
        """
        return self._changed(self.chosen.changed(given), PerCall.of(id, key, at, tenant, headers))

    def __reduce__(self) -> "str | tuple[object, ...]":
        if _found(self) is self:
            return self.__qualname__
        registered = self._app.tasks.get(self._name)
        if registered is not self and _found(registered) is registered:
            return _again, (registered, self.chosen, self._once)
        return super().__reduce__()


def _by_name(
    app: "Registry",
    name: str,
    chosen: Options,
    parameters: Sequence[str],
    once: PerCall,
) -> BoundTask[..., object]:
    """Unpickle a BoundTask."""
    task = app.tasks.get(name)
    if task is not None:
        return _again(task, chosen, once)
    return BoundTask(app, name, chosen, parameters=parameters, once=once)


def _again(
    task: Task[..., object, object],
    chosen: Options,
    once: PerCall,
) -> Task[..., object, object]:
    """Unpickle a Task with other options."""
    if (chosen, once) == (task.chosen, ORDINARY):
        return task
    return task._changed(chosen, once)  # noqa: SLF001


def _found(task: object) -> object:
    """The object where pickle would look for the task."""
    found: object = sys.modules.get(getattr(task, "__module__", ""))
    for part in getattr(task, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found


class TaskDecorator(Protocol):
    """What `app.task(…)` returns: makes a Task of a function, sync or async."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> Task[P, T, Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Task[P, T, T]: ...
