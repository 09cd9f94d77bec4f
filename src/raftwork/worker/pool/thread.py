"""Tasks in threads of the worker's own process.

Python cannot stop a thread: code over its time limit is reported as failed, runs on, and its slot
is taken until it ends.
"""

import os
import threading
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic_ns

from raftwork.messages import PushedTask
from raftwork.worker.pool import Running
from raftwork.worker.runner import Ended, Registry, Runner
from raftwork.worker.waits import waiting


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
            with suppress(OSError):  # closed, when code that could not be stopped ends at last
                os.write(self._in, b"\0")

    def clear(self) -> None:
        """Call before looking at what the wake was about, or a later one is missed."""
        with suppress(BlockingIOError):
            os.read(self.fd, 64)
        self._awake = False

    def close(self) -> None:
        """Close both ends; later calls of `wake` do nothing."""
        self._awake = True
        os.close(self.fd)
        os.close(self._in)


class ThreadPool:
    """`slots` threads that share one queue."""

    def __init__(self, registry: Registry, worker: str, slots: int) -> None:
        self._waiting: SimpleQueue[PushedTask | None] = SimpleQueue()
        self._ended: deque[Ended] = deque()
        self._waker = Waker()
        self._now: list[tuple[int, int] | None] = [None] * slots  # token, ns since
        self._abandoned: set[int] = set()
        for slot in range(slots):
            runner = Runner(registry, worker)
            # Daemons: one that cannot be stopped must not keep the process from ending.
            threading.Thread(
                target=self._work, args=(slot, runner), name=f"raftwork-{slot}", daemon=True
            ).start()

    @property
    def slots(self) -> int:
        """How many tasks can run at once; see `Pool.slots`."""
        return len(self._now) - len(self._abandoned)

    @property
    def wakers(self) -> list[int]:
        """File descriptors that become readable when `collect` has something."""
        return [self._waker.fd]

    def start(self, tasks: Collection[PushedTask]) -> None:
        """Take these tasks, to be started in this order."""
        for task in tasks:
            self._waiting.put(task)

    def collect(self) -> list[Ended]:
        """The tasks that ended since the last call."""
        self._waker.clear()
        ended = []
        with suppress(IndexError):
            while True:
                ended.append(self._ended.popleft())
        if self._abandoned:
            self._abandoned.difference_update(end.outcome.token for end in ended)
        return ended

    def running(self) -> list[Running]:
        """The tasks with running code."""
        busy, waits = [now for now in self._now if now is not None], waiting()
        return [Running(token, since // 1_000_000, token in waits) for token, since in busy]

    def withdraw(self) -> list[PushedTask]:
        """Return, in order, the tasks that have not begun; they never will."""
        tasks = []
        with suppress(Empty):
            while True:
                task = self._waiting.get_nowait()
                if task is not None:
                    tasks.append(task)
        return tasks

    def stop(self, tokens: Collection[int]) -> None:
        """Forget these tasks if they wait; their slots are lost while they run on."""
        self.start([task for task in self.withdraw() if task.token not in tokens])
        self._abandoned.update(r.token for r in self.running() if r.token in tokens)

    def close(self) -> None:
        """Stop everything."""
        self.withdraw()
        for _ in self._now:
            self._waiting.put(None)
        self._waker.close()

    def _work(self, slot: int, runner: Runner) -> None:
        now, take, waker, ended = self._now, self._waiting.get, self._waker, self._ended
        while (task := take()) is not None:
            now[slot] = (task.token, monotonic_ns())
            end = runner.run(task)
            now[slot] = None
            ended.append(end)
            waker.wake()
        runner.close()
