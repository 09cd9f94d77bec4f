"""The outcome of a call: set once by the client's thread, awaited by the caller.

Not a concurrent.futures.Future: to tell one takes a lock that its waiter holds now and then. A
signal handler that interrupts the waiter just then, and waits for a call of its own, would wait for
a thread that waits for it. Here to tell never waits.
"""

import _thread
import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from raftwork.errors import Unavailable

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

T = TypeVar("T")

#: After which a thread that waits looks up: CPython overlooks a signal that comes when it
#: has just looked for one and is about to sleep on a lock, and a single wait without end would
#: swallow that Ctrl-C.
_TURN_S = 1.0
#: Of the threads that are told together so many are woken, and each wakes another one first of all.
#: Were all woken at once, most would wake to wait again, for the interpreter, and the client's own
#: thread behind them: with 64 threads that was 4 to 5 switches an enqueue instead of 2.
_WAKES = 2


class _Coroutine(NamedTuple):
    """One that waits: its future is done in its loop."""

    loop: "AbstractEventLoop"
    future: "Future[None]"


class Reply(Generic[T]):
    """One call's value or error. One thread tells it, one caller waits for it."""

    __slots__ = (
        "_behind",
        "_coroutine",
        "_lock",
        "_process",
        "_sleeps",
        "_told",
        "dropped",
        "late",
    )

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._lock.acquire()
        self._told: tuple[T | None, BaseException | None] | None = None
        self._coroutine: _Coroutine | None = None
        #: A thread waits, or is about to; and who is to be woken once it was.
        self._sleeps = False
        self._behind: deque[Reply[T]] | None = None
        self._process = os.getpid()
        #: Its caller has stopped waiting: what was not sent yet need not be.
        self.dropped = False
        #: Of a wait for an outcome: it began after the question that is out was asked.
        self.late = False

    @property
    def told(self) -> bool:
        """Whether the call has ended."""
        return self._told is not None

    def tell(self, value: T) -> None:
        """End the call with this value."""
        tell_all([(self, value, None)])

    def fail(self, error: BaseException) -> None:
        """End the call with this error."""
        tell_all([(self, None, error)])

    def result(self, timeout: float | None = None) -> T:
        """The value, within `timeout` seconds. Raises the error, or TimeoutError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._sleeps = True
        try:
            while self._told is None:
                self._sleep(deadline)
        except BaseException:
            self.dropped = True
            raise
        finally:
            self._sleeps = False
            if self._behind is not None:
                _wake_next(self._behind)
        try:
            return self._read()
        finally:
            del self  # an error's traceback holds this frame: without the reply, it is no cycle

    async def aresult(self, timeout: float | None = None) -> T:  # noqa: ASYNC109
        """As `result`, for coroutines."""
        import asyncio

        loop = asyncio.get_running_loop()
        waiting: Future[None] = loop.create_future()
        self._coroutine = _Coroutine(loop, waiting)
        if self._told is None:  # else it may have been told before there was a coroutine
            try:
                await (waiting if timeout is None else asyncio.wait_for(waiting, timeout))
            except BaseException:
                self.dropped = True
                raise
        try:
            return self._read()
        finally:
            del self

    def _read(self) -> T:
        assert self._told is not None
        value, error = self._told
        if error is None:
            return value  # type: ignore[return-value] # there is one if there is no error
        try:
            raise error
        finally:
            del self, error

    def _sleep(self, deadline: float | None) -> None:
        left = _TURN_S if deadline is None else min(deadline - time.monotonic(), _TURN_S)
        if left <= 0:
            raise TimeoutError
        if not self._lock.acquire(timeout=left) and self._process != os.getpid():
            raise Unavailable("the process was forked while this call was out, and this is a copy")


def tell_all(ended: "Iterable[tuple[Reply[T], T | None, BaseException | None]]") -> None:
    """End calls with their values or errors; a loop is woken once for all of its coroutines."""
    loops: dict[AbstractEventLoop, list[Future[None]]] = {}
    sleepers: list[Reply[T]] = []
    for reply, value, error in ended:
        assert reply._told is None, "a call ends once"  # noqa: SLF001
        reply._told = value, error  # noqa: SLF001
        # Looked at after that: a thread that begins to wait now finds that it need not.
        if reply._sleeps:  # noqa: SLF001
            sleepers.append(reply)
        elif (coroutine := reply._coroutine) is not None:  # noqa: SLF001
            loops.setdefault(coroutine.loop, []).append(coroutine.future)
    if sleepers:
        _wake(sleepers)
    for loop, futures in loops.items():
        with suppress(RuntimeError):  # the loop is closed, and its waits with it
            loop.call_soon_threadsafe(_finish, futures)


def _wake(sleepers: "list[Reply[T]]") -> None:
    """Wake the threads that wait for these: the first ones, which wake the others."""
    if len(sleepers) == 1:
        sleepers[0]._lock.release()  # noqa: SLF001
        return
    behind = deque(sleepers)
    for reply in sleepers:
        reply._behind = behind  # noqa: SLF001
    for _ in range(_WAKES):
        _wake_next(behind)


def _wake_next(behind: "deque[Reply[T]]") -> None:
    """Wake the first of them that still waits.

    One that does no more has gone before it saw who is behind it, or passes the wake on itself.
    Should an interrupt end this half-way, the others find out by themselves after _TURN_S.
    """
    try:
        while not (reply := behind.popleft())._sleeps:  # noqa: SLF001
            pass
    except IndexError:
        return
    reply._lock.release()  # noqa: SLF001


def _finish(waiting: "Sequence[Future[None]]") -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)
