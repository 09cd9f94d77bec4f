"""A handle for one task in the cluster."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from raftwork.client.cancelling import GRACE_S, cancel_run
from raftwork.client.live_log import Tail
from raftwork.client.options import Duration, seconds
from raftwork.client.per_call import instant
from raftwork.client.reply import Reply
from raftwork.client.result_registry import Slot
from raftwork.client.run_info import Progress, Report, RunInfo, info, progress, report
from raftwork.client.sealed_requests import value
from raftwork.client.status import Status
from raftwork.errors import TaskCancelled, TaskFailed, TaskLost, UnknownTask
from raftwork.features.cancel import TasksCancelled
from raftwork.features.inspect_tasks import ShowTask, TaskShown
from raftwork.features.progress import AskProgress, ProgressTold
from raftwork.features.reschedule import Reschedule, Rescheduled
from raftwork.features.results import Answer, Ask
from raftwork.messages import Result, State, decode_failure
from raftwork.messages.flow_values import unpack_value
from raftwork.sealed_failures import open_failure
from raftwork.sealing import marks_of
from raftwork.wait_observer import Awaited, Observed, observed

if TYPE_CHECKING:
    from raftwork.client.caller import Caller
    from raftwork.conversion import Convert

T_co = TypeVar("T_co", covariant=True)

_NOT_YET = object()


class Run(Slot, Generic[T_co]):
    """One task in the cluster. Equal to any other handle of the same id.

    Pickled it goes by its id and its App's addresses; a copy is the handle itself.
    """

    __slots__ = ("_app", "_reads", "_value", "existing", "of_flow")

    def __init__(
        self,
        id: str,  # noqa: A002
        app: "Caller",
        reads: "Convert | None" = None,
    ) -> None:
        """`reads` makes the task's value of its plain form, if that is not the value."""
        super().__init__(id)
        self._app = app
        self._reads = reads
        self._value: object = _NOT_YET
        #: Whether the enqueue that returned it found this task there, by its unique key.
        self.existing = False
        #: Whether it is the handle of a flow.
        self.of_flow = False

    def result(self, timeout: Duration | None = None) -> T_co:
        """The task's value, once it has one; waits `timeout` seconds, or for ever.

        The wait goes on through failovers; with 0 the cluster is asked once. The value is unpacked
        once: every call returns the same object. Where the enqueue knew the function, what it
        returns is as its annotation says; a handle made of an id gives the plain form.

        Raises TaskFailed, TaskLost, TaskCancelled, UnknownTask, NotSerializable for a value that is
        not as annotated, and the built-in TimeoutError; in a task WouldDeadlock, if that task
        cannot end while it waits.
        """
        limit = _limit(timeout)
        return self._read(self.outcome or self._wait(limit))

    async def aresult(self, timeout: Duration | None = None) -> T_co:  # noqa: ASYNC109
        """As `result`, for coroutines."""
        limit = _limit(timeout)
        return self._read(self.outcome or await self._await(limit))

    def status(self) -> Status:
        """The task's state now. Raises UnknownTask, and Unavailable without a leader.

        A final state stays known for at least an hour longer than the result.
        """
        if self.outcome is not None:
            return _status(self.outcome)
        return _status(_only(self._ask().result()))

    async def astatus(self) -> Status:
        """As `status`, for coroutines."""
        if self.outcome is not None:
            return _status(self.outcome)
        return _status(_only(await self._ask().aresult()))

    def cancel(self, grace: Duration = GRACE_S) -> bool:
        """End the task; returns whether this call ended it, or asked its code to end.

        A task that has not begun is cancelled at once. Code that runs is asked to end: a coroutine
        is cancelled, other code finds it by `current().cancelled` or `check()`. If it returns, its
        value stands all the same; if it raises, or has not ended after `grace` seconds, the task is
        cancelled, and what runs of it in a process is killed. It is not handed out again, and
        `result` raises TaskCancelled. False: it had its outcome already. A call that a failover
        interrupts may say False of what it did before.

        Raises UnknownTask, Unavailable, and Unsupported from brokers of an older release.
        """
        return self._cancel(grace).result().cancelled > 0

    async def acancel(self, grace: Duration = GRACE_S) -> bool:
        """As `cancel`, for coroutines."""
        return (await self._cancel(grace).aresult()).cancelled > 0

    def reschedule(self, *, at: datetime) -> bool:
        """Have it handed out at another time, an aware datetime; one that is past is now.

        False if it has begun or ended already, or waits for its turn in the order of a key: then
        nothing changes. What `expires` and `deadline` say stays. Raises TypeError, ValueError,
        UnknownTask and Unavailable.
        """
        return bool(self._reschedule(at).result().moved)

    async def areschedule(self, *, at: datetime) -> bool:
        """As `reschedule`, for coroutines."""
        return bool((await self._reschedule(at).aresult()).moved)

    def progress(self) -> Progress | None:
        """How far the task is by its own word, up to a second old.

        None unless it runs and has called `current().progress`. Raises UnknownTask, and Unavailable
        without a leader.
        """
        return progress(self._ask_progress().result())

    async def aprogress(self) -> Progress | None:
        """As `progress`, for coroutines."""
        return progress(await self._ask_progress().aresult())

    def tail(self, *, follow: bool = True) -> Tail:
        """What it logs, line by line as it comes, until it ends: for `for` or `async for`.

        Each is a LiveEvent: of a line, of its progress, of an attempt that started, of the end. The
        newest 200 lines of the attempt that runs come first; what is printed is among them with
        `raftwork worker --capture-output`. With `follow` False it ends with what there is now. The
        last lines of a task that has failed are in `report().log`.
        """
        return Tail(self._app, self.id, follow=follow)

    def info(self) -> RunInfo:
        """Everything that is known of the task, and why it waits if it does.

        Raises UnknownTask, and Unavailable without a leader.
        """
        return info(self._show().result())

    async def ainfo(self) -> RunInfo:
        """As `info`, for coroutines."""
        return info(await self._show().aresult())

    def report(self) -> Report:
        """As `info`, with its arguments, or what it came to: up to a mebibyte."""
        return report(self._show(body=True).result(), self._app.codec)

    async def areport(self) -> Report:
        """As `report`, for coroutines."""
        return report(await self._show(body=True).aresult())

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Run) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        state = f" {_status(self.outcome)}" if self.outcome else ""
        return f"<Run {self.id}{state}>"

    def __copy__(self) -> "Run[T_co]":
        return self

    def __deepcopy__(self, memo: object) -> "Run[T_co]":
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return _run, (self._app, self.id)

    def _wait(self, limit: float | None) -> Result:
        if limit == 0:
            limit = self._arrival(_only(self._ask().result()))
        waiter = self._app.wait_for(self)
        with self._observed(waiter, limit), self._waiting(waiter, limit):
            return _settled(waiter.result(limit))

    async def _await(self, limit: float | None) -> Result:
        if limit == 0:
            limit = self._arrival(_only(await self._ask().aresult()))
        waiter = self._app.wait_for(self)
        async with self._observed(waiter, limit):
            with self._waiting(waiter, limit):
                return _settled(await waiter.aresult(limit))

    def _observed(self, waiter: Reply[Result], limit: float | None) -> Observed:
        fail = partial(self._fail, waiter)
        return observed(Awaited(self._app.brokers, self.id, limit is None, fail))

    def _fail(self, waiter: Reply[Result], error: Exception) -> None:
        if self.give_up(waiter):
            waiter.fail(error)

    @contextmanager
    def _waiting(self, waiter: Reply[Result], limit: float | None) -> Iterator[None]:
        """Errors that end the wait name the task."""
        try:
            yield
        except TimeoutError:
            raise TimeoutError(f"no outcome of task {self.id} within {limit} s") from None
        except KeyboardInterrupt as error:
            error.add_note(f"This wait was for the outcome of task {self.id}, which goes on.")
            raise
        finally:
            self.give_up(waiter)

    def _cancel(self, grace: Duration) -> Reply[TasksCancelled]:
        return self._app.call(cancel_run(self.id, grace), TasksCancelled, ids=(self.id,))

    def _reschedule(self, at: datetime) -> Reply[Rescheduled]:
        return self._app.call(Reschedule(0, self.id, instant("at", at)), Rescheduled)

    def _ask(self) -> Reply[Answer]:
        return self._app.call(Ask(0, [self.id]), Answer, ids=(self.id,))

    def _ask_progress(self) -> Reply[ProgressTold]:
        return self._app.call(AskProgress(0, self.id), ProgressTold, ids=(self.id,))

    def _show(self, *, body: bool = False) -> Reply[TaskShown]:
        return self._app.call(ShowTask(0, self.id, body), TaskShown, ids=(self.id,))

    def _arrival(self, asked: Result) -> float:
        """How long (s) to wait for an outcome that the leader already has: only its transport."""
        _settled(asked)
        return self._app.patience if asked.state.final else 0.0

    def _read(self, outcome: Result) -> T_co:
        if outcome.forgotten:
            raise UnknownTask(f"task {self.id} ({_status(outcome)}): its result is no longer kept")
        if outcome.state is State.SUCCEEDED:
            if self._value is _NOT_YET:
                data = value(self._app.codec, outcome.data, self.id, flow=self.of_flow)
                plain = unpack_value(data)
                self._value = plain if self._reads is None else self._reads(plain)
            return cast("T_co", self._value)
        failure = open_failure(
            self._app.codec, decode_failure(outcome.data), self.id, marks_of(self.id)
        )
        if outcome.state is State.FAILED:
            words = failure.type, failure.message, failure.traceback
            raise TaskFailed(*words, self.id, failure.log)
        if outcome.state is State.CANCELLED:
            raise TaskCancelled(failure.message, failure.type, self.id)
        raise TaskLost(failure.message, self.id, failure.log)


def handles(app: "Caller", ids: Sequence[str], reads: "Convert | None" = None) -> list[Run[Any]]:
    """A handle of each id; see Run for `reads`."""
    return app.track(ids, lambda task: Run(task, app, reads))


def _run(app: "Caller", task: str) -> Run[object]:
    """Unpickle a handle."""
    return handles(app, (task,))[0]


def _limit(timeout: Duration | None) -> float | None:
    """In seconds."""
    return None if timeout is None else seconds("timeout", timeout, endless="None waits for ever")


def _only(answer: Answer) -> Result:
    assert len(answer.results) == 1, "one id was asked for"
    return answer.results[0]


def _settled(result: Result) -> Result:
    if result.state is State.UNKNOWN:
        raise UnknownTask(f"no task has the id {result.id}, or it is no longer remembered")
    return result


def _status(result: Result) -> Status:
    _settled(result)
    return Status(result.state.name.lower())
