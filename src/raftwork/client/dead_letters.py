"""Dead tasks as a program sees them: those that failed after all retries, and those that were lost.

An outcome never changes. So a retry is another task with the same contents and an id of its own,
and retrying a task twice returns the same one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from raftwork.client.ids import new_ids
from raftwork.client.options import queue_name, task_id
from raftwork.client.reply import Reply
from raftwork.client.run import Run, handles
from raftwork.client.sealed_requests import arguments
from raftwork.client.status import Status
from raftwork.features import dead_letters
from raftwork.features.dead_letters import (
    DEAD_IDS_MAX,
    DEAD_PAGE_MAX,
    DeadDetails,
    DeadPage,
    DeadPurged,
    DeadRetried,
    ListDead,
    PurgeDead,
    RetryDead,
    ShowDead,
)
from raftwork.messages import State, decode_failure
from raftwork.sealed_failures import open_failure
from raftwork.sealing import marks_of
from raftwork.wire import INT_MAX, unpack

if TYPE_CHECKING:
    from raftwork.client.caller import Caller
    from raftwork.sealing import Codec


@dataclass(frozen=True, slots=True)
class DeadTask:
    """A task that ended without a value: its summary."""

    id: str
    name: str
    queue: str
    status: Status  # failed or lost
    ended: datetime  # UTC, by the cluster's clock
    attempts: int
    failures: int  # attempts that raised, or ran over their time limit
    losses: int  # attempts that ended with the worker or the process they ran in
    error: str  # the first 200 characters
    retried_as: str | None  # the id of the task that runs it again
    #: Of all dead tasks, in the order of their ends: where a page begins.
    number: int


class Loss(NamedTuple):
    """A worker, or one of its processes, that a task took down. None: not known."""

    worker: str
    time: datetime
    exit: int | None  # the status with which the process ended
    signal: int | None  # or the signal that ended it; neither: the whole worker vanished
    memory: int | None  # the most that the process had resident, bytes


@dataclass(frozen=True, slots=True)
class DeadReport:
    """Everything that is known of a dead task."""

    task: DeadTask
    type: str
    message: str
    traceback: str
    args: list[Any]
    kwargs: dict[str, Any]
    losses: list[Loss]
    #: The last lines that its last attempt logged.
    log: str = ""


class DeadTasks:
    """The dead tasks of one queue, or of all. Made by `App.dead`.

    Every method raises Unavailable if no leader answers in the App's timeout.
    """

    def __init__(self, app: "Caller", queue: str | None) -> None:
        self._app = app
        self._queue = "" if queue is None else queue_name(queue)

    def list(self, limit: int = 100, *, before: int | None = None) -> list[DeadTask]:
        """Newest first, at most `limit` (1 to 200), older than the task with number `before`."""
        return _page(self._list(limit, before).result())

    async def alist(self, limit: int = 100, *, before: int | None = None) -> Sequence[DeadTask]:
        """As `list`, for coroutines."""
        return _page(await self._list(limit, before).aresult())

    def show(self, id: str) -> DeadReport:  # noqa: A002
        """One task, with its error, arguments and losses. Raises UnknownTask if it is not dead."""
        return _report(self._show(id).result(), self._app.codec)

    async def ashow(self, id: str) -> DeadReport:  # noqa: A002
        """As `show`, for coroutines."""
        return _report(await self._show(id).aresult(), self._app.codec)

    def retry(self, *ids: str) -> Sequence[Run[Any]]:
        """Enqueue these tasks once more, with all their retries; returns handles of the new tasks.

        A task that was retried before is not enqueued again: its handle is that of the earlier
        retry. Raises UnknownTask for an id that is not of a dead task, after those before it were
        enqueued.
        """
        return handles(self._app, [asked.result().id for asked in self._retry(ids)])

    async def aretry(self, *ids: str) -> Sequence[Run[Any]]:
        """As `retry`, for coroutines."""
        made = [(await asked.aresult()).id for asked in self._retry(ids)]
        return handles(self._app, made)

    def purge(self, *ids: str) -> int:
        """Forget these tasks, or without ids all of the queue; returns how many were dead.

        Their outcomes stay known for as long as any; they can no longer be shown or retried.
        """
        return self._purge(ids).result().purged

    async def apurge(self, *ids: str) -> int:
        """As `purge`, for coroutines."""
        return (await self._purge(ids).aresult()).purged

    def __repr__(self) -> str:
        return f"<DeadTasks of {self._queue or 'all queues'}>"

    # ---- requests -----------------------------------------------------------------------------

    def _list(self, limit: int, before: int | None) -> Reply[DeadPage]:
        if not 1 <= limit <= DEAD_PAGE_MAX:
            raise ValueError(f"limit must be between 1 and {DEAD_PAGE_MAX}, got {limit}")
        end = INT_MAX if before is None else before
        return self._app.call(ListDead(0, self._queue, end, limit), DeadPage)

    def _show(self, task: str) -> Reply[DeadDetails]:
        return self._app.call(ShowDead(0, task_id(task)), DeadDetails)

    def _retry(self, ids: Sequence[str]) -> Sequence[Reply[DeadRetried]]:
        checked = [task_id(each) for each in ids]
        made: Sequence[str] = new_ids(len(checked))
        if (codec := self._app.codec) is not None:
            made = [codec.retry_id(*pair) for pair in zip(checked, made, strict=True)]
        pairs = zip(checked, made, strict=True)
        return [self._app.call(RetryDead(0, *pair), DeadRetried) for pair in pairs]

    def _purge(self, ids: Sequence[str]) -> Reply[DeadPurged]:
        if len(ids) > DEAD_IDS_MAX:
            raise ValueError(f"at most {DEAD_IDS_MAX} ids are allowed at a time, got {len(ids)}")
        checked = [task_id(each) for each in ids]
        return self._app.call(PurgeDead(0, checked, self._queue), DeadPurged)


def _page(answer: DeadPage) -> list[DeadTask]:
    return [_task(task) for task in answer.tasks]


def _report(answer: DeadDetails, codec: "Codec | None") -> DeadReport:
    task = answer.task
    payload = arguments(codec, answer.payload, task.id, task.name, task.queue)
    match unpack(payload):
        case [list(args), dict(kwargs), *_]:
            pass
        case _:
            args, kwargs = [], {}  # another kind of client's
    losses = [
        Loss(loss.worker, _time(loss.time), loss.exit, loss.signal, loss.memory)
        for loss in answer.losses
    ]
    failure = open_failure(codec, decode_failure(answer.failure), task.id, marks_of(task.id))
    words = failure.type, failure.message, failure.traceback
    return DeadReport(_task(answer.task), *words, args, kwargs, losses, failure.log)


def _task(task: dead_letters.DeadTask) -> DeadTask:
    return DeadTask(
        id=task.id,
        name=task.name,
        queue=task.queue,
        status=Status.LOST if task.state is State.LOST else Status.FAILED,
        ended=_time(task.ended),
        attempts=task.attempts,
        failures=task.failures,
        losses=task.losses,
        error=task.error,
        retried_as=task.again or None,
        number=task.number,
    )


def _time(leader_time: int) -> datetime:
    return datetime.fromtimestamp(leader_time / 1000, UTC)
