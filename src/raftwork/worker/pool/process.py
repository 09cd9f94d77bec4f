"""Tasks in child processes, one at a time each: the default pool.

Every child has its own channel, of which this side keeps both ends: its own, and the child's, from
which it takes back jobs that have not begun. While tasks are short a child gets some ahead, so that
it need not wait for us in between; the moment one of them turns out long, the others are taken back
and go to a free child.

While a task waits for another one, its slot is lent to a spare child, of which there are as many as
slots at most. A spare one stays: it has the next task when a child is needed. A task that waits no
more goes on at once, so that for a moment more of them may run than there are slots.
"""

import logging
import os
import select
import signal
import socket
import time
import traceback
from collections import deque
from collections.abc import Collection
from contextlib import suppress

from raftwork.errors import PoolBroken
from raftwork.hooks import Hooks
from raftwork.messages import Hopeless, Loss, Outcome, PushedTask, Wait
from raftwork.standard_streams import complain, flush
from raftwork.wire import unpack
from raftwork.worker.pool import Running
from raftwork.worker.pool.captured_output import OutputCapture
from raftwork.worker.pool.channel import pair, receive, send, send_with_end
from raftwork.worker.pool.child_waits import WAITS, decode_wait
from raftwork.worker.pool.fork_server import (
    STARTED,
    Died,
    Fork,
    ForkServer,
    Kill,
    KilledNotice,
    Leave,
    Notice,
    decode_job,
    encode_job,
    notices,
)
from raftwork.worker.pool.recycling import NEVER, Deaths, Recycling
from raftwork.worker.pool.shared_notes import CHECKPOINT_FIELDS, SharedNotes
from raftwork.worker.pool.shared_slots import SharedSlots
from raftwork.worker.runner import Ended, Registry, how, lost

#: Work a child has ahead, ns; a job that runs for longer gives up what is queued behind it.
_AHEAD_NS = 5_000_000
_DEPTH_MAX = 128
#: A child that died without a task is replaced no sooner than this after its birth, ns; for each
#: further one in a row twice as much, up to the last. One that has lived so long has started.
_RESTART_PAUSE_NS, _RESTART_PAUSE_MAX_NS = 1_000_000_000, 30_000_000_000
#: After so many in a row its slot counts for nothing until one has started.
_FAILED_STARTS_MAX = 2
#: For the fork server to end and reap the children, s.
_REAP_S = 3.0
_SMOOTHING = 0.125

log = logging.getLogger("raftwork.worker")


class _Child:
    """A slot: its channel stays when the process in it is replaced."""

    __slots__ = (
        *("end", "failed_starts", "far", "handed", "present", "restart_at", "slow"),
        *("started_at", "starting", "wait", "worked"),
    )

    def __init__(self) -> None:
        self.end, self.far = pair()
        self.handed: dict[int, PushedTask] = {}  # in order; the first may be running
        self.present = False
        self.starting = False  # it calls hooks, and runs nothing yet
        self.slow = False  # what it runs is longer than _AHEAD
        self.started_at = 0
        self.restart_at = 0
        self.failed_starts = 0  # processes in a row that died soon and had done nothing
        self.worked = False  # this one has done something
        self.wait: Wait | None = None  # what its task waits for

    @property
    def parked(self) -> bool:
        """Whether its slot is lent."""
        return self.wait is not None and self.wait.parked

    def starts(self, now: int) -> bool:
        """Whether it runs, or soon will (`now` in ns): it does not fail to start."""
        late = self.starting and now - self.started_at > _RESTART_PAUSE_NS
        return self.failed_starts < _FAILED_STARTS_MAX and not late


class ProcessPool:
    """`slots` children of a fork server. Make it before any thread or ZeroMQ socket exists."""

    def __init__(
        self,
        registry: Registry,
        worker: str,
        slots: int,
        recycling: Recycling = NEVER,
        hooks: Hooks | None = None,
        killed_notice: KilledNotice = lambda _running: None,
        deaths: Deaths | None = None,
        *,
        capture: bool = False,
    ) -> None:
        """`killed_notice` is called elsewhere if this process is killed; see fork_server.py.

        `deaths` is where the ends of children are counted. With `capture`, what tasks print goes
        into the log. Raises OSError without enough files.
        """
        self._deaths = deaths or Deaths()
        self._hooks = hooks or Hooks()
        self._killed_notice = killed_notice
        self._size = slots
        self._processes_max = 2 * slots
        self._shared = SharedSlots(self._processes_max)
        self.notes = SharedNotes(self._processes_max)
        self._recycling = recycling
        self._children = [_Child() for _ in range(slots)]
        self._new_ends: dict[int, socket.socket] = {}  # of slots that the fork server has not seen
        self._parked = 0  # children that are
        self._backlog: deque[PushedTask] = deque()
        self._ended: list[Ended] = []
        self._to_kill: dict[int, bool] = {}  # tokens to be killed, and whether that was asked for
        self._mean = float(_AHEAD_NS)  # ns
        self._control, far = pair()
        self._output = OutputCapture(worker, self._processes_max) if capture else None
        self.notes.printed = self._output
        flush()
        self._fork_server = os.fork()
        if self._fork_server == 0:
            self._become_fork_server(far, registry, worker)
        far.close()
        #: File descriptors that become readable when `collect` has something; more while it runs.
        self.wakers = [self._control.fileno(), *(child.end.fileno() for child in self._children)]
        self._readable = select.poll()
        if self._output is not None:
            self._output.pipes.keep_readers()
            self.wakers += self._output.pipes.readers
        for waker in self.wakers:
            self._readable.register(waker, select.POLLIN)
        self._replace()

    def _become_fork_server(self, control: socket.socket, registry: Registry, worker: str) -> None:
        status = 1
        try:
            self._control.close()  # or the worker's death would not be seen
            for child in self._children:
                child.end.close()
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.close(null)
            ends = [child.far for child in self._children]
            settings = (registry, worker, self._recycling, self._hooks, self._killed_notice)
            pipes = None if self._output is None else self._output.pipes
            if pipes is not None:
                pipes.keep_writers()
            ForkServer(control, ends, self._shared, *settings, self.notes, pipes).serve()
            status = 0
        except BaseException:  # noqa: BLE001 - nothing may return into the worker's stack
            complain(traceback.format_exc())
        finally:
            os._exit(status)

    # ---- Pool ------------------------------------------------------------------------------------

    @property
    def slots(self) -> int:
        """How many tasks can run at once: without children that fail to start."""
        now = time.monotonic_ns()
        return min(self._size, sum(each.starts(now) for each in self._children) - self._parked)

    def start(self, tasks: Collection[PushedTask]) -> None:
        """Take these tasks, to be started in this order."""
        self._backlog.extend(tasks)
        self._deal()

    def collect(self) -> list[Ended]:
        """The tasks that ended since the last call; a child that died under one is a loss."""
        # One look at all: to read where nothing is costs an exception each.
        readable = {fd for fd, _ in self._readable.poll(0)}
        if self._output is not None:
            self._output.forget()
            self._read_output(self._output, readable)
        for slot, child in enumerate(self._children):
            if child.end.fileno() in readable:
                self._read(slot, child)
        if self._control.fileno() in readable:
            self._read_control()
        self._replace()
        now = time.monotonic_ns()
        for slot, child in enumerate(self._children):
            if child.handed:
                entry = self._shared.read(slot)
                child.slow = entry is not None and now - entry.since > _AHEAD_NS
                if child.slow and len(child.handed) > 1:
                    self._backlog.extendleft(reversed(self._take_back(child)))
            lives = child.present and not child.starting
            if child.failed_starts and lives and now - child.started_at >= _RESTART_PAUSE_NS:
                child.failed_starts = 0
        self._kill_doomed()
        self._deal()
        ended, self._ended = self._ended, []
        return ended

    def running(self) -> list[Running]:
        """The tasks with running code."""
        entries = (
            entry
            for slot, child in enumerate(self._children)
            if (entry := self._shared.read(slot)) is not None and entry.token in child.handed
        )
        holding = {wait.token for wait in self.waiting() if not wait.parked}
        return [Running(t, since // 1_000_000, t in holding) for t, since in entries]

    def waiting(self) -> list[Wait]:
        """The tasks that wait for others; the parked ones hold no slot meanwhile."""
        return [child.wait for child in self._children if child.wait is not None]

    def end_waits(self, hopeless: Collection[Hopeless]) -> None:
        """End these waits with an error, unless they are over."""
        for token, turn, why in hopeless:
            for slot, child in enumerate(self._children):
                if child.wait is not None and child.wait.token == token:
                    self._shared.end_wait(slot, turn, why)

    def withdraw(self) -> list[PushedTask]:
        """Return, in order, the tasks that have not begun; they never will."""
        tasks = [task for child in self._children for task in self._take_back(child)]
        tasks += self._backlog
        self._backlog.clear()
        return tasks

    def cancel(self, tokens: Collection[int]) -> list[PushedTask]:
        """Ask the code of these to end; see `Pool.cancel`."""
        waiting = self.withdraw()
        self._backlog = deque(task for task in waiting if task.token not in tokens)
        for slot, child in enumerate(self._children):
            for token in child.handed:  # the last of them is what it runs, or begins now
                if token in tokens:
                    self._shared.cancel(slot, token)
        self._deal()
        return [task for task in waiting if task.token in tokens]

    def drain(self) -> None:
        """Nothing new will come; see `Pool.drain`."""
        self._shared.stop()

    def stop(self, tokens: Collection[int]) -> None:
        """Forget these tasks if they wait; kill their processes if they run."""
        self._backlog = deque(task for task in self.withdraw() if task.token not in tokens)
        running = (token for child in self._children for token in child.handed)
        self._to_kill.update((token, False) for token in running if token in tokens)
        self._kill_doomed()
        self._deal()

    def close(self) -> None:
        """Stop everything."""
        with suppress(OSError):  # it is gone already
            send(self._control, notices.encode(Leave()), socket.MSG_DONTWAIT)
        for child in self._children:
            child.end.close()
            child.far.close()
        self._control.close()
        self._reap()
        if self._output is not None:
            self._read_output(self._output)
            self._output.pipes.close()

    def _reap(self) -> None:
        deadline = time.monotonic() + _REAP_S
        with suppress(ChildProcessError):  # a module that ignores SIGCHLD: the kernel reaps
            while os.waitpid(self._fork_server, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    os.kill(self._fork_server, signal.SIGKILL)
                    os.waitpid(self._fork_server, 0)
                    return
                if self._output is not None:  # or what a child prints last would hold it up
                    self._read_output(self._output)
                time.sleep(0.002)

    # ---- jobs and outcomes -----------------------------------------------------------------------

    def _deal(self) -> None:
        """Hand out evenly what waits, to the depth that run times allow."""
        backlog = self._backlog
        if not backlog:
            return
        children = self._lendable()
        total = len(backlog) + sum(len(child.handed) for child in children)
        depth = max(1, min(_DEPTH_MAX, int(_AHEAD_NS / max(self._mean, 1.0))))
        depth = min(depth, -(-total // self._size), self._recycling.tasks or depth)
        for child in children:
            ready = child.present and not child.starting
            room = (1 if child.slow else depth) - len(child.handed) if ready else 0
            with suppress(BlockingIOError):  # its queue is full of long jobs: later
                while room > 0 and backlog:
                    task = backlog[0]
                    send(child.end, encode_job(task), socket.MSG_DONTWAIT)
                    child.handed[task.token] = backlog.popleft()
                    room -= 1

    def _read_output(self, output: OutputCapture, readable: Collection[int] | None = None) -> None:
        """What the children printed, as far as these descriptors are readable (None: any)."""
        for slot, child in enumerate(self._children):
            if readable is None or output.pipes.readers[slot] in readable:
                output.read(slot, child.handed)

    def _read(self, slot: int, child: _Child) -> None:
        with suppress(BlockingIOError):
            while child.handed or child.starting:  # each task has one answer
                packet = receive(child.end, socket.MSG_DONTWAIT)
                if packet == STARTED:
                    child.starting = False
                    continue
                if packet.startswith(WAITS):
                    self._waits(child, decode_wait(packet))
                    continue
                fields = unpack(packet)
                assert isinstance(fields, list)
                if len(fields) == CHECKPOINT_FIELDS:
                    self.notes.came(slot, *fields)
                    continue
                *outcome, elapsed = fields
                self._end(slot, child, Outcome(*outcome), elapsed)
                self._mean += _SMOOTHING * (elapsed - self._mean)

    def _end(self, slot: int, child: _Child, outcome: Outcome, elapsed: int) -> None:
        if self._output is not None:
            outcome = self._output.ended(slot, child.handed, outcome)
        del child.handed[outcome.token]
        self.notes.ended(outcome.token, slot)
        self._parked -= child.parked
        child.wait = None
        child.slow, child.worked, child.failed_starts = False, True, 0
        self._to_kill.pop(outcome.token, None)
        self._ended.append(Ended(outcome, elapsed))

    def _take_back(self, child: _Child) -> list[PushedTask]:
        """Jobs that the child has not taken, in order."""
        tasks = []
        with suppress(BlockingIOError):
            while child.handed:
                token = decode_job(receive(child.far, socket.MSG_DONTWAIT)).token
                tasks.append(child.handed.pop(token))
        return tasks

    # ---- slots that are lent ---------------------------------------------------------------------

    def _lendable(self) -> list[_Child]:
        """The children that may be given tasks: no more than slots, those that have some first."""
        if len(self._children) == self._size:
            return self._children
        free = [child for child in self._children if not child.parked]
        return sorted(free, key=lambda child: not child.handed)[: self._size]

    def _waits(self, child: _Child, wait: Wait) -> None:
        """What the child's task waits for now. The first time its slot is lent, if it can be."""
        if wait.token not in child.handed:
            return
        parked = child.parked
        if not wait.ids and not wait.parked:
            self._parked -= parked
            child.wait = None
            return
        if child.wait is None:
            self._backlog.extendleft(reversed(self._take_back(child)))
            parked = self._lend()
            self._parked += parked
        child.wait = wait._replace(parked=parked)

    def _lend(self) -> bool:
        """Whether there is a child for one slot more."""
        if self._parked >= self._size:
            return False
        if len(self._children) - self._parked > self._size:
            return True  # a spare one is left
        try:
            child = _Child()
        except OSError:  # no more files: it holds its slot
            return False
        self._new_ends[len(self._children)] = child.far
        self._children.append(child)
        self.wakers.append(child.end.fileno())
        self._readable.register(child.end.fileno(), select.POLLIN)
        self._replace()
        return True

    # ---- children --------------------------------------------------------------------------------

    def _ask(self, notice: Notice, end: socket.socket | None = None) -> None:
        try:
            packet = notices.encode(notice)
            if end is None:
                send(self._control, packet)
            else:
                send_with_end(self._control, packet, end)
        except OSError as error:
            raise PoolBroken(f"the fork server is gone: {error}") from error

    def _read_control(self) -> None:
        with suppress(BlockingIOError):
            while True:
                try:
                    packet = receive(self._control, socket.MSG_DONTWAIT)
                except ConnectionError:
                    packet = b""
                if not packet:
                    raise PoolBroken("the fork server is gone")
                notice = notices.decode(packet)
                assert isinstance(notice, Died)
                self._settle(notice)

    def _settle(self, died: Died) -> None:
        """Charge a death to the running task; tasks that had not begun are handed out again."""
        child, entry = self._children[died.slot], self._shared.read(died.slot)
        self._shared.clear(died.slot)
        self._read(died.slot, child)
        waiting = self._take_back(child)
        now = time.monotonic_ns()
        if child.starting or (not child.worked and now - child.started_at < _RESTART_PAUSE_NS):
            child.failed_starts += 1
        charged = entry is not None and entry.token in child.handed
        if died.loss is not None:
            stopped = entry is not None and entry.token in self._to_kill
            self._deaths.count(died.loss, self._recycling, charged=charged, stopped=stopped)
        if not charged and not child.starting and died.loss and died.loss.exit != 0:
            log.warning("a process of the pool, which ran no task, %s", how(died.loss))
        # One that left in peace had done its part; the others may die again at once.
        done = child.worked and died.loss is not None and died.loss.exit == 0
        pause = min(_RESTART_PAUSE_NS << max(0, child.failed_starts - 1), _RESTART_PAUSE_MAX_NS)
        child.restart_at = now if done else child.started_at + pause
        for task in list(child.handed.values()):
            if entry is not None and entry.token == task.token:
                loss = lost(task.token, died.loss or Loss())
                loss = self.notes.with_last_lines(loss, printed=False)  # that follows
                self._end(died.slot, child, loss, now - entry.since)
                child.restart_at = now
            else:
                waiting.insert(0, child.handed.pop(task.token))
        self._backlog.extendleft(reversed(waiting))
        child.present = child.starting = False

    def _replace(self) -> None:
        now = time.monotonic_ns()
        for slot, child in enumerate(self._children):
            if not child.present and now >= child.restart_at:
                self._ask(Fork(slot), self._new_ends.pop(slot, None))
                child.present, child.worked, child.started_at = True, False, now
                child.starting = bool(self._hooks.child_start)

    def _kill_doomed(self) -> None:
        if not self._to_kill:
            return
        for slot in range(len(self._children)):
            entry = self._shared.read(slot)
            # Asked once it is seen to run: the fork server would spare a task that does not yet.
            if entry is not None and self._to_kill.get(entry.token) is False:
                self._to_kill[entry.token] = True
                self._ask(Kill(slot, entry.token))
