"""Who counts: rebinding a name to a new incarnation (roster.py)."""

from raftwork.consensus.core import ORIGIN, Entry, Kind, Position, Role
from raftwork.consensus.membership import Membership, decode_roster, encode_roster
from raftwork.consensus.raft.messages import (
    Append,
    AppendReply,
    HardState,
    TimeoutNow,
    Vote,
    VoteReply,
    encode_hard_state,
)
from tests.sim.store import Disk, Image
from tests.unit.consensus.cluster import Cluster, Member, formed, peer, roster

NAMES = "abc"
OLD = dict(roster(NAMES))
NEW = {**OLD, "c": peer("c", 1).incarnation}


def rebind(term: int, index: int) -> Entry:
    return Entry(Position(term, index), Kind.ROSTER, encode_roster(NEW))


def leader() -> Member:
    """`a`, active in term 1 with b level; c's old directory is gone."""
    a = Member(peer("a"), NAMES, formed(NAMES))
    a.hear("b", TimeoutNow(0))
    a.hear("b", VoteReply(1, True))
    a.hear("b", AppendReply(1, True, 1, ORIGIN, 0))
    assert a.core.status.active
    return a


def with_a_learner_level() -> Member:
    """`a` as above; the new directory of c has caught up, and its rebind is proposed."""
    a = leader()
    new = peer("c", 1)
    a.hear(new, AppendReply(1, False, 1, ORIGIN, 0))
    a.hear(new, AppendReply(1, True, 0, ORIGIN, 0))
    a.hear(new, AppendReply(1, True, 1, ORIGIN, 0))
    return a


def test_a_wiped_replica_comes_back_as_a_learner_and_is_rebound() -> None:
    cluster = Cluster()
    a = cluster.elect("a")
    cluster.propose("a", b"x")
    cluster.crash("c")
    cluster.start(peer("c", 1), Disk(Image()))
    blank = cluster["c"].core.status.role
    cluster.sleep(400)

    assert blank is Role.LEARNER
    assert cluster["c"].core.status.role is Role.FOLLOWER
    assert cluster["c"].store.machine == a.store.machine
    assert all(m.store.restored().roster == NEW for m in cluster.members.values())


def test_a_learner_is_proposed_once_it_has_caught_up() -> None:
    a = with_a_learner_level()
    last = a.store.image().entries[-1]

    assert last.kind is Kind.ROSTER
    assert decode_roster(last.data) == NEW


def test_a_learner_is_caught_up_though_another_always_answers_first() -> None:
    """Under load the commit is an entry ahead of the learner at each of its answers."""
    a = leader()
    a.hear(peer("c", 1), AppendReply(1, True, 0, ORIGIN, 0), AppendReply(1, True, 0, ORIGIN, 0))
    for _ in range(3):
        last = a.core.propose(b"x", a.now).seq
        a.turn()
        a.hear("b", AppendReply(1, True, last, ORIGIN, 0))
        a.hear(peer("c", 1), AppendReply(1, True, last - 1, ORIGIN, 0))
        a.turn(a.now + 75)

    assert any(entry.kind is Kind.ROSTER for entry in a.store.image().entries)


def test_a_learner_that_is_further_behind_is_not_caught_up() -> None:
    a, last = leader(), 0
    for _ in range(3):
        last = a.core.propose(b"x", a.now).seq
        a.turn()
        a.hear("b", AppendReply(1, True, last, ORIGIN, 0))
        a.turn(a.now + 75)
    a.hear(peer("c", 1), AppendReply(1, False, last, Position(1, 2), 0))
    a.hear(peer("c", 1), AppendReply(1, True, 2, ORIGIN, 0), AppendReply(1, True, 3, ORIGIN, 0))

    assert not any(entry.kind is Kind.ROSTER for entry in a.store.image().entries)


def test_a_rebind_is_committed_by_a_majority_of_the_others() -> None:
    a = with_a_learner_level()

    a.hear(peer("c", 1), AppendReply(1, True, 2, ORIGIN, 0))
    a.hear(peer("c", 0), AppendReply(1, True, 2, ORIGIN, 0))
    by_the_rebound = a.core.status.committed
    a.hear(peer("b"), AppendReply(1, True, 2, ORIGIN, 0))

    assert by_the_rebound == (1, 1)
    assert a.core.status.committed == (1, 2)
    assert a.store.restored().roster == NEW


def test_it_counts_from_then_on() -> None:
    a = with_a_learner_level()
    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))
    a.core.propose(b"x", a.now)
    a.turn()

    a.hear(peer("c", 1), AppendReply(1, True, 3, ORIGIN, 0))

    assert a.core.status.committed == (1, 3)


def test_the_others_are_told_at_once() -> None:
    a = with_a_learner_level()
    a.said()

    told = a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))

    assert {to for to, m in told if isinstance(m, Append) and m.commit == 2} == {"b", "c"}


def test_one_rebind_at_a_time_and_none_before_the_leader_is_active() -> None:
    """Ongaro's single-server rule: a new leader may not know of an uncommitted change."""
    a = Member(peer("a"), NAMES, formed(NAMES))
    a.hear("b", TimeoutNow(0))
    a.hear("b", VoteReply(1, True))
    a.hear(peer("c", 1), AppendReply(1, True, 0, ORIGIN, 0), AppendReply(1, True, 1, ORIGIN, 0))
    early = [entry.kind for entry in a.store.image().entries]

    b = with_a_learner_level()
    b.hear(peer("b", 1), AppendReply(1, True, 0, ORIGIN, 0), AppendReply(1, True, 1, ORIGIN, 0))
    rosters = [e for e in b.store.image().entries if e.kind is Kind.ROSTER]

    assert Kind.ROSTER not in early
    assert len(rosters) == 1


def test_a_leader_cut_off_with_a_blank_replica_cannot_be_elected_by_it() -> None:
    """The blank one forgot whom its old self voted for; see point 3 of roster.py.

    a leads in term 1. c votes for b in term 2, and they commit x. Then c loses its directory,
    and its new one hears only of a, which does not know of term 2.
    """
    cluster = Cluster()
    a = cluster.elect("a")
    cluster.cut("a")
    cluster.elect("b")
    cluster.propose("b", b"x")
    cluster.crash("c")
    cluster.start(peer("c", 1), Disk(Image()))
    cluster.cuts = {(n, m) for n in "ac" for m in "b"} | {(m, n) for n in "ac" for m in "b"}
    cluster.sleep(100)
    rebound = a.store.image().entries[-1].kind
    for _ in range(10):
        cluster.sleep(500)

    assert rebound is Kind.ROSTER
    assert not a.core.status.active
    cluster.heal()
    cluster.sleep(5_000)
    assert all(m.store.machine.length == 1 for m in cluster.members.values())


def test_a_replica_counts_if_the_committed_and_the_last_roster_agree() -> None:
    membership = Membership(OLD)
    membership.appended([rebind(1, 5)])

    assert membership.is_voter("a", OLD["a"])
    assert not membership.is_voter("c", OLD["c"])
    assert not membership.is_voter("c", NEW["c"])
    assert membership.commit(Position(1, 5))
    assert membership.is_voter("c", NEW["c"])


def test_a_truncated_rebind_never_was() -> None:
    membership = Membership(OLD)
    membership.appended([rebind(1, 5)])

    membership.truncated(Position(1, 4))

    assert membership.is_voter("c", OLD["c"])
    assert not membership.open


def test_a_truncated_rebind_lets_the_old_incarnation_count_again() -> None:
    b = Member(peer("b"), NAMES, formed(NAMES, term=1, entries=[rebind(1, 1)]))

    b.hear("a", Append(2, ORIGIN, 0, 0, (Entry(Position(2, 1), Kind.NOOP, b""),)))
    b.hear("a", TimeoutNow(2))
    b.hear(peer("c"), VoteReply(3, True))

    assert b.core.status.role is Role.LEADER


def test_an_uncommitted_rebind_is_found_in_the_log_at_a_restart() -> None:
    b = Member(peer("b"), NAMES, formed(NAMES, term=1, entries=[rebind(1, 1)]))

    b.hear("a", TimeoutNow(1))
    b.hear(peer("c", 0), VoteReply(2, True))
    b.hear(peer("c", 1), VoteReply(2, True))
    by_neither = b.core.status.role
    b.hear("a", VoteReply(2, True))

    assert by_neither is Role.CANDIDATE
    assert b.core.status.role is Role.LEADER


def test_a_replica_follows_a_leader_that_its_own_roster_does_not_know() -> None:
    """It may be the one that lags: its roster must not cut it off (etcd #9498)."""
    b = Member(peer("b"), NAMES, formed(NAMES, term=1))

    granted = b.hear(peer("c", 1), Vote(2, ORIGIN, False))
    b.hear(peer("c", 1), Append(2, ORIGIN, 0, 0, (rebind(2, 1),)))

    assert granted == [("c", VoteReply(2, True))]
    assert b.core.status.leader == "c"


def test_who_was_not_told_that_it_counts_leads_if_only_its_log_is_whole() -> None:
    """The first of two losses is mended, but only `a` has learnt so; then the leader, b, is wiped.

    c alone has x, which may have been acknowledged: so a must not lead, and c has to. Found by a
    simulated history (seed 2074 of its time): nobody ever led again.
    """
    noop, x = Entry(Position(1, 1), Kind.NOOP, b""), Entry(Position(1, 3), Kind.DATA, b"x")
    log, state = (noop, rebind(1, 2), x), encode_hard_state(HardState(1, b""))
    told = Image(entries=log[:2], state=state, applied=Position(1, 2), roster=tuple(NEW.items()))
    untold = Image(entries=log, state=state, applied=Position(1, 1), roster=tuple(OLD.items()))
    cluster = Cluster()
    for name in NAMES:
        cluster.crash(name)
    cluster.start(peer("a"), Disk(told))
    cluster.start(peer("b", 1), Disk(Image()))
    cluster.start(peer("c", 1), Disk(untold))

    cluster.sleep(5_000)

    assert cluster["c"].core.status.active
    assert {m.core.status.role for m in cluster.members.values()} == {Role.LEADER, Role.FOLLOWER}
    assert all(m.store.machine.length == 1 for m in cluster.members.values())


def test_the_roster_is_synced_before_it_is_relied_on() -> None:
    a = with_a_learner_level()
    a.hear("b", AppendReply(1, True, 2, ORIGIN, 0))

    assert dict(a.disk.synced.roster) == NEW


def test_two_replicas_cannot_replace_each_other() -> None:
    """With two, one lost directory is a lost majority: nothing may pretend otherwise."""
    cluster = Cluster("ab")
    cluster.elect("a")
    cluster.crash("b")
    cluster.start(peer("b", 1), Disk(Image()))

    cluster.sleep(5_000)

    assert not any(m.core.status.active for m in cluster.members.values())
