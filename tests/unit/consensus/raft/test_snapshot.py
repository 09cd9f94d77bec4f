"""Snapshots for peers that the log can no longer serve (§7, consensus under §4.1)."""

from itertools import pairwise

from raftwork.consensus.core import ORIGIN, Entry, Kind, Position, Role, Snapshot
from raftwork.consensus.durable_replica import LOOK_MS, Background
from raftwork.consensus.raft import Config
from raftwork.consensus.raft.messages import (
    Append,
    AppendReply,
    ChunkReply,
    SnapshotChunk,
    TimeoutNow,
)
from raftwork.consensus.snapshot_transfer import PAUSE_MS
from tests.sim.store import Image, Machine
from tests.unit.consensus.cluster import Cluster, Member, formed, peer, roster

NAMES = "abc"
SMALL = Config(chunk_bytes=100, chunk_window=2)


def entries(*terms: int, start: int = 1) -> tuple[Entry, ...]:
    return tuple(
        Entry(Position(term, index), Kind.DATA, b"%d.%d" % (term, index))
        for index, term in enumerate(terms, start)
    )


def compacted_cluster(config: Config = SMALL) -> Cluster:
    """`a` leads and has compacted its log; `c` has missed everything."""
    cluster = Cluster(config=config, padding=900)
    cluster.cut("c")
    cluster.elect("a")
    for _ in range(5):
        cluster.propose("a", b"x")
    cluster["a"].store._tail = 0
    cluster.sleep(80)
    assert cluster["a"].store.base == (1, 6)
    return cluster


def kinds(member: Member) -> list[str]:
    return [event.kind for event in member.events]


# ---- the whole way -----------------------------------------------------------------------------


def test_7_a_follower_behind_the_log_gets_a_snapshot_and_then_the_rest() -> None:
    cluster = compacted_cluster()
    cluster.heal()

    cluster.sleep(300)
    cluster.propose("a", b"after")
    cluster.sleep(100)

    assert "switch" in kinds(cluster["c"])
    assert cluster["c"].store.machine == cluster["a"].store.machine
    assert cluster["c"].store.machine.length == 6


def test_one_snapshot_is_made_however_many_need_it() -> None:
    cluster = Cluster("abcde", config=SMALL, padding=900)
    cluster.cut("d", "e")
    cluster.elect("a")
    cluster.propose("a", b"x")
    cluster["a"].store._tail = 0
    cluster.sleep(80)
    cluster.heal()

    cluster.sleep(400)

    assert kinds(cluster["a"]).count("snapshot") == 1
    assert cluster["d"].store.applied == cluster["e"].store.applied == cluster["a"].store.applied


def test_the_log_is_not_compacted_past_a_snapshot_on_its_way() -> None:
    cluster = compacted_cluster()
    cluster.heal()
    cluster.lost = lambda src, to, m: isinstance(m, ChunkReply)
    cluster.sleep(200)
    for _ in range(5):
        cluster.propose("a", b"y")
    during = cluster["a"].core.compactable()
    cluster.lost = lambda *_: False
    cluster.sleep(300)

    assert during == (1, 6)
    assert cluster["c"].store.machine == cluster["a"].store.machine
    assert kinds(cluster["c"]).count("switch") == 1
    assert cluster["a"].core.compactable() == cluster["a"].store.applied


def test_a_peer_that_stays_away_holds_compaction_for_a_while_only() -> None:
    cluster = compacted_cluster()
    cluster.heal()
    cluster.lost = lambda src, to, m: isinstance(m, ChunkReply)
    cluster.sleep(200)
    cluster.cut("c")

    cluster.sleep(10_100)
    cluster.propose("a", b"y")

    assert cluster["a"].core.compactable() == (1, 7)


def test_no_snapshot_is_made_for_a_peer_that_is_away() -> None:
    narrow = Config(chunk_bytes=100, window_messages=1)
    cluster = Cluster(config=narrow, padding=900)
    cluster.elect("a")
    cluster.sleep(100)
    cluster.cut("c")
    cluster.sleep(1_000)
    cluster["a"].store._tail = 0
    for _ in range(5):
        cluster.propose("a", b"x")
        cluster.sleep(1_000)
    before = kinds(cluster["a"]).count("snapshot")
    cluster.heal()
    cluster.sleep(1_000)

    assert before == 0
    assert kinds(cluster["a"]).count("snapshot") == 1
    assert cluster["c"].store.machine == cluster["a"].store.machine


def test_the_log_is_kept_until_a_peer_has_read_what_came_after_its_snapshot() -> None:
    """Under load that is more than the tail: else it would need one snapshot after the other."""
    cluster = compacted_cluster()
    cluster.heal()
    cluster.lost = lambda src, to, m: isinstance(m, ChunkReply)
    cluster.sleep(200)
    for _ in range(5):
        cluster.propose("a", b"y")
    # The snapshot arrives, and what follows it is late.
    cluster.lost = lambda src, to, m: to == "c" and isinstance(m, Append) and bool(m.entries)
    cluster.sleep(300)
    cluster.propose("a", b"z")
    between = cluster["a"].core.compactable()
    installed = cluster["c"].store.applied
    cluster.lost = lambda *_: False
    cluster.sleep(300)

    assert between == installed == (1, 6)
    assert kinds(cluster["c"]).count("switch") == 1
    assert cluster["c"].store.machine == cluster["a"].store.machine
    assert cluster["a"].core.compactable() == cluster["a"].store.applied


def test_a_peer_that_never_gets_on_holds_only_so_much_of_the_log() -> None:
    cluster = compacted_cluster(Config(chunk_bytes=100, chunk_window=2, transfer_bytes=1_000))
    cluster.heal()
    cluster.lost = lambda src, to, m: isinstance(m, ChunkReply)
    cluster.sleep(200)
    cluster.propose("a", bytes(900))
    within = cluster["a"].core.compactable()
    cluster.propose("a", bytes(900))
    beyond = cluster["a"].core.compactable()

    assert within == (1, 6)
    assert beyond > within


def test_lost_chunks_are_sent_again() -> None:
    cluster = compacted_cluster()
    cluster.heal()
    count = 0

    def lost(src: object, to: str, message: object) -> bool:
        nonlocal count
        count += isinstance(message, SnapshotChunk | ChunkReply)
        return isinstance(message, SnapshotChunk | ChunkReply) and count % 3 == 0

    cluster.lost = lost
    cluster.sleep(2_000)

    assert cluster["c"].store.machine == cluster["a"].store.machine


def test_a_receiver_that_restarts_midway_starts_over() -> None:
    cluster = compacted_cluster()
    cluster.heal()
    chunks = 0

    def lost(src: object, to: str, message: object) -> bool:
        nonlocal chunks
        chunks += isinstance(message, SnapshotChunk)
        return chunks > 4

    cluster.lost = lost
    cluster.sleep(150)
    cluster.lost = lambda *_: False
    cluster.start(peer("c"), cluster.crash("c"))
    cluster.sleep(600)

    assert cluster["c"].store.machine == cluster["a"].store.machine


# ---- the receiver's rules ----------------------------------------------------------------------


def chunk(at: Position, data: bytes = b"x", term: int = 9) -> SnapshotChunk:
    return SnapshotChunk(term, at, len(data), b"no such digest", 0, data)


def test_a_stale_snapshot_is_dropped() -> None:
    b = Member(peer("b"), NAMES, formed(NAMES))
    b.hear("a", Append(1, ORIGIN, 2, 0, entries(1, 1)))

    told = b.hear("a", chunk(Position(1, 1)))

    assert told == [("a", AppendReply(9, True, 2, ORIGIN, 0))]
    assert "install" not in kinds(b)


def test_a_snapshot_whose_last_entry_is_in_the_log_only_commits() -> None:
    """What follows may have been acknowledged: dropping it would break a promise."""
    b = Member(peer("b"), NAMES, formed(NAMES, term=1, entries=entries(1, 1, 1)))

    told = b.hear("a", chunk(Position(1, 2)))

    assert told == [("a", AppendReply(9, True, 2, ORIGIN, 0))]
    assert b.store.applied == (1, 2)
    assert len(b.log) == 3


def test_a_conflicting_log_is_dropped_whole() -> None:
    """hashicorp #697: a log kept across such an install sent it round in circles."""
    others = {name: formed(NAMES, term=2) for name in "ab"}
    conflicting = formed(NAMES, term=1, entries=entries(*[1] * 9))
    cluster = Cluster(config=SMALL, disks={**others, "c": conflicting}, padding=300)
    cluster.cut("c")
    cluster.elect("a")
    leader = cluster["a"]
    for _ in range(3):
        cluster.propose("a", b"x")
    leader.store._tail = 0
    cluster.sleep(80)
    base = leader.store.base
    cluster.heal()
    cluster.sleep(3_000)
    active = next(m for m in cluster.members.values() if m.core.status.active)

    assert base.seq < 9 and cluster["c"].store.image().base >= base
    assert cluster["c"].store.machine == active.store.machine


def installing() -> Member:
    """`b`, which has every byte of a snapshot up to (3, 7) and checks it."""
    maker = Member(peer("a"), NAMES, formed(NAMES))
    maker.store._load(
        Image(
            base=Position(3, 7), applied=Position(3, 7), roster=roster(NAMES),
            machine=Machine(7, b"chain"),
        )
    )  # fmt: skip
    maker.store.start_snapshot()
    assert maker.store._file is not None
    snapshot, content = maker.store._file
    b = Member(peer("b"), NAMES, formed(NAMES, term=1, entries=entries(1, 1)))
    b.store._background_turns = 2
    told = b.hear("a", SnapshotChunk(3, snapshot.at, snapshot.size, snapshot.digest, 0, content))
    assert told == [("a", ChunkReply(3, snapshot.at, 0, snapshot.size))]
    assert b.replica.wake_at is not None
    assert b.replica.wake_at <= b.now + LOOK_MS, "it looks whether the install is done"
    return b


def test_appends_are_refused_during_an_install_but_the_leader_is_alive() -> None:
    b = installing()
    b.store._background_turns = 9
    b.now = 1_400

    told = b.hear("a", Append(3, Position(1, 2), 2, 0, entries(3, start=3)))

    assert told == [("a", AppendReply(3, True, 0, ORIGIN, 0))]
    assert len(b.log) == 2
    assert b.core.status.leader == "a"


def test_nobody_campaigns_during_an_install() -> None:
    b = installing()

    assert b.hear("a", TimeoutNow(3)) == [] or b.core.status.role is Role.FOLLOWER


def test_an_install_replaces_log_roster_and_applied_and_is_acknowledged() -> None:
    b = installing()

    told = b.turn().turn().said()

    assert ("a", AppendReply(3, True, 7, ORIGIN, 0)) in told
    assert b.store.base == b.store.last == (3, 7)
    assert b.core.status.committed == (3, 7)
    assert b.hear("a", Append(3, Position(3, 7), 8, 0, entries(3, start=8)))
    assert b.store.applied == (3, 8)


def test_a_vote_given_during_an_install_survives_it() -> None:
    b = installing()
    b.hear("c", Append(4, ORIGIN, 0, 0, ()))

    b.turn().turn()
    restarted = Member(peer("b"), NAMES, b.disk)

    assert restarted.core.status.epoch == 4
    assert restarted.core.status.committed == (3, 7)


def test_bytes_that_are_no_snapshot_are_asked_for_again() -> None:
    b = Member(peer("b"), NAMES, formed(NAMES))
    b.hear("a", chunk(Position(3, 7)))
    b.turn()
    assert "switch" not in kinds(b)

    question = SnapshotChunk(9, Position(3, 7), 1, b"no such digest", 1, b"")

    def wanted() -> int:
        ((_, reply),) = b.hear("a", question)
        assert isinstance(reply, ChunkReply)
        return reply.wanted

    assert wanted() == 1, "in the pause after a failure it wants nothing"
    for _ in range(PAUSE_MS // 100):
        b.turn(b.now + 100)
        b.hear("a", Append(9, ORIGIN, 0, 0, ()))
    assert wanted() == 0


def test_a_snapshot_that_cannot_be_made_is_not_asked_for_at_once_again() -> None:
    cluster = compacted_cluster()
    a, orders = cluster["a"], list[int]()

    def start_snapshot() -> None:
        orders.append(cluster.now)
        a.store._pending.append((1, Background(made=True, snapshot=None)))

    a.store.start_snapshot = start_snapshot  # type: ignore[method-assign]
    cluster.heal()
    cluster.sleep(5_000)

    waits = [later - earlier for earlier, later in pairwise(orders)]
    assert len(waits) >= 2
    assert min(waits) >= 1_500


def test_events_name_the_snapshot_that_was_installed() -> None:
    b = installing()
    b.turn().turn()
    installed = [event for event in b.events if event.kind == "switch"]

    assert len(installed) == 1
    assert isinstance(installed[0].what, Snapshot)
