"""Numbers that follow each other become spans."""

from hypothesis import given
from hypothesis import strategies as st

from raftwork.features.number_ranges import is_range, spans


def test_numbers_with_a_neighbour_are_one_span() -> None:
    assert spans([]) == ([], [])
    assert spans([0]) == ([0], [])
    assert spans([1, 2, 3, 7, 9, 10]) == ([7], [(1, 3), (9, 10)])


@given(st.lists(st.integers(0, 20)))
def test_each_number_is_there_as_often_as_it_was_given(numbers: list[int]) -> None:
    alone, found = spans(numbers)
    both = [*alone, *(each for first, last in found for each in range(first, last + 1))]
    assert sorted(both) == sorted(numbers)
    assert all(first < last for first, last in found)


@given(st.lists(st.integers(0, 6)))
def test_a_range_is_one_number_or_one_span(numbers: list[int]) -> None:
    alone, found = spans(numbers)
    assert is_range(numbers) == (len(alone) + len(found) == 1)
