"""When a child is replaced: code that leaks must not keep a process for ever.

A child looks after each task, so it leaves between two: nothing runs in it, and what waits in its
channel goes to the one that takes its place.
"""

import resource
import sys
from typing import NamedTuple

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
