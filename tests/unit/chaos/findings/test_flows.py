"""Bodies of chords that began too early, or were given what they must not be."""

from tests.unit.chaos.findings.histories import found

MEMBERS = """
asked 1.0 c f 7
wanted 1.0 c f inputs 2
asked 1.0 c f/1 7
asked 1.0 c f/2 7
stored 1.1 c f
stored 1.1 c f/1
stored 1.1 c f/2
started 2.0 w f/1 1 1
finished 2.1 w f/1 1
started 2.0 w f/2 2 1
finished 9.0 w f/2 2
started 3.0 w f/2 3 2
finished 3.5 w f/2 3
ended 9.9 audit f/1 succeeded 7 1
ended 9.9 audit f/2 succeeded 7 3
ended 9.9 audit f succeeded 7 4
"""


def body(began: float, *given: tuple[str, int], finished: bool = True) -> str:
    lines = [f"started {began} w f 4 1"]
    lines += [f"given {began} w f 4 {source} {token}" for source, token in given]
    lines += ["finished 4.5 w f 4"] if finished else []
    return "\n".join(lines) + "\n"


def test_a_body_that_begins_after_its_inputs_with_their_values_in_order_is_good() -> None:
    assert found(MEMBERS + body(3.6, ("f/1", 1), ("f/2", 3))) == {}


def test_one_that_begins_before_the_attempt_that_counts_is_done_is_found() -> None:
    assert found(MEMBERS + body(3.2, ("f/1", 1), ("f/2", 3))) == {"flow broken": 1}


def test_so_is_one_that_is_given_what_another_attempt_returned() -> None:
    history = MEMBERS.replace("finished 9.0 w f/2 2", "finished 2.5 w f/2 2")
    assert found(history + body(3.6, ("f/1", 1), ("f/2", 2))) == {"flow broken": 1}


def test_and_one_whose_values_are_in_another_order_or_too_few() -> None:
    assert found(MEMBERS + body(3.6, ("f/2", 3), ("f/1", 1))) == {"flow broken": 1}
    assert found(MEMBERS + body(3.6, ("f/1", 1))) == {"flow broken": 1}


def test_of_one_that_was_killed_nothing_is_known_but_what_it_wrote() -> None:
    late = "started 3.8 w f 5 2\ngiven 3.8 w f 5 f/1 1\ngiven 3.8 w f 5 f/2 3\nfinished 3.9 w f 5\n"
    history = MEMBERS.replace("succeeded 7 4", "succeeded 7 5")
    assert found(history + body(3.6, ("f/1", 1), finished=False) + late) == {}
