"""Deliberate bugs, each a classic, to prove that the simulator would find them.

One is missing: a vote cleared within its term. The no-op that follows at once hides it (whoever
voted holds a newer log by then), so a world meets it once in a thousand. The unit test
`test_a_vote_is_cleared_if_and_only_if_the_term_grows` is there for it.
"""

from collections.abc import Callable

import pytest

from raftwork.consensus.core import Output, Peer, Position
from raftwork.consensus.membership import Membership
from raftwork.consensus.quorum import reached
from raftwork.consensus.raft import Raft, election, reads, replication
from raftwork.consensus.raft.messages import Append, HardState, encode_hard_state
from raftwork.consensus.raft.state import Leader, Node, Progress
from tests.sim.shape import Kind

Patch = pytest.MonkeyPatch
Bug = Callable[[Patch], None]


def a_vote_that_is_not_persisted(patch: Patch) -> None:
    def hard_state(node: Node) -> bytes:
        return encode_hard_state(HardState(node.term, b""))

    patch.setattr(Node, "hard_state", property(hard_state))


def an_ack_before_the_fsync(patch: Patch) -> None:
    original = Raft.output

    def output(core: Raft) -> Output | None:
        out = original(core)
        if out is None:
            return None
        return out._replace(send=out.send + out.send_after_sync, send_after_sync=())

    patch.setattr(Raft, "output", output)


def a_commit_of_an_older_term_by_counting(patch: Patch) -> None:
    def advance(node: Node, leader: Leader) -> None:
        matched = [
            p.match for name, p in leader.peers.items() if node.roster.is_voter(name, p.incarnation)
        ]
        index = reached([*matched, node.log.durable], node.quorum)
        if index is not None:
            node.commit_to(index)

    patch.setattr(replication, "advance", advance)


def a_truncation_on_any_append(patch: Patch) -> None:
    original = replication._accept

    def accept(node: Node, message: Append) -> tuple[int, bool, Position]:
        if node.commit <= message.prev.seq and node.log.holds(message.prev):
            node.truncate(message.prev.seq)
        return original(node, message)

    patch.setattr(replication, "_accept", accept)


def a_replica_known_by_its_name_alone(patch: Patch) -> None:
    def is_voter(roster: Membership, name: str, incarnation: bytes) -> bool:
        return name in roster.latest

    patch.setattr(Membership, "is_voter", is_voter)


def a_learner_counted_before_its_rebind_is_committed(patch: Patch) -> None:
    original = Membership._count

    def count(roster: Membership) -> None:
        original(roster)
        roster._counted = dict(roster.latest)

    patch.setattr(Membership, "_count", count)


def an_old_incarnations_acks_kept_for_the_new(patch: Patch) -> None:
    def progress_of(node: Node, leader: Leader, src: Peer) -> Progress:
        return leader.peers[src.name]

    patch.setattr(replication, "progress_of", progress_of)


def a_read_without_a_round(patch: Patch) -> None:
    def answered(node: Node, leader: Leader) -> int:
        return leader.round

    patch.setattr(reads, "_answered", answered)


def a_vote_for_a_shorter_log(patch: Patch) -> None:
    def up_to_date(node: Node, last: Position) -> bool:
        return last.epoch >= node.log.last.epoch

    patch.setattr(election, "_up_to_date", up_to_date)


def a_commit_beyond_what_an_append_matched(patch: Patch) -> None:
    original = replication._accept

    def accept(node: Node, message: Append) -> tuple[int, bool, Position]:
        result = original(node, message)
        if result[1]:
            node.commit_to(min(message.commit, node.log.last.seq))
        return result

    patch.setattr(replication, "_accept", accept)


#: Each with the kind of world that finds it soonest.
BUGS: list[tuple[Bug, Kind]] = [
    (a_replica_known_by_its_name_alone, Kind.PLAIN),
    (a_vote_that_is_not_persisted, Kind.PLOT),
    (an_ack_before_the_fsync, Kind.PLAIN),
    (a_commit_of_an_older_term_by_counting, Kind.PLOT),
    (a_truncation_on_any_append, Kind.PLAIN),
    (a_learner_counted_before_its_rebind_is_committed, Kind.PLOT),
    (an_old_incarnations_acks_kept_for_the_new, Kind.PLAIN),
    (a_read_without_a_round, Kind.PLAIN),
    (a_vote_for_a_shorter_log, Kind.PLAIN),
    (a_commit_beyond_what_an_append_matched, Kind.PLAIN),
]

#: Where the search begins, if not at 0: one of some three hundred histories cuts the power in
#: the few milliseconds that matter. (The whole system's checkers see this bug at its first ack.)
FIRST: dict[Bug, int] = {an_ack_before_the_fsync: 300}
