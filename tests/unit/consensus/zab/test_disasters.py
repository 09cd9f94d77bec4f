"""What has gone wrong in ZooKeeper, and the holes of the published pseudo-code, played out."""

import pytest

from raftwork.consensus.core import ORIGIN, Entry, Kind, Position, Role
from raftwork.consensus.membership import encode_roster
from raftwork.consensus.zab.messages import (
    Ack,
    Commit,
    Diff,
    FollowerInfo,
    Framed,
    HardState,
    LeaderInfo,
    Mode,
    NewLeader,
    Notification,
    Propose,
    Snap,
    Trunc,
    UpToDate,
    Vote,
    ZabMessage,
    encode_hard_state,
)
from tests.sim.store import Disk, Image
from tests.unit.consensus.cluster import Event, peer, roster
from tests.unit.consensus.network import Network, make_zab
from tests.unit.consensus.zab.solo import Solo, acks, agrees, data, disk, link, of, to


def at(epoch: int, counter: int) -> Position:
    return Position(epoch, counter)


def proposals(said: list[tuple[str, ZabMessage | Framed]], name: str) -> list[Position]:
    found = [m for m in to(said, name) if isinstance(m, Propose)]
    return [entry.at for message in found for entry in message.entries]


def established(*, names: str = "abc") -> Solo:
    """The active leader c, with (1, 1) and (1, 2) as its initial history; b is up to date."""
    c = Solo("c", disk(*data(1, 1, 2), accepted=1, current=1, names=names), names)
    c.lead("a", "b")
    agrees(c, "b", at(1, 2), current=1)
    acks(c, "b", at(1, 2))
    assert c.core.status.active
    return c


# ---- synchronisation -----------------------------------------------------------------------------


def test_zookeeper_1154_an_uncommitted_tail_inside_the_leaders_range_is_truncated() -> None:
    """The follower's (1, 3) lies between the leader's (1, 2) and (2, 2), but is not one of them."""
    c = Solo("c", disk(*data(1, 1, 2), *data(2, 1, 2), accepted=2, current=2))
    c.lead("a", "b")
    agrees(c, "b", at(2, 2), current=2)

    said = agrees(c, "a", ORIGIN, at(1, 3), current=1)

    assert to(said, "a")[0] == Trunc(at(1, 2))
    assert proposals(said, "a") == [at(2, 1), at(2, 2)]


def test_a_tail_of_an_epoch_the_leader_never_heard_of_is_truncated() -> None:
    c = Solo("c", disk(*data(1, 1, 2), *data(3, 1), accepted=3, current=3))
    c.lead("a", "b")
    agrees(c, "b", at(3, 1), current=3)

    said = agrees(c, "a", ORIGIN, at(1, 2), at(2, 4), current=2)

    assert to(said, "a")[0] == Trunc(at(1, 2))
    assert proposals(said, "a") == [at(3, 1)]


def test_zookeeper_2845_what_is_not_known_committed_is_not_applied_at_a_restart() -> None:
    b = Solo("b", disk(*data(1, 1, 2), accepted=1, current=1, applied=at(1, 1)))

    b.follow("c", 2)
    b.lead_by("c", Trunc(at(1, 1)), NewLeader(2), UpToDate(at(1, 1)))

    assert "apply" not in b.kinds()
    assert b.store.last == at(1, 1)


def test_zookeeper_3911_newleader_is_acknowledged_once_the_history_is_durable() -> None:
    b = Solo("b")
    b.follow("c", 2)
    b.store.events.clear()

    said = b.lead_by("c", Diff(ORIGIN), Propose(data(1, 1, 2), ORIGIN), NewLeader(2))

    assert of(said, Ack).current == 2
    assert of(said, Ack).zxid == at(1, 2)
    kinds = [kind for kind in b.kinds() if kind in ("append", "state", "commit", "send")]
    assert kinds == ["append", "append", "state", "commit", "send"]
    assert Event("begin", True) in b.store.events
    assert b.disk.synced.entries == data(1, 1, 2)


def test_zookeeper_4643_the_epoch_is_not_current_before_its_history_is_there() -> None:
    """It is cut off in the middle of the sync: it must not win by an epoch it has not earned."""
    b = Solo("b", disk(*data(1, 1), accepted=1, current=1))
    b.follow("c", 2)
    b.lead_by("c", Diff(at(1, 1)), Propose(data(1, 2), ORIGIN))

    b.crash()

    assert b.state.accepted == 2
    assert b.state.current == 1
    assert b.core._node.own_vote()[:2] == (1, at(1, 2))


def test_zookeeper_4646_a_disk_that_fails_leaves_newleader_unacknowledged() -> None:
    b = Solo("b")
    b.follow("c", 2)
    b.store.fails = OSError("disk")

    with pytest.raises(OSError, match="disk"):
        b.lead_by("c", Diff(ORIGIN), Propose(data(1, 1), ORIGIN), NewLeader(2))

    assert not [m for _, m in b.sent if isinstance(m, Ack)]
    b.crash()
    assert (b.state.current, b.store.last) == (0, ORIGIN)


def test_zookeeper_4785_everything_before_newleader_is_stored_with_its_epoch() -> None:
    """There is no list of proposals still to be logged when NEWLEADER is taken."""
    b = Solo("b")
    b.follow("c", 5)
    b.lead_by("c", Diff(ORIGIN), Propose(data(1, 1), ORIGIN))

    b.lead_by("c", Propose(data(1, 2, 3), ORIGIN), NewLeader(5))
    b.crash()

    assert b.state.current == 5
    assert b.store.last == at(1, 3)


def test_zookeeper_4925_a_leader_synchronised_itself_passes_no_hole_on() -> None:
    b = Solo("b")
    b.follow("c", 2)
    b.lead_by("c", Diff(ORIGIN), Propose(data(1, 1, 2), ORIGIN), NewLeader(2), UpToDate(at(1, 2)))
    b.lead_by("c", Propose(data(2, 1), ORIGIN), Commit(at(2, 1)))
    b.core.link("c", False, b.now)
    b.lead("a")

    said = agrees(b, "a", ORIGIN)

    assert proposals(said, "a") == [at(1, 1), at(1, 2), at(2, 1)]


def test_zookeeper_4925_a_hole_in_what_a_leader_sends_is_not_stored() -> None:
    b = Solo("b")
    b.follow("c", 2)

    said = b.lead_by("c", Diff(ORIGIN), Propose(data(1, 2), ORIGIN))

    assert b.store.last == ORIGIN
    assert of(said, FollowerInfo).session.number == 2


def test_zookeeper_3642_no_diff_follows_a_part_of_a_snapshot() -> None:
    kept = Image(
        base=at(2, 5), applied=at(2, 5), entries=data(2, 6), roster=roster("abc"), state=None
    )
    c = Solo("c", Disk(kept._replace(state=disk(accepted=2, current=2).committed.state)))
    c.lead("a", "b")
    agrees(c, "b", at(2, 6), current=2)

    said = agrees(c, "a", ORIGIN)
    for _ in range(3):
        said += c.turn(60)

    assert [m for m in to(said, "a") if isinstance(m, Snap)]
    assert not [m for m in to(said, "a") if isinstance(m, Diff | Trunc | Propose | NewLeader)]


# ---- the holes of the published pseudo-code ------------------------------------------------------


def test_hole_a_a_proposal_goes_to_a_joiner_that_has_not_acknowledged_newleader() -> None:
    c = established()
    joined = agrees(c, "a", at(1, 2), current=1)
    assert NewLeader(2) in to(joined, "a")

    c.core.propose(b"between", c.now)
    said = c.turn()
    after = acks(c, "a", at(1, 2))

    assert proposals(said, "a") == [at(2, 1)]
    assert proposals(after, "a") == []
    assert UpToDate(at(1, 2)) in to(after, "a")


def test_hole_b_a_proposal_may_come_twice() -> None:
    b = Solo("b", disk(*data(1, 1), accepted=1, current=1))
    b.follow("c", 2)

    said = b.lead_by(
        "c", Diff(at(1, 1)), Propose(data(1, 1, 2), ORIGIN), Propose(data(1, 2), ORIGIN)
    )

    assert of(said, Ack).zxid == at(1, 2)
    assert b.store.image().entries == data(1, 1, 2)


def test_hole_c_uptodate_carries_the_latest_commit() -> None:
    c = established()
    c.core.propose(b"later", c.now)
    c.turn()
    acks(c, "b", at(2, 1))
    assert c.core.status.committed == at(2, 1)

    agrees(c, "a", at(1, 2), current=1)
    said = acks(c, "a", at(2, 1))

    assert to(said, "a") == [UpToDate(at(2, 1))]


# ---- epochs --------------------------------------------------------------------------------------


def test_an_accepted_epoch_survives_a_crash() -> None:
    b = Solo("b")
    ack = b.follow("c", 7)
    assert (ack.epoch, ack.accepted) == (7, True)

    b.crash()

    assert b.state.accepted == 7
    assert b.disk.synced.state is not None


def test_a_leader_offers_no_epoch_twice() -> None:
    c = Solo("c")
    first = c.lead("a", "b")
    c.crash()

    assert c.lead("a", "b") > first


def test_an_epoch_accepted_from_another_counts_for_nobody_else() -> None:
    b = Solo("b")
    assert b.follow("c", 3).accepted
    b.core.link("c", False, b.now)

    again = b.follow("a", 3)

    assert not again.accepted


def test_an_epoch_accepted_from_the_same_leader_counts_again() -> None:
    """Its ACKEPOCH may have been lost with the session: the leader would wait for it in vain."""
    b = Solo("b")
    b.follow("c", 3)
    b.crash()

    assert b.follow("c", 3).accepted


def test_an_epoch_before_the_accepted_one_is_not_followed() -> None:
    b = Solo("b")
    b.follow("c", 3)
    b.core.link("c", False, b.now)
    b.turn()

    with pytest.raises(ValueError, match="not enough values"):
        b.follow("a", 2)

    assert b.core.status.role == "candidate"


def test_a_leader_with_a_worse_history_than_its_quorum_abdicates() -> None:
    c = Solo("c", disk(*data(1, 1), accepted=1, current=1))
    c.lead("b")
    before = c.core.status.role

    agrees(c, "b", ORIGIN, at(1, 2), current=1)

    assert (before, c.core.status.role) == (Role.LEADER, Role.CANDIDATE)


def test_a_higher_accepted_epoch_makes_a_leader_stand_again() -> None:
    c = established()

    c.hear("a", FollowerInfo(link("a", 2), 9))

    assert not c.core.status.active
    assert "deactivated" in c.kinds()


def test_nothing_is_served_before_a_quorum_took_newleader() -> None:
    c = Solo("c", disk(*data(1, 1), accepted=1, current=1))
    c.lead("a", "b")
    agrees(c, "b", at(1, 1), current=1)
    acks(c, "b", at(1, 1), current=1)
    assert not {"apply", "activated"} & set(c.kinds())

    acks(c, "b", at(1, 1), current=2)

    assert c.kinds().index("apply") < c.kinds().index("activated")


def test_the_whole_initial_history_is_committed_with_newleader() -> None:
    c = established()

    assert c.core.status.committed == at(1, 2)
    assert [e.what for e in c.store.events if e.kind == "apply"] == list(data(1, 1, 2))


def test_leaderinfo_leaves_once_the_epoch_is_durable() -> None:
    c = Solo("c")
    c.lead("b")

    events = c.store.events
    sent = next(i for i, e in enumerate(events) if e.kind == "send" and e.what == LeaderInfo(1))
    state = next(i for i, e in enumerate(events) if e.kind == "state")

    assert "commit" in [event.kind for event in events[state:sent]]


def test_an_acknowledgement_of_an_older_session_is_not_heard() -> None:
    c = established()
    c.core.propose(b"x", c.now)
    c.turn()
    c.hear("b", FollowerInfo(link("b", 2), 2))

    acks(c, "b", at(2, 1))

    assert c.core.status.committed == at(1, 2)


def test_a_vote_for_an_earlier_directory_of_our_own_name_is_not_taken() -> None:
    """Or the blank replica would wait for ever for a leader that it is itself, and is not."""
    lost = Vote(5, at(5, 5), *peer("b", 7))
    b = Solo("b")
    b.turn()

    b.hear("a", Notification(1, Mode.LOOKING, lost))
    b.hear("c", Notification(1, Mode.LOOKING, lost))
    b.turn(1_000)

    assert b.core.status.role is Role.CANDIDATE
    assert b.core.wake_at is not None
    assert b.core.wake_at > b.now


def test_a_follower_in_a_later_round_notices_that_its_leader_left() -> None:
    """It had begun a round of its own before it heard of the leader, whose next one that is."""
    b = Solo("b")
    b.turn()
    b.core.link("c", False, b.now)
    b.follow("a", 1)
    b.core.link("a", False, b.now)
    assert b.core._node.round == 2
    b.follow("c", 2)

    b.hear("c", Notification(2, Mode.LOOKING, Vote(0, ORIGIN, *peer("c"))))

    assert b.core.status.role is Role.CANDIDATE


def test_who_was_not_told_that_it_counts_leads_if_only_its_history_is_whole() -> None:
    """The first of two losses is mended, but only `a` has learnt so; then the leader, b, is wiped.

    c alone has x, which may have been acknowledged: so a must abdicate, and c has to lead.
    """
    old = dict(roster("abc"))
    new = {**old, "c": peer("c", 1).incarnation}
    rebind = Entry(at(1, 2), Kind.ROSTER, encode_roster(new))
    log = (Entry(at(1, 1), Kind.NOOP, b""), rebind, Entry(at(1, 3), Kind.DATA, b"x"))
    state = encode_hard_state(HardState(1, peer("b").incarnation, 1))
    told = Image(entries=log[:2], state=state, applied=at(1, 2), roster=tuple(new.items()))
    untold = Image(entries=log, state=state, applied=at(1, 1), roster=tuple(old.items()))
    network = Network(make_zab)
    for place, me, image in (
        (network["a"], peer("a"), told),
        (network["b"], peer("b", 1), Image()),
        (network["c"], peer("c", 1), untold),
    ):
        network.crash(place.peer.name)
        place.peer, place.disk = me, Disk(image)
    for name in "abc":
        network.start(name)

    network.until(lambda: network.active() == ["c"])
    network.until(network.agreed)

    assert network["a"].store.machine.length == 1
    assert network["b"].core.status.role is Role.FOLLOWER
