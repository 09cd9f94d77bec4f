"""Elections (§5.2, §5.4.1), pre-vote and check-quorum (thesis §9.6, §6.2), leader stickiness.

All three guards are always on together: any two of them alone are known to leave a cluster without
a leader under some partial partition.
"""

from raftwork.consensus.core import Peer, Position
from raftwork.consensus.quorum import reached
from raftwork.consensus.raft.messages import PreVote, PreVoteReply, Vote, VoteReply
from raftwork.consensus.raft.state import Candidate, Follower, Leader, Node
from raftwork.consensus.raft.transitions import State
from raftwork.consensus.replica_events import Cause, Election


def pre_campaign(node: Node) -> None:
    """The timer ran out: ask whether an election could be won, changing no replica's term."""
    if not promotable(node):
        if isinstance(node.role, Follower):
            node.role.leader = node.role.heard = None
        node.reset_election_timer()
        return
    node.out.news.append(Election(_why(node.role)))
    node.become_pre_candidate()
    ask(node)
    _count(node, node.me.name)


def campaign(node: Node, *, transfer: bool = False) -> None:
    """Hold the election. The requests leave after the sync: they say that our vote is cast."""
    if transfer:
        node.out.news.append(Election(Cause.HANDED_OVER))
    node.become_candidate()
    assert isinstance(node.role, Candidate)
    node.role.transfer = transfer
    ask(node)


def ask(node: Node) -> None:
    """Ask the peers that have not answered (§5.1: requests are repeated until they are).

    A request lost to a connection that was just coming up would otherwise cost a whole timeout.
    """
    role = node.role
    assert isinstance(role, Candidate)
    role.ask_at = node.now + node.config.heartbeat
    for name in node.others:
        if name in role.granted or name in role.answered:
            continue
        if pre_voting(node):
            node.send(name, PreVote(node.term + 1, node.log.last, node.log.position(node.commit)))
        else:
            node.promise(name, Vote(node.term, node.log.last, role.transfer))


def _why(role: Follower | Candidate | Leader) -> Cause:
    """Why the timer ran out, for people."""
    if not isinstance(role, Follower):
        return Cause.UNDECIDED
    if role.leader is None:
        return Cause.NO_LEADER
    return Cause.LINK_LOST if role.heard is None else Cause.SILENCE


def promotable(node: Node) -> bool:
    """Whether this replica may become leader."""
    return node.is_voter and not node.installing


def pre_voting(node: Node) -> bool:
    """Whether it is only asking whether it could win."""
    return node.state is State.PRE_CANDIDATE


def sticky(node: Node) -> bool:
    """Whether a leader is alive as far as we can tell, so that no candidate should disturb it."""
    role = node.role
    if isinstance(role, Follower):
        return role.heard is not None and node.now - role.heard < node.config.election_min
    return isinstance(role, Leader)


def on_pre_vote(node: Node, src: Peer, message: PreVote) -> None:
    """Answer whether we would vote for the sender; nothing of ours changes by it."""
    _learn_commit(node, message.committed)
    # Candidates answer too, or two of them could wait for each other for ever. A refusal bears our
    # term: a replica that fell behind in terms catches up by it.
    granted = message.term > node.term and not sticky(node) and _up_to_date(node, message.last)
    node.promise(src.name, PreVoteReply(message.term if granted else node.term, granted))


def _learn_commit(node: Node, at: Position) -> None:
    """What one replica knows to be committed stays so, in the log of every replica that holds it.

    A replica that was rebound and then lost its leader may be the only one with a whole log. It
    must learn that it counts: else it cannot lead, and lets no replica lead whose log is shorter.
    """
    if at.seq > node.commit and not node.installing and node.log.holds(at):
        node.commit_to(at.seq)


def on_vote(node: Node, src: Peer, message: Vote) -> None:
    """Grant the vote of this term, once, to a sender with an up-to-date log (§5.2, §5.4.1)."""
    granted = node.vote in (b"", src.incarnation) and _up_to_date(node, message.last)
    if granted and node.vote != src.incarnation:
        node.vote = src.incarnation
        node.out.state = True
        node.reset_election_timer()
    node.promise(src.name, VoteReply(node.term, granted))


def on_pre_vote_reply(node: Node, src: Peer, message: PreVoteReply) -> None:
    """Count it; with a majority the election is held."""
    role = node.role
    if not isinstance(role, Candidate) or not pre_voting(node) or not node.roster.is_voter(*src):
        return
    if message.granted and message.term == node.term + 1:
        _count(node, src.name)


def on_vote_reply(node: Node, src: Peer, message: VoteReply) -> None:
    """Count it; with a majority the election is won."""
    role = node.role
    if not isinstance(role, Candidate) or pre_voting(node) or not node.roster.is_voter(*src):
        return
    role.answered.add(src.name)
    if message.granted:
        _count(node, src.name)
    else:
        _give_up_if_lost(node, role)


def own_vote_is_durable(node: Node) -> None:
    """Our vote for ourselves counts like any other: once it is on disk."""
    if isinstance(node.role, Candidate) and not pre_voting(node):
        _count(node, node.me.name)


def lost_link(node: Node, name: str) -> None:
    """The connection to our leader closed: no proof of its death, but reason to ask around."""
    role = node.role
    if isinstance(role, Follower) and role.leader == name:
        role.heard = None
        soon = node.now + node.rng.randint(0, node.config.hint_delay)
        role.deadline = min(role.deadline, soon)


def check_quorum(node: Node, leader: Leader) -> None:
    """A leader that a majority no longer answers steps down (thesis §6.2)."""
    leader.quorum_until = quorum_until(node, leader)
    if node.now >= leader.quorum_until:
        node.follow(node.term, None, Cause.NO_MAJORITY)


def quorum_until(node: Node, leader: Leader) -> int:
    """Until when a majority has been heard. It only grows, as peers are only heard again."""
    heard = [
        p.heard for name, p in leader.peers.items() if node.roster.is_voter(name, p.incarnation)
    ]
    since = reached([*heard, node.now], node.quorum)
    return node.now if since is None else since + node.config.election_min


def _count(node: Node, name: str) -> None:
    role = node.role
    assert isinstance(role, Candidate)
    role.granted.add(name)
    if len(role.granted) < node.quorum or not node.is_voter:
        return
    if pre_voting(node):
        campaign(node)
    else:
        node.lead()


def _give_up_if_lost(node: Node, role: Candidate) -> None:
    """A split vote is not waited out once all reachable peers have answered."""
    silent = [n for n in node.others if n not in role.answered and n not in node.down]
    if len(role.granted) + len(silent) < node.quorum:
        soon = node.rng.randint(node.config.heartbeat // 2, 2 * node.config.heartbeat)
        role.deadline = min(role.deadline, node.now + soon)


def _up_to_date(node: Node, last: Position) -> bool:
    """§5.4.1: the later last term wins, then the longer log; which is how positions compare."""
    return last >= node.log.last
