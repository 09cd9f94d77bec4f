"""Pre-vote, check-quorum and stickiness together (thesis §6.2, §9.6), and what broke others."""

from raftwork.consensus.core import ORIGIN, Entry, Kind, Position, Role
from raftwork.consensus.raft.messages import (
    Append,
    AppendReply,
    PreVote,
    PreVoteReply,
    TimeoutNow,
    Vote,
    VoteReply,
    decode_hard_state,
)
from tests.unit.consensus.cluster import Cluster, Event, Member, formed, peer

NAMES = "abc"


def member(term: int = 1, length: int = 0, names: str = NAMES) -> Member:
    log = [Entry(Position(1, index), Kind.DATA, b"") for index in range(1, length + 1)]
    return Member(peer("a"), names, formed(names, term=term, entries=log))


def leader(names: str = NAMES) -> Member:
    a = member(names=names)
    a.hear("b", TimeoutNow(1))
    a.hear("b", VoteReply(2, True))
    a.hear("c", VoteReply(2, True))
    a.hear("b", AppendReply(2, True, 1, ORIGIN, 0))
    a.hear("c", AppendReply(2, True, 1, ORIGIN, 0))
    assert a.core.status.active
    return a


def beat(term: int) -> Append:
    return Append(term, ORIGIN, 0, 0, ())


# ---- pre-vote (thesis §9.6) --------------------------------------------------------------------


def test_9_6_a_pre_vote_changes_nobodys_term_and_nobodys_disk() -> None:
    a = member(term=3)
    a.sleep(1_499)
    b = member(term=3)

    b.hear("c", PreVote(4, ORIGIN))

    assert (a.core.status.epoch, b.core.status.epoch) == (3, 3)
    assert not [e for e in a.events + b.events if e.kind == "state"]


def test_9_6_a_rejoining_replica_deposes_nobody() -> None:
    cluster = Cluster()
    a = cluster.elect("a")
    cluster.cut("c")
    cluster.sleep(10_000)
    cluster.heal()
    cluster.sleep(2_000)

    assert a.core.status.active and a.core.status.epoch == 1
    assert cluster["c"].core.status.leader == "a"


def test_a_candidate_answers_pre_votes() -> None:
    """Else two candidates may wait for each other for ever though a majority lives (ra #439)."""
    a = member()
    a.sleep(1_499)
    assert a.core.status.role is Role.CANDIDATE

    assert a.hear("b", PreVote(2, ORIGIN)) == [("b", PreVoteReply(2, True))]


def test_a_replica_with_a_smaller_term_can_still_be_elected() -> None:
    """Of two that are left, one has the longer log and the other the higher term (etcd #8501)."""
    longer = formed(NAMES, term=1, entries=[Entry(Position(1, 1), Kind.DATA, b"x")])
    cluster = Cluster(disks={"a": formed(NAMES, term=9), "b": longer})
    cluster.cut("c")

    cluster.sleep(4_000)

    assert cluster["b"].core.status.active
    assert cluster["b"].core.status.epoch == 10


def test_a_refusal_bears_the_voters_term_and_a_grant_the_requests() -> None:
    a = member(term=5)

    assert a.hear("b", PreVote(3, Position(4, 1))) == [("b", PreVoteReply(5, False))]
    assert a.hear("b", PreVote(7, Position(4, 1))) == [("b", PreVoteReply(7, True))]


def test_a_late_grant_for_another_term_is_not_counted() -> None:
    a = member(term=5)
    a.sleep(1_499)

    a.hear("b", PreVoteReply(5, True))

    assert a.core.status.epoch == 5


# ---- stickiness --------------------------------------------------------------------------------


def test_a_voter_that_hears_from_a_leader_is_loyal_to_it() -> None:
    a = member(term=2)
    a.hear("b", beat(2))

    a.turn(700)
    refused = a.hear("c", PreVote(3, Position(9, 9)))
    ignored = a.hear("c", Vote(3, Position(9, 9), False))
    a.turn(760)
    a.now = 760

    assert refused == [("c", PreVoteReply(2, False))]
    assert ignored == [] and a.core.status.epoch == 2
    assert a.hear("c", PreVote(3, Position(9, 9))) == [("c", PreVoteReply(3, True))]


def test_a_leader_is_loyal_to_itself_while_a_majority_answers() -> None:
    a = leader()

    assert a.hear("b", Vote(9, Position(9, 9), False)) == []
    assert a.core.status.active


def test_a_transfer_overrides_loyalty() -> None:
    a = member(term=2)
    a.hear("b", beat(2))

    assert a.hear("c", Vote(3, Position(9, 9), True)) == [("c", VoteReply(3, True))]


def test_a_lost_link_to_the_leader_starts_a_pre_vote_soon_and_ends_loyalty() -> None:
    a = member(term=2)
    a.hear("b", beat(2))

    a.core.link("b", False, 0)
    granted = a.hear("c", PreVote(3, Position(9, 9)))
    a.turn(20)

    assert granted == [("c", PreVoteReply(3, True))]
    assert ("c", PreVote(3, ORIGIN)) in a.said()


def test_a_pre_vote_ends_when_the_leader_turns_out_to_live() -> None:
    a = member(term=2)
    a.hear("b", beat(2))
    a.core.link("b", False, 0)
    a.turn(20)
    assert a.core.status.role is Role.CANDIDATE

    a.hear("b", beat(2))
    a.sleep(700)

    assert (a.core.status.role, a.core.status.leader) == (Role.FOLLOWER, "b")
    assert a.core.status.epoch == 2


def test_other_links_coming_and_going_mean_nothing() -> None:
    a = member(term=2)
    a.hear("b", beat(2))
    before = a.replica.wake_at

    for name, up in [("c", False), ("c", True), ("b", True), ("a", False), ("z", False)]:
        a.core.link(name, up, 0)

    assert a.replica.wake_at == before
    assert a.core.status.leader == "b"


# ---- check-quorum (thesis §6.2) ----------------------------------------------------------------


def test_6_2_a_leader_that_a_majority_no_longer_answers_steps_down() -> None:
    a = leader()

    a.sleep(749)
    still = a.core.status.active
    a.sleep(80)

    assert still
    assert a.core.status.role is Role.FOLLOWER
    assert a.events.count(Event("deactivated")) == 1


def test_6_2_hearing_pre_votes_is_not_being_answered() -> None:
    """A leader that can receive but not send must go, too."""
    a = leader()

    for _ in range(8):
        a.sleep(100)
        a.hear("b", PreVote(3, Position(9, 9)))

    assert a.core.status.role is not Role.LEADER


def test_a_leader_reads_what_came_during_a_long_turn_before_it_counts_who_answered() -> None:
    """Its disk was slow, not its followers."""
    a = leader()
    a.turn(a.now + 150)
    a.now += 700

    a.replica.wake(a.now)
    a.hear("b", AppendReply(a.core.status.epoch, True, 1, ORIGIN, 0))

    assert a.core.status.active


def test_a_follower_reads_what_came_during_a_long_turn_before_it_looks_for_another_leader() -> None:
    a = member(term=2)
    a.hear("b", beat(2))
    a.turn(a.now + 700)
    a.now += 700

    a.replica.wake(a.now)
    said = a.hear("b", beat(2))

    assert a.core.status.leader == "b"
    assert not any(isinstance(message, PreVote) for _, message in said)


def test_a_leader_that_stood_still_steps_down_before_anything_else() -> None:
    a = leader()
    a.said()

    a.turn(a.now + 750)

    assert a.core.status.role is Role.FOLLOWER
    assert a.said() == []


def test_a_follower_that_stood_still_reads_first() -> None:
    a = member(term=2)
    a.hear("b", beat(2))

    a.turn(60_000)

    assert a.core.status.role is Role.FOLLOWER
    assert a.said() == []


def test_sleeping_as_asked_never_looks_like_standing_still() -> None:
    a = member()

    a.sleep(1_499)

    assert a.core.status.role is Role.CANDIDATE


# ---- votes -------------------------------------------------------------------------------------


def test_a_vote_is_cleared_if_and_only_if_the_term_grows() -> None:
    """A leader of term 2 that steps down in term 2 must not vote for another there (CCF #8094)."""
    a = leader()
    a.sleep(1_000)
    assert a.core.status.role is not Role.LEADER and a.core.status.epoch == 2

    same = a.hear("b", Vote(2, Position(9, 9), False))
    next_term = a.hear("b", Vote(3, Position(9, 9), False))

    assert same == [("b", VoteReply(2, False))]
    assert next_term == [("b", VoteReply(3, True))]


def test_a_vote_is_for_an_incarnation_not_for_a_name() -> None:
    a = member(term=2)
    a.hear(peer("b", 0), Vote(3, ORIGIN, False))

    assert a.hear(peer("b", 1), Vote(3, ORIGIN, False)) == [("b", VoteReply(3, False))]


def test_term_and_vote_are_one_record() -> None:
    a = member(term=2)
    a.hear("b", Vote(3, ORIGIN, False))
    voted = decode_hard_state(a.store.restored().state or b"")
    a.hear("c", beat(4))

    assert voted == (3, peer("b").incarnation)
    assert decode_hard_state(a.store.restored().state or b"") == (4, b"")


def test_a_candidate_that_cannot_win_does_not_keep_others_from_trying() -> None:
    """Higher terms alone put off no election: only leaders and granted votes do."""
    a = member(length=1)
    deadline = a.replica.wake_at

    a.hear("b", Vote(2, ORIGIN, False))
    a.hear("b", Vote(3, ORIGIN, False))

    assert a.replica.wake_at == deadline
    a.sleep(760)
    assert a.core.status.role is Role.CANDIDATE


def test_a_split_vote_is_not_waited_out() -> None:
    a = member()
    a.core.link("c", False, 0)
    a.hear("b", TimeoutNow(1))

    a.hear("b", VoteReply(2, False))
    a.sleep(150)

    assert ("b", PreVote(3, ORIGIN)) in a.said()


def test_a_stuck_replica_with_a_higher_term_frees_itself_by_its_answers() -> None:
    """Silence would leave it and a leader of an older term stuck with each other for ever."""
    a = leader()

    a.hear("c", AppendReply(7, False, 1, ORIGIN, 0))

    assert (a.core.status.role, a.core.status.epoch) == (Role.FOLLOWER, 7)


def test_a_transfer_request_moves_no_learner() -> None:
    a = Member(peer("a", 1), NAMES, formed(NAMES, term=1))

    assert a.hear("b", TimeoutNow(1)) == []
    assert a.core.status.role is Role.LEARNER


def test_a_learner_never_campaigns_but_votes_if_asked() -> None:
    """It may not know that it was made a voter (etcd: campaign_learner_must_vote)."""
    a = Member(peer("a", 1), NAMES, formed(NAMES, term=1))

    a.sleep(10_000)

    assert a.said() == []
    assert a.hear("b", PreVote(2, ORIGIN), Vote(2, ORIGIN, False)) == [
        ("b", PreVoteReply(2, True)),
        ("b", VoteReply(2, True)),
    ]
