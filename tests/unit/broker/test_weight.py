"""The weight: sane whatever a worker tells."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftwork.broker.weight import share, weight


@given(
    st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True)
)
def test_a_weight_is_sane_whatever_a_worker_tells(cpu: float, memory: float) -> None:
    assert 0.02 <= weight(share(cpu), share(memory)) <= 1.0


@pytest.mark.parametrize(
    ("told", "taken"), [(0.3, 0.3), (-1.0, 0.0), (7.0, 1.0), (inf, 1.0), (-inf, 0.0), (nan, 1.0)]
)
def test_a_share_is_between_none_and_all(told: float, taken: float) -> None:
    assert share(told) == taken
