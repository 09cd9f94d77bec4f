"""One file a capability: its records, its rule on the leader and on every replica, its limits.

To add one is to write its module and to name it here; CONTRIBUTING.md shows it.

With this package the codecs know all records. Clients and workers need no more: the rules are made
where brokers ask for them (catalogue.py), by each module's `feature`.
"""

from typing import TYPE_CHECKING, Protocol

from raftwork.features import (
    audit,
    cancel,
    checkpoints,
    cluster_settings,
    dead_letters,
    drain,
    edges,
    ended_attempts,
    enqueue,
    event_feed,
    flow_again,
    flow_callbacks,
    flows,
    free_key,
    history,
    inspect_tasks,
    lanes,
    limits,
    marks,
    pause_queue,
    pins,
    placement,
    progress,
    purge_queue,
    queue_settings,
    reschedule,
    results,
    running,
    schedules,
    show_flow,
    signals,
    tags,
    task_log,
    timers,
    transfer,
    unique,
    upgrade,
    why_it_waits,
)
from raftwork.messages.registry import commands, from_broker, to_broker

if TYPE_CHECKING:
    from raftwork.features.feature import Feature

__all__ = ["CAPABILITIES", "Capability", "commands", "from_broker", "to_broker"]


class Capability(Protocol):
    """A module of this package."""

    def feature(self) -> "Feature":
        """What brokers and the command line load of it."""
        ...


CAPABILITIES: tuple[Capability, ...] = (
    enqueue,
    results,
    queue_settings,
    dead_letters,
    drain,
    purge_queue,
    transfer,
    upgrade,
    cluster_settings,
    audit,
    unique,
    free_key,
    reschedule,
    timers,
    cancel,
    schedules,
    pause_queue,
    checkpoints,
    progress,
    task_log,
    tags,
    history,
    flows,
    pins,  # behind the flows, which note what it takes to run a task again
    flow_again,
    flow_callbacks,
    signals,
    show_flow,
    why_it_waits,
    inspect_tasks,
    event_feed,
    running,
    ended_attempts,
    placement,
    marks,
    edges,
    limits,
    lanes,  # the last: what the others made of a task decides where it waits
)
