"""Handing leadership over: stop proposals, bring one follower level, resign in its favour.

Zab itself has no such thing. The leader leaves like one that crashed, but says so: every follower
hears RESIGN and looks for a leader at once, and the resigned one votes for the follower it knows to
be level, never for itself. All that makes the election safe still does. It ends after syncLimit
whatever happens; until then proposals are refused, or no follower might ever be level.
"""

from raftwork.consensus.replica_events import Cause
from raftwork.consensus.zab import election
from raftwork.consensus.zab.messages import Resign, Vote
from raftwork.consensus.zab.state import Leader, Node, Transfer


def begin(node: Node, leader: Leader, to: str = "") -> None:
    """Promise leadership to the voter `to`, or the most advanced one; it must be connected."""
    if leader.transfer is not None or not node.active:
        return
    candidates = [
        (link.match, link.heard, name)
        for name, link in leader.links.items()
        if node.roster.is_voter(name, link.incarnation)
        and link.current == leader.epoch
        and name not in node.down
        and to in ("", name)
    ]
    if candidates:
        *_, target = max(candidates)
        leader.transfer = Transfer(target, node.now + node.config.silence)


def proceed(node: Node, leader: Leader) -> None:
    """Resign as soon as the target has all that was proposed, and knows that it is committed."""
    transfer = leader.transfer
    if transfer is None:
        return
    link, last = leader.links[transfer.target], node.log.last
    level = link.match == last == node.commit == link.committed
    if level and node.roster.is_voter(transfer.target, link.incarnation):
        vote = Vote(node.hard.current, last, transfer.target, link.incarnation)
        for name, each in leader.links.items():
            node.frame(name, each, Resign(vote))
        election.look(node, vote, Cause.HANDED_OVER)


def expire(node: Node, leader: Leader) -> None:
    """Give up at the deadline: proposals are taken again."""
    if leader.transfer is not None and node.now >= leader.transfer.deadline:
        leader.transfer = None
