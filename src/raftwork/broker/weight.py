"""What a worker's machine has left, as one number. Sans-IO."""

from math import isnan


def share(told: float) -> float:
    """A share as a worker told it, brought into 0 … 1; what is no number counts as a full one."""
    return min(1.0, max(0.0, told)) if not isnan(told) else 1.0


def weight(cpu: float | None, memory: float | None) -> float:
    """What a worker's machine has left, from 0.02 to 1.0, by its shares in use (0 … 1).

    The scarcer of the two decides: a machine with idle CPUs and no memory is no place for a task.
    Never zero, so that a cluster of loaded workers still works.
    """
    left = min(1.0 - (cpu or 0.0), 1.0 - (memory or 0.0) ** 4)
    return max(0.02, left)
