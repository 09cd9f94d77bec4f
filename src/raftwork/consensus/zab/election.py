"""Phase 0: fast leader election. The greatest vote (currentEpoch, zxid, id) of a quorum wins.

Nothing here is a promise: a round is not even stored, and who wins must still pass phase 1, where a
leader with a worse history than its quorum's abdicates. So an election is counted by names, and a
wrong one costs time only. Whoever has settled answers those who look; nobody who has a leader is
ever disturbed by them.
"""

from raftwork.consensus.core import Peer, Position
from raftwork.consensus.news import Cause
from raftwork.consensus.zab.messages import Mode, Notification, Vote
from raftwork.consensus.zab.node import NOBODY, Follower, Leader, Looking, Node
from raftwork.consensus.zab.states import State


def look(node: Node, prefer: Vote | None = None, why: Cause | None = None) -> None:
    """Begin a new round."""
    node.look(prefer, why)
    _announce(node)
    _tally(node)


def overdue(node: Node, why: Cause | None = None) -> None:
    """A deadline has passed. If it was that of phase 1, slow disks may have needed more time."""
    if node.state in (State.JOINING, State.ELECTED, State.OFFERING):
        node.patience = min(2 * node.patience, node.config.connect_max)
    look(node, why=why)


def tick(node: Node, role: Looking) -> None:
    """Time passes: a vote may be final now, or notifications were lost."""
    if role.finalize_at is not None and node.now >= role.finalize_at:
        _decide(node, role.vote)
    elif node.now >= role.resend_at:
        _announce(node)
        role.interval = min(2 * role.interval, node.config.resend_max)
        _tally(node)


def on_notification(node: Node, src: Peer, message: Notification) -> None:
    _learn_commit(node, message.committed)
    role = node.role
    if not isinstance(role, Looking):
        _answer(node, role, src, message)
    elif message.mode is Mode.LOOKING:
        _count(node, role, src, message)
    elif message.mode is Mode.LEADING:
        # Its own word is enough (ZooKeeper wants a quorum's besides): to follow a leader that has
        # no quorum promises nothing, and its being followed may be all that it lacks. Its round
        # becomes ours, even if it is an earlier one: or its next would not be news to us.
        node.round = message.round
        node.follow(src, message.vote)
    elif message.round == node.round:
        # It has settled in the round we are still in: its vote counts like any other's.
        _count(node, role, src, message._replace(mode=Mode.LOOKING))


def _learn_commit(node: Node, at: Position) -> None:
    """What is committed is so for ever, whoever knows it, and in the log of whoever holds it.

    A replica that was rebound and then lost its leader may be the only one with the whole history.
    It must learn that it counts: else it cannot lead, and whoever else does must abdicate.
    """
    if at > node.commit and not node.installing and node.log.holds(at):
        counted = node.counts
        node.commit_to(at)
        if isinstance(node.role, Looking) and node.counts != counted:
            node.stand()


def link_changed(node: Node, name: str, up: bool) -> None:
    """A connection closed: no proof of its owner's death, but reason to ask around at once."""
    role = node.role
    if isinstance(role, Looking):
        if up:
            notify(node, name)
        _tally(node)
    elif isinstance(role, Follower) and role.leader.name == name and not up:
        look(node, why=Cause.LINK_LOST)


def resigned(node: Node, role: Follower, vote: Vote) -> None:
    """Our leader has left and votes for another: so might we, unless we are better."""
    look(node, why=Cause.HANDED_OVER)
    if isinstance(node.role, Looking):
        again = Notification(node.round, Mode.LOOKING, vote)
        _count(node, node.role, role.leader, again)


def notify(node: Node, name: str) -> None:
    """Tell one other our state and vote."""
    role = node.role
    mode = Mode.LOOKING
    if not isinstance(role, Looking):
        mode = Mode.LEADING if isinstance(role, Leader) else Mode.FOLLOWING
    node.send(name, Notification(node.round, mode, role.vote, node.commit))


def _announce(node: Node) -> None:
    if isinstance(node.role, Looking):
        node.role.resend_at = node.now + node.role.interval
    for name in node.others:
        notify(node, name)


def _answer(node: Node, role: Follower | Leader, src: Peer, message: Notification) -> None:
    """We are settled: help those who look, unless it is our own leader that has gone."""
    ours = isinstance(role, Follower) and role.leader == src
    if ours and message.mode is Mode.LEADING:
        assert isinstance(role, Follower)
        if message.round > node.round:
            node.round = message.round
            node.follow(src, message.vote)  # it leads again: of our session it knows nothing
        elif not role.inbound.opened:
            role.resend_at = node.now  # it leads now and may have missed our FOLLOWERINFO
    elif ours and message.round >= node.round + (message.mode is Mode.LOOKING):
        look(node, why=Cause.LEADER_LEFT)
    elif message.mode is Mode.LOOKING:
        notify(node, src.name)


def _count(node: Node, role: Looking, src: Peer, message: Notification) -> None:
    if message.round < node.round:
        notify(node, src.name)  # it fell behind
        return
    before, newer = role.vote, message.round > node.round
    if newer:
        node.round, role.received, role.vote = message.round, {}, role.own
    known = src.name in role.received
    role.received[src.name] = message.vote
    if _possible(node, message.vote):
        role.vote = max(role.vote, message.vote)
    if newer or role.vote != before:
        role.finalize_at = None
        _announce(node)
    elif not known:
        notify(node, src.name)  # what we told it before, it may have heard in another round
    _tally(node)


def _tally(node: Node) -> None:
    """A quorum for the best vote is final once nobody could bring a better one (finalizeWait)."""
    role = node.role
    if not isinstance(role, Looking) or role.vote == NOBODY:
        return
    agree = 1 + sum(vote == role.vote for vote in role.received.values())
    if agree < node.quorum:
        role.finalize_at = None
        return
    if all(name in role.received or name in node.down for name in node.others):
        _decide(node, role.vote)
    elif role.finalize_at is None:
        role.finalize_at = node.now + node.config.finalize_wait


def _decide(node: Node, vote: Vote) -> None:
    elected = Peer(vote.name, vote.incarnation)
    if elected == node.me:
        node.lead(vote)
        _announce(node)  # those who voted with us need not wait to be told again
    else:
        node.follow(elected, vote)


def _possible(node: Node, vote: Vote) -> bool:
    """Whether the vote is for somebody there is: not for an earlier directory of our own name."""
    return vote.name in node.others or (vote.name, vote.incarnation) == node.me
