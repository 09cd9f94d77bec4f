"""The fork server: starts, kills and reaps the children that run tasks.

It is forked from the worker when the user's module is imported and before there is any thread or
ZeroMQ socket, and it never makes one: so a child can be forked from it at any time, which from the
worker itself would be undefined. Rules:

1. It alone signals children, because it alone knows that a pid is still theirs: it reaps them.
2. A child leads a process group; killing it kills what its task started.
3. When the worker is gone, however that came (its end of the control socket is closed), everything
   is killed. When the fork server is gone, the kernel kills the children (Linux).
4. Of a worker that was killed it tells the brokers, once nothing of it runs any more. Only then
   does it have a ZeroMQ socket: it forks no more.
"""

import ctypes
import gc
import logging
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from resource import struct_rusage
from types import FrameType
from typing import NamedTuple, NoReturn

from raftwork.errors import HookFailed
from raftwork.hooks import Hooks
from raftwork.instruments import installed
from raftwork.messages import About, Held, Holding, Loss, PushedTask
from raftwork.standard_streams import complain, flush
from raftwork.wire import Codec, pack, unpack
from raftwork.worker.blocked_tasks import run_in
from raftwork.worker.hook_calls import start, stop_child
from raftwork.worker.pool import output_pipes
from raftwork.worker.pool.channel import receive, receive_with_end, send
from raftwork.worker.pool.child_waits import ChildWaits
from raftwork.worker.pool.output_pipes import OutputPipes
from raftwork.worker.pool.recycling import Recycling, peak_bytes
from raftwork.worker.pool.shared_notes import SharedNotes
from raftwork.worker.pool.shared_slots import SharedSlots, SlotNotices
from raftwork.worker.runner import Registry, Runner
from raftwork.worker.signals import take, take_back

#: For idle children to end by themselves when the worker leaves, s; with something to call first.
_GRACE_S = 0.2
_GRACE_TO_CALL_S = 2.0
#: For a stopped child to have left user code, s. A signal to another CPU takes microseconds.
_STOP_S = 0.05
_PR_SET_PDEATHSIG = 1
#: What a child with hooks sends once they have been called.
STARTED = b"started"

log = logging.getLogger("raftwork.worker")


class Fork(NamedTuple):
    """Make a child for this slot; it has none. The first one of a slot that is lent comes with the
    child's end of its channel."""

    slot: int


class Kill(NamedTuple):
    """Kill the child of this slot if it runs this token and no other."""

    slot: int
    token: int


class Leave(NamedTuple):
    """The worker takes its leave of the brokers itself: it needs nobody to speak for it."""


class Died(NamedTuple):
    """The child of this slot is gone; None as `loss` if there never was one."""

    slot: int
    loss: Loss | None


Notice = Fork | Kill | Died | Leave
notices: Codec[Notice] = Codec({1: Fork, 2: Kill, 3: Died, 4: Leave})
#: Tells the brokers that the worker is gone, and with it these tasks, whose code had begun.
KilledNotice = Callable[[list[Holding]], None]


class ForkServer:
    """Runs in its own process. `ends` are the children's ends of their channels, by slot."""

    def __init__(
        self,
        control: socket.socket,
        ends: list[socket.socket],
        shared: SharedSlots,
        registry: Registry,
        worker: str,
        recycling: Recycling,
        hooks: Hooks,
        killed_notice: KilledNotice,
        notes: SharedNotes,
        output: OutputPipes | None = None,
    ) -> None:
        """With `output`, what the children print goes there."""
        self._control = control
        self._output = output
        self._killed_notice = killed_notice
        self._notes = notes
        self._left = False  # the worker ends by itself
        self._hooks = hooks
        self._ends = dict(enumerate(ends))
        self._shared = shared
        self._registry = registry
        self._worker = worker
        self._recycling = recycling
        self._children: dict[int, int] = {}  # pid by slot
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def serve(self) -> None:
        """Serve until the worker is gone."""
        os.setpgid(0, 0)
        self._hangup = signal.getsignal(signal.SIGHUP)  # under nohup it is ignored
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, _heed)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])  # deaths would go unnoticed
        died, wakeup = os.pipe()
        os.set_blocking(died, False)
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup)
        awake = select.poll()  # not select(), which knows no descriptor above 1023
        awake.register(self._control.fileno(), select.POLLIN)
        awake.register(died, select.POLLIN)
        gc.freeze()  # or every child's first collection would copy every page
        try:
            while True:
                awake.poll()
                with suppress(BlockingIOError):
                    os.read(died, 4096)
                self._reap()
                if not self._obey():
                    break
            if not self._left:
                self._kill_running()
        finally:
            self._end_children()
        if not self._left:
            self._killed_notice(self._unsettled())

    def _kill_running(self) -> None:
        """Kill the children whose code runs, as nobody waits for it any more."""
        for slot, pid in self._children.items():
            if self._shared.read(slot) is not None:
                _signal(pid, signal.SIGKILL)

    def _unsettled(self) -> list[Holding]:
        """What the children ran of which the worker can have no outcome.

        Looked for once all are gone: some end, or begin, only when their worker is dead already.
        """
        now = time.monotonic_ns()
        entries = filter(None, map(self._shared.read, self._ends))
        return [
            Holding(entry.token, Held.RUNNING, max(0, now - entry.since) // 1_000_000)
            for entry in entries
        ]

    def _obey(self) -> bool:
        """Carry out the requests that came; False if there will be no more."""
        with suppress(BlockingIOError):
            while (packet := self._read())[0]:
                match notices.decode(packet[0]):
                    case Fork(slot):
                        if packet[1] is not None:
                            self._ends[slot] = packet[1]
                        self._fork(slot)
                    case Kill(slot, token):
                        self._kill(slot, token)
                    case Leave():
                        self._left = True
            return False
        return True

    def _read(self) -> tuple[bytes, socket.socket | None]:
        """The next request, empty if there will be none. Raises BlockingIOError."""
        try:
            return receive_with_end(self._control, socket.MSG_DONTWAIT)
        except ConnectionError:  # the worker left before it had read all that we told it
            return b"", None

    def _tell(self, notice: Died) -> None:
        with suppress(OSError):  # the worker is gone: the next read says so
            send(self._control, notices.encode(notice))

    def _fork(self, slot: int) -> None:
        assert slot not in self._children
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            complain(f"a child could not be forked: {error}\n")
            self._tell(Died(slot, None))
            return
        if pid == 0:
            self._become_child(slot, parent)
        with suppress(OSError):  # the child does it too; the first one succeeds
            os.setpgid(pid, pid)
        self._children[slot] = pid

    def _kill(self, slot: int, token: int) -> None:
        pid = self._children.get(slot)
        if pid is None:
            return
        # Stop it first: the task may end, and another one begin, between a look and a kill.
        _signal(pid, signal.SIGSTOP)
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline:
            gone, status, usage = os.wait4(pid, os.WNOHANG | os.WUNTRACED)
            if gone and not os.WIFSTOPPED(status):
                self._lost(slot, pid, status, usage)
                return
            if gone:
                break
            time.sleep(0.000_2)
        entry = self._shared.read(slot)
        ours = entry is not None and entry.token == token
        _signal(pid, signal.SIGKILL if ours else signal.SIGCONT)

    def _reap(self) -> None:
        for slot, pid in list(self._children.items()):
            gone, status, usage = os.wait4(pid, os.WNOHANG)
            if gone:
                self._lost(slot, pid, status, usage)

    def _lost(self, slot: int, pid: int, status: int, usage: struct_rusage) -> None:
        del self._children[slot]
        _signal(pid, signal.SIGKILL)  # what it had started
        self._tell(Died(slot, _loss(status, usage)))

    def _end_children(self) -> None:
        """Idle children see the end of their channel; the others are killed."""
        calls = self._left and (self._hooks.child_stop or installed)
        deadline = time.monotonic() + (_GRACE_TO_CALL_S if calls else _GRACE_S)
        while self._children and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.005)
        for pid in self._children.values():
            _signal(pid, signal.SIGKILL)
        for pid in self._children.values():
            os.waitpid(pid, 0)

    # ---- in the child ----------------------------------------------------------------------------

    def _become_child(self, slot: int, parent: int) -> NoReturn:
        status = 1
        try:
            os.setpgid(0, 0)
            if self._libc is not None:
                self._libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
            if os.getppid() == parent:  # else it died before it could be tied to us
                self._control.close()
                for other, end in self._ends.items():
                    if other != slot:
                        end.close()
                _settle_signals(self._hangup)
                if self._output is not None:
                    self._output.redirect(slot)
                notices = SlotNotices(self._shared, slot)
                notes = self._notes.of_child(slot, self._ends[slot])
                runner = Runner(self._registry, self._worker, notices, notes)
                if self._hooks.child_start:
                    start(self._hooks.child_start, "on_child_start")
                    send(self._ends[slot], STARTED)
                with suppress(ConnectionError):  # the worker has left
                    settings = runner, self._recycling, self._output is not None
                    run_tasks(self._ends[slot], slot, self._shared, *settings)
                stop_child(self._hooks)
                status = 0
        except HookFailed as error:
            log.error("a process of the pool does not start: %s", error)  # noqa: TRY400
        except ConnectionError:
            status = 0  # the worker has left
        except BaseException:  # noqa: BLE001 - nothing may return into the fork server's stack
            complain(traceback.format_exc())
        finally:
            flush()
            os._exit(status)


def run_tasks(
    end: socket.socket,
    slot: int,
    shared: SharedSlots,
    runner: Runner,
    recycling: Recycling,
    captured: bool = False,
) -> None:
    """A child's life: take, run, answer, until it has done its part or the channel is closed.

    What tasks print is `captured`: it is to be known whose it is, and to be there with the outcome.
    """
    ran = 0
    run_in(ChildWaits(end, slot, shared))
    while not recycling.due(ran) and (packet := receive(end)):
        task = decode_job(packet)
        shared.write(slot, task.token, time.monotonic_ns())
        if captured:
            output_pipes.begin(task.token)
        outcome, elapsed = runner.run(task)
        if captured:
            flush()
        # Sent before the slot is cleared: a death in between leaves an outcome, not a doubt.
        send(end, pack((*outcome, elapsed)))
        shared.clear(slot)
        take_back()
        ran += 1
    runner.close()


def encode_job(task: PushedTask) -> bytes:
    """A task as the packet that a child receives."""
    return pack(tuple(task))


def decode_job(packet: bytes) -> PushedTask:
    """The task of a packet."""
    fields = unpack(packet)
    assert isinstance(fields, list)
    task = PushedTask(*fields)
    return task if task.about is None else task._replace(about=About(*task.about))


def _settle_signals(hangup: "signal._HANDLER") -> None:
    """Only the fork server ends a child; a stop of the whole service is up to the worker."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, hangup)
    take(_heed)  # not ignored: that would be inherited by the programs a task starts


def _heed(_signal: int, _frame: FrameType | None) -> None:
    """Nothing: it makes the fork server's wake-up descriptor readable; a child ignores it."""


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _loss(status: int, usage: struct_rusage) -> Loss:
    """How it ended."""
    code, peak = os.waitstatus_to_exitcode(status), peak_bytes(usage)
    return Loss(exit=code, memory=peak) if code >= 0 else Loss(signal=-code, memory=peak)
