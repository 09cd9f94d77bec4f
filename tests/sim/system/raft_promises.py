"""What a Raft replica promises: its vote, its term, and what it acknowledged (figure 2)."""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache

from raftwork.consensus.core import Peer, Position
from raftwork.consensus.raft.messages import (
    AppendReply,
    HardState,
    Vote,
    VoteReply,
    decode,
    decode_hard_state,
)
from tests.sim.system.disk import Facts
from tests.sim.system.promises import require

#: The tags of the messages that promise something, as they stand in a packed message.
_VOTE, _VOTE_REPLY, _APPEND_REPLY = 3, 4, 6

#: Few commits bring another one.
_decoded = lru_cache(64)(decode_hard_state)


@dataclass(slots=True)
class RaftPromises:
    terms: dict[Peer, HardState] = field(default_factory=dict)
    #: Of every name all it ever had: an answer to the last one may reach the next one.
    incarnations: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    #: The term and the index each replica acknowledged last.
    acknowledged: dict[Peer, tuple[int, int]] = field(default_factory=dict)
    #: Terms in which somebody stands.
    stood: set[int] = field(default_factory=lambda: {0})

    def synced(self, peer: Peer, facts: Facts) -> None:
        """Terms grow; a vote once cast stands for its term, and so does an acknowledgement."""
        self.incarnations[peer.name].add(peer.incarnation)
        if facts.state is None:
            require(peer not in self.terms, "one vote a term", f"{peer.name} forgot its vote")
            return
        now = _decoded(facts.state)
        before = self.terms.get(peer, HardState(0, b""))
        kept = now.term > before.term or (
            now.term == before.term and before.vote in (b"", now.vote)
        )
        require(kept, "one vote a term", lambda: f"{peer.name} goes from {before} to {now}")
        term, index = self.acknowledged.get(peer, (0, 0))
        require(
            term != now.term or index <= facts.last.seq,
            "acknowledged is kept",
            lambda: f"{peer.name} acknowledged {index} in term {term}, and holds {facts.last}",
        )
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
                require(
                    message.at <= facts.last.seq,
                    "promise before sync",
                    lambda: f"{peer.name} acknowledges {message.at}, with {facts.last} on disk",
                )
                before = self.acknowledged.get(peer, (0, 0))
                self.acknowledged[peer] = max(before, (message.term, message.at))
            return
        assert isinstance(message, Vote | VoteReply)
        if isinstance(message, VoteReply) and not message.granted:
            return
        voted = {peer.incarnation} if isinstance(message, Vote) else self.incarnations[to.name]
        stored = HardState(0, b"") if facts.state is None else _decoded(facts.state)
        text = f"{peer.name} votes in {message.term}, with {stored} on disk"
        # A vote of an older term may still be leaving while a later term is on disk already.
        later = stored.term > message.term
        kept = stored.term == message.term and stored.vote in voted
        require(later or kept, "promise before sync", text)

    def committed(self, peer: Peer, at: Position, leads: int, held: int) -> None:
        """§5.4.2."""
        require(
            held >= at.seq,
            "own-term commit",
            lambda: f"{peer.name} commits {at} without an entry of its own term {leads} behind it",
        )

    def activated(self, peer: Peer, epoch: int, applied: Position) -> None:
        text = f"{peer.name} is active in {epoch} with {applied} applied"
        require(applied.epoch == epoch, "activation", text)
