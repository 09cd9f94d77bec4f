"""Where another broker is dialled: what is said is tried, and holds once it was found there."""

from raftwork.broker.cluster.peer_address import PATIENCE_MS, PeerAddress

OLD, NEW, ODD = "old:1", "new:1", "odd:1"


def test_one_that_moved_is_dialled_where_it_says() -> None:
    where = PeerAddress(OLD, 0)
    assert not where.says(OLD, 0, answers=True)
    assert not where.lost(5)
    assert where.says(NEW, 10, answers=False)
    assert (where.address, where.known) == (NEW, OLD)
    assert not where.says(NEW, 20, answers=False), "it is being dialled there"
    assert where.found() == OLD
    assert where.known == NEW
    assert not where.lost(30)
    assert not where.due(30 + 10 * PATIENCE_MS), "it said so itself: there is no other place"


def test_one_that_says_it_before_it_is_missed_is_dialled_there_when_it_is() -> None:
    where = PeerAddress(OLD, 0)
    assert not where.says(NEW, 0, answers=True)
    assert where.lost(10)
    assert where.address == NEW


def test_one_that_answers_elsewhere_than_it_says_stays_there() -> None:
    """Through a tunnel, or under another name: what it says of itself does not hold from here."""
    where = PeerAddress(OLD, 0)
    assert not where.says(ODD, 0, answers=True)
    assert where.lost(0)
    assert where.due(PATIENCE_MS)
    assert where.address == OLD
    assert where.found() == OLD
    for _ in range(2):
        assert not where.says(ODD, PATIENCE_MS, answers=True)
        assert not where.lost(PATIENCE_MS), "that was tried in vain"
        assert where.address == OLD


def test_what_others_say_is_tried_in_turn() -> None:
    where = PeerAddress(OLD, 0)
    where.hear("b", NEW)
    where.hear("c", OLD)
    assert not where.due(PATIENCE_MS - 1)
    probed = []
    for n in range(1, 5):
        assert where.due(n * PATIENCE_MS)
        assert not where.due(n * PATIENCE_MS), "it has its time there"
        probed.append(where.address)
    assert probed == [NEW, OLD, NEW, OLD]


def test_one_that_returns_is_dialled_where_it_was() -> None:
    where = PeerAddress(OLD, 0)
    for said in (NEW, OLD, NEW, OLD):
        where.lost(0)
        assert where.says(said, 0, answers=False)
        where.found()
        assert where.known == said


def test_ever_new_sayings_leave_nothing_behind() -> None:
    where = PeerAddress(OLD, 0)
    for n in range(1, 1_000):
        where.says(f"h:{n}", n * PATIENCE_MS, answers=False)
        where.hear("b", f"i:{n}")
        where.due(n * PATIENCE_MS)
    assert len(where._tried) <= 4


def test_a_name_at_which_somebody_else_answers_is_dialled_anew() -> None:
    where = PeerAddress("c.example:1", 0)
    assert not where.due(PATIENCE_MS - 1, strange=True)
    assert where.due(PATIENCE_MS, strange=True)
    assert not where.due(2 * PATIENCE_MS - 1, strange=True), "it has its time there"
    assert not where.due(2 * PATIENCE_MS, strange=False)
    assert where.address == "c.example:1"
    number = PeerAddress("10.0.0.3:1", 0)
    assert not number.due(PATIENCE_MS, strange=True), "a number leads nowhere else"
