"""What was set for a queue at run time, and whether new tasks fit into it.

1. The log decides: a batch meets the settings that stand, and the tasks that wait, where it is
   applied. What is in stays in, whatever is set later; what comes back is never refused.
2. A balancer's name is only kept here. Which names there are is the leader's business, so that
   brokers that know different ones still apply the same.
"""

from raftwork.broker.machine.commands import Configure
from raftwork.broker.machine.state import Ledger, Queue
from raftwork.errors import ProtocolError, QueueFull
from raftwork.messages import SetQueue

#: Of a setting: beyond it no sum with what waits could be stored.
SETTING_MAX = 2**53


def check_settings(ledger: Ledger, change: Configure | SetQueue) -> None:
    """Raise ProtocolError for what cannot be meant, QueueFull for one queue too many."""
    most = ledger.limits.name_length
    for what, name, least in (("queue", change.queue, 1), ("balancer", change.balancer or "", 0)):
        if not least <= len(name) <= most:
            raise ProtocolError(f"a {what} of {len(name)} characters; 1 to {most} are allowed")
    for what, value in (("max_length", change.max_length), ("max_bytes", change.max_bytes)):
        if value is not None and not 0 <= value <= SETTING_MAX:
            raise ProtocolError(f"{what} is from 1 to {SETTING_MAX}, not {value}")
    check_queues(ledger, change.queue)


def check_queues(ledger: Ledger, queue: str) -> None:
    """Raise QueueFull if this would be one queue too many."""
    count = len(ledger.queues) + (queue not in ledger.queues)
    if count > ledger.limits.queues:
        raise QueueFull(
            f"no room: this would make {count} queues, {ledger.limits.queues} are allowed"
        )


def configure(ledger: Ledger, command: Configure) -> None:
    """Change a queue's settings, which may make it a queue. Raises as `check_settings`."""
    check_settings(ledger, command)
    queue = ledger.touch(command.queue)
    if command.balancer is not None:
        queue.balancer = command.balancer
    if command.max_length is not None:
        queue.max_length = command.max_length
    if command.max_bytes is not None:
        queue.max_bytes = command.max_bytes


def check_fits(queue: Queue, tasks: int, size: int) -> None:
    """Raise QueueFull if new tasks with payloads of `size` bytes would take it over a limit."""
    for what, held, new, limit in (
        ("tasks", queue.queued, tasks, queue.max_length),
        ("bytes", queue.bytes, size, queue.max_bytes),
    ):
        if limit and held + new > limit:
            raise QueueFull(
                f"queue {queue.name!r} is full: {held} {what} wait, {limit} may, "
                f"and {new} more were to come in"
            )
