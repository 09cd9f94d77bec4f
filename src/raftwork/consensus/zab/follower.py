"""A follower's side of its link: what comes in frames, what it answers, and when it gives up.

Frames are acted on in order, one phase after the other. One that makes no sense where the follower
stands means that the two disagree about the link: it is opened anew.
"""

from collections.abc import Mapping

from raftwork.consensus.core import Peer
from raftwork.consensus.zab import broadcast, discovery, election, snapshot, synchronisation
from raftwork.consensus.zab.fifo import Inbound
from raftwork.consensus.zab.messages import (
    Ack,
    AckEpoch,
    Commit,
    Diff,
    FollowerInfo,
    Frame,
    Framed,
    FromFollower,
    LeaderInfo,
    NewLeader,
    Ping,
    Propose,
    Resign,
    Snap,
    Trunc,
    UpToDate,
)
from raftwork.consensus.zab.state import Follower, Node
from raftwork.consensus.zab.transitions import TRANSITIONS, Event, State

#: What else comes in frames has its place everywhere and changes no state.
_EVENTS: Mapping[type[Framed], Event] = {
    LeaderInfo: Event.LEADERINFO,
    Diff: Event.DIFF,
    Trunc: Event.TRUNC,
    Propose: Event.PROPOSE,
    NewLeader: Event.NEWLEADER,
    UpToDate: Event.UPTODATE,
    Commit: Event.COMMIT,
}


def on_frame(node: Node, src: Peer, frame: Frame, content: Framed) -> None:
    """A frame of our leader's link; frames that overtook others are held back."""
    role = node.role
    if (
        not isinstance(role, Follower)
        or role.leader != src
        or role.inbound.session != frame.session
    ):
        return
    role.deadline = node.now + node.config.silence
    for message in role.inbound.take(frame.seq, content, node.now):
        valid = _act(node, role, message)
        if node.role is not role:
            return
        if not valid:
            resync(node, role)
            return


def on_chunk(node: Node, src: Peer, message: Snap) -> None:
    """A piece of a snapshot from our leader."""
    role = node.role
    if (
        isinstance(role, Follower)
        and role.leader == src
        and role.inbound.session == message.session
        and not snapshot.on_chunk(node, src, message)
    ):
        resync(node, role)


def _act(node: Node, role: Follower, message: Framed) -> bool:
    """Returns whether the message makes sense in our state."""
    event = _EVENTS.get(type(message))
    if event is not None and event not in TRANSITIONS[node.state]:
        return False
    valid = _carry_out(node, role, message)
    if valid and event is not None and node.role is role:
        node.move(event)
    return valid


def _carry_out(node: Node, role: Follower, message: Framed) -> bool:
    match message:
        case LeaderInfo():
            return discovery.on_leader_info(node, role, message)
        case Diff():
            return synchronisation.on_diff(node, role, message)
        case Trunc():
            return synchronisation.on_trunc(node, role, message)
        case Propose():
            return not node.installing and broadcast.on_propose(node, role, message)
        case NewLeader():
            return synchronisation.on_new_leader(node, role, message)
        case UpToDate():
            return synchronisation.on_up_to_date(node, role, message)
        case Commit():
            return broadcast.on_commit(node, message.zxid)
        case Ping():
            role.round, role.state_due = message.round, True
            return True
        case Resign():
            election.resigned(node, role, message.vote)
            return True


def tick(node: Node, role: Follower) -> None:
    """Time passes: give the leader up, or repeat what was not answered."""
    broken = broken_at(node, role)
    if node.now >= role.deadline:
        election.overdue(node)
    elif broken is not None and node.now >= broken:
        resync(node, role)
    elif not role.inbound.opened and node.now >= role.resend_at:
        role.interval = min(2 * role.interval, node.config.resend_max)
        role.resend_at = node.now + role.interval
        role.state_due = True


def broken_at(node: Node, role: Follower) -> int | None:
    """When the session is given up for a missing frame; None: none is missing."""
    return role.inbound.broken_at(node.config.gap_patience, node.config.gap_messages)


def resync(node: Node, role: Follower) -> None:
    """Open a new session: the leader synchronises us from where we stand."""
    node.move(Event.BROKEN)
    role.inbound = Inbound(node.new_session())
    role.round, role.state_due = 0, True
    role.interval = node.config.resend
    role.resend_at = node.now + role.interval


def send_state(node: Node) -> None:
    """Send our state to the leader, if that is due; it leaves once all that it claims is durable.

    A PING asks for it again, which makes good any that was lost; there is at most one a turn. While
    a snapshot is being switched to, nothing is known of the log.
    """
    role = node.role
    if isinstance(role, Follower) and role.state_due and not node.installing:
        role.state_due = False
        node.promise(role.leader.name, current_state(node, role))


def current_state(node: Node, role: Follower) -> FromFollower:
    """The message that tells the leader our state."""
    session, hard = role.inbound.session, node.hard
    match node.state:
        case State.JOINING:
            return FollowerInfo(session, hard.accepted)
        case State.ACCEPTED:
            accepted = hard.accepted == role.epoch and hard.source == role.leader.incarnation
            ends = node.log.ends(node.commit)
            return AckEpoch(session, role.epoch, accepted, hard.current, ends)
        case _:
            return Ack(session, hard.current, node.log.last, role.round)
