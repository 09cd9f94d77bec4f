"""What a simulated disk can do to the broker that writes to it, whatever the store behind it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from raftwork.consensus.core import ORIGIN, Position, Snapshot

if TYPE_CHECKING:
    from tests.sim.system.watched import Inner

#: All brokers there may be in a world; it has the first so many of them.
CLUSTER = {name: f"127.0.0.1:{7701 + number}" for number, name in enumerate("abcdefg")}


class Crash(Exception):
    """The process dies in the middle of a commit, or of a switch to a snapshot."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is on the disk for sure."""

    state: bytes | None = None
    last: Position = ORIGIN
    applied: Position = ORIGIN
    roster: tuple[tuple[str, bytes], ...] = ()


@dataclass
class Faults:
    """What this disk does at the next chance."""

    #: A sync takes 0 … so many ms.
    slow: int = 1
    #: The next sync takes so many more.
    hang: int = 0
    #: Writes and syncs fail: "eio" or "full".
    failing: str | None = None
    #: The next synced commit ends the process: "before" it, "during" its sync or "after" it.
    crash: str | None = None
    #: So does the next switch to a received snapshot.
    crash_in_switch: str | None = None
    #: Compaction leaves no tail of the log (of the store in memory).
    greedy: bool = False
    #: Making and preparing snapshots raises what nobody expects.
    bug: bool = False


class Disk(ABC):
    """A replica's directory. It outlives the process that writes to it."""

    def __init__(self, name: str, rng: Random, notes: "Notes", consensus: str) -> None:
        self.name = name
        self.consensus = consensus
        #: The addresses of all brokers by name.
        self.cluster = CLUSTER
        self.rng = rng
        self.notes = notes
        self.faults = Faults()
        self.facts = Facts()
        #: A bit was flipped, and nobody has noticed yet.
        self.rotten = False

    def sync_time(self) -> int:
        hang, self.faults.hang = self.faults.hang, 0
        return hang + (self.rng.randrange(self.faults.slow + 1) if self.faults.slow else 0)

    def new_incarnation(self) -> bytes:
        return self.rng.getrandbits(128).to_bytes(16, "big")

    def forget(self) -> None:
        """The world is over."""
        self.release()

    @property
    @abstractmethod
    def incarnation(self) -> bytes:
        """Whose directory it is; empty if it has never been opened."""

    @abstractmethod
    def open(self) -> "Inner":
        """A store over this directory. Raises StoreError."""

    @abstractmethod
    def commit_unsynced(self, store: "Inner") -> None:
        """Commit as far as a process comes that dies before its sync returns."""

    @abstractmethod
    def switch_unsynced(self, store: "Inner", snapshot: Snapshot) -> None:
        """Go over to a received snapshot as far as a process comes that dies at its first sync."""

    @abstractmethod
    def close(self) -> None:
        """The process that had it open exits cleanly."""

    @abstractmethod
    def release(self) -> None:
        """The process that had it open is gone; whatever it had written is still there."""

    @abstractmethod
    def power_cut(self) -> None:
        """Of what was not synced any part may be gone. After `release`."""

    @abstractmethod
    def wipe(self) -> None:
        """The directory is empty. After `release`."""

    @abstractmethod
    def flip(self, *, ends: bool) -> None:
        """A bit rots; `ends` if its process is killed right after that."""

    @abstractmethod
    def noticed(self) -> None:
        """The process ended because of what rotted. After `release`.

        By the next start it may read as it did before, as if a cable had been loose.
        """


@dataclass
class Notes:
    """What disks have to tell the reach counters."""

    reached: dict[str, int] = field(default_factory=dict)

    def note(self, what: str) -> None:
        self.reached[what] = self.reached.get(what, 0) + 1
