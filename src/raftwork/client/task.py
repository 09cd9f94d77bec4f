"""Tasks: functions that can be enqueued, with the options under which they are."""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar, Unpack

from raftwork.client.batch import Batch, many_calls, one_call
from raftwork.client.options import OptionFields, Options, task_id, task_key
from raftwork.client.run import Run

if TYPE_CHECKING:
    from raftwork.client.app import App
    from raftwork.client.reply import Reply
    from raftwork.messages import Result

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class BoundTask(Generic[P, T]):
    """A task's name with options, ready to be enqueued. Made by `Task.options` and `App.named`."""

    def __init__(
        self,
        app: "App",
        name: str,
        options: Options,
        *,
        parameters: Sequence[str] = (),
        id: str | None = None,  # noqa: A002
        key: str | None = None,
    ) -> None:
        self._app = app
        self._name = name
        self.chosen = options
        #: Names of the positional parameters, as far as known: for the texts of errors.
        self.parameters = parameters
        self._id = id
        self._key = key

    @property
    def name(self) -> str:
        """The name under which workers know the task."""
        return self._name

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Run[T]:
        """Enqueue one call; returns once a majority of the brokers has it on disk.

        Where there is no room it raises QueueFull at once or, with `when_full="wait"`, if there is
        none within the App's timeout. Raises NotSerializable and PayloadTooLarge before anything is
        sent, then ProtocolError (the id is used, with other contents) and Unavailable.
        """
        batch = self._call(args, kwargs)
        return self._enqueue(batch)[0]

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Run[T]:
        """As `enqueue`, for coroutines."""
        batch = self._call(args, kwargs)
        return (await self._aenqueue(batch))[0]

    def enqueue_many(
        self,
        calls: Iterable[Sequence[object]],
        *,
        ids: Sequence[str] | None = None,
        keys: Sequence[str] | None = None,
    ) -> list[Run[T]]:
        """Enqueue many calls in one round trip, all or none; handles in the order of the calls.

        Each call is a tuple of positional arguments; `keys` has one for each. Raises as `enqueue`.
        """
        batch = self._batch(calls, ids, keys)
        return self._enqueue(batch) if batch.ids else []

    async def aenqueue_many(
        self,
        calls: Iterable[Sequence[object]],
        *,
        ids: Sequence[str] | None = None,
        keys: Sequence[str] | None = None,
    ) -> list[Run[T]]:
        """As `enqueue_many`, for coroutines."""
        batch = self._batch(calls, ids, keys)
        return await self._aenqueue(batch) if batch.ids else []

    def _call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Batch:
        return one_call(self._name, args, kwargs, self._id, self.parameters, self._key or "")

    def _batch(
        self,
        calls: Iterable[Sequence[object]],
        ids: Sequence[str] | None,
        keys: Sequence[str] | None,
    ) -> Batch:
        if self._id is not None:
            raise TypeError("many tasks cannot share one id: give ids=[…]")
        made = list(calls)
        if keys is None and self._key is not None:
            keys = [self._key] * len(made)
        return many_calls(self._name, made, ids, self.parameters, keys)

    def _enqueue(self, batch: Batch) -> list[Run[T]]:
        self._submit(batch).result()
        return self._app.handles(batch.ids)

    async def _aenqueue(self, batch: Batch) -> list[Run[T]]:
        await self._submit(batch).aresult()
        return self._app.handles(batch.ids)

    def _submit(self, batch: Batch) -> "Reply[list[Result]]":
        patient = self.chosen.when_full == "wait"
        return self._app.submit(self.chosen.spec(self._name), batch, patient=patient)


class Task(BoundTask[P, T], Generic[P, T, R]):
    """A function of an App: call it to run it here, enqueue it to have a worker run it."""

    __name__: str

    def __init__(self, app: "App", name: str, function: Callable[P, R], options: Options) -> None:
        super().__init__(app, name, options, parameters=_positional(function))
        #: The function itself.
        self.function = function
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here, now; an async one returns its coroutine."""
        return self.function(*args, **kwargs)

    def options(
        self,
        *,
        id: str | None = None,  # noqa: A002
        key: str | None = None,
        **given: Unpack[OptionFields],
    ) -> BoundTask[P, T]:
        """The same task under other options, or with an id or a key, for calls made through it.

        Tasks of equal keys run on the same worker where their queue's balancer is consistent_hash.
        """
        return BoundTask(
            self._app,
            self._name,
            self.chosen.changed(given),
            parameters=self.parameters,
            id=None if id is None else task_id(id),
            key=None if key is None else task_key(key),
        )

    def __repr__(self) -> str:
        return f"<Task {self._name}>"


def _positional(function: Callable[..., object]) -> tuple[str, ...]:
    """The names of the parameters that take positional arguments, where they can be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(parameter.name for parameter in parameters if parameter.kind in kinds)
