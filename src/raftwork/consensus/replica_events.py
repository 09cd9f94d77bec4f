"""What a replica did, and why, for people. The same words for every protocol; nothing acts on them.

The text of each is what a log says of it.
"""

from dataclasses import dataclass
from enum import StrEnum

from raftwork.consensus.core import Position


class Cause(StrEnum):
    """Why an election begins, or a leadership ends."""

    NO_LEADER = "no leader is known"
    UNDECIDED = "the last election was not decided"
    LINK_LOST = "the connection to the leader closed"
    SILENCE = "the leader was not heard for too long"
    LEADER_LEFT = "the leader leads no more"
    HANDED_OVER = "leadership is handed over"
    NO_MAJORITY = "no majority answers"
    STOPPED = "this broker stood still for too long"
    OUTRUN = "a later epoch began elsewhere"
    BEHIND = "another broker knows more"


@dataclass(frozen=True, slots=True)
class Election:
    """This replica looks for a new leader, which may be itself."""

    why: Cause

    def __str__(self) -> str:
        return f"election: {self.why}"


@dataclass(frozen=True, slots=True)
class LeadershipEnded:
    """This replica was the active leader of that epoch."""

    epoch: int
    why: Cause

    def __str__(self) -> str:
        return f"no longer the leader of epoch {self.epoch}: {self.why}"


@dataclass(frozen=True, slots=True)
class SnapshotBegun:
    """A follower needs more than the log still holds."""

    def __str__(self) -> str:
        return "making a snapshot: a follower needs what the log no longer holds"


@dataclass(frozen=True, slots=True)
class SnapshotMade:
    """It is sent from here on."""

    at: Position
    size: int  # bytes

    def __str__(self) -> str:
        return f"snapshot of {self.size} bytes made, up to {_entry(self.at)}"


@dataclass(frozen=True, slots=True)
class SnapshotNotMade:
    """It is tried again as long as it is needed."""

    def __str__(self) -> str:
        return "no snapshot could be made; a follower goes on waiting for one"


@dataclass(frozen=True, slots=True)
class SnapshotOffered:
    """Another replica is sent the snapshot."""

    to: str

    def __str__(self) -> str:
        return f"sending the snapshot to broker {self.to}"


@dataclass(frozen=True, slots=True)
class SnapshotSent:
    """Another replica has taken the snapshot and goes on with the log."""

    to: str

    def __str__(self) -> str:
        return f"broker {self.to} has taken the snapshot"


@dataclass(frozen=True, slots=True)
class SnapshotReceived:
    """All bytes are here; they are checked and built into a new database."""

    at: Position
    size: int  # bytes

    def __str__(self) -> str:
        return f"snapshot of {self.size} bytes received, up to {_entry(self.at)}; checking it"


@dataclass(frozen=True, slots=True)
class SnapshotInstalled:
    """The replica went over to it."""

    at: Position

    def __str__(self) -> str:
        return f"snapshot installed: this broker now holds all up to {_entry(self.at)}"


@dataclass(frozen=True, slots=True)
class SnapshotRejected:
    """Outdated meanwhile, or not what it said to be. The leader sends another if it is needed."""

    def __str__(self) -> str:
        return "the snapshot that was received is not used"


ReplicaEvent = (
    Election
    | LeadershipEnded
    | SnapshotBegun
    | SnapshotMade
    | SnapshotNotMade
    | SnapshotOffered
    | SnapshotSent
    | SnapshotReceived
    | SnapshotInstalled
    | SnapshotRejected
)


def _entry(at: Position) -> str:
    return f"entry {at.seq} of epoch {at.epoch}"
