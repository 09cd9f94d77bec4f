"""How often Raft's rare branches were taken."""

from collections import Counter

from raftwork.consensus.core import Snapshot
from raftwork.consensus.raft import election, snapshot, transfer
from raftwork.consensus.raft.messages import AppendReply, ChunkReply, decode
from raftwork.consensus.raft.state import Leader, Node, Progress
from raftwork.consensus.snapshot_transfer import Outgoing
from tests.sim.system.hooks import Hook

#: What CI's seeds must reach between them.
EXPECTED = (
    "conflict hint",
    "transfer aborted",
    "snapshot over a longer conflicting log",
    "snapshot begun again",
)

_APPEND_REPLY, _TIMEOUT_NOW = 6, 9


class RaftReach:
    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts

    def leaves(self, body: bytes) -> None:
        """A message leaves."""
        if body[1] == _APPEND_REPLY:
            reply = decode(body)
            if isinstance(reply, AppendReply) and not reply.ok and reply.hint.seq:
                self.counts["conflict hint"] += 1
        elif body[1] == _TIMEOUT_NOW:
            self.counts["transfer"] += 1

    def hooks(self) -> tuple[Hook, ...]:
        return (
            Hook(Node, "truncate", self._truncates),
            Hook(transfer, "expire", self._transfer_expires),
            Hook(snapshot, "installed", self._installed),
            Hook(snapshot, "on_chunk_reply", self._chunk_reply),
            Hook(snapshot, "_send", self._chunk_sent),
            Hook(election, "check_quorum", self._check_quorum),
        )

    def _truncates(self, *_args: object) -> None:
        self.counts["truncation"] += 1

    def _transfer_expires(self, node: Node, leader: Leader) -> None:
        if leader.transfer is not None and node.now >= leader.transfer.deadline:
            self.counts["transfer aborted"] += 1

    def _check_quorum(self, node: Node, leader: Leader) -> None:
        recent = [p for p in leader.peers.values() if node.now - p.heard < 750]
        self.counts["quorum lost"] += not recent

    def _installed(self, node: Node, snapshot: Snapshot | None, *_args: object) -> None:
        if snapshot is not None:  # what the core knows of its log is still that of the old one
            longer = node.log.last.seq >= snapshot.at.seq and not node.log.holds(snapshot.at)
            self.counts["snapshot over a longer conflicting log"] += longer

    def _chunk_reply(self, peer: Progress, reply: ChunkReply) -> None:
        if peer.outgoing is not None and reply.wanted < reply.offset == peer.outgoing.acked:
            self.counts["snapshot begun again"] += 1

    def _chunk_sent(self, node: Node, name: str, outgoing: Outgoing, offset: int) -> None:
        resumed = outgoing.seen == outgoing.acked == offset and 0 < offset < outgoing.snapshot.size
        self.counts["snapshot resumed"] += resumed
