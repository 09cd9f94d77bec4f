"""Who is voted for where not everybody hears everybody, and which leader goes on."""

from raftwork.consensus.core import ORIGIN, Position
from raftwork.consensus.zab import Config
from raftwork.consensus.zab.messages import Mode, Notification, Vote
from raftwork.consensus.zab.state import NO_VOTE, Looking
from raftwork.consensus.zab.transitions import State
from tests.unit.consensus.cluster import peer
from tests.unit.consensus.zab.solo import Solo, acks, agrees, data, disk

HEARING = Config().hearing


def looks(solo: Solo, src: str, vote: str, *hears: str, failures: int = 0) -> str:
    """Another looks, too, and votes for `vote`; gives for whom we vote then."""
    chosen = Vote(0, ORIGIN, *peer(vote)) if vote else NO_VOTE
    told = Notification(1, Mode.LOOKING, chosen, ORIGIN, hears, failures)
    solo.hear(src, told)
    return voted(solo)


def state(solo: Solo) -> State:
    return solo.core._node.state


def voted(solo: Solo) -> str:
    role = solo.core._node.role
    assert isinstance(role, Looking)
    return role.vote.name


def test_a_vote_is_for_whom_we_hear_ourselves() -> None:
    a = Solo("a", disk(names="abcde"), "abcde")
    a.turn()

    assert looks(a, "b", "e", "a", "e") == "a"
    assert looks(a, "c", "c", "a") == "c"
    assert looks(a, "e", "e", "a", "b") == "e"


def test_who_is_heard_by_too_few_stands_no_more() -> None:
    e = Solo("e", disk(names="abcde"), "abcde")
    e.turn()
    assert looks(e, "a", "a", "e") == "e"
    assert looks(e, "b", "b") == "e"  # it does not hear us, perhaps not yet

    e.turn(later=HEARING)
    assert voted(e) == "b"

    assert looks(e, "b", "b", "e") == "e"  # now it does: with a and us it makes a quorum


def test_who_falls_silent_is_voted_for_no_more() -> None:
    a = Solo("a", disk(names="abcde"), "abcde")
    a.turn()
    for name in "bcd":
        looks(a, name, name, "a")
    assert voted(a) == "d"

    for _ in range(Config().silence // 100):
        a.turn(later=100)
        for name in "bc":
            looks(a, name, name, "a")

    assert voted(a) == "c"


def test_who_was_elected_in_vain_comes_after_the_others() -> None:
    a = Solo("a", disk(names="abcde"), "abcde")
    a.turn()
    assert looks(a, "e", "e", "a", failures=1) == "a"
    assert looks(a, "b", "b", "a") == "b"


def test_an_elected_leader_that_finds_no_quorum_counts_that() -> None:
    c = Solo("c")
    c.lead("a")
    assert c.core._node.failures == 0
    for _ in range(5):
        c.turn(later=Config().tick)
    assert c.core._node.failures == 1

    c.lead("a", "b")
    agrees(c, "b")
    acks(c, "b", ORIGIN)
    assert c.core.status.active
    assert c.core._node.failures == 0


def test_one_that_knows_more_is_not_counted_and_stops_nobody() -> None:
    """Enough others know no more: what only it knows was never committed."""
    c = Solo("c", disk(*data(1, 1), accepted=1, current=1, names="abcd"), "abcd")
    c.lead("a", "b", "d")

    agrees(c, "d", Position(1, 2), current=1)
    assert state(c) is State.OFFERING
    agrees(c, "a", Position(1, 1), current=1)
    assert state(c) is State.OFFERING
    agrees(c, "b", Position(1, 1), current=1)
    assert state(c) is State.TAKING_OVER


def test_a_leader_abdicates_once_too_many_know_more() -> None:
    c = Solo("c", disk(*data(1, 1), accepted=1, current=1))
    c.lead("a", "b")
    agrees(c, "a", Position(1, 2), current=1)
    assert state(c) is State.OFFERING
    agrees(c, "b", Position(1, 2), current=1)
    assert state(c) is State.LOOKING
    assert c.core._node.failures == 1
