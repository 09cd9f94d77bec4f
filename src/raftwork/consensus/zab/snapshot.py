"""SNAP: the whole state in chunks, for a follower too far behind the log.

It is all or nothing (ZOOKEEPER-3642): until every byte is there and checked, the follower's log and
state are what they were, and while it switches it takes nothing else. Then it opens a new session
and says where it stands, so what follows a snapshot is an ordinary DIFF. A snapshot the follower
does not need is not installed: what its log holds behind it may be acknowledged (an acknowledged
proposal must never be lost to a sync).
"""

from raftwork.consensus.core import Chunk, Peer, Position, Roster, Snapshot
from raftwork.consensus.replica_events import SnapshotOffered, SnapshotSent
from raftwork.consensus.snapshot_transfer import Incoming, Outgoing
from raftwork.consensus.zab.messages import Snap, SnapReply
from raftwork.consensus.zab.state import Catching, Leader, Link, Node
from raftwork.consensus.zab.transitions import State

# ---- the leader's side ---------------------------------------------------------------------------


def offer(node: Node, name: str, link: Link) -> None:
    """Offer a snapshot to a follower that needs what the log no longer has."""
    if node.now - link.heard >= node.config.silence:
        return  # away: a snapshot made now would be outdated when it returns
    snapshot = node.archive.made
    if snapshot is None or not node.log.holds(snapshot.at):
        _order(node)
        return
    if link.outgoing is None or link.outgoing.snapshot != snapshot:
        link.outgoing, link.catching = Outgoing(snapshot), Catching(node.log.grown, snapshot.at)
        node.out.news.append(SnapshotOffered(name))
    for offset in link.outgoing.due(node.config.chunk_bytes, node.config.chunk_window):
        if not _send(node, name, link, snapshot, offset):
            made(node, None)  # it is made again, after a pause
            return


def _order(node: Node) -> None:
    archive = node.archive
    if archive.making is None and not archive.pause.lasts(node.now):
        archive.making = node.applied
        node.out.make_snapshot = True


def made(node: Node, snapshot: Snapshot | None) -> None:
    """The file ordered by `offer` is ready, or could not be made."""
    node.archive.ended(snapshot, node.now)


def _send(node: Node, name: str, link: Link, snap: Snapshot, offset: int) -> bool:
    """Whether it could be read."""
    size = min(node.config.chunk_bytes, snap.size - offset)
    data = node.log.snapshot_chunk(snap, offset, size) if size else b""
    if data is not None:
        node.send(name, Snap(link.session, snap.at, snap.size, snap.digest, offset, data))
    return data is not None


def tick(node: Node, leader: Leader) -> None:
    """A ping interval passed: what made no progress since the last one is sent again."""
    for name, link in leader.links.items():
        outgoing = link.outgoing
        if outgoing is not None and outgoing.stuck():
            _send(node, name, link, outgoing.snapshot, outgoing.acked)  # no data: only asks


def on_reply(link: Link, reply: SnapReply) -> None:
    """The receiver has so much of the snapshot: send it what is next."""
    outgoing = link.outgoing
    if outgoing is not None and reply.at == outgoing.snapshot.at:
        outgoing.replied(reply.offset, reply.wanted)


def caught_up(node: Node, name: str, link: Link) -> None:
    """The follower's log reached the snapshot, or even the commit."""
    if link.catching is not None:
        if link.match >= link.catching.at:
            node.archive.pause.succeeded()
        link.catching.at = max(link.catching.at, link.match)
        if link.match >= node.commit:
            link.catching = None
            node.out.news.append(SnapshotSent(name))


def held(node: Node) -> Position | None:
    """What compaction must not pass, if a snapshot is being made or a follower catches up by one.

    Until it has also read what was appended meanwhile: under load that is more than the tail which
    compaction leaves, and it would need one snapshot after the other.
    """
    archive, role, config = node.archive, node.role, node.config
    held = [] if archive.making is None else [archive.making]
    for link in role.links.values() if isinstance(role, Leader) else ():
        still_heard = node.now - link.heard < config.transfer_patience
        catching = link.catching
        if catching and still_heard and node.log.grown - catching.grown <= config.transfer_bytes:
            held.append(catching.at)
    return min(held, default=None)


# ---- the follower's side -------------------------------------------------------------------------


def on_chunk(node: Node, src: Peer, message: Snap) -> bool:
    """Take a piece of a snapshot. Returns whether it makes sense in our state."""
    snap = Snapshot(message.at, message.size, message.digest)
    incoming = node.incoming
    if incoming is not None and incoming.installing:
        if incoming.snapshot == snap:
            _answer(node, src, message, snap.size)
        return True
    if node.state is State.JOINING or snap.at <= node.commit or node.log.holds(snap.at):
        return False
    if node.refusal.lasts(node.now):
        _answer(node, src, message, snap.size)  # as while one is installed: it sends no more
        return True
    if incoming is None or incoming.snapshot != snap:
        incoming = node.incoming = Incoming(snap)
    if incoming.takes(message.offset, len(message.data)):
        if message.data:
            node.out.stage.append(Chunk(snap, message.offset, message.data))
        if incoming.installing:
            node.out.install = snap
    _answer(node, src, message, incoming.have)
    return True


def installed(node: Node, snapshot: Snapshot | None, roster: Roster) -> None:
    """The store switched to the snapshot, or (None) found the staged bytes to be no such thing."""
    node.incoming = None
    if snapshot is None:
        node.refusal.failed(node.now)
        return
    node.refusal.succeeded()
    assert snapshot.at > node.commit, f"{snapshot.at} installed over commit {node.commit}"
    node.log.reload()
    assert node.log.base == node.log.last == snapshot.at, "a switch leaves nothing of the old log"
    node.roster.reset(roster)
    node.commit = node.applying = node.applied = snapshot.at
    node.archive.made = None


def _answer(node: Node, src: Peer, message: Snap, wanted: int) -> None:
    node.promise(src.name, SnapReply(message.session, message.at, message.offset, wanted))
