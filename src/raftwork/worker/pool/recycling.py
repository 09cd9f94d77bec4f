"""When a child is replaced: code that leaks must not keep a process for ever.

A child looks after each task, so it leaves between two: nothing runs in it, and what waits in its
channel goes to the one that takes its place.
"""

import resource
import signal
import sys
from collections import Counter
from typing import NamedTuple

from raftwork.messages import Loss

#: ru_maxrss is told in KiB, on macOS in bytes.
_UNIT = 1 if sys.platform == "darwin" else 1024


class Recycling(NamedTuple):
    """When a child is replaced by a fresh one; 0 is never."""

    tasks: int = 0  # it ran so many
    memory: int = 0  # bytes: it has had more than that resident, at any time

    def due(self, ran: int) -> bool:
        """Whether this process, which ran so many tasks, has done its part."""
        return ran > 0 and (0 < self.tasks <= ran or 0 < self.memory < peak_memory())


NEVER = Recycling()


def peak_memory() -> int:
    """The most this process ever had resident, bytes."""
    return peak_bytes(resource.getrusage(resource.RUSAGE_SELF))


def peak_bytes(usage: resource.struct_rusage) -> int:
    """The most memory this usage says was resident, bytes."""
    return usage.ru_maxrss * _UNIT


class Deaths:
    """How many children ended, and why. Counts only grow."""

    def __init__(self) -> None:
        #: By the signal that killed them, or `exit`: those that ended under a task, or failed.
        self.lost = Counter[str]()
        #: By reason: those that were replaced on purpose.
        self.recycled = Counter[str]()

    def count(self, loss: Loss, recycling: Recycling, *, charged: bool, stopped: bool) -> None:
        """One more: `charged` while it ran a task, `stopped` because that task was to end."""
        if stopped:
            self.recycled["stopped"] += 1
        elif loss.signal is not None:
            self.lost[_name(loss.signal)] += 1
        elif charged or loss.exit or recycling == NEVER:
            self.lost["exit"] += 1
        else:
            grown = 0 < recycling.memory < (loss.memory or 0)
            self.recycled["memory" if grown else "tasks"] += 1


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)
