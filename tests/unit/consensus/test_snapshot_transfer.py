"""A snapshot on its way in chunks: what is sent next, whatever the answers say."""

from raftwork.consensus.core import Position, Snapshot
from raftwork.consensus.snapshot_transfer import Outgoing

SNAPSHOT = Snapshot(Position(1, 9), 100, b"digest")


def test_a_window_of_chunks_is_sent_and_no_more_before_an_answer() -> None:
    outgoing = Outgoing(SNAPSHOT)
    assert list(outgoing.due(30, 2)) == [0, 30]
    assert list(outgoing.due(30, 2)) == []
    outgoing.replied(0, 30)
    assert list(outgoing.due(30, 2)) == [60]


def test_a_peer_that_lost_what_it_had_gets_it_from_where_it_wants_it() -> None:
    outgoing = Outgoing(SNAPSHOT)
    list(outgoing.due(30, 2))
    outgoing.replied(0, 30)
    outgoing.replied(30, 60)
    outgoing.replied(60, 0)
    assert outgoing.acked == 0
    assert list(outgoing.due(30, 2)) == [0, 30]


def test_an_old_answer_begins_nothing_again() -> None:
    outgoing = Outgoing(SNAPSHOT)
    list(outgoing.due(30, 3))
    outgoing.replied(0, 30)
    outgoing.replied(30, 60)
    outgoing.replied(30, 0)  # from before: it asks for what came meanwhile
    assert outgoing.acked == 60
    assert list(outgoing.due(30, 2)) == [90]


def test_chunks_that_were_lost_are_sent_again_once_nothing_moves() -> None:
    outgoing = Outgoing(SNAPSHOT)
    list(outgoing.due(30, 2))
    assert not outgoing.stuck()
    assert not outgoing.stuck(), "it is not told that it has everything"
    assert list(outgoing.due(30, 2)) == [0, 30]
