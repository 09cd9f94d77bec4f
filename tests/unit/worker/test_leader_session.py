"""A worker's session: who leads is found soon after an election, and nobody is asked in a storm."""

from itertools import pairwise
from random import Random

from raftwork.messages import Leader
from raftwork.worker.leader_session import LeaderSession


def rounds(session: LeaderSession, since: int, until: int) -> list[int]:
    """The times at which the brokers are asked."""
    return [now for now in range(since, until) if session.asks(now)]


def test_a_lost_leader_is_asked_after_often_at_first_then_once_a_second() -> None:
    session = LeaderSession(["a", "b"], 0, Random(1))
    assert session.asks(0) == ["a", "b"]
    session.announced("a", Leader(1, "a", "a", True, 0), 1)
    assert session.hello(1)
    assert session.welcomed("a", 1, session.number)
    session.heard("a", 5_000)
    session.link_lost("a", 5_000)
    times = rounds(session, 5_000, 15_000)
    # An election takes some 50 ms: the second round finds its winner, and with it our tasks' owner.
    assert times[0] == 5_000
    assert times[1] <= 5_150
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert all(pause >= 80 for pause in pauses)
    assert all(800 <= pause <= 1_200 for pause in pauses[5:])


def test_news_that_repeats_is_no_reason_to_ask_again_at_once() -> None:
    session = LeaderSession(["a"], 0, Random(1))
    times = []
    for now in range(1_000):
        session.announced("a", Leader(now, "b", "b", False, 0), now)
        times += [now] if session.asks(now) else []
    assert len(times) <= 11
