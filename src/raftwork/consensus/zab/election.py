"""Phase 0: fast leader election. The greatest vote (currentEpoch, zxid, id) of a quorum wins.

Nothing here is a promise: a round is not even stored, and the winner must still pass phase 1, where
a leader with a worse history than its quorum's abdicates. So an election is counted by names, and a
wrong one costs time only. A replica that has settled answers those that look, and one that has a
leader is never disturbed by them.

Not every replica hears every other, so two things differ from ZooKeeper. Votes are not passed on: a
replica votes for one that it hears itself. And a replica stands as long as it hears a quorum that
hears it. So the greatest of those that stand has the votes of all that it hears, which make a
quorum. Where that was in vain (some of them do not count, or know more than it), it comes after
all that were elected in vain less often, so that each has its turn.
"""

from raftwork.consensus.core import Peer, Position
from raftwork.consensus.replica_events import Cause
from raftwork.consensus.zab.messages import Mode, Notification, Vote
from raftwork.consensus.zab.state import (
    NO_VOTE,
    Ballot,
    Contact,
    Follower,
    Leader,
    Looking,
    Node,
)
from raftwork.consensus.zab.transitions import State


def look(node: Node, prefer: Vote | None = None, why: Cause | None = None) -> None:
    """Begin a new round."""
    node.look(prefer, why)
    _announce(node)
    _tally(node)


def overdue(node: Node, why: Cause | None = None) -> None:
    """A deadline has passed. If it was that of phase 1, slow disks may have needed more time."""
    if node.state in (State.JOINING, State.ELECTED, State.OFFERING):
        node.patience = min(2 * node.patience, node.config.connect_max)
    if isinstance(node.role, Leader) and not node.established:
        node.failures += 1
    look(node, why=why)


def abdicate(node: Node) -> None:
    """No quorum would have us, as too many know more."""
    node.failures += 1
    look(node, why=Cause.BEHIND)


def tick(node: Node, role: Looking) -> None:
    """Time passes: a replica no longer stands, a vote may be final, or notifications were lost."""
    if _choose(node, role):
        _announce(node)
        _tally(node)
    elif role.finalize_at is not None and node.now >= role.finalize_at:
        _decide(node, role.vote)
    elif node.now >= role.resend_at:
        _announce(node)
        role.interval = min(2 * role.interval, node.config.resend_max)
        _tally(node)


def on_notification(node: Node, src: Peer, message: Notification) -> None:
    """Another's vote: count it, follow it, or help it to find our leader."""
    _meet(node, src.name, message)
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
    """What one replica knows to be committed stays so, in the log of every replica that holds it.

    A replica that was rebound and then lost its leader may be the only one with the whole history.
    It must learn that it counts: else it cannot lead, and any other leader must abdicate.
    """
    if at > node.commit and not node.installing and node.log.holds(at):
        counted = node.is_voter
        node.commit_to(at)
        if isinstance(node.role, Looking) and node.is_voter != counted:
            node.reconsider()


def link_changed(node: Node, name: str, up: bool) -> None:
    """A connection closed: no proof of its owner's death, but reason to ask around at once."""
    role = node.role
    if not up:
        node.contacts.pop(name, None)
    if isinstance(role, Looking):
        if up:
            notify(node, name)
        else:
            role.received.pop(name, None)
            if _choose(node, role):
                _announce(node)
        _tally(node)
    elif isinstance(role, Follower) and role.leader.name == name and not up:
        look(node, why=Cause.LINK_LOST)


def resigned(node: Node, role: Follower, vote: Vote) -> None:
    """Our leader has left and votes for another: so do we at first, unless we know more.

    By names alone the greatest of those that are level would win, whoever was meant.
    """
    own = node.own_vote()
    look(node, vote if vote[:2] >= own[:2] else None, Cause.HANDED_OVER)
    if isinstance(node.role, Looking):
        again = Notification(node.round, Mode.LOOKING, vote)
        _count(node, node.role, role.leader, again)


def notify(node: Node, name: str) -> None:
    """Tell one other our state and vote."""
    role = node.role
    mode = Mode.LOOKING
    if not isinstance(role, Looking):
        mode = Mode.LEADING if isinstance(role, Leader) else Mode.FOLLOWING
    hears = tuple(each for each in node.others if _hears(node, each))
    said = Notification(node.round, mode, role.vote, node.commit, hears, node.failures)
    node.send(name, said)


def _announce(node: Node) -> None:
    if isinstance(node.role, Looking):
        node.role.resend_at = node.now + node.role.interval
    for name in node.others:
        notify(node, name)


def _answer(node: Node, role: Follower | Leader, src: Peer, message: Notification) -> None:
    """We are settled: help those that look, unless it is our own leader that has gone."""
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
    newer = message.round > node.round
    if newer:
        node.round, role.received, role.finalize_at = message.round, {}, None
    known, vote = src.name in role.received, message.vote
    stands = (vote.name, vote.incarnation) == src
    role.received[src.name] = Ballot(vote, stands, message.failures)
    if _choose(node, role) or newer:
        _announce(node)
    elif not known:
        notify(node, src.name)  # what we told it before, it may have heard in another round
    _tally(node)


def _tally(node: Node) -> None:
    """A quorum for the best vote is final once no better one can come (finalizeWait)."""
    role = node.role
    if not isinstance(role, Looking) or role.vote == NO_VOTE:
        return
    agree = 1 + sum(ballot.vote == role.vote for ballot in role.received.values())
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
        _announce(node)  # replicas that voted with us need not wait to be told again
    else:
        node.follow(elected, vote)


# ---- the choice of a vote ------------------------------------------------------------------------


def _choose(node: Node, role: Looking) -> bool:
    """Vote for the greatest of those that stand; returns whether that changed our vote."""
    standing = [
        (-ballot.failures, ballot.vote)
        for name, ballot in role.received.items()
        if ballot.stands and _hears(node, name)
    ]
    fresh = node.now < role.since + node.config.hearing
    if not fresh:
        role.own = node.own_vote()  # the replica that we preferred had its time
    if role.own != NO_VOTE and (fresh or _heard_by_quorum(node)):
        standing.append((-node.failures, role.own))
    before, role.vote = role.vote, max(standing)[1] if standing else NO_VOTE
    if role.vote == before:
        return False
    role.finalize_at = None
    return True


def _meet(node: Node, name: str, message: Notification) -> None:
    contact = node.contacts.get(name)
    if contact is None or not _hears(node, name):
        contact = node.contacts[name] = Contact(node.now, node.now, mutual=True)
    contact.at = node.now
    contact.mutual = message.hears is None or node.me.name in message.hears


def _hears(node: Node, name: str) -> bool:
    contact = node.contacts.get(name)
    return contact is not None and node.now < contact.at + node.config.silence


def _heard_by_quorum(node: Node) -> bool:
    """Whether as many as make a quorum hear us, and we them."""
    since = node.now - node.config.hearing
    mutual = [
        name
        for name, contact in node.contacts.items()
        if _hears(node, name) and (contact.mutual or contact.since > since)
    ]
    return 1 + len(mutual) >= node.quorum
