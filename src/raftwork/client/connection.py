"""The thread that owns a client's sockets: it carries facts to the Session and its Output out.

Callers append a job to a deque, wake the thread through a pipe and wait on a future. The thread is
a daemon, belongs to one process, and makes, uses and closes its sockets itself. Should it fail, the
calls that are out fail with the reason, and so do later ones; the App makes another connection.
"""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from random import Random
from typing import NamedTuple

from raftwork.client.handles import Handles, Slot
from raftwork.client.links import Links
from raftwork.client.protocol import Answered, Question, Session
from raftwork.errors import Unavailable
from raftwork.messages import Ask, FromBroker, Result
from raftwork.resolving import LookUp, look_up, reason

_CLOSE_SECONDS = 2.0


class _Enqueue(NamedTuple):
    future: "Future[list[Result]]"
    spec: bytes
    tasks: bytes
    ids: tuple[str, ...]
    deadline: int
    patient: bool


class _Request(NamedTuple):
    future: "Future[list[Result]]"
    question: Question
    deadline: int


class _Inquiry(NamedTuple):
    future: "Future[FromBroker]"
    question: Question
    deadline: int


class _Watch(NamedTuple):
    ids: list[str]


_Job = _Enqueue | _Request | _Inquiry | _Watch


def _end(call: _Enqueue | _Request | _Inquiry, answered: Answered) -> None:
    """Tell the caller what came of it."""
    if answered.error is not None:
        call.future.set_exception(answered.error)
    elif isinstance(call, _Inquiry):
        assert answered.message is not None
        call.future.set_result(answered.message)
    else:
        call.future.set_result(answered.results)


def _fail(job: _Job, why: str) -> None:
    """Tell the caller that nothing will come of it. Waits are ended by their handles."""
    if isinstance(job, _Watch) or job.future.done():
        return
    if not job.future.running() and not job.future.set_running_or_notify_cancel():
        return
    ids: tuple[str, ...] = ()
    if isinstance(job, _Enqueue):
        ids = job.ids
    elif isinstance(job.question, Ask):
        ids = tuple(job.question.ids)
    job.future.set_exception(Unavailable(why, ids))


def _now() -> int:
    return time.monotonic_ns() // 1_000_000


class Connection:
    """A client's one connection to the cluster. Safe to use from several threads."""

    def __init__(
        self,
        brokers: Sequence[str],
        look_up: LookUp = look_up,
    ) -> None:
        """Raises nothing if it cannot be made: then it has `failed` from the beginning."""
        self.handles = Handles()
        self._brokers = brokers
        self._look_up = look_up
        self._pid = os.getpid()
        self._jobs: deque[_Job] = deque()
        self._woken = False
        self._closing = False
        self._reason: str | None = None
        #: Why it ended by itself; calls are refused with that from then on.
        self._failure: str | None = None
        # Held while a job is handed over, so that none comes after the last. Reentrant: a collected
        # App closes its connection from wherever the collector ran.
        self._closed = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="raftwork-client", daemon=True)
        try:
            self._read_fd, self._write_fd = os.pipe()
        except OSError as error:
            self._closing, self._failure = True, _failure(error)
            return
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._closing, self._failure = True, _failure(error)
            self._close_pipe()

    # ---- for callers --------------------------------------------------------------------------

    @property
    def failed(self) -> bool:
        """Whether it ended by itself, and whoever waited has been told: another may do better."""
        if self._failure is None:
            return False
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_SECONDS)
        return True

    def enqueue(
        self,
        spec: bytes,
        tasks: bytes,
        ids: tuple[str, ...],
        timeout: int,
        *,
        patient: bool = False,
    ) -> "Future[list[Result]]":
        """Store these tasks within `timeout` ms. The future has an empty list or the error.

        A patient call waits for room instead of ending with QueueFull at once.
        """
        future: Future[list[Result]] = Future()
        self._hand_over(_Enqueue(future, spec, tasks, ids, _now() + timeout, patient))
        return future

    def ask(self, ids: list[str], timeout: int) -> "Future[list[Result]]":
        """The states of these tasks now, within `timeout` ms."""
        return self.request(Ask(0, ids), timeout)

    def request(self, question: Question, timeout: int) -> "Future[list[Result]]":
        """Have the leader carry it out within `timeout` ms. Only an Ask has results."""
        future: Future[list[Result]] = Future()
        self._hand_over(_Request(future, question, _now() + timeout))
        return future

    def inquire(self, question: Question, timeout: int) -> "Future[FromBroker]":
        """As `request`, for what is answered by a message of its own."""
        future: Future[FromBroker] = Future()
        self._hand_over(_Inquiry(future, question, _now() + timeout))
        return future

    def wait_for(self, slot: Slot) -> "Future[Result]":
        """The outcome of a handle's task (or UNKNOWN), whenever that comes."""
        waiter, ids = self.handles.wait_for(slot)
        if ids:
            self._hand_over(_Watch(ids))
        return waiter

    def close(self) -> None:
        """End the thread and its sockets; whoever still waits gets Unavailable."""
        self._end("the App was closed while this call was out")

    def vanish(self) -> None:
        """As `close`, but nobody is told: only a dying interpreter's threads can still wait."""
        self._end(None)

    def _end(self, reason: str | None) -> None:
        if self._pid != os.getpid() or self._closing:
            return  # a forked child's copy: the thread and the sockets are the parent's
        with self._closed:
            self._reason = reason
            self._closing = True
            self._wake()
        if self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_SECONDS)

    def _hand_over(self, job: _Job) -> None:
        with self._closed:
            failure = self._failure
            if failure is None:
                if self._closing:
                    raise RuntimeError("this App is closed")
                self._jobs.append(job)
                self._wake()
                return
        _fail(job, failure)
        self.handles.fail_all(Unavailable(failure))

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            with contextlib.suppress(BlockingIOError):  # full of wakes: it will wake
                os.write(self._write_fd, b"\0")

    # ---- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        loop = None
        try:
            loop = _Loop(self._brokers, self.handles, self._read_fd, self._look_up)
            while not self._closing:
                self._drain(loop)
                loop.turn()
        except OSError as error:  # libzmq's errors are such, too
            self._failure = _failure(error)
        except BaseException as error:
            self._failure = _failure(error)
            raise
        finally:
            self._finish(loop)

    def _finish(self, loop: "_Loop | None") -> None:
        with self._closed:
            self._closing = True  # no job comes any more
            why = self._reason = self._failure or self._reason
        try:
            if loop is not None:
                self._drain(loop)
                loop.close(why)
        finally:
            left = [] if loop is None else loop.calls
            for job in (*left, *self._jobs):
                _fail(job, why or "the program ended")
            if why is not None:
                self.handles.fail_all(Unavailable(why))
            self._close_pipe()

    def _close_pipe(self) -> None:
        os.close(self._read_fd)
        os.close(self._write_fd)

    def _drain(self, loop: "_Loop") -> None:
        # Cleared before the jobs are taken: a job that comes later wakes again.
        self._woken = False
        while self._jobs:
            loop.take_job(self._jobs.popleft())


def _failure(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"this program can open no connection: {reason(error)}"
    return f"the client's connection failed: {error!r}"


class _Loop:
    """The sockets and the Session; lives in the thread alone."""

    def __init__(
        self, brokers: Sequence[str], handles: Handles, wake_fd: int, look_up: LookUp
    ) -> None:
        self._handles = handles
        self._links = Links(look_up)
        self._session = Session(brokers, Random())
        self._calls: dict[int, _Enqueue | _Request | _Inquiry] = {}
        self._wake_fd = wake_fd
        self._links.watch(wake_fd)

    def take_job(self, job: _Job) -> None:
        try:
            self._take_job(job, _now())
        except BaseException as error:
            _fail(job, _failure(error))
            raise

    def _take_job(self, job: _Job, now: int) -> None:
        if isinstance(job, _Watch):
            self._session.watch(job.ids, now)
            return
        if not job.future.set_running_or_notify_cancel():
            return
        if isinstance(job, _Enqueue):
            number = self._session.enqueue(
                job.spec, job.tasks, job.ids, job.deadline, now, patient=job.patient
            )
        else:
            number = self._session.request(job.question, job.deadline, now)
        self._calls[number] = job

    @property
    def calls(self) -> list[_Enqueue | _Request | _Inquiry]:
        """Those that are out."""
        return list(self._calls.values())

    def turn(self) -> None:
        """Send what the jobs led to, then wait for a wake, a frame, a link or a deadline."""
        if gone := self._handles.sweep():
            self._session.unwatch(gone)
        self._session.wake(_now())
        self._flush()
        wake_at = self._session.wake_at
        timeout = None if wake_at is None else max(0, wake_at - _now())
        for ready in self._links.poll(timeout):
            if ready == self._wake_fd:
                os.read(self._wake_fd, 64)
            for address, frame in self._links.frames(ready):
                self._session.receive(address, frame, _now())
            for address, up in self._links.changes(ready, _now()):
                if up:
                    self._session.link_up(address, _now())
                else:
                    self._session.link_down(address, _now())
        for address, text in self._links.tend(_now()):
            self._session.unreachable(address, text)
        self._flush()

    def close(self, reason: str | None) -> None:
        if reason is not None:
            self._session.abandon(reason)
            for answered in self._session.take().answers:
                _end(self._calls.pop(answered.request), answered)
            self._handles.fail_all(Unavailable(reason))
        self._links.close()

    def _flush(self) -> None:
        output = self._session.take()
        for address in output.connect:
            self._links.connect(address, _now())
        for address, frame in output.frames:  # what is lost and matters goes again
            self._links.send(address, frame)
        for answered in output.answers:
            _end(self._calls.pop(answered.request), answered)
        if output.outcomes and (again := self._handles.deliver(output.outcomes)):
            self._session.watch(again, _now())
