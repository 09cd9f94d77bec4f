"""Times of recovery, from histories written by hand."""

import pytest

from raftwork.chaos.history import Event, parse
from raftwork.chaos.timings import measure, summary


def history(text: str) -> list[Event]:
    return sorted((parse(line) for line in text.strip().splitlines()), key=lambda event: event.at)


def test_the_next_acknowledgement_is_not_one_the_dead_leader_had_sent() -> None:
    timings = measure(
        history(
            """
asked 0.9 c t1 1
asked 0.9 c t2 2
struck 1.0 kill leader a
stored 1.01 c t1
stored 1.5 c t2
stored 1.6 c t2
"""
        )
    )
    assert timings.acknowledged == {"kill leader": [pytest.approx(0.5)]}


def test_an_acknowledgement_of_what_was_asked_for_after_the_kill_counts_at_once() -> None:
    text = "struck 1.0 kill leader a\nasked 1.001 c t 1\nstored 1.01 c t"
    assert measure(history(text)).acknowledged == {"kill leader": [pytest.approx(0.01)]}


def test_the_first_push_is_of_a_task_enqueued_after_the_kill() -> None:
    timings = measure(
        history(
            """
asked 0.9 c old 1
struck 1.0 kill leader a
asked 1.1 c new 2
started 1.2 w old 5 1
started 1.7 w new 6 1
"""
        )
    )
    assert timings.pushed == {"kill leader": [pytest.approx(0.7)]}


def test_a_followers_death_is_no_failover() -> None:
    timings = measure(history("struck 1.0 kill follower a\nasked 1.1 c t 1\nstored 1.2 c t"))
    assert timings.acknowledged == timings.pushed == {}


def test_recoveries_are_told_apart_by_their_fault() -> None:
    timings = measure(
        history(
            """
struck 1.0 kill leader a
asked 1.1 c t1 1
stored 1.3 c t1
struck 2.0 pause leader b
asked 2.1 c t2 2
stored 3.0 c t2
struck 4.0 kill leader c
asked 4.1 c t3 3
stored 4.2 c t3
"""
        )
    )
    assert timings.acknowledged == {
        "kill leader": [pytest.approx(0.3), pytest.approx(0.2)],
        "pause leader": [pytest.approx(1.0)],
    }


def test_a_dead_workers_tasks_count_when_they_start_elsewhere() -> None:
    timings = measure(
        history(
            """
started 0.5 w1 done 1 1
finished 0.6 w1 done 1
started 0.7 w1 held 2 1
started 0.8 w2 other 3 1
struck 1.0 kill worker w1
finished 1.01 w1 held 2
started 2.5 w2 held 4 2
started 3.5 w2 held 5 3
started 4.0 w2 other 6 2
"""
        )
    )
    assert timings.moved == [pytest.approx(1.5)]


def test_a_paused_worker_may_keep_its_tasks() -> None:
    text = "started 0.7 w1 t 2 1\nstruck 1.0 pause worker w1\nstarted 2.5 w2 t 4 2"
    assert measure(history(text)).moved == []


def test_samples_are_told_by_median_and_maximum() -> None:
    assert summary([3.0, 1.0, 2.0]) == (2.0, 3.0)
    assert summary([]) is None
