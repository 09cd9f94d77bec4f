"""Numbers that follow each other become ranges."""

from hypothesis import given
from hypothesis import strategies as st

from raftwork.features.number_ranges import ranges


def test_each_run_of_numbers_is_one_range() -> None:
    assert ranges([]) == []
    assert ranges([7]) == [(7, 7)]
    assert ranges([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 7), (9, 10)]


@given(st.lists(st.integers(0, 20)))
def test_they_are_the_numbers_in_their_order(numbers: list[int]) -> None:
    """Whatever the order, and if one is named twice."""
    found = ranges(numbers)
    assert [each for first, last in found for each in range(first, last + 1)] == numbers
