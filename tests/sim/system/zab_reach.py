"""How often Zab's rare branches were taken."""

from collections import Counter

from raftwork.consensus.core import Snapshot
from raftwork.consensus.zab import broadcast, follower, snapshot, transfer
from raftwork.consensus.zab.messages import (
    AckEpoch,
    Frame,
    Resign,
    SnapReply,
    Trunc,
    decode,
    decode_framed,
)
from raftwork.consensus.zab.state import Follower, Leader, Link, Node
from tests.sim.system.hooks import Hook

#: What CI's seeds must reach between them. "session begun again" is to Zab what "snapshot begun
#: again" is to Raft: who is restarted in the middle of a snapshot opens a new session.
EXPECTED = ("TRUNC", "session begun again", "epoch of another leader", "abdicated")

_ACK_EPOCH, _FRAME = 3, 7


class ZabReach:
    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts

    def leaves(self, body: bytes) -> None:
        """A message leaves."""
        if body[1] not in (_ACK_EPOCH, _FRAME):
            return
        message = decode(body)
        if isinstance(message, AckEpoch):
            self.counts["epoch of another leader"] += not message.accepted
        elif isinstance(message, Frame):
            content = decode_framed(message.body)
            self.counts["TRUNC"] += isinstance(content, Trunc)
            self.counts["transfer"] += isinstance(content, Resign)

    def hooks(self) -> tuple[Hook, ...]:
        return (
            Hook(Node, "truncate", self._truncates),
            Hook(Node, "look", self._looks),
            Hook(follower, "resync", self._resyncs),
            Hook(transfer, "expire", self._transfer_expires),
            Hook(snapshot, "on_reply", self._chunk_reply),
            Hook(snapshot, "_send", self._chunk_sent),
            Hook(broadcast, "check_quorum", self._check_quorum),
        )

    def _truncates(self, *_args: object) -> None:
        self.counts["truncation"] += 1

    def _looks(self, node: Node, *_args: object) -> None:
        role = node.role
        self.counts["abdicated"] += isinstance(role, Leader) and not node.established

    def _resyncs(self, node: Node, role: Follower) -> None:
        self.counts["session begun again"] += role.inbound.opened

    def _transfer_expires(self, node: Node, leader: Leader) -> None:
        if leader.transfer is not None and node.now >= leader.transfer.deadline:
            self.counts["transfer aborted"] += 1

    def _check_quorum(self, node: Node, leader: Leader) -> None:
        recent = [x for x in leader.links.values() if node.now - x.heard < node.config.silence]
        self.counts["quorum lost"] += node.established and not recent

    def _chunk_reply(self, link: Link, reply: SnapReply) -> None:
        if link.outgoing is not None and reply.wanted < reply.offset == link.outgoing.acked:
            self.counts["snapshot begun again"] += 1

    def _chunk_sent(self, node: Node, name: str, link: Link, snap: Snapshot, offset: int) -> None:
        sent = link.outgoing
        if sent is not None:
            resumed = sent.seen == sent.acked == offset and 0 < offset < snap.size
            self.counts["snapshot resumed"] += resumed
