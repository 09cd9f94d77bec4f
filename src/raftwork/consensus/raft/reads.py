"""Linearizable reads without log entries: ReadIndex (thesis §6.4).

A barrier notes what is committed, then waits for a round of appends, begun after it was asked for,
to be answered by a quorum: so nobody else had been elected by then. One round at a time is open,
and all barriers that arrive meanwhile share the next one. Before an entry of its own term is
committed a leader does not know what is committed; barriers wait for that entry, too.
"""

from raftwork.consensus.quorum import reached
from raftwork.consensus.raft.state import Leader, Node, Read


def ask(node: Node, leader: Leader, token: int) -> None:
    """Queue a barrier; it waits for the next round."""
    at = max(node.commit, leader.noop)
    leader.reads.append(Read(token, leader.round + 1, at))


def begin_round(node: Node, leader: Leader) -> None:
    """Start the round that the newest barriers wait for, unless one is still open."""
    if not leader.reads or leader.reads[-1].round == leader.round:
        return
    if _answered(node, leader) == leader.round:
        leader.round += 1
        node.beat(leader)


def passed(node: Node, leader: Leader) -> tuple[int, ...]:
    """Tokens of the barriers that are through, in the order they were asked for."""
    if not leader.reads:
        return ()
    answered = _answered(node, leader)
    tokens: list[int] = []
    while (
        leader.reads and leader.reads[0].round <= answered and leader.reads[0].at <= node.applying
    ):
        tokens.append(leader.reads.popleft().token)
    return tuple(tokens)


def _answered(node: Node, leader: Leader) -> int:
    """The newest round that a quorum, ourselves included, has answered."""
    rounds = [
        p.round for name, p in leader.peers.items() if node.roster.is_voter(name, p.incarnation)
    ]
    return reached([*rounds, leader.round], node.quorum) or 0
