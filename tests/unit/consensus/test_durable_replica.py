"""Replica's rules (a) to (h), on what a member does and in which order."""

import itertools

import pytest

from raftwork.consensus.core import ORIGIN, Entry, Kind, Output, Position
from raftwork.consensus.durable_replica import (
    BUSY_BYTES,
    BUSY_MS,
    COMMIT_AFTER_MS,
    PATIENCE_MS,
    SLICE_NS,
    Replica,
)
from raftwork.consensus.raft import Config, replication
from raftwork.consensus.raft.messages import Append, AppendReply, TimeoutNow, Vote, VoteReply, codec
from raftwork.consensus.raft.state import Leader, Node
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

    order = [kind for kind in kinds(a) if kind not in {"plan", "released"}]
    assert order == [
        "begin", "append", "append", "append", "state", "before commit", "commit", "send",
        "begin", "apply", "apply", "applied",
    ]  # fmt: skip
    assert (a.store.applied, a.disk.committed.applied) == ((1, 2), ORIGIN)


def test_d_replies_leave_as_soon_as_the_entry_is_applied() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()
    a.events.clear()

    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))
    order = kinds(a)

    assert order.index("apply") < order.index("applied") < order.index("released")
    assert "commit" not in order


def test_d_replies_leave_before_anything_else_is_planned() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()
    a.events.clear()

    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))
    order = kinds(a)

    assert "plan" not in order[order.index("apply") : order.index("released")]
    assert "plan" in order[order.index("released") :]


def test_a_leader_is_patient_with_its_peers_unless_it_has_much_to_do() -> None:
    a = leader()

    def committed(size: int, last: int) -> int:
        a.core.propose(bytes(size), a.now)
        a.turn()
        assert a.replica.patience == 0, "it waits for a majority"
        for name in "bc":
            a.hear(name, AppendReply(1, True, last, ORIGIN, 0))
        return a.replica.patience

    assert committed(BUSY_BYTES - 1, 2) == PATIENCE_MS
    assert committed(BUSY_BYTES, 3) == 0
    assert committed(1, 4) == 0, "what hands out a large batch is small"
    a.turn(a.now + BUSY_MS)
    assert committed(1, 5) == PATIENCE_MS


def test_a_leader_at_rest_waits_for_everybody_and_without_end() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()
    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))
    assert a.replica.patience == PATIENCE_MS

    a.replica.turn(a.now + PATIENCE_MS - 1)
    assert a.replica.patience == 1, "what is late is late from when the entry was applied"
    a.replica.turn(a.now + PATIENCE_MS)
    assert a.replica.patience == 0


def test_its_own_sync_has_a_leader_look_for_something_to_do_only_if_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = list[None]()
    flush = replication.flush

    def counted(node: Node, role: Leader) -> None:
        looks.append(None)
        flush(node, role)

    monkeypatch.setattr(replication, "flush", counted)
    a = leader()
    looks.clear()
    a.core.propose(b"x", a.now)
    a.turn()
    assert len(looks) == 1, "a follower's acknowledgement is what it waits for"

    a = member("a")  # it waits for nobody
    a.sleep(1_500)
    a.core.propose(b"x", a.now)
    a.turn()
    assert a.store.applied == a.store.last


def test_a_follower_applies_late_what_came_before_its_own_sync_and_in_time() -> None:
    a = Member(peer("a"), NAMES, formed(NAMES), config=Config())
    a.hear("b", Append(1, ORIGIN, 0, 0, (entry(1),)))
    a.hear("b", Append(1, Position(1, 1), 1, 0, (entry(2),)))
    assert a.store.applied == ORIGIN
    wake_at = a.replica.wake_at
    assert wake_at is not None and a.now < wake_at <= a.now + Config().apply_within
    a.turn(wake_at)
    assert a.store.applied == (1, 1)


def test_d_but_after_the_sync_if_they_come_with_a_promise() -> None:
    a = member("a")
    a.sleep(1_500)
    a.events.clear()

    a.core.propose(b"x", a.now)
    a.turn()
    order = kinds(a)

    assert order.index("commit") < order.index("apply") < len(order) - order[::-1].index("released")


def test_e_what_was_only_applied_is_committed_with_the_next_promise() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()
    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))
    assert a.disk.committed.applied == (1, 1)
    a.events.clear()

    a.core.propose(b"y", a.now)
    a.turn()

    assert kinds(a).count("commit") == 1
    assert "begin" not in kinds(a)
    assert a.disk.synced.applied == (1, 2)


def test_e_or_after_a_while() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()
    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))
    began = a.now

    a.turn(began + COMMIT_AFTER_MS - 1)
    assert a.disk.committed.applied == (1, 1)
    assert a.replica.wake_at is not None
    assert a.replica.wake_at <= began + COMMIT_AFTER_MS
    a.turn(began + COMMIT_AFTER_MS)

    assert a.disk.synced.applied == (1, 2)


def test_e_a_crash_before_that_loses_nothing() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()
    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))
    applied = a.store.machine

    again = Member(peer("a"), NAMES, a.disk)
    assert again.store.applied == (1, 1)
    again.hear("b", Append(2, Position(1, 2), 2, 0, ()))

    assert again.store.applied == (1, 2)
    assert again.store.machine == applied


def test_e_a_snapshot_is_made_of_what_is_committed() -> None:
    a = leader()
    a.core.propose(b"x", a.now)
    a.turn()
    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))
    wanted = Output(make_snapshot=True)
    original = a.core.output
    a.core.output = lambda: outputs.pop() if outputs else original()  # type: ignore[method-assign]
    outputs = [wanted]
    a.events.clear()
    a.turn()

    assert kinds(a).index("commit") < kinds(a).index("snapshot")


def test_e_what_applying_makes_possible_shares_its_transaction() -> None:
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
    order = kinds(a)

    assert proposed == [(1, 3)]
    assert order.count("begin") == order.count("commit") == 1
    assert order.index("apply") < order.index("released") < order.index("append")
    assert order.index("append") < order.index("commit")


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


def test_a_follower_acknowledges_before_it_applies() -> None:
    a = member()

    a.hear("b", Append(1, ORIGIN, 1, 0, (entry(1),)))

    assert kinds(a).index("commit") < kinds(a).index("send") < kinds(a).index("apply")


def test_a_follower_applies_several_entries_at_once_and_not_late() -> None:
    a = Member(peer("a"), NAMES, formed(NAMES), config=Config(apply_within=20))
    began = a.now
    for index in range(1, 4):
        previous = Position(1, index - 1) if index > 1 else ORIGIN
        a.hear("b", Append(1, previous, index, 0, (entry(index),)))
        a.sleep(5)
    assert a.store.applied == ORIGIN

    a.sleep(began + 20 - a.now)

    assert a.store.applied == (1, 3)
    assert kinds(a).count("applied") == 1


def test_an_entry_that_comes_just_before_the_time_has_what_waits_applied() -> None:
    a = Member(peer("a"), NAMES, formed(NAMES), config=Config(apply_within=20))
    began = a.now
    a.hear("b", Append(1, ORIGIN, 1, 0, (entry(1),)))
    assert a.store.applied == ORIGIN

    a.sleep(began + 17 - a.now)
    assert a.store.applied == ORIGIN
    a.hear("b", Append(1, Position(1, 1), 2, 0, (entry(2),)))

    assert a.store.applied == (1, 2)


def test_a_follower_lets_no_more_wait_than_it_may() -> None:
    config = Config(apply_within=1_000, apply_waiting_bytes=100)
    a = Member(peer("a"), NAMES, formed(NAMES), config=config)
    a.hear("b", Append(1, ORIGIN, 1, 0, (entry(1),)))
    assert a.store.applied == ORIGIN

    large = Entry(Position(1, 2), Kind.DATA, bytes(100))
    a.hear("b", Append(1, Position(1, 1), 2, 0, (large,)))

    assert a.store.applied == (1, 2)


def test_g_an_error_in_the_state_machine_stops_the_replica_and_leaves_no_trace() -> None:
    a = member()
    a.host.apply_fails = RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        a.hear("b", Append(1, ORIGIN, 1, 0, (entry(1),)))

    assert kinds(a)[-1] == "rollback"
    assert a.disk.committed.applied == ORIGIN and a.disk.committed.machine.length == 0


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
    a = Member(peer("a"), NAMES, formed(NAMES), config=Config(apply_entries=2, apply_within=0))
    a.replica.receive(
        peer("b"), codec.encode(Append(1, ORIGIN, 5, 0, tuple(map(entry, range(1, 6))))), a.now
    )
    applied: list[int] = []
    for _ in range(3):
        a.turn()
        applied.append(a.store.applied.seq)

    assert applied == [2, 4, 5]
    assert kinds(a).count("commit") == 1, "that of the entries; the slices wait for the next one"


def paced(config: Config, takes_ns: int) -> Member:
    """A member that needs so long for each entry."""
    a = Member(peer("a"), NAMES, formed(NAMES), config=config)
    clock_ns = lambda: takes_ns * kinds(a).count("apply")  # noqa: E731
    a.replica = Replica(a.core, a.store, a.host, a._send, clock_ns)
    return a


def test_h_a_slice_is_as_many_entries_as_there_is_time_for() -> None:
    a = paced(Config(apply_within=0), takes_ns=SLICE_NS // 4)
    for first in (1, 101):
        entries = tuple(map(entry, range(first, first + 100)))
        previous = Position(1, first - 1) if first > 1 else ORIGIN
        append = Append(1, previous, first + 99, 0, entries)
        a.replica.receive(peer("b"), codec.encode(append), a.now)
        applied = [a.store.applied.seq]
        while a.store.applied.seq < first + 99:
            a.turn()
            applied.append(a.store.applied.seq)

    # What it takes is not known before the first hundred: those are applied at once.
    slices = [after - before for before, after in itertools.pairwise(applied)]
    assert set(slices) <= {0, 4}


def test_h_slices_grow_again_once_entries_take_less() -> None:
    a = paced(Config(apply_within=0), takes_ns=0)
    a.core.slice_entries = 1
    entries = tuple(map(entry, range(1, 101)))
    a.replica.receive(peer("b"), codec.encode(Append(1, ORIGIN, 100, 0, entries)), a.now)
    turns = 0
    while a.store.applied.seq < 100:
        a.turn()
        turns += 1

    assert turns <= 8


def test_h_between_two_slices_it_wants_its_next_turn_at_once() -> None:
    a = Member(peer("a"), NAMES, formed(NAMES), config=Config(apply_entries=2, apply_within=0))
    a.replica.receive(
        peer("b"), codec.encode(Append(1, ORIGIN, 3, 0, tuple(map(entry, range(1, 4))))), a.now
    )
    a.turn(a.now + 7)

    assert a.replica.wake_at == a.now
    a.turn()
    assert a.replica.wake_at != a.now


def test_h_between_two_slices_it_votes_and_answers() -> None:
    a = Member(peer("a"), NAMES, formed(NAMES), config=Config(apply_entries=2, apply_within=0))
    a.replica.receive(
        peer("b"), codec.encode(Append(1, ORIGIN, 5, 0, tuple(map(entry, range(1, 6))))), a.now
    )
    a.turn()
    a.said()
    a.replica.receive(peer("c"), codec.encode(Vote(2, Position(1, 9), True)), a.now)
    a.turn()

    assert a.said() == [("c", VoteReply(2, True))]
    assert a.store.applied.seq == 4


def test_a_broker_alone_compacts_its_log_under_a_load_that_never_pauses() -> None:
    """Each of its turns ends with a transaction open: between two is a moment within a turn."""
    a = Member(peer("a"), "a", formed("a"))
    a.sleep(1_500)
    a.store._tail = 10
    for _ in range(100):
        a.core.propose(b"x", a.now)
        a.turn(a.now + 1)

    assert len(a.store.image().entries) < 40


def test_what_only_applies_for_long_is_compacted_too() -> None:
    """A replica that was far behind, slice by slice."""
    config = Config(apply_entries=1, apply_within=0)
    a = Member(peer("a"), NAMES, formed(NAMES), config=config)
    a.store._tail = 10
    entries = tuple(map(entry, range(1, 301)))
    a.replica.receive(peer("b"), codec.encode(Append(1, ORIGIN, 300, 0, entries)), a.now)
    for _ in range(200):
        a.turn(a.now + 1)

    assert len(a.store.image().entries) < 200


def test_a_follower_that_hears_of_one_commit_after_the_other_applies_several_at_once() -> None:
    a = Member(peer("a"), NAMES, formed(NAMES), config=Config(apply_within=20))
    for index in range(1, 41):
        previous = Position(1, index - 1) if index > 1 else ORIGIN
        a.hear("b", Append(1, previous, index - 1, 0, (entry(index),)))
        a.sleep(5)

    assert a.store.applied.seq > 30
    assert kinds(a).count("applied") <= 200 // 20


def test_what_is_left_when_too_much_waited_is_not_applied_late() -> None:
    config = Config(apply_within=20, apply_waiting_bytes=500, apply_entries=2)
    a = Member(peer("a"), NAMES, formed(NAMES), config=config)
    large = [Entry(Position(1, index), Kind.DATA, bytes(150)) for index in range(1, 4)]
    a.replica.receive(peer("b"), codec.encode(Append(1, ORIGIN, 3, 0, tuple(large))), a.now)
    a.turn()
    assert a.store.applied == (1, 2)
    a.turn()

    assert a.replica.wake_at is not None and a.replica.wake_at <= a.now + 20
    a.sleep(20)
    assert a.store.applied == (1, 3)
