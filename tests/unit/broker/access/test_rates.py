"""What a key may enqueue: its rate on the average, a second's worth at once."""

from hypothesis import given
from hypothesis import strategies as st

from raftwork.broker.access.access_list import Grant
from raftwork.broker.access.rates import Rates

TASKS = Grant("ada", frozenset(), tasks_per_second=100)


def test_a_seconds_worth_comes_at_once_and_then_the_rate() -> None:
    rates, taken = Rates(), 0
    for now in range(0, 10_000, 5):
        taken += rates.objection(TASKS, 1, 100, now) is None
    assert 1_095 <= taken <= 1_105


def test_bytes_count_too_and_a_refused_request_costs_nothing() -> None:
    both = Grant("ada", frozenset(), tasks_per_second=1_000_000, bytes_per_second=1_000)
    rates = Rates()
    assert rates.objection(both, 1, 2_500, 0) is None
    for _ in range(10):
        why = rates.objection(both, 1, 2_500, 0)
        assert why is not None
        assert "1000 bytes a second" in why
    assert rates.objection(both, 1, 2_500, 1_500) is None


def test_keys_do_not_share_and_those_without_a_rate_are_free() -> None:
    rates, other = Rates(), Grant("bob", frozenset(), tasks_per_second=100)
    free = Grant("eve", frozenset())
    assert rates.objection(TASKS, 1_000, 1, 0) is None
    assert rates.objection(TASKS, 1, 1, 0) is not None
    assert rates.objection(other, 1, 1, 0) is None
    assert all(rates.objection(free, 10_000, 10**9, 0) is None for _ in range(10))


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 400)), max_size=60))
def test_over_any_time_no_more_is_taken_than_the_rate_and_two_batches(
    requests: list[tuple[int, int]],
) -> None:
    rates, now, taken = Rates(), 0, 0
    for pause, tasks in requests:
        now += pause
        if rates.objection(TASKS, tasks, 1, now) is None:
            taken += tasks
    assert taken <= 100 * now / 1_000 + 100 + 400
