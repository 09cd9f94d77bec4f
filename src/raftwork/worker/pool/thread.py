"""Tasks in threads of the worker's own process.

Python cannot stop a thread: code over its time limit is reported as failed, runs on, and its slot
is taken until it ends.

A task wakes one thread and no other, the one that ended last: a queue of the standard library wakes
a second one, for nothing, and both contend for the interpreter with the loop.

While a task waits for another one, a spare thread is lent for its slot, as many as there are slots.
Once it waits no more there is a thread too many until the next one is idle, which then rests.
"""

import os
import threading
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from time import monotonic_ns

from raftwork import native_threads
from raftwork.messages import Hopeless, PushedTask, Wait
from raftwork.worker.blocked_tasks import end_waits, run_in, waiting
from raftwork.worker.notices import LocalNotices
from raftwork.worker.pool import Running
from raftwork.worker.runner import Ended, Registry, Runner
from raftwork.worker.task_notes import Board


class Waker:
    """Makes a descriptor readable from any thread; many calls between two clears cost one write."""

    def __init__(self) -> None:
        self.fd, self._in = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._in, False)
        self._awake = False

    def wake(self) -> None:
        """Make the descriptor readable."""
        if not self._awake:
            self._awake = True
            try:  # noqa: SIM105 - part of every task
                os.write(self._in, b"\0")
            except OSError:
                pass  # closed, when code that could not be stopped ends at last

    def clear(self) -> None:
        """Call before looking at what the wake was about, or a later one is missed."""
        try:  # noqa: SIM105 - part of every task
            os.read(self.fd, 64)
        except BlockingIOError:
            pass
        self._awake = False

    def close(self) -> None:
        """Close both ends; later calls of `wake` do nothing."""
        self._awake = True
        os.close(self.fd)
        os.close(self._in)


class ThreadPool:
    """`slots` threads that share one backlog."""

    def __init__(self, registry: Registry, worker: str, slots: int) -> None:
        self._backlog: deque[PushedTask] = deque()
        #: Held by each thread that waits for a task, the one that ended last at the end; to release
        #: one wakes its thread.
        self._idle: deque[threading.Lock] = deque()
        self._closed = False
        self._ended: deque[Ended] = deque()
        self._waker = Waker()
        self.notes = Board(self._waker.wake)
        self._now: list[tuple[int, int] | None] = [None] * slots  # token, ns since
        self._abandoned: set[int] = set()
        self._size = slots
        self._notices = LocalNotices()
        self._make_runner = partial(Runner, registry, worker, self._notices, self.notes)
        self._parked: dict[int, None] = {}  # tokens of tasks whose slots are lent
        #: One for each thread that is to rest, and the locks of those that rest: to release one
        #: wakes its thread.
        self._surplus: deque[None] = deque()
        self._resting: deque[threading.Lock] = deque()
        run_in(self)
        for slot in range(slots):
            runner = self._make_runner()
            # Daemons: one that cannot be stopped must not keep the process from ending.
            threading.Thread(
                target=self._work, args=(slot, runner), name=f"raftwork-{slot}", daemon=True
            ).start()

    @property
    def slots(self) -> int:
        """How many tasks can run at once; see `Pool.slots`."""
        return self._size - len(self._abandoned - self._parked.keys())

    @property
    def wakers(self) -> list[int]:
        """File descriptors that become readable when `collect` has something."""
        return [self._waker.fd]

    def start(self, tasks: Collection[PushedTask]) -> None:
        """Take these tasks, to be started in this order."""
        self._backlog.extend(tasks)
        self._wake(len(tasks))

    def collect(self) -> list[Ended]:
        """The tasks that ended since the last call."""
        self._waker.clear()
        ended = []
        while self._ended:
            ended.append(self._ended.popleft())
        self._notices.forget(ended)
        self.notes.forget(end.outcome.token for end in ended)
        if self._abandoned:
            self._abandoned.difference_update(end.outcome.token for end in ended)
        return ended

    def running(self) -> list[Running]:
        """The tasks with running code."""
        busy = [now for now in list(self._now) if now is not None]
        holding = {wait.token for wait in waiting() if not wait.parked}
        return [Running(token, since // 1_000_000, token in holding) for token, since in busy]

    def waiting(self) -> list[Wait]:
        """The tasks that wait for others; the parked ones hold no slot meanwhile."""
        return waiting()

    def end_waits(self, hopeless: Collection[Hopeless]) -> None:
        """End these waits with an error, unless they are over."""
        end_waits(hopeless)

    def withdraw(self) -> list[PushedTask]:
        """Return, in order, the tasks that have not begun; they never will."""
        tasks = []
        with suppress(IndexError):
            while True:
                tasks.append(self._backlog.popleft())
        return tasks

    def cancel(self, tokens: Collection[int]) -> list[PushedTask]:
        """Ask the code of these to end; see `Pool.cancel`."""
        waiting = self.withdraw()
        self.start([task for task in waiting if task.token not in tokens])
        unstarted = [task for task in waiting if task.token in tokens]
        self._notices.ask(set(tokens).difference(task.token for task in unstarted))
        return unstarted

    def drain(self) -> None:
        """Nothing new will come; see `Pool.drain`."""
        self._notices.stopping = True

    def stop(self, tokens: Collection[int]) -> None:
        """Forget these tasks if they wait; their slots are lost while they run on."""
        self.start([task for task in self.withdraw() if task.token not in tokens])
        self._abandoned.update(r.token for r in self.running() if r.token in tokens)

    def close(self) -> None:
        """Stop everything."""
        self.withdraw()
        self._closed = True
        self._wake(len(self._now))
        with suppress(IndexError):
            while True:
                self._resting.pop().release()
        self._waker.close()

    def _wake(self, threads: int) -> None:
        """Wake so many threads, or all that wait."""
        try:
            for _ in range(threads):
                self._idle.pop().release()
        except IndexError:
            pass  # the others are busy, and look for themselves

    # ---- slots that are lent: called by tasks, one at a time -------------------------------------

    def park(self, token: int) -> bool:
        """A task begins to wait: a spare thread takes its slot, if there is one left."""
        if len(self._parked) >= self._size or self._closed:
            return False
        try:
            self._surplus.pop()  # one that was to rest
        except IndexError:
            try:
                self._lend()
            except RuntimeError:  # no thread can be started
                return False
        self._parked[token] = None
        return True

    def resume(self, token: int) -> None:
        """It goes on at once, and the thread that is idle next rests."""
        del self._parked[token]
        self._surplus.append(None)
        self._wake(1)

    async def next_slot(self, token: int) -> None:
        """As `resume`: the loop has the thread to itself."""
        self.resume(token)

    def changed(self, wait: Wait) -> None:  # noqa: ARG002
        """The worker is to look."""
        self._waker.wake()

    def _lend(self) -> None:
        try:
            self._resting.pop().release()
        except IndexError:
            slot = len(self._now)
            self._now.append(None)
            # Not by `threading`: it would carry the task that waits into the thread.
            native_threads.start(partial(self._work, slot, self._make_runner()))

    def _rests(self, lock: threading.Lock) -> bool:
        """Whether this thread was one too many, and has rested until it was lent again."""
        try:
            self._surplus.pop()
        except IndexError:
            return False
        lock.acquire()
        self._resting.append(lock)
        if self._closed:
            return True
        lock.acquire()
        lock.release()
        return True

    # ---- in the threads --------------------------------------------------------------------------

    def _work(self, slot: int, runner: Runner) -> None:
        now, waker, ended, idle = self._now, self._waker, self._ended, threading.Lock()
        while (task := self._take(idle)) is not None:
            now[slot] = (task.token, monotonic_ns())
            end = runner.run(task)
            now[slot] = None
            ended.append(end)
            waker.wake()
        runner.close()

    def _take(self, idle: threading.Lock) -> PushedTask | None:
        """The next task, waiting for it; None once the pool is closed."""
        while not self._closed:
            if self._surplus and self._rests(idle):
                continue
            if self._backlog:
                try:
                    return self._backlog.popleft()
                except IndexError:  # another one took it, or it was withdrawn
                    continue
            idle.acquire()
            self._idle.append(idle)
            # What came since that look must not wait; whichever thread this wakes will take it.
            if self._backlog or self._surplus or self._closed:
                self._wake(1)
            idle.acquire()
            idle.release()
        return None
