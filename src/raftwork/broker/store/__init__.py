"""The durable side of one replica: its data directory, log, hard state and the machine's tables."""

from raftwork.broker.store.identity import Identity
from raftwork.broker.store.opening import open_store
from raftwork.broker.store.options import StoreOptions
from raftwork.broker.store.store import Sizes, Store

__all__ = ["open_store", "Store", "StoreOptions", "Identity", "Sizes"]
