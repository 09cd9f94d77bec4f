"""One file a capability: its records, its rule on the leader and on every replica, its limits.

To add one is to write its module and to name it here; CONTRIBUTING.md shows it.
"""

from raftwork.features import (
    cluster_settings,
    dead_letters,
    drain,
    enqueue,
    purge_queue,
    queue_settings,
    results,
    upgrade,
)
from raftwork.features.feature import Feature
from raftwork.messages.registry import commands, from_broker, to_broker

__all__ = ["FEATURES", "commands", "from_broker", "to_broker"]

FEATURES: tuple[Feature, ...] = (
    enqueue.FEATURE,
    results.FEATURE,
    queue_settings.FEATURE,
    dead_letters.FEATURE,
    drain.FEATURE,
    purge_queue.FEATURE,
    upgrade.FEATURE,
    cluster_settings.FEATURE,
)
