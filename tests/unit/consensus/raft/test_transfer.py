"""Leadership transfer (thesis §3.10) and how it got stuck elsewhere."""

import pytest

from raftwork.consensus.core import ORIGIN, Position, Role
from raftwork.consensus.raft.messages import (
    Append,
    AppendReply,
    TimeoutNow,
    Vote,
    VoteReply,
)
from raftwork.errors import NotLeader
from tests.unit.consensus.cluster import Cluster, Member, formed, peer

NAMES = "abc"


def leader() -> Member:
    """`a` leads, b is level, c lags."""
    a = Member(peer("a"), NAMES, formed(NAMES))
    a.hear("b", TimeoutNow(0))
    a.hear("b", VoteReply(1, True))
    a.hear("b", AppendReply(1, True, 1, ORIGIN, 0))
    a.said()
    return a


def transfer(a: Member) -> list[object]:
    a.core.transfer(a.now)
    return [message for message in a.turn().said() if isinstance(message[1], TimeoutNow)]


def test_3_10_the_most_advanced_voter_is_told_to_campaign_at_once() -> None:
    a = leader()

    assert transfer(a) == [("b", TimeoutNow(1))]


def test_3_10_the_target_is_brought_level_first() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()

    early = transfer(a)
    told = a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))

    assert early == []
    assert ("b", TimeoutNow(1)) in told


def test_3_10_the_target_skips_the_pre_vote_and_overrides_loyalty() -> None:
    b = Member(peer("b"), NAMES, formed(NAMES, term=1))
    b.hear("a", Append(1, ORIGIN, 0, 0, ()))

    told = b.hear("a", TimeoutNow(1))

    assert told == [("a", Vote(2, ORIGIN, True)), ("c", Vote(2, ORIGIN, True))]


def test_leadership_moves_without_a_pause() -> None:
    cluster = Cluster()
    a = cluster.elect("a")

    a.core.transfer(cluster.now)
    cluster.turn("a")

    assert cluster["c"].core.status.active
    assert a.core.status.role is Role.FOLLOWER


def test_no_proposal_is_taken_during_a_transfer() -> None:
    """Writes that go on during a transfer make the target lose (hashicorp #581)."""
    a = leader()
    a.core.transfer(a.now)

    with pytest.raises(NotLeader) as refusal:
        a.core.propose(b"x", a.now)

    assert refusal.value.leader is None


def test_a_transfer_that_leads_nowhere_ends_after_an_election_timeout() -> None:
    """It must end even though heartbeats are answered all the while (openraft #1747)."""
    a = leader()
    a.core.transfer(a.now)
    start = a.now

    while a.now < start + 750:
        a.sleep(50)
        a.hear("b", AppendReply(1, True, 1, ORIGIN, 0))

    assert a.core.propose(b"x", a.now) == Position(1, 2)


def test_a_transfer_does_not_outlive_the_leadership() -> None:
    """hashicorp #696: a flag left over made the re-elected leader refuse writes until reboot."""
    a = leader()
    a.core.transfer(a.now)
    a.hear("c", Append(2, Position(1, 1), 1, 0, ()))
    a.hear("c", TimeoutNow(2))
    a.hear("b", VoteReply(3, True))

    assert a.core.status.role is Role.LEADER
    a.core.propose(b"x", a.now)


def test_a_lost_word_is_said_again() -> None:
    a = leader()
    transfer(a)

    a.sleep(75)

    assert ("b", TimeoutNow(1)) in a.said()


def test_neither_a_learner_nor_a_disconnected_voter_is_chosen() -> None:
    a = leader()
    a.core.link("c", False, a.now)
    a.hear(peer("b", 1), AppendReply(1, True, 1, ORIGIN, 0))

    assert transfer(a) == []
    a.core.propose(b"x", a.now)


def test_followers_and_lone_leaders_have_nothing_to_hand_over() -> None:
    b = Member(peer("b"), NAMES, formed(NAMES))
    b.core.transfer(0)
    alone = Member(peer("a"), "a", formed("a"))
    alone.sleep(1_500)
    alone.core.transfer(alone.now)

    assert b.core.output() is None
    alone.core.propose(b"x", alone.now)
