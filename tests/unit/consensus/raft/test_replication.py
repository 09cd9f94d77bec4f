"""Appends, acknowledgements and the window, and the ways in which others lost data by them."""

import pytest

from raftwork.consensus.core import ORIGIN, Entry, Kind, Position
from raftwork.consensus.raft import Config
from raftwork.consensus.raft.messages import (
    Append,
    AppendReply,
    RaftMessage,
    TimeoutNow,
    VoteReply,
    encode,
)
from raftwork.errors import NotLeader, QueueFull
from tests.unit.consensus.cluster import Cluster, Member, formed, peer

NAMES = "abc"


def entries(*terms: int, start: int = 1) -> tuple[Entry, ...]:
    return tuple(
        Entry(Position(term, index), Kind.DATA, b"%d.%d" % (term, index))
        for index, term in enumerate(terms, start)
    )


def leader(config: Config | None = None, *terms: int) -> Member:
    """`a`, active in the term after its log's last, with b level and c silent."""
    log = entries(*terms)
    last = log[-1].at if log else ORIGIN
    disk = formed(NAMES, term=last.epoch, entries=log)
    a = Member(peer("a"), NAMES, disk, config=config)
    a.hear("b", TimeoutNow(last.epoch))
    a.hear("b", VoteReply(last.epoch + 1, True))
    a.hear("b", AppendReply(last.epoch + 1, True, last.seq + 1, ORIGIN, 0))
    assert a.core.status.active
    return a


def appends(said: list[tuple[str, RaftMessage]], to: str) -> list[Append]:
    return [m for name, m in said if name == to and isinstance(m, Append)]


def propose(a: Member, *data: bytes) -> list[tuple[str, RaftMessage]]:
    a.said()
    for each in data:
        a.core.propose(each, a.now)
    return a.turn().said()


# ---- acknowledgements --------------------------------------------------------------------------


def test_an_acknowledgement_of_an_old_leadership_is_not_counted() -> None:
    """PySyncObj counts it: its replies carry no term."""
    a = leader()
    propose(a, b"x")

    a.hear("b", AppendReply(0, True, 2, ORIGIN, 0))

    assert a.core.status.committed == (1, 1)


def test_what_a_peer_is_known_to_hold_only_grows() -> None:
    """Reordered answers: the old one comes last (PySyncObj #167)."""
    a = leader()
    propose(a, b"x")
    propose(a, b"y")

    a.hear("b", AppendReply(1, True, 3, ORIGIN, 0))
    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0), AppendReply(1, False, 1, ORIGIN, 0))

    assert a.core.status.peers[0].matched == 3


def test_an_acknowledgement_of_another_incarnation_is_not_counted() -> None:
    a = leader()
    propose(a, b"x")

    a.hear(peer("b", 1), AppendReply(1, True, 2, ORIGIN, 0))

    assert a.core.status.committed == (1, 1)


def test_one_acknowledgement_answers_all_appends_of_a_turn() -> None:
    b = Member(peer("b"), NAMES, formed(NAMES))
    first, second, third = entries(1, 1, 1)

    told = b.hear(
        "a",
        Append(1, ORIGIN, 0, 1, (first,)),
        Append(1, first.at, 0, 2, (second,)),
        Append(1, second.at, 0, 2, (third,)),
    )

    assert told == [("a", AppendReply(1, True, 3, ORIGIN, 2))]


def test_nothing_is_acknowledged_that_was_cut_before_it_was_on_disk() -> None:
    """In one turn an old leader's appends come, and a new one's, which cut them."""
    b = Member(peer("b"), NAMES, formed(NAMES))
    old, new = entries(1, 1), entries(2)
    b.core.receive(peer("a"), encode(Append(1, ORIGIN, 0, 1, old)), b.now)

    told = b.hear("c", Append(2, ORIGIN, 0, 1, new))

    assert told == [("c", AppendReply(2, True, 1, ORIGIN, 1))]


def test_a_reordered_append_takes_nothing_away() -> None:
    """Only a real conflict truncates: what came after may have been acknowledged (CCF)."""
    b = Member(peer("b"), NAMES, formed(NAMES))
    first, second, third = entries(1, 1, 1)
    b.hear("a", Append(1, ORIGIN, 0, 0, (first, second, third)))

    told = b.hear("a", Append(1, ORIGIN, 0, 0, (first,)))

    assert told == [("a", AppendReply(1, True, 1, ORIGIN, 0))]
    assert len(b.log) == 3


def test_a_conflicting_suffix_is_replaced_from_the_conflict_on() -> None:
    b = Member(peer("b"), NAMES, formed(NAMES, term=1, entries=entries(1, 1, 1, 1)))

    b.hear("a", Append(2, Position(1, 1), 0, 0, entries(1, 2, start=2)))

    assert b.log == [(1, b"1.1"), (1, b"1.2"), (2, b"2.3")]


def test_what_is_committed_is_never_truncated() -> None:
    b = Member(peer("b"), NAMES, formed(NAMES))
    b.hear("a", Append(1, ORIGIN, 2, 0, entries(1, 1)))

    told = b.hear("c", Append(2, ORIGIN, 0, 0, entries(2)))

    assert told == [("c", AppendReply(2, True, 2, ORIGIN, 0))]
    assert b.log == [(1, b"1.1"), (1, b"1.2")]


# ---- repair (§5.3) -----------------------------------------------------------------------------


def test_a_long_divergence_is_found_in_two_steps() -> None:
    """The hint's index and term are used on both sides."""
    a = leader(None, *[1] * 5, *[4] * 20)
    a.said()

    probe = a.hear("c", AppendReply(5, False, 25, Position(3, 40), 0))
    after = a.hear("c", AppendReply(5, True, 5, ORIGIN, 0))

    assert [m.prev for m in appends(probe, "c")] == [(1, 5)]
    assert [len(m.entries) for m in appends(probe, "c")] == [0]
    assert sum(len(m.entries) for m in appends(after, "c")) == 21


def test_a_stale_refusal_is_ignored() -> None:
    a = leader()
    propose(a, b"x")
    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))

    assert a.hear("b", AppendReply(1, False, 2, ORIGIN, 0)) == []


def test_one_probe_at_a_time() -> None:
    a = leader(None, 1, 1, 1)
    a.hear("c", AppendReply(2, False, 3, Position(1, 1), 0))

    said = propose(a, b"x") + propose(a, b"y")

    assert appends(said, "c") == []
    a.sleep(75)
    assert [m.prev for m in appends(a.said(), "c")] == [(1, 1)]


def test_a_lost_append_is_found_out_by_the_next_heartbeat() -> None:
    cluster = Cluster()
    cluster.elect("a")
    cluster.lost = lambda src, to, m: isinstance(m, Append) and bool(m.entries) and to == "c"
    cluster.propose("a", b"x")
    cluster.lost = lambda *_: False

    cluster.sleep(75)

    assert cluster["c"].log == cluster["a"].log


# ---- the window --------------------------------------------------------------------------------


def test_appends_are_pipelined_up_to_the_window() -> None:
    a = leader(Config(window_messages=3))
    a.hear("c", AppendReply(1, True, 1, ORIGIN, 0))

    sent = [len(appends(propose(a, b"x"), "c")) for _ in range(5)]
    told = a.hear("c", AppendReply(1, True, 3, ORIGIN, 0))

    assert sent == [1, 1, 1, 0, 0]
    assert [[e.at.seq for e in m.entries] for m in appends(told, "c")] == [[5, 6]]


def test_the_window_is_bounded_in_bytes_too() -> None:
    a = leader(Config(window_bytes=1_000))
    a.hear("c", AppendReply(1, True, 1, ORIGIN, 0))

    sent = [len(appends(propose(a, bytes(600)), "c")) for _ in range(4)]

    assert sent == [1, 1, 0, 0]


def test_a_large_log_goes_in_bounded_messages_and_a_larger_entry_alone() -> None:
    a = leader(Config(append_bytes=1_000))
    a.hear("c", AppendReply(1, True, 1, ORIGIN, 0))

    said = appends(propose(a, bytes(400), bytes(400), bytes(5_000), bytes(10)), "c")

    assert [[len(e.data) for e in m.entries] for m in said] == [[400, 400], [5_000], [10]]


def test_a_range_is_encoded_once_for_all_peers() -> None:
    a = leader()
    a.hear("c", AppendReply(1, True, 1, ORIGIN, 0))
    a.core.propose(b"x", a.now)
    a.turn()
    to_b, to_c = (message.body for message in a.sent[-2:])

    assert to_b is to_c


def test_a_commit_alone_causes_no_message() -> None:
    """Under load the next append carries it; an idle leader's heartbeat does."""
    a = leader()
    propose(a, b"x")

    assert a.hear("b", AppendReply(1, True, 2, ORIGIN, 0)) == []
    a.sleep(75)
    assert {m.commit for _, m in a.said() if isinstance(m, Append)} == {2}


# ---- proposals ---------------------------------------------------------------------------------


def test_a_follower_says_who_leads() -> None:
    b = Member(peer("b"), NAMES, formed(NAMES))
    b.hear("a", Append(1, ORIGIN, 0, 0, ()))

    with pytest.raises(NotLeader) as refusal:
        b.core.propose(b"x", 0)

    assert refusal.value.leader == "a"


def test_uncommitted_proposals_are_bounded() -> None:
    a = leader(Config(uncommitted_bytes=100))
    large = bytes(500)
    propose(a, large)  # alone it is taken, however large

    with pytest.raises(QueueFull):
        a.core.propose(b"y", a.now)
    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))

    assert a.core.propose(b"y", a.now) == (1, 3)


def test_a_backlog_is_applied_in_bounded_outputs() -> None:
    b = Member(peer("b"), NAMES, formed(NAMES), config=Config(apply_entries=2, apply_within=0))
    b.core.receive(peer("a"), encode(Append(1, ORIGIN, 5, 0, entries(*[1] * 5))), 0)

    sizes = []
    while (output := b.core.output()) is not None:
        sizes.append(len(output.committed))
        b.core.synced(output)

    assert sizes == [0, 2, 2, 1]
