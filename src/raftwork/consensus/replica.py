"""Replica: nothing is promised before it is durable. Production and simulation run this class.

The rules of this file (design §6.1):

(a) Before the sync only messages that promise nothing leave: `Output.send`.
(b) A replica's own acknowledgement enters its core through `synced` alone, so even a cluster of one
    never applies what it has not synced.
(c) `committed` is applied in the same transaction as that turn's appends, with its position.
(d) What the host has to tell others (replies, pushes) leaves in `Host.released`, after COMMIT.
(e) A transaction is synced if and only if it carries entries or hard state. An output that needs
    the sync never joins a transaction begun without one.
(f) What applying makes possible is proposed in the same transaction (`Host.plan`).
(g) Any exception while writing or applying stops the replica before COMMIT: the store rolls back
    and the error goes up. Half-applied entries never become durable.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from raftwork.consensus.core import (
    Consensus,
    Entry,
    Kind,
    Log,
    Message,
    Output,
    Peer,
    Position,
    Roster,
    Snapshot,
)


class Store(Log, Protocol):
    """The durable side, as Replica drives it: one transaction a turn."""

    def begin(self, *, sync: bool) -> None:
        """Open the transaction; `sync` says whether its commit must reach the disk."""
        ...

    def rewind(self, to: Position) -> None: ...
    def append(self, entries: tuple[Entry, ...]) -> None: ...
    def save_state(self, state: bytes) -> None: ...
    def save_applied(self, at: Position) -> None: ...
    def save_roster(self, roster: Roster) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...

    def stage(self, snapshot: Snapshot, offset: int, data: bytes) -> None:
        """Keep bytes of an incoming snapshot in the staging file. Needs no transaction."""
        ...

    def compact(self, upto: Position) -> Position:
        """Drop log rows up to `upto` minus the tail it keeps; gives the new base.

        Cheap when there is little to drop; called between transactions.
        """
        ...

    def start_snapshot(self) -> None:
        """Begin to write a snapshot of the applied state, off the loop."""
        ...

    def start_install(self, snapshot: Snapshot) -> None:
        """Begin to check the staged file and to build the next generation from it, off the loop."""
        ...

    def background(self) -> "Background | None":
        """A finished piece of background work, if there is one."""
        ...

    def switch(self, snapshot: Snapshot) -> Roster:
        """Make the generation built by `start_install` the live one; gives its roster."""
        ...


@dataclass(frozen=True, slots=True)
class Background:
    """A snapshot was made (`made`) or an install prepared; `snapshot` is None if it failed."""

    made: bool
    snapshot: Snapshot | None
