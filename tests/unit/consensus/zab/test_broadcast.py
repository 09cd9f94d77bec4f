"""Phase 3, word by word: what a commit costs, and when the others hear of it."""

from raftwork.consensus.core import Position
from raftwork.consensus.zab.messages import (
    Commit,
    Diff,
    FollowerInfo,
    NewLeader,
    Propose,
    UpToDate,
)
from tests.unit.consensus.zab.solo import Solo, acks, agrees, data, disk, of, to


def at(epoch: int, counter: int) -> Position:
    return Position(epoch, counter)


def established() -> Solo:
    """The active leader c, with (1, 1) as its initial history; b is up to date."""
    c = Solo("c", disk(*data(1, 1), accepted=1, current=1))
    c.lead("a", "b")
    agrees(c, "b", at(1, 1), current=1)
    acks(c, "b", at(1, 1))
    assert c.core.status.active
    return c


def up_to_date() -> Solo:
    """The follower b of c in epoch 2, with (1, 1), which is committed."""
    b = Solo("b", disk(*data(1, 1), accepted=1, current=1))
    b.follow("c", 2)
    b.lead_by("c", Diff(at(1, 1)), NewLeader(2), UpToDate(at(1, 1)))
    assert b.core.status.committed == at(1, 1)
    return b


def test_a_commit_rides_on_the_next_proposal() -> None:
    c = established()
    c.core.propose(b"first", c.now)
    c.turn()

    assert to(acks(c, "b", at(2, 1)), "b") == []
    c.core.propose(b"second", c.now)
    (said,) = to(c.turn(), "b")

    assert isinstance(said, Propose)
    assert said.entries[0].at == at(2, 2)
    assert said.committed == at(2, 1)


def test_a_commit_that_no_proposal_follows_goes_with_the_next_ping() -> None:
    c = established()
    c.core.propose(b"last", c.now)
    c.turn()
    acks(c, "b", at(2, 1))

    said = c.turn(50)

    assert of(said, Commit).zxid == at(2, 1)


def test_a_hand_over_tells_its_target_of_the_commit_at_once() -> None:
    c = established()
    c.core.propose(b"last", c.now)
    c.turn()

    c.core.transfer(c.now)
    said = acks(c, "b", at(2, 1))

    assert to(said, "b")[0] == Commit(at(2, 1))


def test_a_follower_applies_what_a_proposal_says_is_committed() -> None:
    b = up_to_date()
    b.lead_by("c", Propose(data(2, 1), at(1, 1)))
    assert b.core.status.committed == at(1, 1)

    b.lead_by("c", Propose(data(2, 2), at(2, 1)))

    assert b.core.status.committed == at(2, 1)


def test_a_proposal_commits_nothing_before_uptodate() -> None:
    """The leader's commit is no news of the history that a follower still has to take over."""
    b = Solo("b", disk(*data(1, 1), accepted=1, current=1))
    b.follow("c", 2)

    b.lead_by("c", Diff(at(1, 1)), Propose(data(1, 2), at(1, 1)))

    assert b.core.status.committed == Position(0, 0)


def test_a_commit_of_what_was_never_sent_begins_the_session_again() -> None:
    b = up_to_date()

    said = b.lead_by("c", Propose(data(2, 1), at(2, 5)))

    assert b.core.status.committed == at(1, 1)
    assert of(said, FollowerInfo).session.number == 2
