"""Whether new tasks fit into a queue, and one more queue or lane into the cluster.

The log decides: a batch meets the limits that are set (queue_settings.py), and the tasks that wait,
where it is applied. What is in stays in, whatever is set later; what comes back is never refused.
"""

from typing import TYPE_CHECKING, Final

from raftwork.errors import QueueFull
from raftwork.features.limits import gates_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from raftwork.broker.machine.queue import Queue
    from raftwork.broker.machine.state import Ledger
    from raftwork.messages import Spec

#: Lanes that unfinished tasks are of. A new leader looks at each before it serves, for some 5 us;
#: all of that must take less time than its followers wait before they elect another one.
LANES_MAX: Final = 100_000


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


def check_lanes(
    ledger: "Ledger",
    spec: "Spec",
    tasks: "Collection[tuple[str, str]]",
    workers: "Collection[str]" = ("",),
) -> None:
    """Raise QueueFull if new tasks of these keys and tenants would open too many lanes.

    Those on nobody's behalf and without limits are of few lanes, and always fit. `workers` are the
    names of those that such tasks may be for alone; an empty one stands for any.
    """
    if ledger.lanes.count + len(tasks) * len(workers) <= LANES_MAX:
        return
    queue = ledger.queues.get(spec.queue)
    lanes = {
        (tenant, gates_of(ledger, spec, key, tenant), worker)
        for key, tenant in tasks
        for worker in workers
    }
    new = sum(
        queue is None or not ledger.lanes.knows(queue.number, spec.priority, *lane)
        for lane in lanes
        if any(lane)
    )
    if new and ledger.lanes.count + new > LANES_MAX:
        raise QueueFull(
            f"no room: this would make {ledger.lanes.count + new} lanes, {LANES_MAX} are allowed:"
            " each tenant, each key or tenant that a limit counts apart, and each worker that tasks"
            " are for alone has one for each of its queues and priorities while it has unfinished"
            " tasks"
        )
