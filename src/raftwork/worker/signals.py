"""Signals to a worker's process, and what a task's own children inherit of them: nothing.

A child that a task forks in the worker's process (thread and async pools) has the worker's handlers
of SIGTERM and SIGINT, which ask a worker to drain that is not there: it could not be terminated.
And what a task does to these signals where it runs ends with it: a server that runs as a task, and
resets them to the default when it ends, would leave a worker that the first signal kills instead of
draining.
"""

import os
import signal

# Asked after each task: without the enumeration around it, which costs fifty times as much.
from _signal import getsignal  # type: ignore[import-not-found]
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: What stops a worker.
STOPS = (signal.SIGTERM, signal.SIGINT)
_NUMBERS = tuple(map(int, STOPS))
Handler = Callable[[int, FrameType | None], Any]

_ours: list[Handler] = []


@contextmanager
def obeyed(interrupt: Callable[[], None]) -> Iterator[None]:
    """Within the block SIGTERM and SIGINT call `interrupt`, however they were found.

    Call it from the main thread. A program may be started with them ignored or blocked.
    """

    def handle(_signal: int, _frame: FrameType | None) -> None:
        interrupt()

    old = {number: signal.getsignal(number) for number in STOPS}
    take(handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    try:
        yield
    finally:
        _ours.remove(handle)
        for number, handler in old.items():
            signal.signal(number, handler)


def take(handler: Handler) -> None:
    """SIGTERM and SIGINT are this handler's from here on, but in children. In the main thread."""
    _ours.append(handler)
    take_back()


def take_back() -> None:
    """Restore the handlers that `take` set, whatever a task did to them. In the main thread."""
    if _ours:
        for number in _NUMBERS:
            if getsignal(number) is not _ours[-1]:
                signal.signal(number, _ours[-1])


def _reset(handlers: list[Handler]) -> None:
    """Signals are a fresh process's again where one of these handlers takes them."""
    for number in STOPS:
        if signal.getsignal(number) in handlers:
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, usual)


def _reset_in_child() -> None:
    if _ours:
        signal.set_wakeup_fd(-1)
        _reset(_ours)


os.register_at_fork(after_in_child=_reset_in_child)
