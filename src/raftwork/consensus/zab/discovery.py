"""Phase 1: discovery. A quorum agrees on a new epoch and shows that no member of it knows more.

The paper's steps: a follower sends CEPOCH(f.p), here FOLLOWERINFO (f.1.1); the leader picks e'
above all of a quorum's and says NEWEPOCH(e'), here LEADERINFO (l.1.1); a follower that accepts
makes f.p durable and answers ACK-E with its epoch and history (f.1.2). The election has chosen the
best history already, so the leader need not fetch it (l.1.2), but abdicates where it was wrong.
"""

from raftwork.consensus.core import Peer
from raftwork.consensus.replica_events import Cause
from raftwork.consensus.zab import election
from raftwork.consensus.zab.messages import AckEpoch, FollowerInfo, LeaderInfo
from raftwork.consensus.zab.state import Follower, Leader, Link, Node
from raftwork.consensus.zab.transitions import Event

# ---- the leader's side ---------------------------------------------------------------------------


def on_follower_info(node: Node, src: Peer, message: FollowerInfo) -> None:
    """f.1.1: a follower opens a session and says which epoch it has accepted."""
    leader = node.role
    if not isinstance(leader, Leader):
        election.notify(node, src.name)  # it is wrong about us
        return
    link = leader.links.get(src.name)
    if link is not None and link.incarnation == src.incarnation:
        link.heard = node.now
        if link.session.boot == message.session.boot and message.session <= link.session:
            return  # doubled or late
    if leader.epoch is not None and message.accepted > leader.epoch:
        # It has accepted an epoch that never came to be, or not yet: only a later one can have it.
        election.look(node, why=Cause.OUTRUN)
        return
    fresh = Link(src.incarnation, message.session, message.accepted, node.now)
    if link is not None and link.incarnation == src.incarnation:
        fresh.catching = link.catching
    leader.links[src.name] = fresh


def pick_epoch(node: Node, leader: Leader) -> None:
    """l.1.1: above every epoch that a quorum has accepted, so above every established one."""
    here = len(node.counted(leader)) + node.is_voter
    if leader.epoch is None and here >= node.quorum:
        accepted = [link.accepted for link in leader.links.values()]
        leader.epoch = max([node.hard.accepted, *accepted]) + 1
        node.accept(leader.epoch, node.me)
        node.move(Event.INFORMED)


def inform(node: Node, leader: Leader, name: str, link: Link) -> None:
    """Offer the epoch, once it is durable that we do so: no leader offers the same one twice."""
    if not link.informed and leader.epoch == node.saved.accepted:
        link.informed = True
        node.frame(name, link, LeaderInfo(node.saved.accepted))


def on_ack_epoch(node: Node, leader: Leader, src: Peer, link: Link, message: AckEpoch) -> None:
    """f.1.2: a follower says whether it accepted our epoch, and how its history ends."""
    if message.epoch != leader.epoch or link.ends is not None:
        return
    theirs, mine = (message.current, message.ends[-1]), (node.hard.current, node.log.last)
    link.ends, link.better = message.ends, theirs > mine
    link.acked = message.accepted and not link.better
    if leader.initial is None and link.better and node.roster.is_voter(*src):
        level = node.is_voter + sum(not each.better for each in node.counted(leader))
        if level < node.quorum:
            election.abdicate(node)  # what it knows more of may be committed
            return
    conclude(node, leader)


def conclude(node: Node, leader: Leader) -> None:
    """l.1.2: a quorum accepted the epoch, and our own history is the best of it.

    No replica that knows more is in that quorum: what only those know was never committed.
    """
    epoch = leader.epoch
    if epoch is None or leader.initial is not None or node.saved.accepted != epoch:
        return
    acked = sum(link.acked for link in node.counted(leader)) + node.is_voter
    if acked >= node.quorum:
        leader.initial = node.log.last
        leader.quorum_until = node.now  # no longer phase 1's deadline
        node.enter(epoch)
        node.move(Event.ACCEPTED)


# ---- the follower's side -------------------------------------------------------------------------


def on_leader_info(node: Node, role: Follower, message: LeaderInfo) -> bool:
    """f.1.2. An epoch accepted before, from another leader, is followed, but does not count."""
    if message.epoch < node.hard.accepted:
        election.look(node, why=Cause.OUTRUN)
        return True
    if message.epoch > node.hard.accepted:
        node.accept(message.epoch, role.leader)
    role.epoch, role.state_due = message.epoch, True
    return True
