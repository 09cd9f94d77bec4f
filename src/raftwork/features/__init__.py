"""One file a capability: its records, its rule on the leader and on every replica, its limits."""

from types import ModuleType

#: The modules. One with a plain command of its own says it as `COMMAND_LINE`.
FEATURES: tuple[ModuleType, ...] = ()
