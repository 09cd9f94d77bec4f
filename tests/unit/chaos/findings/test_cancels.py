"""What ran though it was cancelled while it waited."""

from tests.unit.chaos.findings.histories import found

#: A task with a delay of 30 s, cancelled a second after its enqueue.
REVOKED = """
asked 10.0 c t 7
wanted 10.0 c t delay 30.0
stored 10.1 c t
cancelling 11.0 c t
cancelled 11.2 c t
ended 11.3 c t cancelled
ended 90.0 audit t cancelled
"""
RAN = "started {at} w t 5 1\nfinished {at} w t 5\n"


def test_what_was_cancelled_in_time_and_never_began_is_good() -> None:
    assert found(REVOKED) == {}


def test_code_that_begins_after_the_acknowledgement_is_found() -> None:
    assert found(REVOKED + RAN.format(at=40.1)) == {"ran after cancel": 1}


def test_so_is_an_outcome_that_is_not_its_cancel() -> None:
    text = REVOKED.replace("cancelled\n", "lost\n").replace("cancelled 11.2 c t", "")
    assert "ran after cancel" not in found(text)
    text = REVOKED.replace("audit t cancelled", "audit t succeeded 7 5") + RAN.format(at=40.1)
    assert found(text)["ran after cancel"] == 2


def test_what_may_have_been_handed_out_before_may_begin() -> None:
    late = REVOKED.replace("11.0", "37.0").replace("11.2", "37.2").replace("11.3", "37.3")
    assert found(late + RAN.format(at=40.1)) == {}
    at_once = REVOKED.replace("wanted 10.0 c t delay 30.0", "")
    assert found(at_once + RAN.format(at=11.25)) == {}


def test_once_all_clocks_were_set_its_delay_may_have_been_over() -> None:
    ran = REVOKED + RAN.format(at=11.25)
    assert found(ran + "struck 10.5 clock+600 all a+b+c\n") == {}
    assert found(ran + "struck 11.22 clock+600 all a+b+c\n") == {"ran after cancel": 1}


def test_a_cancel_that_nobody_asked_for_is_a_wrong_result() -> None:
    text = "asked 1 c t 7\nstored 2 c t\nended 9 audit t cancelled"
    assert found(text) == {"wrong result": 1}


def test_one_whose_acknowledgement_never_came_is_not() -> None:
    assert found("asked 1 c t 7\nstored 2 c t\ncancelling 3 c t\nended 9 audit t cancelled") == {}
