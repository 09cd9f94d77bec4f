"""Broadcasts that left a worker out, ran twice, or had other values."""

from tests.unit.chaos.findings.histories import found

#: Both workers are heard just before the broadcast is asked for, and have a call each.
HEARD = """
asked 1.0 c a 7
asked 1.0 c b 8
stored 1.1 c a
stored 1.1 c b
started 1.2 w1 a 1 1
finished 1.3 w1 a 1
started 1.2 w2 b 2 1
finished 1.3 w2 b 2
ended 1.4 c a succeeded 7 1
ended 1.4 c b succeeded 8 2
ended 9.9 audit a succeeded 7 1
ended 9.9 audit b succeeded 8 2
"""
BROADCAST = """
asked 1.5 c f 9
wanted 1.5 c f everywhere 1
stored 1.6 c f
called 1.7 w1 f 3 0 2
called 1.7 w2 f 4 1 2
started 2.0 w1 f 5 1
given 2.0 w1 f 5 f/1.1 3
given 2.0 w1 f 5 f/1.2 4
finished 2.1 w1 f 5
ended 9.9 audit f succeeded 9 5
"""
WHOLE = HEARD + BROADCAST

LEFT_OUT, BROKEN = {"worker left out": 1}, {"broadcast broken": 1}


def _to_one(history: str = WHOLE) -> str:
    """It was for one worker only."""
    text = history.replace("called 1.7 w2 f 4 1 2\n", "").replace("given 2.0 w1 f 5 f/1.2 4\n", "")
    return text.replace("f 3 0 2", "f 3 0 1")


def _to_nobody() -> str:
    lines = [line for line in WHOLE.splitlines() if not line.startswith(("called", "given"))]
    return "\n".join(lines)


def test_a_call_on_each_worker_and_their_values_in_order_are_good() -> None:
    assert found(WHOLE) == {}


def test_a_worker_that_had_just_been_heard_and_has_no_call_is_found() -> None:
    assert found(_to_one()) == LEFT_OUT


def test_so_it_is_where_there_is_no_call_at_all() -> None:
    assert found(_to_nobody()) == LEFT_OUT


def test_one_that_was_heard_longer_before_may_be_gone() -> None:
    assert found(_to_one(WHOLE.replace("finished 1.3 w2", "finished 1.05 w2"))) == {}


def test_one_whose_run_was_told_of_later_may_have_been_heard_too_late() -> None:
    assert found(_to_one(WHOLE.replace("ended 1.4 c b", "ended 1.55 c b"))) == {}


def test_one_whose_run_did_not_count_may_never_have_been_heard() -> None:
    again = "started 5.0 w1 b 6 2\nfinished 5.1 w1 b 6\n"
    history = WHOLE.replace("ended 1.4 c b succeeded 8 2\n", again)
    assert found(_to_one(history.replace("audit b succeeded 8 2", "audit b succeeded 8 6"))) == {}


def test_one_that_was_killed_has_none() -> None:
    assert found(_to_one(WHOLE + "struck 1.45 kill worker w2\n")) == {}


def test_one_whose_call_never_began_was_not_left_out() -> None:
    gone = WHOLE.replace("called 1.7 w2 f 4 1 2\n", "").replace("f/1.2 4", "f/1.2 -1")
    assert found(gone) == {}


def test_a_second_call_on_a_worker_is_found() -> None:
    history = WHOLE.replace("called 1.7 w2 f 4 1 2", "called 1.7 w1 f 4 1 2")
    assert found(history)["broadcast broken"] == 1


def test_so_is_a_call_that_ran_on_two() -> None:
    assert found(WHOLE.replace("f/1.2 4", "f/1.2 6") + "called 1.9 w1 f 6 1 2\n") == {
        "broadcast broken": 2  # and w1 has two
    }


def test_one_that_ran_again_after_a_loss_is_good_and_one_after_its_outcome_is_not() -> None:
    again = "called 1.8 w2 f 6 1 2\n"
    assert found(WHOLE.replace("f/1.2 4", "f/1.2 6") + again) == {}
    assert found(WHOLE + again) == BROKEN


def test_values_in_another_order_or_too_few_are_found() -> None:
    two = "given 2.0 w1 f 5 f/1.1 3\ngiven 2.0 w1 f 5 f/1.2 4\n"
    turned = "given 2.0 w1 f 5 f/1.2 4\ngiven 2.0 w1 f 5 f/1.1 3\n"
    assert "broadcast broken" in found(WHOLE.replace(two, turned))
    assert found(WHOLE.replace("given 2.0 w1 f 5 f/1.2 4\n", "")) == BROKEN


def test_so_are_calls_that_say_different_counts() -> None:
    assert found(WHOLE.replace("f 4 1 2", "f 4 1 3")) == BROKEN
