"""Replica's rules (a) to (h), on what a member does and in which order."""

import pytest

from raftwork.consensus.core import ORIGIN, Entry, Kind, Position
from raftwork.consensus.raft import Config
from raftwork.consensus.raft.messages import Append, AppendReply, TimeoutNow, Vote, VoteReply, codec
from tests.unit.consensus.cluster import Event, Member, formed, peer

NAMES = "abc"


def member(names: str = NAMES) -> Member:
    return Member(peer("a"), names, formed(names))


def leader() -> Member:
    a = member()
    a.hear("b", TimeoutNow(0))
    a.hear("b", VoteReply(1, True))
    a.hear("b", AppendReply(1, True, 1, ORIGIN, 0))
    assert a.core.status.active
    a.events.clear()
    return a


def entry(index: int) -> Entry:
    return Entry(Position(1, index), Kind.DATA, b"%d" % index)


def kinds(member: Member) -> list[str]:
    return [event.kind for event in member.events]


def sent(member: Member) -> list[tuple[int, str]]:
    """Where in the events a message of which type left."""
    return [
        (place, type(codec.decode(event.what.body)).__name__)  # type: ignore[attr-defined]
        for place, event in enumerate(member.events)
        if event.kind == "send"
    ]


def test_a_appends_leave_before_the_sync_and_promises_after_it() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()
    synced = kinds(a).index("commit")

    assert all(place < synced for place, _ in sent(a))
    assert [what for _, what in sent(a)] == ["Append", "Append"]

    a = member()
    a.hear("b", Append(1, ORIGIN, 0, 0, (entry(1),)))
    a.hear("c", Vote(2, Position(1, 9), True))
    commits = [place for place, kind in enumerate(kinds(a)) if kind == "commit"]

    assert [what for _, what in sent(a)] == ["AppendReply", "VoteReply"]
    assert commits[0] < sent(a)[0][0] and commits[1] < sent(a)[1][0]


def test_b_a_cluster_of_one_applies_nothing_that_is_not_synced() -> None:
    a = member("a")
    a.sleep(1_500)
    assert a.core.status.active
    a.events.clear()

    a.core.propose(b"x", a.now)
    a.turn()
    order = kinds(a)

    assert Event("begin", True) in a.events
    assert order.index("append") < order.index("commit") < order.index("apply")


def test_b_its_vote_for_itself_counts_once_it_is_durable() -> None:
    a = member("a")
    a.replica.wake(700)
    a.replica.wake(750)

    output = a.core.output()

    assert output is not None and output.state is not None and not output.append
    assert a.core.status.role == "candidate"
    a.core.synced(output)
    assert a.core.status.role == "leader"


def test_c_the_applied_position_is_saved_in_the_transaction_that_applies() -> None:
    a = member()

    a.hear("b", Append(1, ORIGIN, 2, 0, (entry(1), entry(2), entry(3))))

    assert kinds(a)[kinds(a).index("begin") : kinds(a).index("commit")] == [
        "begin", "append", "append", "append", "state", "apply", "apply", "applied", "plan",
        "before commit",
    ]  # fmt: skip


def test_d_replies_leave_after_the_commit() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()
    a.events.clear()

    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))
    order = kinds(a)

    assert order.index("apply") < order.index("commit") < order.index("released")


def test_e_applying_alone_needs_no_sync_and_what_needs_one_never_shares_its_transaction() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()
    a.events.clear()
    # Applying x makes a further proposal possible: it is made in the same turn.
    reply = codec.encode(AppendReply(1, True, 2, ORIGIN, 0))
    a.core.receive(peer("b"), reply, a.now)
    original = a.host.plan

    def plan(now: int) -> None:
        if "apply" in kinds(a) and not proposed:
            proposed.append(a.core.propose(b"y", now))
        original(now)

    proposed: list[Position] = []
    a.host.plan = plan  # type: ignore[method-assign]
    a.turn()
    begins = [event.what for event in a.events if event.kind == "begin"]

    assert begins == [False, True]
    assert proposed == [(1, 3)]
    second = [place for place, kind in enumerate(kinds(a)) if kind == "begin"][1]
    assert kinds(a).index("apply") < second < kinds(a).index("append")


def test_f_what_applying_makes_possible_is_proposed_in_the_same_turn() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()
    before = len(a.log)

    original = a.host.apply

    def propose() -> None:
        a.core.propose(b"y", a.now)

    def apply(entry: Entry) -> None:
        original(entry)
        a.host.planned.append(propose)

    a.host.apply = apply  # type: ignore[method-assign]
    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))

    assert a.log[before:] == [(1, b"y")]


def test_g_an_error_in_the_state_machine_stops_the_replica_and_leaves_no_trace() -> None:
    a = member()
    a.host.apply_fails = RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        a.hear("b", Append(1, ORIGIN, 1, 0, (entry(1),)))

    assert kinds(a)[-1] == "rollback"
    assert a.sent == []
    assert a.disk.committed.entries == () and a.disk.committed.machine.length == 0


def test_g_an_error_of_the_disk_stops_the_replica_before_it_promises_anything() -> None:
    a = member()
    a.store.fails = OSError("EIO")

    with pytest.raises(OSError, match="EIO"):
        a.hear("b", Vote(1, ORIGIN, False))

    assert a.sent == []


def test_a_deactivated_host_hears_of_it_before_anything_else() -> None:
    a = leader()

    a.hear("b", Append(2, Position(1, 1), 1, 0, ()))

    order = [kind for kind in kinds(a) if kind not in {"plan", "begin"}]
    assert order[0] == "deactivated"


def test_activation_comes_with_the_no_op_applied() -> None:
    a = member()
    a.hear("b", TimeoutNow(0))
    a.hear("b", VoteReply(1, True))
    elected = kinds(a)

    a.hear("b", AppendReply(1, True, 1, ORIGIN, 0))

    assert "activated" not in elected
    assert kinds(a).index("applied") < kinds(a).index("activated")
    assert Event("activated", 1) in a.events


def test_h_a_long_backlog_is_applied_in_slices_with_a_turn_for_each() -> None:
    a = Member(peer("a"), NAMES, formed(NAMES), config=Config(apply_entries=2))
    a.replica.receive(
        peer("b"), codec.encode(Append(1, ORIGIN, 5, 0, tuple(map(entry, range(1, 6))))), a.now
    )
    applied: list[int] = []
    for _ in range(3):
        a.turn()
        applied.append(a.store.applied.seq)

    assert applied == [2, 4, 5]
    assert kinds(a).count("commit") == 3


def test_h_between_two_slices_it_wants_its_next_turn_at_once() -> None:
    a = Member(peer("a"), NAMES, formed(NAMES), config=Config(apply_entries=2))
    a.replica.receive(
        peer("b"), codec.encode(Append(1, ORIGIN, 3, 0, tuple(map(entry, range(1, 4))))), a.now
    )
    a.turn(a.now + 7)

    assert a.replica.wake_at == a.now
    a.turn()
    assert a.replica.wake_at != a.now


def test_h_between_two_slices_it_votes_and_answers() -> None:
    a = Member(peer("a"), NAMES, formed(NAMES), config=Config(apply_entries=2))
    a.replica.receive(
        peer("b"), codec.encode(Append(1, ORIGIN, 5, 0, tuple(map(entry, range(1, 6))))), a.now
    )
    a.turn()
    a.said()
    a.replica.receive(peer("c"), codec.encode(Vote(2, Position(1, 9), True)), a.now)
    a.turn()

    assert a.said() == [("c", VoteReply(2, True))]
    assert a.store.applied.seq == 4
