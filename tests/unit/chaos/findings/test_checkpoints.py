"""Checkpoints that the next attempt did not find."""

from tests.unit.chaos.findings.histories import found

CLIMB = """
asked 1 c t 7
stored 2 c t
started 3 w t 5 1
found 3 w t 5 0
kept 4 w t 5 1
started 5 v t 6 2
found 5 v t 6 {found}
finished 6 v t 6
ended 9 audit t succeeded 7 6
"""


def test_what_was_kept_is_found_or_a_later_one() -> None:
    assert found(CLIMB.format(found=1)) == {}
    assert found(CLIMB.format(found=2)) == {}  # its word that it is kept never came


def test_what_was_kept_and_is_not_found_is_lost() -> None:
    assert found(CLIMB.format(found=0)) == {"checkpoint lost": 1}


def test_the_late_start_of_an_earlier_attempt_found_what_was_there_before() -> None:
    assert found(CLIMB.format(found=1) + "started 7 u t 4 0\nfound 7 u t 4 0\n") == {}
