"""Snapshots for peers that need more than the log holds (§7), in chunks, both sides.

The leader sends a window of chunks; the peer keeps only the next one it misses and answers with
how far it is, so a transfer resumes wherever it broke off. Lost chunks are sent again once a
heartbeat passes without progress. The receiver drops whatever it already has: a snapshot at or
before its commit index, or one whose last entry its log holds (then that is merely committed, and
nothing acknowledged is lost). Any other replaces its log as a whole. Until the switch is done,
appends are refused.
"""

from raftwork.consensus.core import ORIGIN, Chunk, Peer, Roster, Snapshot
from raftwork.consensus.raft.messages import AppendReply, ChunkReply, SnapshotChunk
from raftwork.consensus.raft.state import Leader, Node, Progress
from raftwork.consensus.replica_events import SnapshotOffered, SnapshotSent
from raftwork.consensus.snapshot_transfer import Incoming, Outgoing

# ---- the leader's side -------------------------------------------------------------------------


def offer(node: Node, name: str, peer: Progress) -> None:
    """Offer a snapshot to a peer that needs what the log no longer has."""
    if node.now - peer.heard >= node.config.election_min:
        return  # away: a snapshot made now would be outdated when it returns
    made = node.archive.made
    if made is None or not node.log.holds(made.at):
        _order(node)
        return
    if peer.outgoing is None or peer.outgoing.snapshot != made:
        peer.outgoing = Outgoing(made)
        peer.behind = node.log.grown
        node.out.news.append(SnapshotOffered(name))
    _pump(node, name, peer.outgoing)


def _order(node: Node) -> None:
    archive = node.archive
    if archive.making is None and not archive.pause.lasts(node.now):
        archive.making = node.log.position(node.applied)
        node.out.make_snapshot = True


def made(node: Node, snapshot: Snapshot | None) -> None:
    """The file ordered by `offer` is ready, or could not be made."""
    node.archive.ended(snapshot, node.now)


def _pump(node: Node, name: str, outgoing: Outgoing) -> None:
    for offset in outgoing.due(node.config.chunk_bytes, node.config.chunk_window):
        if not _send(node, name, outgoing, offset):
            made(node, None)  # it is made again, after a pause
            return


def _send(node: Node, name: str, outgoing: Outgoing, offset: int) -> bool:
    """Whether it could be read."""
    snap = outgoing.snapshot
    size = min(node.config.chunk_bytes, snap.size - offset)
    data = node.log.snapshot_chunk(snap, offset, size) if size else b""
    if data is not None:
        node.send(name, SnapshotChunk(node.term, snap.at, snap.size, snap.digest, offset, data))
    return data is not None


def tick(node: Node, leader: Leader) -> None:
    """A heartbeat passed: what made no progress since the last one is sent again."""
    for name, peer in leader.peers.items():
        outgoing = peer.outgoing
        if outgoing is not None and outgoing.stuck():
            _send(node, name, outgoing, outgoing.acked)  # no data: only asks


def on_chunk_reply(peer: Progress, reply: ChunkReply) -> None:
    """The receiver has so much of the snapshot: send it what is next."""
    outgoing = peer.outgoing
    if outgoing is not None and reply.at == outgoing.snapshot.at:
        outgoing.replied(reply.offset, reply.wanted)


def settled(node: Node, name: str, peer: Progress) -> None:
    """The peer's log reached the snapshot: appends can carry on from there."""
    if peer.outgoing is not None and peer.match >= peer.outgoing.snapshot.at.seq:
        peer.outgoing = None
        node.archive.pause.succeeded()
        node.out.news.append(SnapshotSent(name))
    if peer.match >= node.commit:
        peer.behind = None


def held(node: Node) -> int | None:
    """The index that compaction must not pass, if a snapshot is being made or a peer follows one.

    Until the peer has also read what was appended meanwhile: under load that is more than the tail
    which compaction leaves, and it would need one snapshot after the other.
    """
    archive, role, config = node.archive, node.role, node.config
    held = [] if archive.making is None else [archive.making.seq]
    for peer in role.peers.values() if isinstance(role, Leader) else ():
        still_heard = node.now - peer.heard < config.transfer_patience
        if peer.behind is None or not still_heard:
            continue
        if node.log.grown - peer.behind <= config.transfer_bytes:
            held.append(peer.outgoing.snapshot.at.seq if peer.outgoing else peer.match)
    return min(held, default=None)


# ---- the receiver's side -----------------------------------------------------------------------


def on_chunk(node: Node, src: Peer, message: SnapshotChunk) -> None:
    """Stage a piece of a snapshot, and install it once it is whole."""
    snap = Snapshot(message.at, message.size, message.digest)
    incoming = node.incoming
    if incoming is not None and incoming.installing:
        if incoming.snapshot == snap:
            _answer(node, src, message, snap.size)
        return
    if node.log.holds(snap.at) or snap.at.seq <= node.commit:
        node.commit_to(snap.at.seq)
        node.incoming = None
        node.acknowledge(src.name, AppendReply(node.term, True, node.commit, ORIGIN, 0))
        return
    if node.refusal.lasts(node.now):
        _answer(node, src, message, snap.size)  # as while one is installed: it sends no more
        return
    if incoming is None or incoming.snapshot != snap:
        incoming = node.incoming = Incoming(snap)
    if incoming.takes(message.offset, len(message.data)):
        if message.data:
            node.out.stage.append(Chunk(snap, message.offset, message.data))
        if incoming.installing:
            node.out.install = snap
    _answer(node, src, message, incoming.have)


def installed(node: Node, snapshot: Snapshot | None, roster: Roster) -> None:
    """The store switched to the snapshot, or (None) found the staged bytes to be no such thing."""
    node.incoming = None
    if snapshot is None:
        node.refusal.failed(node.now)
        return  # after the pause the leader's next question is answered with "all of it"
    node.refusal.succeeded()
    assert snapshot.at.seq > node.commit, f"{snapshot.at} installed over commit {node.commit}"
    node.log.reload()
    assert node.log.base == node.log.last == snapshot.at, "a switch leaves nothing of the old log"
    node.roster.reset(roster)
    node.commit = node.applying = node.applied = snapshot.at.seq
    node.archive.made = None
    leader = node.leader
    if leader is not None:
        node.acknowledge(leader, AppendReply(node.term, True, node.commit, ORIGIN, 0))


def _answer(node: Node, src: Peer, message: SnapshotChunk, wanted: int) -> None:
    node.promise(src.name, ChunkReply(node.term, message.at, message.offset, wanted))
