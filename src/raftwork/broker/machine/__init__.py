"""The replicated queue: what it is told (`commands`), what it decides (`Machine`)."""

from raftwork.broker.machine.machine import Machine
from raftwork.broker.machine.migrations import create_or_migrate
from raftwork.broker.machine.queries import Waiting
from raftwork.broker.machine.schema import TABLES, VERSION
from raftwork.broker.machine.state import Running
from raftwork.features.cluster_settings import ClusterSettings

__all__ = [
    "TABLES",
    "VERSION",
    "ClusterSettings",
    "Machine",
    "Running",
    "Waiting",
    "create_or_migrate",
]
