"""Quorum arithmetic against its definition."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftwork.consensus.quorum import majority, reached


@pytest.mark.parametrize(("size", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_a_majority_is_more_than_half(size: int, quorum: int) -> None:
    assert majority(size) == quorum


@given(st.integers(1, 7))
def test_any_two_majorities_share_a_replica(size: int) -> None:
    quorums = list(combinations(range(size), majority(size)))

    assert all(set(x) & set(y) for x in quorums for y in quorums)


@given(st.integers(2, 7))
def test_a_smaller_set_would_not_do(size: int) -> None:
    quorums = list(combinations(range(size), majority(size) - 1))

    assert not all(set(x) & set(y) for x in quorums for y in quorums)


@given(st.lists(st.integers(0, 9), max_size=7), st.integers(1, 7))
def test_reached_is_the_greatest_number_that_enough_values_have(
    values: list[int], quorum: int
) -> None:
    good = [n for n in range(10) if sum(value >= n for value in values) >= quorum]

    assert reached(values, quorum) == (max(good) if good else None)


def test_a_cluster_of_none_has_no_majority() -> None:
    with pytest.raises(AssertionError):
        majority(0)
