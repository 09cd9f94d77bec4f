"""Calls of tasks that are enqueued later, several at once: `task.call(…)` and `app.enqueue_all`."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from raftwork.client.batch import Batch
from raftwork.errors import PayloadTooLarge
from raftwork.messages import BATCH_BYTES_MAX, BATCH_TASKS_MAX
from raftwork.wire import pack_array

if TYPE_CHECKING:
    from raftwork.client.run import Run
    from raftwork.client.task import BoundTask

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class TaskCall(Generic[T_co]):
    """One call of a task, its arguments checked and packed. Made by `Task.call`."""

    def __init__(self, task: "BoundTask[..., T_co]", batch: Batch) -> None:
        self._task = task
        self._batch = batch

    @property
    def id(self) -> str:
        """The id that the task will have."""
        return self._batch.ids[0]

    def __repr__(self) -> str:
        return f"<TaskCall {self.id} of {self._task!r}>"

    @property
    def task(self) -> "BoundTask[..., T_co]":
        """The task, with the options of the call."""
        return self._task

    @property
    def packed(self) -> bytes:
        """The task as it stands in a batch."""
        return self._batch.tasks[1:]  # without the head of an array of one


class Part(NamedTuple):
    """The calls of one task with the same options."""

    task: "BoundTask[..., Any]"
    batch: Batch

    def enqueue(self) -> "list[Run[Any]]":
        """Store them, all or none."""
        return self.task.enqueue_batch(self.batch)

    async def aenqueue(self) -> "list[Run[Any]]":
        """As `enqueue`, for coroutines."""
        return await self.task.aenqueue_batch(self.batch)


def parts(calls: Sequence[TaskCall[Any]]) -> list[Part]:
    """The calls by their tasks. Raises TypeError, ValueError, PayloadTooLarge."""
    groups: dict[object, list[TaskCall[Any]]] = {}
    seen: set[str] = set()
    for at, call in enumerate(calls):
        if not isinstance(call, TaskCall):
            raise TypeError(f"calls[{at}] must be made by task.call(…), got {type(call).__name__}")
        if call.id in seen:
            raise ValueError(f"calls[{at}] has the id {call.id} of another one")
        seen.add(call.id)
        groups.setdefault((call.task.name, call.task.chosen), []).append(call)
    return [_part(group) for group in groups.values()]


def _part(calls: list[TaskCall[Any]]) -> Part:
    if len(calls) > BATCH_TASKS_MAX:
        raise PayloadTooLarge(f"a batch of {len(calls)} tasks, more than {BATCH_TASKS_MAX}")
    tasks = pack_array([call.packed for call in calls])
    if len(tasks) > BATCH_BYTES_MAX:
        raise PayloadTooLarge(f"a batch of {len(tasks)} bytes, more than {BATCH_BYTES_MAX}")
    return Part(calls[0].task, Batch(tuple(call.id for call in calls), tasks))


def in_order(calls: Sequence[TaskCall[T]], runs: "Iterable[list[Run[Any]]]") -> "list[Run[T]]":
    """The handles of all parts, in the order of the calls."""
    groups: dict[object, list[int]] = {}
    for at, call in enumerate(calls):
        groups.setdefault((call.task.name, call.task.chosen), []).append(at)
    found: dict[int, Run[Any]] = {}
    for places, made in zip(groups.values(), runs, strict=True):
        found.update(zip(places, made, strict=True))
    return [cast("Run[T]", found[at]) for at in range(len(calls))]
