"""What was handed out again after its outcome."""

import pytest

from tests.unit.chaos.findings.histories import found

DONE = """
asked 1 c t 7
wanted 1 c t {wanted}
stored 2 c t
started 3 w t 5 1
finished 4 w t 5
ended 5 c t {end}
started 6 v t {token} {attempt}
ended 9 audit t {end}
"""


@pytest.mark.parametrize(
    ("wanted", "end"), [("delay 0", "succeeded 7 5"), ("fails always", "failed -1 5")]
)
def test_a_token_behind_that_of_the_outcome_is_one_too_many(wanted: str, end: str) -> None:
    text = DONE.format(wanted=wanted, end=end, token=6, attempt=2)
    assert found(text) == {"ran after its outcome": 1}


def test_one_from_before_may_begin_late() -> None:
    assert found(DONE.format(wanted="delay 0", end="succeeded 7 5", token=4, attempt=0)) == {}
