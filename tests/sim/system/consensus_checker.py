"""What must be true of the replicas, whatever they run (Raft §5, figure 3; Zab §IV).

It sees every append, sync, apply, message and activation from outside, and is asked nothing.
"""

from dataclasses import dataclass, field
from zlib import crc32

from raftwork.consensus.core import ORIGIN, Entry, Peer, Position
from raftwork.consensus.quorum import majority
from tests.sim.system.promises import Promises, Violation, require


@dataclass(slots=True)
class ConsensusChecker:
    promises: Promises
    size: int = 3
    #: Every entry ever appended: the CRC of its contents, and the one before it.
    appends: dict[Position, tuple[int, Position]] = field(default_factory=dict)
    #: Which replicas ever had it on disk.
    copies: dict[Position, set[str]] = field(default_factory=dict)
    #: Of every term, the newest of its entries that a majority had on disk.
    held: dict[int, int] = field(default_factory=dict)
    #: Every entry ever applied anywhere, in order, and how many there are up to each.
    history: list[Position] = field(default_factory=list)
    counted: dict[Position, int] = field(default_factory=lambda: {ORIGIN: 0})
    leaders: dict[int, Peer] = field(default_factory=dict)
    active: dict[int, Peer] = field(default_factory=dict)

    # ---- the log --------------------------------------------------------------------------------

    def appended(self, peer: Peer, before: Position, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            made = (crc32(entry.data, int(entry.kind)), before)
            known = self.appends.setdefault(entry.at, made)
            if known != made:
                text = f"{peer.name} appends another entry at {entry.at}"
                raise Violation("log matching", text)
            before = entry.at

    def durable(self, peer: Peer, entries: list[Position]) -> None:
        quorum = majority(self.size)
        for at in entries:
            copies = self.copies.setdefault(at, set())
            copies.add(peer.name)
            if len(copies) >= quorum:
                self.held[at.epoch] = max(self.held.get(at.epoch, 0), at.seq)

    def applied(self, peer: Peer, after: Position, at: Position, leads: int | None) -> None:
        """`leads` is the term the replica leads, if it leads."""
        path = []
        while at > after:
            path.append(at)
            at = self.appends[at][1]
        for index, step in enumerate(reversed(path), self.counted[after]):
            if index == len(self.history):
                self._first(peer, step, leads)
            known = self.history[index]
            if known != step:
                text = f"{peer.name} applies {step}, others {known}"
                raise Violation("state machine safety", text)

    def _first(self, peer: Peer, at: Position, leads: int | None) -> None:
        newest = self.history[-1] if self.history else ORIGIN
        follows = self.appends[at][1] == newest
        require(follows, "state machine safety", lambda: f"{at} is out of order")
        copies = self.copies.get(at, set())
        require(
            len(copies) >= majority(self.size),
            "majority on disk",
            lambda: f"{peer.name} applies {at}, which only {sorted(copies)} have on disk",
        )
        if leads is not None:
            self.promises.committed(peer, at, leads, self.held.get(leads, 0))
        self.history.append(at)
        self.counted[at] = len(self.history)

    # ---- leaders --------------------------------------------------------------------------------

    def leads(self, peer: Peer, term: int, last: Position) -> None:
        """Asked after every turn of a leader: a term has one, and it has all that is committed."""
        first = self.leaders.get(term)
        if first is not None:
            require(first == peer, "election safety", f"{first.name} and {peer.name} lead {term}")
            return
        # One whose last vote was long on its way may come after its successors, who have more.
        late = bool(self.leaders) and term < max(self.leaders)
        self.leaders[term] = peer
        newest = self.history[-1] if self.history else ORIGIN
        text = f"{peer.name} leads {term} with a log up to {last}; {newest} is committed"
        require(late or last >= newest, "leader completeness", text)

    def activated(self, peer: Peer, term: int, applied: Position) -> None:
        first = self.active.setdefault(term, peer)
        require(first == peer, "activation", f"{first.name} and {peer.name} are active in {term}")
        earlier = [at for at in self.history if at.epoch < term]
        text = f"{peer.name} is active in {term} without {earlier[-1:]} applied"
        require(not earlier or applied >= earlier[-1], "activation", text)
        self.promises.activated(peer, term, applied)
