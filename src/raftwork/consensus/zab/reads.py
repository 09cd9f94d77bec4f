"""Linearizable reads: a barrier as ZooKeeper's `sync` should be, confirmed by a quorum.

A barrier notes what is committed, then waits for a round of pings, begun after it was asked for, to
be answered by a quorum that follows us in our epoch: no member of it had accepted a later epoch by
then, so no later leader was established. One round at a time is open, and all barriers that arrive
meanwhile share the next one.
"""

from raftwork.consensus.quorum import reached
from raftwork.consensus.zab.state import Leader, Node, Read


def ask(node: Node, leader: Leader, token: int) -> None:
    """Queue a barrier; it waits for the next round."""
    leader.reads.append(Read(token, leader.round + 1, node.commit))


def begin_round(node: Node, leader: Leader) -> None:
    """Start the round that the newest barriers wait for, unless one is still open."""
    if not leader.reads or leader.reads[-1].round == leader.round:
        return
    if _answered(node, leader) == leader.round:
        leader.round += 1
        node.ping(leader)


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
    rounds = [link.round for link in node.counted(leader) if link.current == leader.epoch]
    if node.is_voter:
        rounds.append(leader.round)
    return reached(rounds, node.quorum) or 0
