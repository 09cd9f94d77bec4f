"""Whether new tasks fit into a queue, and one more queue into the cluster.

The log decides: a batch meets the limits that are set (queue_settings.py), and the tasks that wait,
where it is applied. What is in stays in, whatever is set later; what comes back is never refused.
"""

from typing import TYPE_CHECKING

from raftwork.errors import QueueFull

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger, Queue


def check_fits(queue: "Queue", tasks: int, size: int) -> None:
    """Raise QueueFull if new tasks with payloads of `size` bytes would take it over a limit."""
    settings = queue.settings
    for what, held, new, limit in (
        ("tasks", queue.unstarted, tasks, settings.max_length),
        ("bytes", queue.bytes, size, settings.max_bytes),
    ):
        if limit and held + new > limit:
            raise QueueFull(
                f"queue {queue.name!r} is full: {held} {what} wait, {limit} may, "
                f"and {new} more were to come in"
            )


def check_queues(ledger: "Ledger", queue: str) -> None:
    """Raise QueueFull if this would be one queue too many."""
    count, most = len(ledger.queues) + 1, ledger.settings.queues
    if count > most and queue not in ledger.queues:  # what is there stays, if fewer may be by now
        raise QueueFull(f"no room: this would make {count} queues, {most} are allowed")
