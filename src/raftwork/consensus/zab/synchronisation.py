"""Phase 2: synchronisation. A quorum takes over the leader's history, then the epoch with it.

How a follower is synchronised, by the newest zxid that both logs hold (`History.common`):

| the follower's log                 | sync                                            |
|------------------------------------|-------------------------------------------------|
| ends there                         | DIFF: proposals from there on                   |
| goes on behind it                  | TRUNC to it, then proposals                     |
| has none the leader still holds    | SNAP, in a whole; then a new session, with DIFF |

Found by matching epochs rather than by the range of what the leader has at hand: a tail that was
never committed may well lie inside that range (ZOOKEEPER-1154). The proposals of sync and broadcast
are one stream, in which NEWLEADER stands right behind the initial history: so a joiner can miss
nothing between NEWLEADER and UPTODATE, and a late one is no special case.

A follower takes NEWLEADER only in this order: its log is the leader's, then currentEpoch, then
both durable, then the ACK (f.2.1; ZOOKEEPER-3911, 4643, 4646, 4785). It may store parts of the
history before: all that they could displace was not committed, or the leader would have abdicated.
"""

from raftwork.consensus.zab import election
from raftwork.consensus.zab.messages import Diff, NewLeader, Trunc, UpToDate
from raftwork.consensus.zab.state import Follower, Leader, Link, Node
from raftwork.consensus.zab.transitions import Event

# ---- the leader's side ---------------------------------------------------------------------------


def begin(node: Node, name: str, link: Link) -> None:
    """Begin the stream where the histories part; nothing begins if that needs a snapshot."""
    assert link.ends is not None
    common = node.log.common(link.ends)
    if common is not None:
        last = link.ends[-1]
        node.frame(name, link, Diff(common) if common == last else Trunc(common))
        link.streaming, link.sent = True, common


def establish(node: Node, leader: Leader) -> None:
    """l.2.2: a quorum has our initial history and our epoch, so all of it is committed.

    Our own word counts once our epoch and the history it stands for are on our own disk.
    """
    epoch, initial = leader.epoch, leader.initial
    if node.established or initial is None:
        return
    acked = sum(link.current == epoch for link in node.counted(leader)) + enlisted(node, leader)
    if acked >= node.quorum:
        node.move(Event.ACKNOWLEDGED)
        node.commit_to(initial)


def enlisted(node: Node, leader: Leader) -> bool:
    """Whether our own ACK of NEWLEADER counts."""
    initial = leader.initial
    return (
        node.is_voter
        and initial is not None
        and node.saved.current == leader.epoch
        and node.log.durable >= initial
    )


def confirm(node: Node, leader: Leader, name: str, link: Link) -> None:
    """UPTODATE, with the latest commit: not only that of the initial history."""
    if node.established and not link.up_to_date and link.current == leader.epoch:
        link.up_to_date = True
        link.committed = min(node.commit, link.sent)
        node.frame(name, link, UpToDate(link.committed))


# ---- the follower's side -------------------------------------------------------------------------


def on_diff(node: Node, role: Follower, message: Diff) -> bool:
    """Gives whether it makes sense here; so do the others."""
    if node.log.last != message.after:
        return False
    role.state_due = True
    return True


def on_trunc(node: Node, role: Follower, message: Trunc) -> bool:
    """Drop what the leader lacks; proposals follow from there."""
    if not node.log.holds(message.to):
        return False
    node.truncate(message.to)
    role.state_due = True
    return True


def on_new_leader(node: Node, role: Follower, message: NewLeader) -> bool:
    """f.2.1: the epoch goes into the same transaction as what is left of the history."""
    if message.epoch != role.epoch:
        return False
    if node.hard.accepted != role.epoch:
        election.look(node)
        return True
    node.enter(role.epoch)
    role.state_due = True
    return True


def on_up_to_date(node: Node, role: Follower, message: UpToDate) -> bool:
    """f.2.2: what the leader has committed may be applied."""
    if node.hard.current != role.epoch:
        return False
    node.commit_to(message.committed)
    return True
