"""Which replicas count: one rule for votes, promises, acknowledgements and read rounds.

A replica counts if and only if the committed roster and the roster at the end of the log both give
its name the incarnation its session has. A quorum is a majority of the N names, always.

Why that is safe. A rebind replaces incarnation `o` under one name (its directory is gone, and an
incarnation that was replaced never returns) by a blank `n`; S are the N-1 others, m the majority.
An epoch is a term in Raft; a replica that takes part in one has voted for its leader, or in Zab has
accepted the epoch from it.
1. While the ROSTER entry e is uncommitted, a replica with it in its log counts neither o nor n, so
   it needs m of S. One that lacks it needs m of S + o, hence m-1 of S. Two such sets share a member
   of S, since m + m-1 > N-1: no two leaders in an epoch, no commit that a later leader misses.
2. So e is committed by m of S. Every quorum of S + o or of S + n then contains a replica with e;
   by induction (Raft §5.4.3; Zab: a leader with a worse history than its quorum abdicates) every
   later leader has e and all before it.
3. What o promised and n has forgotten (a vote, an accepted epoch, an ack that made a majority with
   m-1 of S) is remembered by those m-1. One of them is among the m that took e, and had it taken
   part in a later epoch before, it would have refused e. Counting n from the moment e is merely
   appended would break this: a cut-off leader and a blank replica could elect each other.
4. A replica knows of at most one uncommitted rebind: a leader begins one only once its own epoch is
   established by a commit and no other is open (Ongaro's single-server rule), and a replica that
   receives the next one has heard that the last is committed.
5. A replica that knows that e is committed says so in elections, too. n may be the only one that
   holds what a leader committed which then died before it told n that it counts: not knowing, n
   could not lead, and would let no replica lead whose log is shorter.
Learners are all others. They are replicated to and answer requests, but never campaign.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from raftwork.consensus.core import Entry, Kind, Position, Roster
from raftwork.wire import Codec


class RosterRecord(NamedTuple):
    """The data of a ROSTER entry."""

    members: tuple[tuple[str, bytes], ...]


_roster: Codec[RosterRecord] = Codec({1: RosterRecord})


def encode_roster(roster: Roster) -> bytes:
    """A roster as the data of a ROSTER entry."""
    return _roster.encode(RosterRecord(tuple(sorted(roster.items()))))


def decode_roster(data: bytes) -> dict[str, bytes]:
    """The roster in a ROSTER entry's data. Raises BadMessage."""
    return dict(_roster.decode(data).members)


class Membership:
    """The committed roster and those in the log after it."""

    __slots__ = ("_counted", "_open", "committed", "latest", "open")

    def __init__(self, committed: Roster) -> None:
        self.reset(committed)

    def reset(self, committed: Roster) -> None:
        """Begin from a stored roster: at the start and after a snapshot was installed."""
        self.committed: Mapping[str, bytes] = dict(committed)
        self._open: list[tuple[Position, Mapping[str, bytes]]] = []
        self._count()

    def is_voter(self, name: str, incarnation: bytes) -> bool:
        """Whether this incarnation counts under this name."""
        return self._counted.get(name) == incarnation

    def appended(self, entries: Sequence[Entry]) -> None:
        """These entries were added to the log. Raises BadMessage for a malformed roster."""
        for entry in entries:
            if entry.kind is Kind.ROSTER:
                self._open.append((entry.at, decode_roster(entry.data)))
                self._count()

    def truncated(self, to: Position) -> None:
        """The log ends at `to` now: rosters after it never were."""
        while self._open and self._open[-1][0] > to:
            self._open.pop()
            self._count()

    def commit(self, at: Position) -> bool:
        """Everything up to `at` is committed. Returns whether that changed the roster."""
        changed = False
        while self._open and self._open[0][0] <= at:
            self.committed = self._open.pop(0)[1]
            changed = True
        if changed:
            self._count()
        return changed

    def _count(self) -> None:
        #: The roster at the end of the log.
        self.latest = latest = self._open[-1][1] if self._open else self.committed
        #: Whether a rebind is in the log but not committed.
        self.open = bool(self._open)
        self._counted = {
            name: incarnation
            for name, incarnation in self.committed.items()
            if latest.get(name) == incarnation
        }
