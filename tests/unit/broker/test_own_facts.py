"""What a broker counts of itself: elections, time without a leader, and how long things take."""

import pytest

from raftwork.broker.events import (
    Event,
    Follows,
    LeadershipBegan,
    QueueFullRefusal,
    RequestRefused,
    WorkerLost,
)
from raftwork.broker.latencies import LatencyCounter
from raftwork.broker.own_facts import CHANGES_MAX, OwnFacts, Stored
from raftwork.consensus.core import Position
from raftwork.consensus.replica_events import (
    Cause,
    Election,
    LeadershipEnded,
    SnapshotBegun,
    SnapshotInstalled,
    SnapshotMade,
    SnapshotNotMade,
    SnapshotOffered,
    SnapshotReceived,
    SnapshotRejected,
    SnapshotSent,
)
from raftwork.messages.facts import (
    LATENCY_BOUNDS_US,
    NO_LATENCIES,
    BrokerFacts,
    Durations,
    Latencies,
)


def after(*events: tuple[int, int, Event], now: int = 10_000) -> BrokerFacts:
    facts = OwnFacts("a", 7, 0)
    for at, epoch, event in events:
        facts.told(epoch, event, at, 1_000_000 + at)
    return facts.facts(now, 1_000_000 + now, Stored(NO_LATENCIES, NO_LATENCIES, 1, 2, 3, 4))


def test_an_election_that_is_won_is_the_end_of_the_time_without_a_leader() -> None:
    told = after((100, 1, Election(Cause.NO_LEADER)), (400, 2, LeadershipBegan(2)))
    assert (told.elections_won, told.elections_lost, told.elections_undecided) == (1, 0, 0)
    assert (told.leader_changes, told.leaderless_ms) == (1, 400)
    assert [(c.role, c.leader, c.at) for c in told.role_changes] == [
        ("seeks", "", 1_000_100),
        ("leads", "a", 1_000_400),
    ]


def test_one_that_another_broker_wins_is_lost_and_one_without_an_end_undecided() -> None:
    told = after(
        (100, 1, Election(Cause.SILENCE)),
        (200, 2, Election(Cause.UNDECIDED)),
        (300, 3, Election(Cause.UNDECIDED)),
        (500, 3, Follows(3, "b")),
    )
    assert (told.elections_won, told.elections_lost, told.elections_undecided) == (0, 1, 2)
    assert told.leaderless_ms == 500


def test_to_follow_a_leader_without_an_election_of_ones_own_is_none() -> None:
    told = after((100, 1, Follows(1, "b")), (700, 2, Follows(2, "")), (900, 2, Follows(2, "c")))
    assert (told.elections_won, told.elections_lost) == (0, 0)
    assert (told.leader_changes, told.leaderless_ms) == (2, 100 + 200)


def test_time_without_a_leader_counts_while_it_lasts() -> None:
    told = after((100, 1, LeadershipBegan(1)), (5_000, 1, LeadershipEnded(1, Cause.NO_MAJORITY)))
    assert told.leaderless_ms == 100 + 5_000
    assert told.role_changes[-1].why == "no majority answers"


def test_only_the_newest_changes_are_kept() -> None:
    told = after(*((n, n, Follows(n, "b")) for n in range(1, 1_000)))
    assert len(told.role_changes) == CHANGES_MAX
    assert told.role_changes[-1].epoch == 999
    assert told.leader_changes == 1


@pytest.mark.parametrize(
    ("took", "bucket"),
    [(0, 0), (1, 0), (250, 0), (251, 1), (500, 1), (501, 2), (1_000, 2), (8_192_000, 15)],
)
def test_a_bucket_ends_with_its_bound(took: int, bucket: int) -> None:
    counter = LatencyCounter()
    counter.add(took)
    told = counter.told()
    assert told.counts.index(1) == bucket
    assert took <= LATENCY_BOUNDS_US[bucket]
    assert bucket == 0 or took > LATENCY_BOUNDS_US[bucket - 1]


def test_what_takes_longer_than_all_bounds_is_in_the_last_one() -> None:
    counter = LatencyCounter()
    for took in (8_192_001, 10**9):
        counter.add(took)
    assert counter.told() == Latencies([0] * 16 + [2], 8_192_001 + 10**9)


def test_refusals_and_workers_that_were_given_up_are_counted() -> None:
    full, wrong = QueueFullRefusal("no room"), RequestRefused("no such task")
    told = after((1, 1, full), (2, 1, wrong), (3, 1, full), (4, 1, WorkerLost("w1", "silent", 2)))
    assert (told.refused_full, told.refused_else, told.workers_lost) == (2, 1, 1)


def test_a_lease_that_expired_is_told_from_a_worker_that_is_known_to_be_gone() -> None:
    silent, ended = WorkerLost("w1", "it fell silent", 2), WorkerLost("w2", "it ended", 0, False)
    told = after((1, 1, silent), (2, 1, ended))
    assert (told.workers_lost, told.leases_expired) == (2, 1)


def test_snapshots_are_timed_each_from_its_beginning_to_its_end() -> None:
    at = Position(1, 1)
    told = after(
        *((100, 1, SnapshotBegun()), (150, 1, SnapshotMade(at, 9))),
        *((160, 1, SnapshotOffered("b")), (200, 1, SnapshotOffered("c"))),
        *((210, 1, SnapshotSent("b")), (700, 1, SnapshotSent("c"))),
        *((800, 1, SnapshotReceived(at, 9)), (805, 1, SnapshotInstalled(at))),
    ).snapshots
    assert [(sum(each.counts), each.sum_ms) for each in told] == [(1, 50), (2, 550), (1, 5)]


def test_a_snapshot_that_came_to_nothing_has_no_time() -> None:
    at = Position(1, 1)
    told = after(
        *((100, 1, SnapshotBegun()), (150, 1, SnapshotNotMade()), (160, 1, SnapshotSent("b"))),
        *((800, 1, SnapshotReceived(at, 9)), (805, 1, SnapshotRejected())),
    ).snapshots
    assert [sum(each.counts) for each in told] == [0, 0, 0]
    assert told.make == Durations([0] * len(told.make.counts), 0)
