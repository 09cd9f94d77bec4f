"""Tasks as coroutines of one event loop, which has the main thread to itself.

The agent lives in another thread, so that a coroutine that blocks the loop does not silence the
worker. A plain function runs in a thread of its own; such a one cannot be stopped, and its slot is
taken until it ends.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from time import monotonic_ns

from raftwork.messages import PushedTask
from raftwork.worker.pool import Running
from raftwork.worker.pool.thread import Waker
from raftwork.worker.runner import Ended, Registry, Runner


class AsyncPool:
    """At most `slots` tasks at once. Make it inside the loop that is to run them.

    Pool's methods may be called from one other thread. Between the two only deques, and copies of
    dicts made in one step, change hands.
    """

    def __init__(self, registry: Registry, worker: str, slots: int) -> None:
        self._slots = slots
        self._runner = Runner(registry, worker)
        self._loop = asyncio.get_running_loop()
        self._backlog: deque[PushedTask] = deque()
        self._ended: deque[Ended] = deque()
        self._waker = Waker()
        self._tasks: dict[int, asyncio.Task[Ended]] = {}
        self._since: dict[int, int] = {}  # ms
        self._abandoned: set[int] = set()  # told to stop, not seen to have ended

    @property
    def slots(self) -> int:
        return self._slots - len(self._abandoned)

    @property
    def wakers(self) -> list[int]:
        return [self._waker.fd]

    def start(self, tasks: Collection[PushedTask]) -> None:
        self._backlog.extend(tasks)
        self._in_loop(self._fill)

    def collect(self) -> list[Ended]:
        self._waker.clear()
        ended = []
        with suppress(IndexError):
            while True:
                ended.append(self._ended.popleft())
        if self._abandoned:
            self._abandoned.difference_update(end.outcome.token for end in ended)
        return ended

    def running(self) -> list[Running]:
        return [Running(token, since) for token, since in self._since.copy().items()]

    def withdraw(self) -> list[PushedTask]:
        tasks = []
        with suppress(IndexError):
            while True:
                tasks.append(self._backlog.popleft())
        return tasks

    def stop(self, tokens: Collection[int]) -> None:
        self.start([task for task in self.withdraw() if task.token not in tokens])
        running = [token for token in self._since.copy() if token in tokens]
        self._abandoned.update(running)
        self._in_loop(self._cancel, running)

    def close(self) -> None:
        self.withdraw()
        self._in_loop(self._cancel, list(self._since.copy()))
        self._waker.close()

    # ---- in the loop's thread -------------------------------------------------------------------

    def _fill(self) -> None:
        while self._backlog and len(self._tasks) < self._slots:
            with suppress(IndexError):  # withdrawn meanwhile
                task = self._backlog.popleft()
                self._since[task.token] = monotonic_ns() // 1_000_000
                running = self._loop.create_task(self._runner.run_async(task))
                self._tasks[task.token] = running
                running.add_done_callback(partial(self._done, task.token))

    def _done(self, token: int, running: asyncio.Task[Ended]) -> None:
        del self._tasks[token], self._since[token]
        if running.cancelled():  # before its first step: it was stopped, and owes nothing
            self._abandoned.discard(token)
        else:
            self._ended.append(running.result())
            self._waker.wake()
        self._fill()

    def _cancel(self, tokens: list[int]) -> None:
        for token in tokens:
            if (task := self._tasks.get(token)) is not None:
                task.cancel()

    def _in_loop(self, code: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everything that ran
            self._loop.call_soon_threadsafe(code, *args)
