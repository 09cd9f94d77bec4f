"""ReadIndex (thesis §6.4)."""

import pytest

from raftwork.consensus.core import ORIGIN
from raftwork.consensus.raft.messages import Append, AppendReply, RaftMessage, TimeoutNow, VoteReply
from raftwork.errors import NotLeader
from tests.unit.consensus.cluster import Event, Member, formed, peer

NAMES = "abc"


def elected(names: str = NAMES) -> Member:
    a = Member(peer("a"), names, formed(names))
    a.hear("b", TimeoutNow(0))
    for name in names[1 : len(names) // 2 + 1]:
        a.hear(name, VoteReply(1, True))
    return a


def leader(names: str = NAMES) -> Member:
    a = elected(names)
    for name in names[1:]:
        a.hear(name, AppendReply(1, True, 1, ORIGIN, 0))
    assert a.core.status.active
    return a


def ask(a: Member, *tokens: int) -> list[tuple[str, RaftMessage]]:
    for token in tokens:
        a.core.barrier(token, a.now)
    a.said()
    return a.turn().said()


def reads(a: Member) -> list[object]:
    return [event.what for event in a.events if event.kind == "read"]


def beat(round_: int) -> Append:
    return Append(1, (1, 1), 1, round_, ())  # type: ignore[arg-type]


def test_6_4_a_barrier_passes_once_a_majority_has_answered_a_round_begun_after_it() -> None:
    a = leader()

    said = ask(a, 1)
    before = reads(a)
    a.hear("b", AppendReply(1, True, 1, ORIGIN, 1))

    assert said == [("b", beat(1)), ("c", beat(1))]
    assert before == []
    assert reads(a) == [1]


def test_6_4_an_answer_to_an_earlier_message_proves_nothing() -> None:
    a = leader()
    ask(a, 1)

    a.hear("b", AppendReply(1, True, 1, ORIGIN, 0))

    assert reads(a) == []


def test_6_4_barriers_that_come_during_a_round_share_the_next() -> None:
    a = leader()
    ask(a, 1, 2)
    during = ask(a, 3) + ask(a, 4)

    next_round = a.hear("b", AppendReply(1, True, 1, ORIGIN, 1))
    first = reads(a)
    a.hear("c", AppendReply(1, True, 1, ORIGIN, 2))

    assert during == []
    assert next_round == [("b", beat(2)), ("c", beat(2))]
    assert first == [1, 2]
    assert reads(a) == [1, 2, 3, 4]


def test_6_4_a_new_leader_waits_for_an_entry_of_its_own_term() -> None:
    """Before that it does not know what is committed (rqlite #1950)."""
    a = elected()
    ask(a, 1)

    a.hear("b", AppendReply(1, True, 0, ORIGIN, 1))
    before = reads(a)
    a.hear("b", AppendReply(1, True, 1, ORIGIN, 1))

    assert before == []
    assert reads(a) == [1]


def test_a_refusal_in_the_same_term_confirms_the_leadership_all_the_same() -> None:
    a = leader()
    ask(a, 1)

    a.hear("b", AppendReply(1, False, 9, ORIGIN, 1))

    assert reads(a) == [1]


def test_a_round_whose_messages_are_lost_is_asked_for_again_by_the_heartbeat() -> None:
    a = leader()
    ask(a, 1)

    a.sleep(75)

    assert ("b", beat(1)) in a.said()


def test_five_need_three() -> None:
    a = leader("abcde")
    ask(a, 1)

    a.hear("b", AppendReply(1, True, 1, ORIGIN, 1))
    before = reads(a)
    a.hear("e", AppendReply(1, True, 1, ORIGIN, 1))

    assert before == []
    assert reads(a) == [1]


def test_a_cluster_of_one_reads_at_once() -> None:
    a = Member(peer("a"), "a", formed("a"))
    a.sleep(1_500)

    ask(a, 7)

    assert reads(a) == [7]


def test_what_was_committed_when_asked_is_applied_when_it_passes() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()
    a.core.receive(peer("c"), b"\x96\x06\x01\xc3\x02\x92\x00\x00\x00", a.now)  # c holds x
    a.core.barrier(1, a.now)
    a.turn()

    a.hear("b", AppendReply(1, True, 2, ORIGIN, 1))
    order = [event.kind for event in a.events]

    assert order.index("apply") < order.index("read")


def test_open_barriers_die_with_the_leadership() -> None:
    a = leader()
    ask(a, 1)

    a.hear("b", AppendReply(2, False, 1, ORIGIN, 1))
    a.hear("b", AppendReply(1, True, 1, ORIGIN, 1))

    assert reads(a) == []
    assert Event("deactivated") in a.events
    with pytest.raises(NotLeader):
        a.core.barrier(2, a.now)
