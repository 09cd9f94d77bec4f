"""One file a capability: its records, its rule on the leader and on every replica, its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from raftwork.features.command_line import CommandLine

    class Feature(Protocol):
        """One capability."""

        @property
        def command_lines(self) -> Sequence[CommandLine]:
            """Its plain commands."""
            ...


FEATURES: tuple[Feature, ...] = ()
