"""What a key may enqueue: its rate on the average, a second's worth at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftwork.broker.access.access_list import Grant
from raftwork.broker.access.rates import Rates
from raftwork.errors import QueueFull

TASKS = Grant("ada", frozenset(), tasks_per_second=100)


def takes(rates: Rates, grant: Grant, tasks: int, size: int, now: int) -> bool:
    try:
        rates.take(grant, tasks, size, now)
    except QueueFull:
        return False
    return True


def test_a_seconds_worth_comes_at_once_and_then_the_rate() -> None:
    rates, taken = Rates(), 0
    for now in range(0, 10_000, 5):
        taken += takes(rates, TASKS, 1, 100, now)
    assert 1_095 <= taken <= 1_105


def test_bytes_count_too_and_a_refused_request_costs_nothing() -> None:
    both = Grant("ada", frozenset(), tasks_per_second=1_000_000, bytes_per_second=1_000)
    rates = Rates()
    rates.take(both, 1, 2_500, 0)
    for _ in range(10):
        with pytest.raises(QueueFull, match="1000 bytes a second"):
            rates.take(both, 1, 2_500, 0)
    rates.take(both, 1, 2_500, 1_500)


def test_a_refusal_says_both_numbers_and_when_to_come_again() -> None:
    rates = Rates()
    rates.take(TASKS, 300, 10, 5_000)
    with pytest.raises(QueueFull) as refused:
        rates.take(TASKS, 2, 10, 5_000)
    assert str(refused.value) == (
        "the key ada may enqueue 100 tasks a second on the average, and 2 more are too many now;"
        " try again in 2.0 s"
    )
    rates.take(TASKS, 2, 10, 7_000)


def test_what_was_not_made_is_given_back() -> None:
    rates = Rates()
    rates.take(TASKS, 1_000, 1, 0)
    assert not takes(rates, TASKS, 1, 1, 0)
    rates.give_back(TASKS, 950)
    assert takes(rates, TASKS, 50, 1, 0)
    assert takes(rates, TASKS, 1, 1, 0)
    assert not takes(rates, TASKS, 1, 1, 0)


def test_keys_do_not_share_and_those_without_a_rate_are_free() -> None:
    rates, other = Rates(), Grant("bob", frozenset(), tasks_per_second=100)
    free = Grant("eve", frozenset())
    assert takes(rates, TASKS, 1_000, 1, 0)
    assert not takes(rates, TASKS, 1, 1, 0)
    assert takes(rates, other, 1, 1, 0)
    assert all(takes(rates, free, 10_000, 10**9, 0) for _ in range(10))


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 400)), max_size=60))
def test_over_any_time_no_more_is_taken_than_the_rate_and_two_batches(
    requests: list[tuple[int, int]],
) -> None:
    rates, now, taken = Rates(), 0, 0
    for pause, tasks in requests:
        now += pause
        if takes(rates, TASKS, tasks, 1, now):
            taken += tasks
    assert taken <= 100 * now / 1_000 + 100 + 400
