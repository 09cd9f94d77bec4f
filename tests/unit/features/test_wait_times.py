"""For how long tasks that were ready waited: by leader time, and by batches."""

import pytest

from raftwork.features import wait_times
from raftwork.features.wait_times import DurationCounter, WaitTimes
from raftwork.messages.facts import DURATION_BOUNDS_MS


def counted(waits: WaitTimes, queue: str = "q") -> tuple[int, int]:
    """How many were counted, and the sum of their waits."""
    found = waits.told().get(queue)
    return (0, 0) if found is None else (sum(found.counts), found.sum_ms)


def test_a_batch_that_became_ready_together_is_one_addition() -> None:
    waits = WaitTimes()
    waits.entered(1, 1_000)
    waits.entered(11, 1_500)
    waits.begun("q", range(1, 11), 1_700, first=True)
    assert counted(waits) == (10, 7_000)
    waits.begun("q", [11, 12], 1_700, first=True)
    assert counted(waits) == (12, 7_400)


def test_a_batch_of_several_times_is_counted_one_by_one() -> None:
    waits = WaitTimes()
    waits.entered(1, 1_000)
    waits.entered(3, 2_000)
    waits.begun("q", [1, 2, 3], 2_500, first=True)
    assert counted(waits) == (3, 1_500 + 1_500 + 500)


def test_a_delay_and_a_backoff_are_no_part_of_it() -> None:
    waits = WaitTimes()
    waits.entered_otherwise(1)  # a delay
    waits.entered(2, 1_000)
    waits.ready([1], 9_000)
    waits.begun("q", [1, 2], 9_100, first=True)
    assert counted(waits) == (2, 100 + 8_100)
    waits.ready([2], 60_000)  # its backoff is over
    waits.begun("q", [2], 60_050, first=False)
    assert counted(waits) == (3, 8_250)


def test_what_is_not_known_is_not_counted() -> None:
    """Of tasks that were there before this process, and of a retry that was forgotten."""
    waits = WaitTimes()
    waits.entered(10, 1_000)
    waits.begun("q", [3, 4], 2_000, first=True)
    waits.begun("q", [10], 2_000, first=False)
    waits.entered_otherwise(12)
    waits.begun("q", [12], 2_000, first=True)
    assert counted(waits) == (0, 0)


def test_queues_are_told_apart() -> None:
    waits = WaitTimes()
    waits.entered(1, 0)
    waits.begun("a", [1], 5, first=True)
    waits.begun("b", [2], 7, first=True)
    assert (counted(waits, "a"), counted(waits, "b")) == ((1, 5), (1, 7))


def test_memory_is_bounded_and_of_what_is_old_the_time_is_less_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wait_times, "SPANS_MAX", 8)
    monkeypatch.setattr(wait_times, "OTHERS_MAX", 3)
    monkeypatch.setattr(wait_times, "QUEUES_MAX", 2)
    waits = WaitTimes()
    for number in range(1, 100):
        waits.entered(number, number * 10)
    assert len(waits._firsts) == len(waits._times) <= 8
    assert waits.since(99) == 990
    assert 10 <= waits.since(50) <= 500
    waits.ready(range(200, 210), 5_000)
    assert list(waits._others) == [207, 208, 209]
    for queue in "abc":
        waits.begun(queue, [99], 1_000, first=True)
    assert set(waits.told()) == {"a", "b"}


def test_the_oldest_is_since_the_start_at_the_earliest() -> None:
    waits = WaitTimes(began=500)
    waits.entered(10, 1_000)
    waits.entered_otherwise(20)
    waits.ready([21], 1_500)
    assert [waits.since(seq) for seq in (3, 10, 20, 21)] == [500, 1_000, 500, 1_500]


def test_a_duration_is_counted_in_the_first_bucket_that_holds_it() -> None:
    counter = DurationCounter()
    for ms in (0, 10, 11, 30, DURATION_BOUNDS_MS[-1], DURATION_BOUNDS_MS[-1] + 1):
        counter.add(ms)
    told = counter.told()
    assert told.counts[:3] == [2, 2, 0] and told.counts[-2:] == [1, 1]
    assert DURATION_BOUNDS_MS[:4] == (10, 30, 100, 300) and DURATION_BOUNDS_MS[-1] == 10_000_000
