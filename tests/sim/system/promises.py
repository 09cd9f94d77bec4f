"""What the oracle asks of a protocol's own promises: that they are durable, and kept."""

from collections.abc import Callable
from typing import Protocol

from raftwork.consensus.core import Peer, Position
from tests.sim.system.disk import Facts


class Violation(AssertionError):
    """A property does not hold; `checker` is the one that noticed."""

    def __init__(self, checker: str, text: str) -> None:
        super().__init__(f"{checker}: {text}")
        self.checker = checker


def require(holds: bool, checker: str, text: str | Callable[[], str]) -> None:
    """`text` may be a function: what shows whole tasks takes longer to write than to check."""
    if not holds:
        raise Violation(checker, text if isinstance(text, str) else text())


class Promises(Protocol):
    """Raft's or Zab's."""

    def synced(self, peer: Peer, facts: Facts) -> None:
        """This is on the replica's disk from now on."""
        ...

    def sends(self, peer: Peer, to: Peer, body: bytes, facts: Facts) -> None:
        """A message leaves: what it promises is on the disk."""
        ...

    def committed(self, peer: Peer, at: Position, leads: int, held: int) -> None:
        """The leader of `leads` is the first to apply `at`: by its protocol it may.

        `held` counts the entries of its own epoch that a majority has had on disk.
        """
        ...

    def activated(self, peer: Peer, epoch: int, applied: Position) -> None:
        """A replica becomes the active leader of `epoch`."""
        ...
