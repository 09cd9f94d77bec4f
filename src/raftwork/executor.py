"""`Executor`: the interface of `concurrent.futures`, with a cluster's workers behind it."""

import asyncio
import builtins
import importlib
import logging
import os
import pickle
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar, cast

from raftwork.client.app import App
from raftwork.client.run import Run
from raftwork.client.status import Status
from raftwork.client.task_call import TaskCall
from raftwork.errors import NotSerializable, RaftworkError, TaskCancelled, TaskFailed
from raftwork.features.cancel import GRACE_MAX_MS
from raftwork.references import EXECUTOR_TASK, flat, reference
from raftwork.serialization import call_packer, pack_call

P = ParamSpec("P")
T = TypeVar("T")

#: Calls of one executor that are in the cluster at a time, unless it says otherwise.
MAX_WORKERS: Final = 64
#: How long a cancellation waits for an enqueue that is under way, s.
_SENT_S: Final = 10.0
_BEGUN: Final = (Status.RUNNING, Status.SUCCEEDED, Status.FAILED, Status.LOST)


class RemoteTraceback(Exception):
    """The cause of an exception that a worker sent: its traceback there, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def __str__(self) -> str:
        return f"\n{self._text}"


class RunFuture(futures.Future[T]):
    """A Future of one call. It is running once a worker has begun it."""

    def __init__(self, guard: threading.RLock) -> None:
        super().__init__()
        self._handle: Run[Any] | None = None
        #: Neither in the cluster nor on its way there; it changes under the guard.
        self._withheld = True
        self._guard = guard
        self._sent = threading.Event()

    @property
    def run_id(self) -> str | None:
        """The id of its task, for `app.run(id)`; None while it is withheld."""
        return None if self._handle is None else self._handle.id

    def running(self) -> bool:
        """Whether a worker runs it now: asks the cluster."""
        if self._handle is None or self.done():
            return False
        return self._handle.status() is Status.RUNNING

    def cancel(self) -> bool:
        """Cancel it if it has not begun; False if it has. One that was sent asks the cluster."""
        with self._guard:
            if self._withheld or self.done():
                return super().cancel()
        here = threading.current_thread().name.startswith(_THREAD)
        if not self._sent.wait(0 if here else _SENT_S) or self._handle is None:
            return False
        try:
            if self._handle.status() in _BEGUN:
                return False
            # What has begun meanwhile must not be killed for it.
            self._handle.cancel(grace=GRACE_MAX_MS / 1000)
            if self._handle.status() is not Status.CANCELLED:
                return False
        except RaftworkError:
            return False
        return super().cancel()


class _Call(NamedTuple):
    """A call that waits to be sent."""

    future: RunFuture[Any]
    packed: TaskCall[Any]
    pickled: bool


class Executor(futures.Executor):
    """Calls functions on the workers of a cluster.

    `app_or_brokers` is an App, or what App(brokers=…) takes. At most `max_workers` calls are in the
    cluster at a time; the others wait here and can be cancelled for nothing.

    A function goes by reference, `module:qualname`, and its arguments as a task's do: tuples arrive
    as lists. What cannot (lambdas, objects) is pickled, with `pickle=True` everything is, with
    False nothing. A worker calls functions of its App's package; one that was started with
    `--pickle` calls any, and unpickles. `initializer(*initargs)` is called once in each process.

    Futures raise what the function raised; TaskFailed, TaskLost and Unavailable where the call
    itself came to nothing. Lost workers' calls are run again, failed ones are not.
    """

    def __init__(
        self,
        app_or_brokers: App | str | Sequence[str] | None = None,
        max_workers: int | None = None,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
        queue: str = "default",
        pickle: bool | None = None,
    ) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._owns = not isinstance(app_or_brokers, App)
        self._app = app_or_brokers if isinstance(app_or_brokers, App) else App(app_or_brokers)
        self._max_workers = max_workers or MAX_WORKERS
        self._task = self._app.named(EXECUTOR_TASK, queue=queue)
        self._pickle = pickle
        self._first: dict[str, object] | None = None
        if initializer is not None:
            self._first = {"id": uuid.uuid4().hex} | self._packed(initializer, initargs, {})
        self._lock = threading.RLock()  # held while callbacks of a cancelled future are called
        self._waiting: deque[_Call] = deque()
        self._flying = 0
        self._flights: set[asyncio.Task[None]] = set()
        self._closed = False
        self._broken: str = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        _executors.add(self)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> RunFuture[T]:
        """Have `fn` called. Raises RuntimeError after `shutdown`, BrokenExecutor, NotSerializable.

        PayloadTooLarge is raised, too, before anything is sent.
        """
        how = self._packed(fn, args, kwargs)
        if self._first is not None:
            how["first"] = self._first
        future: RunFuture[T] = RunFuture(self._lock)
        # Packed now: nobody keeps the arguments, and to change them later changes nothing.
        call = _Call(future, self._task.call(how), pickled=how["by"] == "pickle")
        with self._lock:
            if self._broken:
                raise futures.BrokenExecutor(self._broken)
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if _over:
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
            self._ensure_thread()
            self._waiting.append(call)
            self._send_more()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with `cancel_futures` end those that have not been sent."""
        with self._lock:
            self._closed = True
            if cancel_futures:  # under the lock: afterwards some of them are sent
                for call in tuple(self._waiting):
                    call.future.cancel()
            loop, thread = self._loop, self._thread
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(self._end_if_done)
            if wait and thread is not threading.current_thread():
                thread.join()
        elif self._owns:
            self._app.close()

    # ---- packing --------------------------------------------------------------------------------

    def _packed(
        self, fn: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> dict[str, object]:
        function, args, kwargs = flat(fn, args, kwargs)
        text = reference(function)
        why = "" if text is not None else f"{function!r} cannot be found by its name"
        if text is not None and not self._pickle:
            call: dict[str, object] = {"by": "reference", "function": text}
            call |= {"args": list(args), "kwargs": kwargs}
            try:
                pack_call(call_packer(), text, args, kwargs)
            except NotSerializable as error:
                why = str(error)
            else:
                return call
        if self._pickle is False:
            raise NotSerializable(f"{why}; pickle=False forbids to pickle it")
        return {"by": "pickle", "call": _dumped((function, args, kwargs), why)}

    # ---- the thread -----------------------------------------------------------------------------

    def _ensure_thread(self) -> None:
        if self._loop is None or self._pid != os.getpid():  # a fork has no threads
            self._pid, self._flying = os.getpid(), 0
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=_serve, args=(self._loop,), name=_THREAD, daemon=True
            )
            self._thread.start()

    def _send_more(self) -> None:
        """Have the thread send as many as may be in the cluster. Under the lock."""
        assert self._loop is not None
        while self._waiting and self._flying < self._max_workers:
            call = self._waiting.popleft()
            if call.future.cancelled():
                self._loop.call_soon_threadsafe(call.future.set_running_or_notify_cancel)
                continue
            call.future._withheld = False  # noqa: SLF001 - its maker
            self._flying += 1
            self._loop.call_soon_threadsafe(self._launch, call)

    def _launch(self, call: "_Call") -> None:
        assert self._loop is not None
        flight = self._loop.create_task(self._fly(call))
        self._flights.add(flight)  # a loop holds its tasks weakly
        flight.add_done_callback(self._landed)

    def _landed(self, flight: "asyncio.Task[None]") -> None:
        self._flights.discard(flight)
        with self._lock:
            self._flying -= 1
            self._send_more()
        self._end_if_done()

    def _end_if_done(self) -> None:
        """The thread ends once nothing is left, after `shutdown`."""
        assert self._loop is not None
        with self._lock:
            self._send_more()  # what is cancelled is told so
            done = self._closed and not self._flying and not self._waiting
        if done:
            if self._owns:
                self._app.close()
            self._loop.call_soon(self._loop.stop)

    async def _fly(self, call: "_Call") -> None:
        future, pickled = call.future, call.pickled
        try:
            (handle,) = await self._app.aenqueue_all([call.packed])
            del call
            future._handle = handle  # noqa: SLF001 - its maker
            future._sent.set()  # noqa: SLF001
            answer = cast("list[Any]", await handle.aresult())
        except TaskCancelled:
            # Not RunFuture's, which asks the cluster: it would hold up all calls, and may fail.
            futures.Future.cancel(future)
            _end(future, None)
        except Exception as error:  # noqa: BLE001 - it belongs into this future alone
            _end(future, error)
        else:
            self._read(future, answer, pickled=pickled)
        finally:
            future._sent.set()  # noqa: SLF001
            del future

    def _read(self, future: RunFuture[Any], answer: list[Any], *, pickled: bool) -> None:
        match answer:
            case ["value", value]:
                _end(future, None, value)
            case ["pickled", bytes(data)] if pickled:
                try:
                    value = pickle.loads(data)  # noqa: S301 - an answer to what was pickled here
                except Exception as error:  # noqa: BLE001 - a class of the program's raises anything
                    _end(future, error)
                else:
                    _end(future, None, value)
            case ["broken", str(text)]:
                self._break(text)
                _end(future, futures.BrokenExecutor(self._broken))
            case ["raised", str(kind), args, str(message), str(trace), *dumped]:
                exact = dumped[0] if dumped and pickled else None
                raised = _rebuilt(kind, args, message, trace, exact)
                raised.__cause__ = RemoteTraceback(trace)
                _end(future, raised)
            case _:
                _end(future, RaftworkError(f"the worker answered {answer!r:.200}"))

    def _break(self, text: str) -> None:
        logging.getLogger("concurrent.futures").critical("Exception in initializer:\n%s", text)
        with self._lock:
            self._broken = "A worker's initializer failed, the executor is not usable anymore"
            waiting = list(self._waiting)
            self._waiting.clear()
        for call in waiting:
            _end(call.future, futures.BrokenExecutor(self._broken))


def _end(future: RunFuture[Any], error: BaseException | None, value: object = None) -> None:
    """Unless it was cancelled."""
    if future.set_running_or_notify_cancel():
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)


def _rebuilt(
    kind: str, args: list[Any] | None, message: str, trace: str, data: bytes | None
) -> BaseException:
    """What the function raised, as far as that is known here."""
    module, _, name = kind.partition(":")
    try:
        if data is not None:
            loaded = pickle.loads(data)  # noqa: S301 - as in `_read`
            if isinstance(loaded, BaseException):
                return loaded
        found = getattr(builtins, name, None) if module == "builtins" else None
        if isinstance(found, type) and issubclass(found, BaseException) and args is not None:
            return found(*args)
    except Exception:  # noqa: BLE001 - its words must do
        return TaskFailed(name, message, trace)
    return TaskFailed(name, message, trace)


def _dumped(call: object, why: str) -> bytes:
    """Raises NotSerializable, PayloadTooLarge."""
    try:
        cloudpickle = importlib.import_module("cloudpickle")
        data: bytes = cloudpickle.dumps(call)
    except ImportError:
        try:
            data = pickle.dumps(call, pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # noqa: BLE001 - it may raise anything
            raise NotSerializable(
                f"{why or 'the call'} ({type(error).__name__}: {error}): to send it by value takes"
                " pip install 'raftwork[pickle]', and workers that are started with --pickle"
            ) from None
    except Exception as error:
        raise NotSerializable(f"cannot be pickled: {type(error).__name__}: {error}") from error
    return data


# ---- the end of the interpreter ------------------------------------------------------------------

_THREAD: Final = "raftwork-executor"
_executors: "weakref.WeakSet[Executor]" = weakref.WeakSet()
_over = False


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def _at_exit() -> None:
    """Before the interpreter ends, what was submitted does: as the executors of Python."""
    global _over
    _over = True
    for executor in list(_executors):
        executor.shutdown(wait=True)


# Before threads are joined, unlike `atexit`: the connection's are still there.
threading._register_atexit(_at_exit)  # type: ignore[attr-defined]  # noqa: SLF001
