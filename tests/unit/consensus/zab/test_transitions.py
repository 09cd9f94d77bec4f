"""Transitions that are a matter of one moment: worlds of random faults meet them too seldom."""

import pytest

from raftwork.consensus.core import ORIGIN, Position
from raftwork.consensus.zab.messages import (
    Ack,
    Diff,
    FollowerInfo,
    Framed,
    LeaderInfo,
    Mode,
    NewLeader,
    Notification,
    UpToDate,
    Vote,
    encode,
)
from raftwork.consensus.zab.transitions import State
from tests.unit.consensus.cluster import peer
from tests.unit.consensus.zab.solo import Solo, agrees, data, disk, link, of


@pytest.mark.parametrize(
    ("messages", "state"),
    [
        ([Diff(ORIGIN)], State.SYNCING),
        ([Diff(ORIGIN), NewLeader(2), UpToDate(ORIGIN)], State.UP_TO_DATE),
    ],
    ids=["synchronising", "up to date"],
)
def test_a_follower_whose_leader_leads_anew_joins_it_again(
    messages: list[Framed], state: State
) -> None:
    b = Solo("b")
    b.follow("c", 2)
    b.lead_by("c", *messages)
    assert b.core._node.state is state

    said = b.hear("c", Notification(5, Mode.LEADING, Vote(2, ORIGIN, *peer("c"))))

    assert b.core._node.state is State.JOINING
    assert of(said, FollowerInfo).session.number == 2


def test_a_leader_that_ends_in_the_turn_of_its_quorum_is_never_active() -> None:
    c = Solo("c", disk(*data(1, 1), accepted=1, current=1))
    c.lead("a", "b")
    agrees(c, "b", Position(1, 1), current=1)

    c.replica.receive(peer("b"), _ack(c), c.now)
    assert _state(c) is State.ESTABLISHED
    c.hear("a", FollowerInfo(link("a", 2), 9))

    assert _state(c) is State.LOOKING
    assert "activated" not in c.kinds()
    assert "deactivated" not in c.kinds()


def test_a_message_that_has_no_place_in_a_state_begins_the_session_again() -> None:
    b = Solo("b")
    b.follow("c", 2)

    said = b.lead_by("c", Diff(ORIGIN), LeaderInfo(3))

    assert b.state.accepted == 2
    assert of(said, FollowerInfo).session.number == 2


def _ack(c: Solo) -> bytes:
    return encode(Ack(link("b"), c.state.current, Position(1, 1), 0))


def _state(solo: Solo) -> State:
    return solo.core._node.state
