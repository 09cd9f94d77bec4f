"""The thread that owns a client's sockets: it carries facts to the Session and its Output out.

Callers append a job to a deque, wake the thread through a pipe and wait on a future. The thread is
a daemon, belongs to one process, and makes, uses and closes its sockets itself.
"""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import zmq
import zmq.utils.monitor

from raftwork.client.handles import Handles, Slot
from raftwork.client.protocol import Answered, Question, Session
from raftwork.errors import Unavailable
from raftwork.messages import FRAME_BYTES_MAX, Ask, FromBroker, Result
from raftwork.renewals import Renewals

#: ms between attempts to connect to a broker that is not there.
_RECONNECT = 50
_RECONNECT_MAX = 500
#: Frames taken from one socket before the others get their turn.
_FRAMES_PER_TURN = 100
#: Frames queued to a broker that does not read; beyond, they are dropped and go again later.
_SEND_HWM = 4_096
_CLOSE_SECONDS = 2.0
_LINK_UP = zmq.EVENT_HANDSHAKE_SUCCEEDED
_LINK_DOWN = zmq.EVENT_DISCONNECTED


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


@dataclass(frozen=True, slots=True)
class _Link:
    address: str
    socket: "zmq.Socket[bytes]"
    monitor: "zmq.Socket[bytes]"


def _now() -> int:
    return time.monotonic_ns() // 1_000_000


class Connection:
    """A client's one connection to the cluster. Safe to use from several threads."""

    def __init__(self, brokers: Sequence[str]) -> None:
        self.handles = Handles()
        self._brokers = brokers
        self._pid = os.getpid()
        self._jobs: deque[_Job] = deque()
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._woken = False
        self._closing = False
        self._reason: str | None = None
        # Held while a job is handed over, so that none comes after the last. Reentrant: a collected
        # App closes its connection from wherever the collector ran.
        self._closed = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="raftwork-client", daemon=True)
        self._thread.start()

    # ---- for callers --------------------------------------------------------------------------

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
            if self._closing:
                raise RuntimeError("this App is closed")
            self._jobs.append(job)
            self._wake()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            with contextlib.suppress(BlockingIOError):  # full of wakes: it will wake
                os.write(self._write_fd, b"\0")

    # ---- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        loop = _Loop(self._brokers, self.handles, self._read_fd)
        try:
            while not self._closing:
                self._drain(loop)
                loop.turn()
        except BaseException as error:
            self._reason = f"the client's connection failed: {error!r}"
            raise
        finally:
            with self._closed:
                self._closing = True
            self._drain(loop)
            loop.close(self._reason)
            os.close(self._read_fd)
            os.close(self._write_fd)

    def _drain(self, loop: "_Loop") -> None:
        # Cleared before the jobs are taken: a job that comes later wakes again.
        self._woken = False
        while self._jobs:
            loop.take_job(self._jobs.popleft())


class _Loop:
    """The sockets and the Session; lives in the thread alone."""

    def __init__(self, brokers: Sequence[str], handles: Handles, wake_fd: int) -> None:
        self._handles = handles
        self._context = zmq.Context(io_threads=1)
        self._poller = zmq.Poller()
        self._links: dict[str, _Link] = {}
        self._renewals = Renewals()
        self._by_socket: dict[object, _Link] = {}
        self._by_monitor: dict[object, _Link] = {}
        self._session = Session(brokers, Random())
        self._calls: dict[int, _Enqueue | _Request | _Inquiry] = {}
        self._wake_fd = wake_fd
        self._poller.register(wake_fd, zmq.POLLIN)

    def take_job(self, job: _Job) -> None:
        now = _now()
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

    def turn(self) -> None:
        """Send what the jobs led to, then wait for a wake, a frame, a link or a deadline."""
        if gone := self._handles.sweep():
            self._session.unwatch(gone)
        self._session.wake(_now())
        self._flush()
        wake_at = self._session.wake_at
        timeout = None if wake_at is None else max(0, wake_at - _now())
        for ready, _ in self._poller.poll(timeout):
            if link := self._by_socket.get(ready):
                self._read(link)
            elif link := self._by_monitor.get(ready):
                self._read_monitor(link)
            else:
                os.read(self._wake_fd, 64)
        self._renew()
        self._flush()

    def close(self, reason: str | None) -> None:
        if reason is not None:
            self._session.abandon(reason)
            for answered in self._session.take().answers:
                _end(self._calls.pop(answered.request), answered)
            self._handles.fail_all(Unavailable(reason))
        for link in self._links.values():
            link.socket.disable_monitor()
            link.monitor.close(linger=0)
            link.socket.close(linger=0)
        self._context.term()

    def _flush(self) -> None:
        output = self._session.take()
        for address in output.connect:
            self._connect(address)
        for address, frame in output.frames:
            # No connection, or a broker that does not read: what matters goes again.
            with contextlib.suppress(zmq.Again):
                self._links[address].socket.send(frame, zmq.DONTWAIT)
        for answered in output.answers:
            _end(self._calls.pop(answered.request), answered)
        if output.outcomes and (again := self._handles.deliver(output.outcomes)):
            self._session.watch(again, _now())

    def _connect(self, address: str) -> None:
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.immediate = 1
        socket.reconnect_ivl, socket.reconnect_ivl_max = _RECONNECT, _RECONNECT_MAX
        socket.maxmsgsize = FRAME_BYTES_MAX
        socket.sndhwm = _SEND_HWM
        socket.ipv6 = address.startswith("[")
        monitor = socket.get_monitor_socket(_LINK_UP | _LINK_DOWN)
        link = _Link(address, socket, monitor)
        self._links[address] = link
        self._by_socket[socket], self._by_monitor[monitor] = link, link
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(monitor, zmq.POLLIN)
        socket.connect(f"tcp://{address}")
        self._renewals.down(address, _now())

    def _renew(self) -> None:
        for address in self._renewals.due(_now()):
            socket = self._links[address].socket
            socket.disconnect(f"tcp://{address}")
            socket.connect(f"tcp://{address}")

    def _read(self, link: _Link) -> None:
        for _ in range(_FRAMES_PER_TURN):
            try:
                frames = link.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            if len(frames) == 1:
                self._session.receive(link.address, frames[0], _now())

    def _read_monitor(self, link: _Link) -> None:
        event = zmq.utils.monitor.recv_monitor_message(link.monitor)["event"]
        if event == _LINK_UP:
            self._renewals.up(link.address)
            self._session.link_up(link.address, _now())
        elif event == _LINK_DOWN:
            self._renewals.down(link.address, _now())
            self._session.link_down(link.address, _now())
