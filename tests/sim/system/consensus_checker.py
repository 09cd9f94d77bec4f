"""What must be true of the replicas, whatever they run (Raft §5, figure 3).

It sees every append, sync, apply, message and activation from outside, and is asked nothing.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from zlib import crc32

from raftwork.consensus.core import ORIGIN, Entry, Peer, Position
from raftwork.consensus.quorum import majority
from raftwork.consensus.raft.messages import (
    AppendReply,
    HardState,
    Vote,
    VoteReply,
    decode,
    decode_hard_state,
)
from tests.sim.system.disk import Facts


class Violation(AssertionError):
    """A property does not hold; `checker` is the one that noticed."""

    def __init__(self, checker: str, text: str) -> None:
        super().__init__(f"{checker}: {text}")
        self.checker = checker


def require(holds: bool, checker: str, text: str) -> None:
    if not holds:
        raise Violation(checker, text)


#: The tags of the messages that promise something, as they stand in a packed message.
_VOTE, _VOTE_REPLY, _APPEND_REPLY = 3, 4, 6


@dataclass(slots=True)
class ConsensusChecker:
    size: int = 3
    #: Every entry ever appended: the CRC of its contents, and the one before it.
    appends: dict[Position, tuple[int, Position]] = field(default_factory=dict)
    #: Which replicas ever had it on disk.
    copies: dict[Position, set[str]] = field(default_factory=dict)
    #: Of every term, the newest of its entries that a majority had on disk.
    held: dict[int, int] = field(default_factory=dict)
    #: Every entry ever applied anywhere, by index.
    history: list[Position] = field(default_factory=list)
    leaders: dict[int, Peer] = field(default_factory=dict)
    active: dict[int, Peer] = field(default_factory=dict)
    terms: dict[Peer, HardState] = field(default_factory=dict)
    #: Of every name all it ever had: an answer to the last one may reach the next one.
    incarnations: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    #: The term and the index each replica acknowledged last.
    acknowledged: dict[Peer, tuple[int, int]] = field(default_factory=dict)
    #: Terms in which somebody stands.
    stood: set[int] = field(default_factory=lambda: {0})

    # ---- the log --------------------------------------------------------------------------------

    def appended(self, peer: Peer, before: Position, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            made = (crc32(entry.data, int(entry.kind)), before)
            known = self.appends.setdefault(entry.at, made)
            text = f"{peer.name} appends another entry at {entry.at}"
            require(known == made, "log matching", text)
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
        while at.seq > after.seq:
            path.append(at)
            at = self.appends[at][1]
        for step in reversed(path):
            if step.seq > len(self.history):
                self._first(peer, step, leads)
            known = self.history[step.seq - 1]
            text = f"{peer.name} applies {step}, others {known}"
            require(known == step, "state machine safety", text)

    def _first(self, peer: Peer, at: Position, leads: int | None) -> None:
        require(at.seq == len(self.history) + 1, "state machine safety", f"{at} is out of order")
        copies = self.copies.get(at, set())
        text = f"{peer.name} applies {at}, which only {sorted(copies)} have on disk"
        require(len(copies) >= majority(self.size), "majority on disk", text)
        if leads is not None:
            text = f"{peer.name} commits {at} without an entry of its own term {leads} behind it"
            require(self.held.get(leads, 0) >= at.seq, "own-term commit", text)
        self.history.append(at)

    # ---- leaders --------------------------------------------------------------------------------

    def leads(self, peer: Peer, term: int, last: Position) -> None:
        """Asked after every turn of a leader: a term has one, and it has all that is committed."""
        first = self.leaders.get(term)
        if first is not None:
            require(first == peer, "election safety", f"{first.name} and {peer.name} lead {term}")
            return
        self.leaders[term] = peer
        newest = self.history[-1] if self.history else ORIGIN
        text = f"{peer.name} leads {term} with a log up to {last}; {newest} is committed"
        require(last >= newest, "leader completeness", text)

    def activated(self, peer: Peer, term: int, applied: Position) -> None:
        first = self.active.setdefault(term, peer)
        require(first == peer, "activation", f"{first.name} and {peer.name} are active in {term}")
        text = f"{peer.name} is active in {term} with {applied} applied"
        require(applied.epoch == term, "activation", text)

    # ---- promises -------------------------------------------------------------------------------

    def synced(self, peer: Peer, facts: Facts) -> None:
        """Terms grow; a vote once cast stands for its term, and so does an acknowledgement."""
        self.incarnations[peer.name].add(peer.incarnation)
        if facts.state is None:
            require(peer not in self.terms, "one vote a term", f"{peer.name} forgot its vote")
            return
        now = decode_hard_state(facts.state)
        before = self.terms.get(peer, HardState(0, b""))
        kept = now.term > before.term or (
            now.term == before.term and before.vote in (b"", now.vote)
        )
        require(kept, "one vote a term", f"{peer.name} goes from {before} to {now}")
        term, index = self.acknowledged.get(peer, (0, 0))
        text = f"{peer.name} acknowledged {index} in term {term}, and holds {facts.last}"
        require(term != now.term or index <= facts.last.seq, "acknowledged is kept", text)
        if now.vote == peer.incarnation:
            self.stood.add(now.term)
        text = f"{peer.name} is in term {now.term}, in which nobody stands"
        require(now.term in self.stood, "no term without a candidate", text)
        self.terms[peer] = now

    def sends(self, peer: Peer, to: Peer, body: bytes, facts: Facts) -> None:
        """What a message promises is on the disk before it leaves."""
        if body[1] not in (_VOTE, _VOTE_REPLY, _APPEND_REPLY):
            return
        message = decode(body)
        if isinstance(message, AppendReply):
            if message.ok:
                text = f"{peer.name} acknowledges {message.at}, with {facts.last} on disk"
                require(message.at <= facts.last.seq, "promise before sync", text)
                before = self.acknowledged.get(peer, (0, 0))
                self.acknowledged[peer] = max(before, (message.term, message.at))
            return
        assert isinstance(message, Vote | VoteReply)
        if isinstance(message, VoteReply) and not message.granted:
            return
        voted = {peer.incarnation} if isinstance(message, Vote) else self.incarnations[to.name]
        stored = HardState(0, b"") if facts.state is None else decode_hard_state(facts.state)
        text = f"{peer.name} votes in {message.term}, with {stored} on disk"
        # A vote of an older term may still be leaving while a later term is on disk already.
        later = stored.term > message.term
        kept = stored.term == message.term and stored.vote in voted
        require(later or kept, "promise before sync", text)
