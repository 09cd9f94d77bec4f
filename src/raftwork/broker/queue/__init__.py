"""The replicated queue: what it is told (`commands`), what it decides (`Machine`)."""

from raftwork.broker.queue.ledger import Running
from raftwork.broker.queue.limits import Limits
from raftwork.broker.queue.machine import Machine
from raftwork.broker.queue.reading import Waiting
from raftwork.broker.queue.tables import TABLES, VERSION, create_tables

__all__ = ["TABLES", "VERSION", "Limits", "Machine", "Running", "Waiting", "create_tables"]
