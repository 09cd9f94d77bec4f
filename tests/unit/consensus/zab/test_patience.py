"""How long phase 1 may take: longer the next time if it took too long, as disks may be slow."""

from raftwork.consensus.core import ORIGIN
from raftwork.consensus.zab import Config
from raftwork.consensus.zab.messages import Diff, Mode, NewLeader, Notification, UpToDate, Vote
from tests.unit.consensus.cluster import peer
from tests.unit.consensus.zab.solo import Solo, acks, agrees

CONNECT, CONNECT_MAX = Config().connect, Config().connect_max


def until_it_looks(solo: Solo) -> int:
    """How long (ms) it waits for whom it follows, or for who should follow it."""
    start = solo.now
    while solo.core.status.leader is not None:
        solo.turn(later=10)
    return solo.now - start


def test_a_leader_whose_quorum_was_late_gives_the_next_one_twice_the_time() -> None:
    c = Solo("c")
    waits = []
    for _ in range(4):
        c.lead("a", "b")
        waits.append(until_it_looks(c))
    assert waits == [CONNECT, 2 * CONNECT, CONNECT_MAX, CONNECT_MAX]

    c.lead("a", "b")
    agrees(c, "b")
    acks(c, "b", ORIGIN)
    assert c.core.status.active
    until_it_looks(c)  # it hears nothing more of anybody
    c.lead()
    assert until_it_looks(c) == CONNECT


def test_a_follower_whose_leader_was_late_gives_the_next_one_twice_the_time() -> None:
    a = Solo("a")
    waits = []
    for _ in range(4):
        a.turn()
        vote = Vote(0, ORIGIN, *peer("c"))
        a.hear("c", Notification(a.core._node.round, Mode.LEADING, vote))
        waits.append(until_it_looks(a))
    assert waits == [CONNECT, 2 * CONNECT, CONNECT_MAX, CONNECT_MAX]

    a.follow("c", a.state.accepted + 1)
    a.lead_by("c", Diff(ORIGIN), NewLeader(a.state.accepted), UpToDate(ORIGIN))
    until_it_looks(a)
    vote = Vote(0, ORIGIN, *peer("b"))
    a.hear("b", Notification(a.core._node.round, Mode.LEADING, vote))
    assert until_it_looks(a) == CONNECT


def test_a_leader_that_is_lost_later_gives_the_next_one_no_more_time() -> None:
    c = Solo("c")
    c.lead("a", "b")
    agrees(c, "b")
    until_it_looks(c)  # in phase 2: it was not too early to give up
    c.lead()
    assert until_it_looks(c) == CONNECT


def test_phase_1_may_take_what_new_times_allow() -> None:
    c = Solo("c")
    c.core.retime(500, 5_000, c.now)
    c.lead("a", "b")
    assert until_it_looks(c) == c.core._node.config.connect == 4_000


def test_a_leader_that_had_more_time_for_phase_1_has_no_more_for_its_quorum() -> None:
    c = Solo("c")
    for _ in range(3):
        c.lead("a", "b")
        until_it_looks(c)
    c.lead("a", "b")
    agrees(c, "b")
    acks(c, "b", ORIGIN)
    assert c.core.status.active

    assert until_it_looks(c) == c.core._node.config.silence < CONNECT_MAX
