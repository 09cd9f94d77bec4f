"""Leadership transfer (thesis §3.10): stop proposals, bring one voter level, let it campaign.

It ends after an election timeout whatever happens, and with the leadership: the record of it is
part of the Leader object. Until then proposals are refused, or the target might never be level.
"""

from raftwork.consensus.raft.messages import TimeoutNow
from raftwork.consensus.raft.state import Leader, Node, Transfer


def begin(node: Node, leader: Leader, to: str = "") -> None:
    """Promise leadership to the voter `to`, or the most advanced one; it must be connected."""
    if leader.transfer is not None:
        return
    candidates = [
        (peer.match, peer.heard, name)
        for name, peer in leader.peers.items()
        if node.roster.is_voter(name, peer.incarnation)
        and name not in node.down
        and to in ("", name)
    ]
    if candidates:
        *_, target = max(candidates)
        leader.transfer = Transfer(target, node.now + node.config.election_min)


def proceed(node: Node, leader: Leader) -> None:
    """Tell the target to campaign as soon as it has the whole log."""
    transfer = leader.transfer
    if transfer is None or transfer.sent:
        return
    peer = leader.peers[transfer.target]
    is_voter = node.roster.is_voter(transfer.target, peer.incarnation)
    if is_voter and peer.match == node.log.last.seq:
        transfer.sent = True
        node.send(transfer.target, TimeoutNow(node.term))


def expire(node: Node, leader: Leader) -> None:
    """Give up at the deadline: proposals are taken again."""
    if leader.transfer is not None and node.now >= leader.transfer.deadline:
        leader.transfer = None


def remind(leader: Leader) -> None:
    """Send TimeoutNow again with every heartbeat: it may have been lost."""
    if leader.transfer is not None:
        leader.transfer.sent = False
