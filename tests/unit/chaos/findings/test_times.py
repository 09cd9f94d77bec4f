"""What began before its time."""

import pytest

from tests.unit.chaos.findings.histories import found

#: A task with a delay of 2 s, asked for at 10.0.
LATER = """
asked 10.0 c t 7
wanted 10.0 c t delay 2.0
stored 10.1 c t
{more}
started {began} w t 5 1
finished 20.1 w t 5
ended 20.2 audit t succeeded 7 5
"""


@pytest.mark.parametrize("began", [10.2, 11.7])
def test_what_begins_before_its_delay_is_early(began: float) -> None:
    assert found(LATER.format(began=began, more="")) == {"ran early": 1}


@pytest.mark.parametrize("began", [11.8, 12.0, 19.0])
def test_what_begins_then_or_a_tenth_sooner_is_not(began: float) -> None:
    assert found(LATER.format(began=began, more="")) == {}


def test_once_all_clocks_were_set_a_delay_is_over_when_they_say_so() -> None:
    assert found(LATER.format(began=10.5, more="struck 10.3 clock+86400 all a+b+c")) == {}
    early = {"ran early": 1}
    assert found(LATER.format(began=10.5, more="struck 10.3 clock+86400 leader a")) == early
    assert found(LATER.format(began=10.5, more="struck 10.6 clock+86400 all a+b+c")) == early
