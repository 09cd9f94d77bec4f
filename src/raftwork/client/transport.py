"""The thread that owns a client's sockets: it feeds the Session and carries out its Output.

Callers append a job to a deque, ring a bell and wait for the reply. The thread is a daemon, belongs
to one process, and makes, uses and closes its sockets itself.

Callers and the thread share no lock (`threads.py` says why), and no caller leaves a state that only
the rest of its call would undo: an interrupt may end it between any two steps. Should the thread
fail, the calls that are out fail with the reason, and the App makes another connection.
"""

import _thread
import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple, TypeVar

from raftwork.client import threads
from raftwork.client.calls import Answered, Call
from raftwork.client.leader_discovery import PING_INTERVAL_MS
from raftwork.client.reply import Reply, tell_all
from raftwork.client.result_registry import Handles, Slot
from raftwork.client.session import Session
from raftwork.errors import AppClosed, PermissionDenied, Unavailable
from raftwork.features.enqueue import Enqueued
from raftwork.keys import Key
from raftwork.messages import FRAME_BYTES_MAX, Result
from raftwork.messages.request import Request
from raftwork.net.links import LinkOptions, Links
from raftwork.net.resolving import LookUp, look_up, reason

R = TypeVar("R")
S = TypeVar("S", bound=Slot)

_CLOSE_S = 2.0
#: Frames to a broker that does not read are dropped and go again later.
_LINKS = LinkOptions(FRAME_BYTES_MAX, send_messages=4_096)


class _Watch(NamedTuple):
    slot: Slot
    answer: Reply[Result]


_Job = Call | _Watch


def _fail(job: _Job, why: str) -> None:
    """Fail the caller's call. Waits are ended by their handles."""
    if isinstance(job, Call) and not job.answer.told:
        job.answer.fail(Unavailable(why, job.ids))


def _failure(error: BaseException) -> str:
    if isinstance(error, OSError):  # libzmq's errors are such, too
        return f"cannot open a connection: {reason(error)}"
    return f"the client's connection failed: {error!r}"


def _now() -> int:
    return time.monotonic_ns() // 1_000_000


class _Bell:
    """A pipe that wakes the thread. Open as long as anything may ring it: a number closed earlier
    could be another file's by then.
    """

    read_fd = _write_fd = -1

    def __init__(self) -> None:
        self.read_fd, self._write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        os.set_blocking(self._write_fd, False)

    def ring(self) -> None:
        try:  # noqa: SIM105 - part of every call
            os.write(self._write_fd, b"\0")
        except BlockingIOError:
            pass  # full of rings: it will wake

    def __del__(self) -> None:
        for fd in (self.read_fd, self._write_fd):
            if fd >= 0:
                os.close(fd)


def _abandoning(connection: "weakref.ref[Connection]") -> Callable[[object], None]:
    """A callback that ends the connection when its owner is collected."""

    def abandon(_: object) -> None:
        if (found := connection()) is not None:
            found.abandon()

    return abandon


class Connection:
    """A client's one connection to the cluster, for as long as `owner` lives.

    Safe to use from several threads, signal handlers and finalizers.
    """

    def __init__(
        self,
        brokers: Sequence[str],
        owner: object,
        number: int = 0,
        look_up: LookUp = look_up,
        key: Key | None = None,
    ) -> None:
        """Raises Unavailable if this process has too many files open."""
        self.number = number
        self.handles = Handles()
        self._brokers = brokers
        self._look_up = look_up
        self._key = key
        self._pid = os.getpid()
        self._jobs: deque[_Job] = deque()
        try:
            self._bell = _Bell()
        except OSError as error:
            raise Unavailable(_failure(error)) from None
        #: The thread's turns so far, and in which of them the bell was rung.
        self._turn = 0
        self._rung = 0
        #: The thread waits for answers, and what it would do with more enqueues is to gather them.
        self._gathers = False
        self._closing = False
        self._over = False
        self._reason: str | None = None
        #: Why its thread ended by itself, and with it all calls that were out; a new one may work.
        self.failure: str | None = None
        self._unclaimed = [None]
        self._thread: int | None = None
        self._ended = _thread.allocate_lock()
        self._ended.acquire()
        self._owner = weakref.ref(owner, _abandoning(weakref.ref(self)))

    # ---- for callers --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, unless it runs. Raises RuntimeError at the interpreter's end."""
        if self._turn == 0 and not self._closing:
            # Any number may be started, by calls that interrupt each other: one goes on.
            threads.start(self._run)

    def call(
        self,
        request: Request,
        reply: type[R],
        timeout: int,
        *,
        ids: tuple[str, ...] = (),
        wait_when_full: bool = False,
        slot: Slot | None = None,
    ) -> Reply[R]:
        """Send the leader a request, to be answered with a `reply` within `timeout` ms.

        `ids` are the ids of its tasks, which Unavailable carries. With `wait_when_full` an enqueue
        waits for room instead of ending with QueueFull at once. `slot` is the handle of its one
        task: its `watched_by` says at the end whether its outcome is watched already.
        """
        deadline = _now() + timeout
        call = Call(request, reply, deadline, ids=ids, wait_when_full=wait_when_full, slot=slot)
        self._hand_over(call, patient=call.spec is not None and timeout >= PING_INTERVAL_MS)
        return call.answer  # type: ignore[return-value] # a session accepts no other answer

    def track(self, ids: Sequence[str], make: Callable[[str], S]) -> list[S]:
        """A handle for each id, made by `make`; its outcome can be waited for."""
        slots = self.handles.add(ids, make)
        if self.handles.crowded:
            self.start()
            self._wake()
        return slots

    def wait_for(self, slot: Slot) -> Reply[Result]:
        """A reply that will receive the outcome of a handle's task, or UNKNOWN."""
        threads.refuse_if_ours()
        waiter, unwatched = self.handles.wait_for(slot)
        if unwatched:
            try:
                self._hand_over(_Watch(slot, waiter))
            except BaseException:
                slot.give_up(waiter)
                raise
        return waiter

    def close(self) -> None:
        """End the thread and its sockets; calls that are out get Unavailable."""
        self._shut("the App was closed while this call was out")

    def abandon(self) -> None:
        """As `close`, but calls get no answer: only threads of a dying interpreter may wait."""
        self._shut(None)

    def _shut(self, reason: str | None) -> None:
        if self._over or self._pid != os.getpid():
            return  # or a forked child's copy: the thread and the sockets are the parent's
        if not self._closing:
            self._reason = reason
            self._closing = True
        self._wake()
        if self._thread is None or _thread.get_ident() in threads.running:
            return
        if self._ended.acquire(timeout=_CLOSE_S):
            self._ended.release()

    def _hand_over(self, job: _Job, *, patient: bool = False) -> None:
        """Give the thread a job. One that is `patient` does not wake a thread that gathers."""
        threads.refuse_if_ours()
        try:
            self._check_open()
            if self._turn == 0:
                self.start()
            self._jobs.append(job)
            # Looked at after the job was appended: the thread says so just before it waits, and
            # takes it back before it takes the jobs. With calls out it never waits for long.
            if not (patient and self._gathers):
                self._wake()
            # Said before the thread looks for the last time, looked at after the job was appended:
            # one that the thread overlooks is refused here.
            self._check_open()
        except BaseException:
            job.answer.dropped = True
            raise

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise Unavailable("the process was forked inside this call, and this is a copy")
        if not self._closing:
            return
        if self.failure is not None:
            raise Unavailable(self.failure)
        if self._reason is None and not threads.is_main():
            return  # Python ends, and this thread of its with it: untold
        raise AppClosed("this App is closed")

    def _wake(self) -> None:
        # The turn is marked after the ring, and as the one that it was before: whatever comes
        # between, the bell rings once too often rather than never.
        turn = self._turn
        if self._rung != turn:
            self._bell.ring()
            self._rung = turn

    # ---- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._unclaimed.pop()
        except IndexError:
            return  # another one was first
        self._thread = _thread.get_ident()
        threads.running[self._thread] = self
        loop = None
        try:
            fd, look_up = self._bell.read_fd, self._look_up
            loop = _Loop(self._brokers, self.handles, fd, look_up, self._key)
            while not self._closing:
                # Counted before the jobs are taken: a job that comes later rings again.
                self._turn += 1
                self._gathers = False
                loop.take_jobs(self._jobs)
                self._gathers = loop.send()
                loop.wait()
        except OSError as error:
            self.failure = _failure(error)
        except BaseException as error:
            self.failure = _failure(error)
            raise
        finally:
            self._finish(loop)

    def _finish(self, loop: "_Loop | None") -> None:
        assert self._thread is not None
        self._closing = True
        why = self._reason = self.failure or self._reason
        try:
            if loop is not None:
                loop.take_jobs(self._jobs)
                loop.close(why)
        finally:
            if why is not None:
                for job in (*self._jobs, *([] if loop is None else loop.calls)):
                    _fail(job, why)
                self.handles.fail_all(Unavailable(why))
            self._over = True
            del threads.running[self._thread]
            self._ended.release()


class _Loop:
    """The sockets and the Session; lives in the thread alone."""

    def __init__(
        self,
        brokers: Sequence[str],
        handles: Handles,
        wake_fd: int,
        look_up: LookUp,
        key: Key | None = None,
    ) -> None:
        self._handles = handles
        self._links = Links(look_up, _LINKS, key)
        self._session = Session(brokers, Random())
        self._calls: set[Call] = set()
        #: When this turn began, ms.
        self._now = _now()
        self._wake_fd = wake_fd
        self._links.watch(wake_fd)

    def take_jobs(self, jobs: deque[_Job]) -> None:
        """Everything that callers have handed over by now."""
        self._now = now = _now()
        if not jobs:
            return
        taken: list[Call] = []
        while jobs:
            job = jobs.popleft()
            if isinstance(job, _Watch):
                if ids := self._handles.watch(job.slot):
                    self._session.watch(ids, now)
            elif not job.answer.dropped:
                if self._handles.awaited:
                    job.watch()
                self._calls.add(job)
                taken.append(job)
        if taken:
            self._session.submit_all(taken, now)

    @property
    def calls(self) -> list[Call]:
        """Those that are out."""
        return list(self._calls)

    def send(self) -> bool:
        """Send and tell what the jobs, and what came before them, have led to.

        The last thing before the thread waits: whoever is told then can go on at once. True if more
        enqueues of one task would only be gathered until others are answered.
        """
        if self._handles.littered and (gone := self._handles.sweep()):
            self._session.unwatch(gone)
        self._session.wake(self._now)
        self._flush(self._now)
        return self._session.gathers

    def wait(self) -> None:
        """Wait for a bell, a frame, a link or a deadline, and take in what came."""
        wake_at = self._session.wake_at
        ready = self._links.poll(None if wake_at is None else max(0, wake_at - self._now))
        now = _now()
        for each in ready:
            if each == self._wake_fd:
                os.read(self._wake_fd, 64)
                continue
            for address, frame in self._links.frames(each):
                self._session.receive(address, frame, now)
            for address, up in self._links.changes(each, now):
                if up:
                    self._session.link_up(address, now)
                else:
                    self._session.link_down(address, now)
        if self._links.restless:
            self._links.tend(now)
            for address, text in (*self._links.unopened(), *self._links.unresolved()):
                self._session.unreachable(address, text)
            for address, text in self._links.denials():
                self._session.denied(address, text, now)

    def close(self, reason: str | None) -> None:
        """End the calls that are out, and close the sockets. None: untold."""
        if reason is not None:
            self._session.abandon(reason)
            output = self._session.take()
            self._answer(output.answers)
            self._handles.deliver(output.outcomes)
            self._handles.fail_all(Unavailable(reason))
        self._links.close()

    def _flush(self, now: int) -> None:
        connect, frames, answers, outcomes, denied = self._session.take()
        for address in connect:
            self._links.connect(address, now)
        for address, frame in frames:  # what is lost and matters goes again
            self._links.send(address, frame)
        if answers:
            self._answer(answers)
        if denied is not None:
            self._handles.fail_all(PermissionDenied(denied))
        if outcomes and (again := self._handles.deliver(outcomes)):
            self._session.watch(again, now)
            self._flush(now)  # or it would leave when the thread wakes next

    def _answer(self, answers: Sequence[Answered]) -> None:
        for call, message, _ in answers:
            if call.slot is not None and isinstance(message, Enqueued) and message.watched:
                self._handles.stand(call.slot)
        tell_all([(each.call.answer, each.message, each.error) for each in answers])
        self._calls.difference_update([each.call for each in answers])
