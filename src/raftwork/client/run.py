"""A handle for one task in the cluster: what became of it."""

import enum
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from raftwork.client.handles import Slot
from raftwork.client.options import Duration, milliseconds
from raftwork.errors import TaskFailed, TaskLost, UnknownTask
from raftwork.messages import Result, State, decode_failure
from raftwork.wire import unpack

if TYPE_CHECKING:
    from raftwork.client.connection import Connection

T_co = TypeVar("T_co", covariant=True)


class Status(enum.StrEnum):
    """A task's state. One that waits for a retry is queued; one over its time limit, failed."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"


#: The connection of this process, and how long asking may take (ms).
Connect = Callable[[], "Connection"]

_NOT_YET = object()
#: Seconds after which a thread that waits looks up.
_TURN = 1.0


class Run(Slot, Generic[T_co]):
    """One task in the cluster. Equal to any other handle of the same id."""

    __slots__ = ("_connect", "_timeout", "_value")

    def __init__(self, id: str, connect: Connect, timeout: int) -> None:  # noqa: A002
        super().__init__(id)
        self._connect = connect
        self._timeout = timeout
        self._value: object = _NOT_YET

    def result(self, timeout: Duration | None = None) -> T_co:
        """The task's value, once it has one; waits `timeout` seconds, or for ever.

        The wait goes on through failovers; with 0 the cluster is asked once. The value is unpacked
        once: every call returns the same object. Raises TaskFailed, TaskLost, UnknownTask, and the
        built-in TimeoutError.
        """
        if self.outcome is None:
            self._wait(timeout)
        return self._read(cast("Result", self.outcome))

    async def aresult(self, timeout: Duration | None = None) -> T_co:  # noqa: ASYNC109
        """As `result`, for coroutines."""
        if self.outcome is None:
            await self._await(timeout)
        return self._read(cast("Result", self.outcome))

    def status(self) -> Status:
        """The task's state now. Raises UnknownTask, and Unavailable without a leader.

        A final state is told for at least an hour longer than the result is kept.
        """
        if self.outcome is not None:
            return _status(self.outcome)
        return _status(_only(self._ask().result()))

    async def astatus(self) -> Status:
        """As `status`, for coroutines."""
        import asyncio

        if self.outcome is not None:
            return _status(self.outcome)
        return _status(_only(await asyncio.wrap_future(self._ask())))

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Run) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        state = f" {_status(self.outcome)}" if self.outcome else ""
        return f"<Run {self.id}{state}>"

    def _wait(self, timeout: Duration | None) -> None:
        seconds = _seconds(timeout)
        if seconds == 0:
            seconds = self._arrival(_only(self._ask().result()))
        connection = self._connect()
        waiter = connection.wait_for(self)
        try:
            _settled(_result(waiter, seconds))
        except TimeoutError:
            raise TimeoutError(f"no outcome of task {self.id} within {seconds} s") from None
        finally:
            connection.handles.give_up(self, waiter)

    async def _await(self, timeout: Duration | None) -> None:  # noqa: ASYNC109
        import asyncio

        seconds = _seconds(timeout)
        if seconds == 0:
            seconds = self._arrival(_only(await asyncio.wrap_future(self._ask())))
        connection = self._connect()
        waiter = connection.wait_for(self)
        try:
            _settled(await asyncio.wait_for(asyncio.wrap_future(waiter), seconds))
        except TimeoutError:
            raise TimeoutError(f"no outcome of task {self.id} within {seconds} s") from None
        finally:
            connection.handles.give_up(self, waiter)

    def _ask(self) -> "Future[list[Result]]":
        return self._connect().ask([self.id], self._timeout)

    def _arrival(self, asked: Result) -> float:
        """How long (s) to wait for the outcome when asking showed this: only for its way here."""
        _settled(asked)
        return self._timeout / 1000 if asked.state.final else 0.0

    def _read(self, outcome: Result) -> T_co:
        if outcome.forgotten:
            raise UnknownTask(
                f"task {self.id} ({_status(outcome)}): its result was kept for its retention only"
            )
        if outcome.state is State.SUCCEEDED:
            if self._value is _NOT_YET:
                self._value = unpack(outcome.data)
            return cast("T_co", self._value)
        failure = decode_failure(outcome.data)
        if outcome.state is State.FAILED:
            raise TaskFailed(failure.type, failure.message, failure.traceback)
        raise TaskLost(failure.message)


def _result(waiter: "Future[Result]", seconds: float | None) -> Result:
    """What the future holds within `seconds`. Raises TimeoutError.

    Waits in short turns: CPython overlooks a signal that comes when it has just looked for one and
    is about to sleep on a lock, and a single wait without end would swallow that Ctrl-C.
    """
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > _TURN:
        with suppress(TimeoutError):
            return waiter.result(_TURN)
    return waiter.result(max(0.0, left))


def _seconds(timeout: Duration | None) -> float | None:
    return None if timeout is None else milliseconds("timeout", timeout) / 1000


def _only(results: list[Result]) -> Result:
    assert len(results) == 1, "one id was asked for"
    return results[0]


def _settled(result: Result) -> None:
    if result.state is State.UNKNOWN:
        raise UnknownTask(f"no task has the id {result.id}, or its last trace was forgotten")


def _status(result: Result) -> Status:
    _settled(result)
    return Status(result.state.name.lower())
