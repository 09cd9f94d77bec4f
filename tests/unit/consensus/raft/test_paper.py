"""Raft's paper, section by section: each test quotes in its name what the section demands.

§ is the extended version of "In Search of an Understandable Consensus Algorithm".
"""

from collections.abc import Callable

import pytest

from raftwork.consensus.core import ORIGIN, Entry, Kind, Position, Role
from raftwork.consensus.raft.messages import (
    Append,
    AppendReply,
    PreVote,
    PreVoteReply,
    RaftMessage,
    TimeoutNow,
    Vote,
    VoteReply,
    codec,
    decode_hard_state,
)
from raftwork.errors import BadMessage
from raftwork.wire import pack
from tests.unit.consensus.cluster import Cluster, Member, formed, peer

NAMES = "abc"


def entries(*terms: int, start: int = 1) -> tuple[Entry, ...]:
    return tuple(
        Entry(Position(term, index), Kind.DATA, b"%d.%d" % (term, index))
        for index, term in enumerate(terms, start)
    )


def member(*terms: int, term: int | None = None, names: str = NAMES) -> Member:
    """`a`, restarted with a log of these terms of which nothing is known committed."""
    last = terms[-1] if terms else 0
    disk = formed(names, term=last if term is None else term, entries=entries(*terms))
    return Member(peer("a"), names, disk)


def candidate(*terms: int, names: str = NAMES) -> Member:
    """`a`, standing for election."""
    a = member(*terms, names=names)
    a.hear("b", TimeoutNow(a.core.status.epoch))
    assert a.core.status.role is Role.CANDIDATE
    return a


def leader(*terms: int, names: str = NAMES) -> Member:
    """`a`, just elected; its no-op has gone out."""
    a = candidate(*terms, names=names)
    for name in names[1:]:
        if a.core.status.role is not Role.LEADER:
            a.hear(name, VoteReply(a.core.status.epoch, True))
    assert a.core.status.role is Role.LEADER
    return a


def append(term: int, prev: Position = ORIGIN, commit: int = 0, *new: Entry) -> Append:
    return Append(term, prev, commit, 0, new)


def ok(term: int, at: int) -> AppendReply:
    return AppendReply(term, True, at, ORIGIN, 0)


# ---- §5.1 terms ------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [member, candidate, leader])
def test_5_1_a_server_with_a_smaller_term_updates_it_and_reverts_to_follower(
    start: Callable[[int], Member],
) -> None:
    a = start(1)

    a.hear("b", append(7))

    assert (a.core.status.epoch, a.core.status.role) == (7, Role.FOLLOWER)
    assert a.core.status.leader == "b"


def test_5_1_a_request_with_a_stale_term_is_rejected() -> None:
    a = member(2)

    told = a.hear("b", append(1, ORIGIN, 0, *entries(1)), Vote(1, Position(9, 9), False))

    assert ("b", VoteReply(2, False)) in told
    assert ("b", AppendReply(2, False, 0, ORIGIN, 0)) in told
    assert a.log == [(2, b"2.1")]


def test_5_1_a_reply_of_an_older_term_is_ignored() -> None:
    a = leader(1)

    a.hear("b", ok(1, 2))

    assert a.core.status.committed == ORIGIN


# ---- §5.2 elections ---------------------------------------------------------------------------


def test_5_2_servers_start_as_followers() -> None:
    assert member().core.status.role is Role.FOLLOWER


def test_5_2_a_leader_sends_heartbeats_to_all_to_keep_its_authority() -> None:
    a = leader()
    a.hear("b", ok(1, 1))

    a.sleep(75)
    told = a.said()

    assert {to for to, message in told if isinstance(message, Append)} == {"b", "c"}


def test_5_2_a_follower_stays_one_while_it_hears_from_a_leader() -> None:
    a = member()
    a.hear("b", append(1))

    for _ in range(20):
        a.sleep(700)
        a.hear("b", append(1))

    assert a.core.status.leader == "b"
    assert a.core.status.epoch == 1


def test_5_2_a_follower_that_hears_nothing_begins_an_election() -> None:
    """By a pre-vote here (thesis §9.6): the term moves only once a majority would vote."""
    a = member(1)

    a.sleep(1_500)
    asked = a.said()
    told = a.hear("b", PreVoteReply(2, True))

    assert ("b", PreVote(2, Position(1, 1))) in asked
    assert ("c", PreVote(2, Position(1, 1))) in asked
    assert told == [(name, Vote(2, Position(1, 1), False)) for name in "bc"]


def test_5_2_a_candidate_votes_for_itself_and_the_vote_is_durable_before_it_asks() -> None:
    a = candidate(1)
    kinds = [event.kind for event in a.events]

    assert a.store.restored().state is not None
    assert decode_hard_state(a.store.restored().state or b"") == (2, peer("a").incarnation)
    assert kinds.index("commit") < kinds.index("send")


@pytest.mark.parametrize(
    ("names", "votes", "role"),
    [
        ("a", "", Role.LEADER),
        ("abc", "", Role.CANDIDATE),
        ("abc", "b", Role.LEADER),
        ("abcd", "b", Role.CANDIDATE),
        ("abcd", "bc", Role.LEADER),
        ("abcde", "b", Role.CANDIDATE),
        ("abcde", "bb", Role.CANDIDATE),
        ("abcde", "bc", Role.LEADER),
    ],
)
def test_5_2_votes_of_a_majority_make_a_leader(names: str, votes: str, role: Role) -> None:
    a = member(1, names=names)
    if names == "a":
        a.sleep(1_500)
    else:
        a.hear("b", TimeoutNow(1))
        a.hear("b", *[VoteReply(2, True)] * votes.count("b"))
        for name in votes.replace("b", ""):
            a.hear(name, VoteReply(2, True))

    assert a.core.status.role is role


def test_5_2_each_server_votes_for_one_candidate_a_term_first_come_first_served() -> None:
    a = member(term=1)

    first = a.hear("b", Vote(2, ORIGIN, False))
    second = a.hear("c", Vote(2, ORIGIN, False))
    again = a.hear("b", Vote(2, ORIGIN, False))

    assert first == [("b", VoteReply(2, True))]
    assert second == [("c", VoteReply(2, False))]
    assert again == [("b", VoteReply(2, True))]


def test_5_2_a_candidate_that_hears_from_the_leader_of_its_term_follows_it() -> None:
    a = candidate(1)

    a.hear("b", append(2))

    assert (a.core.status.role, a.core.status.leader) == (Role.FOLLOWER, "b")


def test_5_2_a_candidate_that_neither_wins_nor_loses_starts_a_new_election() -> None:
    a = candidate(1)

    a.sleep(1_500)

    assert ("b", PreVote(3, Position(1, 1))) in a.said()


def test_5_2_a_vote_survives_a_crash() -> None:
    a = member(term=1)
    a.hear("b", Vote(2, ORIGIN, False))

    restarted = Member(peer("a"), NAMES, a.disk)
    told = restarted.hear("c", Vote(2, ORIGIN, False))

    assert told == [("c", VoteReply(2, False))]


# ---- §5.3 replication -------------------------------------------------------------------------


def test_5_3_a_leader_appends_a_proposal_and_sends_it_to_all_in_parallel() -> None:
    a = leader()
    a.hear("b", ok(1, 1))
    at = a.core.propose(b"x", a.now)
    told = a.turn().said()

    assert at == (1, 2)
    sent = Append(1, Position(1, 1), 1, 0, (Entry(at, Kind.DATA, b"x"),))
    assert ("b", sent) in told and ("c", sent) in told
    assert a.log[-1] == (1, b"x")


def test_5_3_an_entry_is_committed_once_a_majority_has_it_and_then_applied() -> None:
    a = leader()
    a.hear("b", ok(1, 1))
    a.core.propose(b"x", a.now)
    a.turn()
    before = a.core.status.committed

    a.hear("b", ok(1, 2))

    assert before == (1, 1)
    assert a.core.status.committed == (1, 2)
    assert a.store.machine.length == 1


def test_5_3_followers_learn_what_is_committed_and_apply_it_in_order() -> None:
    a = member()

    a.hear("b", append(1, ORIGIN, 0, *entries(1, 1, 1)))
    before = a.store.applied
    a.hear("b", append(1, Position(1, 3), 2))

    assert before == ORIGIN
    assert a.store.applied == (1, 2)
    assert [e.what for e in a.events if e.kind == "apply"] == list(entries(1, 1))


def test_5_3_the_commit_index_goes_no_further_than_what_the_append_matched() -> None:
    """Beyond `prev` and its entries the logs may differ."""
    a = member(1, 1, 1)

    a.hear("b", append(2, Position(1, 1), 3))

    assert a.core.status.committed == (1, 1)


@pytest.mark.parametrize(
    ("prev", "hint"),
    [((2, 5), (2, 3)), ((1, 3), (1, 2)), ((3, 9), (2, 3))],
)
def test_5_3_a_follower_without_the_previous_entry_refuses(
    prev: tuple[int, int], hint: tuple[int, int]
) -> None:
    a = member(1, 1, 2)

    told = a.hear("b", append(3, Position(*prev), 0, *entries(3, start=prev[1] + 1)))

    assert told == [("b", AppendReply(3, False, prev[1], Position(*hint), 0))]
    assert len(a.log) == 3


FIGURE_7 = {
    "a": (1, 1, 1, 4, 4, 5, 5, 6, 6),
    "b": (1, 1, 1, 4),
    "c": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
    "d": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
    "e": (1, 1, 1, 4, 4, 4, 4),
    "f": (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
}


@pytest.mark.parametrize("case", FIGURE_7)
def test_5_3_figure_7_the_leader_brings_every_follower_into_line(case: str) -> None:
    leading = (1, 1, 1, 4, 4, 5, 5, 6, 6, 6)
    cluster = Cluster(
        disks={
            "a": formed(NAMES, term=7, entries=entries(*leading)),
            "b": formed(NAMES, term=7, entries=entries(*FIGURE_7[case])),
            "c": formed(NAMES, term=7, entries=entries(1, 1)),
        }
    )
    if case == "d":  # its log is newer than the leader's: it would not vote for it
        cluster.cut("b")
    cluster.elect("a")
    cluster.heal()
    cluster.sleep(80)

    assert [term for term, _ in cluster["a"].log] == [*leading, 8]
    assert cluster["a"].log == cluster["b"].log == cluster["c"].log


def test_5_3_a_leader_retries_appends_that_are_not_answered() -> None:
    a = leader()
    a.said()

    a.sleep(75)

    assert ("b", append(1, Position(1, 1))) in a.said()


# ---- §5.4 safety ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "theirs", "granted"),
    [
        ((1,), Position(1, 1), True),
        ((1,), Position(1, 2), True),
        ((1, 1), Position(1, 1), False),
        ((1,), Position(2, 1), True),
        ((1, 1), Position(2, 1), True),
        ((2,), Position(1, 1), False),
        ((2,), Position(1, 2), False),
        ((1, 2), Position(1, 9), False),
    ],
)
def test_5_4_1_a_vote_goes_only_to_a_log_at_least_as_up_to_date(
    mine: tuple[int, ...], theirs: Position, granted: bool
) -> None:
    a = member(*mine, term=2)

    told = a.hear("b", Vote(3, theirs, False))
    soundings = member(*mine, term=2).hear("b", PreVote(3, theirs))

    assert told == [("b", VoteReply(3, granted))]
    assert soundings == [("b", PreVoteReply(3 if granted else 2, granted))]


def test_5_4_2_only_entries_of_the_leaders_own_term_are_committed_by_counting() -> None:
    """Figure 8: an entry of an older term may be on a majority and yet be overwritten."""
    a = leader(1, 1)

    a.hear("b", ok(2, 2))
    counted = a.core.status.committed
    a.hear("b", ok(2, 3))

    assert counted == ORIGIN
    assert a.core.status.committed == (2, 3)


def test_5_4_2_an_own_entry_commits_all_those_before_it() -> None:
    a = leader(1, 1)

    a.hear("b", ok(2, 3))

    assert [e.what for e in a.events if e.kind == "apply"] == list(entries(1, 1))
    assert a.store.applied == (2, 3)


def test_5_5_appends_that_are_repeated_change_nothing() -> None:
    a = member()
    message = append(1, ORIGIN, 2, *entries(1, 1, 1))
    a.hear("b", message)
    before, applied = a.log, a.store.applied

    told = a.hear("b", message)

    assert told == [("b", ok(1, 3))]
    assert (a.log, a.store.applied) == (before, applied)


def test_8_a_new_leader_appends_a_no_op_to_find_out_what_is_committed() -> None:
    a = leader(1)

    assert [(e.at, e.kind) for e in a.store.image().entries[1:]] == [((2, 2), Kind.NOOP)]


def test_garbage_is_refused_and_changes_nothing() -> None:
    a = member(1)
    bad: list[RaftMessage] = [
        append(1, ORIGIN, 0, *entries(1, start=2)),
        append(1, Position(1, 1), 0, *entries(2, start=2)),
        append(1, ORIGIN, 0, Entry(Position(1, 1), Kind.ROSTER, b"no roster")),
    ]
    bodies = [b"", b"\xc1", pack([99]), pack([1, -1, [0, 0]])]
    for body in bodies + [codec.encode(message) for message in bad]:
        with pytest.raises(BadMessage):
            a.core.receive(peer("b"), body, 0)
    with pytest.raises(BadMessage):
        a.core.receive(peer("z"), codec.encode(append(1)), 0)
    assert a.core.output() is None
