"""Work off the loop: one thread, one piece of work after the other, results by a readable fd.

Here is one of the boundaries of broker/containment.py: whatever a piece of work raises becomes its
result.
"""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event, Lock
from typing import Generic, TypeVar

R = TypeVar("R")
Stopped = Callable[[], bool]


def outcome(work: Callable[[Stopped], R], failed: Callable[[Exception], R], stopped: Stopped) -> R:
    """What `work(stopped)` gives, or `failed(error)`, which must not raise."""
    try:
        return work(stopped)
    except Exception as error:  # noqa: BLE001 - the boundary: see the module's docstring
        return failed(error)


class Helper(Generic[R]):
    """The thread. `wake_fd` is readable while a result waits for `take`."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="raftwork-store")
        # The thread exists from now on: later, when somebody needs it, there might be no room.
        self._pool.submit(lambda: None)
        self._interrupted = Event()
        self._closed = Event()
        self._lock = Lock()
        #: With a byte in the pipe for each, under the lock: a poll loop must not see more.
        self._results: deque[R] = deque()
        self.wake_fd, self._wake = os.pipe()
        os.set_blocking(self.wake_fd, False)
        os.set_blocking(self._wake, False)

    def start(self, work: Callable[[Stopped], R], failed: Callable[[Exception], R]) -> None:
        """Run `work(stopped)` on the thread; it must end soon once `stopped()`. See `outcome`."""
        self._pool.submit(self._run, work, failed)

    def _run(self, work: Callable[[Stopped], R], failed: Callable[[Exception], R]) -> None:
        self._interrupted.clear()
        result = outcome(work, failed, lambda: self._interrupted.is_set() or self._closed.is_set())
        with self._lock, suppress(BlockingIOError):
            self._results.append(result)
            os.write(self._wake, b"\0")

    def interrupt(self) -> None:
        """Have the work that runs now end early."""
        self._interrupted.set()

    def take(self) -> R | None:
        """The result of a finished piece of work, if there is one."""
        with self._lock:
            if not self._results:
                return None
            os.read(self.wake_fd, 1)
            return self._results.popleft()

    def close(self) -> None:
        """End what runs, drop what waits, and wait for the thread."""
        self._closed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        os.close(self.wake_fd)
        os.close(self._wake)
