"""Limits that were passed by too many: at once, or in a time."""

import pytest

from tests.unit.chaos.findings.histories import found

TWO = "limited 0.5 few 2 0 1 0\n"
KEYED = "limited 0.5 keyed 1 0 1 1\n"
#: Two a second of each key.
PACED = "limited 0.5 paced 0 2 1 1\n"


def task(
    name: str,
    began: float,
    ended: float,
    limits: str,
    *,
    key: str = "k",
    asked: float = 1.0,
    counts: bool = True,
    state: str = "succeeded",
) -> str:
    """A task that names limits, and its run; `counts`: under the token of its outcome."""
    number = int(name[1:])
    token = number if counts else number + 1_000
    again = "" if counts else f"started 90 v {name} {token} 2\nfinished 90.1 v {name} {token}"
    value = number if state == "succeeded" else -1
    fails = "" if state == "succeeded" else f"wanted {asked} c {name} fails always"
    return f"""
asked {asked} c {name} {number}
{fails}
wanted {asked} c {name} limits {limits}
wanted {asked} c {name} key {key}
stored {asked + 0.1} c {name}
started {began} w {name} {number} 1
finished {ended} w {name} {number}
{again}
ended 99 audit {name} {state} {value} {token}
"""


def at_times(*began: float) -> str:
    """Tasks of one key and the rate, each asked for and begun at once."""
    return PACED + "".join(
        task(f"t{number}", at, at + 0.01, "paced", asked=at - 0.02)
        for number, at in enumerate(began, 1)
    )


# ---- at once ------------------------------------------------------------------------------------


def test_as_many_as_a_limit_lets_in_are_good() -> None:
    runs = task("t1", 2.0, 3.0, "few") + task("t2", 2.5, 3.5, "few") + task("t3", 3.0, 4.0, "few")
    assert found(TWO + runs) == {}


def test_one_more_is_found() -> None:
    runs = task("t1", 2.0, 3.0, "few") + task("t2", 2.5, 3.5, "few") + task("t3", 2.9, 4.0, "few")
    assert found(TWO + runs) == {"limit exceeded": 1}


def test_of_a_key_two_at_once_are_found() -> None:
    runs = task("t1", 2.0, 3.0, "keyed") + task("t2", 2.9, 3.5, "keyed")
    assert found(KEYED + runs) == {"two of a key at once": 1}


def test_so_is_one_that_failed_for_good() -> None:
    runs = task("t1", 2.0, 3.0, "keyed", state="failed") + task("t2", 2.9, 3.5, "keyed")
    assert found(KEYED + runs) == {"two of a key at once": 1}


def test_two_keys_go_as_they_like() -> None:
    runs = task("t1", 2.0, 3.0, "keyed") + task("t2", 2.9, 3.5, "keyed", key="l")
    assert found(KEYED + runs) == {}


def test_each_of_a_tasks_limits_counts() -> None:
    runs = task("t1", 2.0, 3.0, "few,keyed") + task("t2", 2.9, 3.5, "keyed")
    assert found(TWO + KEYED + runs) == {"two of a key at once": 1}


def test_the_run_of_a_worker_that_was_given_up_counts_no_more() -> None:
    """When it was given up cannot be seen: only that its outcome is of another token."""
    runs = task("t1", 2.0, 3.0, "keyed", counts=False) + task("t2", 2.9, 3.5, "keyed")
    assert found(KEYED + runs) == {}


# ---- in a time ----------------------------------------------------------------------------------


def test_more_in_a_moment_than_the_rate_allows_are_found() -> None:
    """One, two a second more, and those of the second by which the clock may be set."""
    assert found(at_times(2.0, 2.01, 2.02)) == {}
    assert found(at_times(2.0, 2.01, 2.02, 2.03)) == {"rate exceeded": 1}


@pytest.mark.parametrize(("pause", "good"), [(0.5, True), (0.46, True), (0.3, False)])
def test_so_they_are_over_a_longer_time(pause: float, good: bool) -> None:
    """The clock may be faster by a tenth."""
    times = [2.0 + pause * number for number in range(40)]
    assert ("rate exceeded" in found(at_times(*times))) is not good


def test_a_pause_before_excuses_nothing() -> None:
    assert found(at_times(2.0, 30.0, 30.01, 30.02, 30.03)) == {"rate exceeded": 1}


def test_the_rate_of_another_key_is_its_own() -> None:
    text = at_times(2.0, 2.01, 2.02, 2.03)
    assert found(text.replace("key k\nstored 2.11 c t4", "key l\nstored 2.11 c t4")) == {}


def test_what_begins_at_once_may_have_been_handed_out_over_a_long_time() -> None:
    """A worker that was paused begins all that it was sent."""
    late = PACED + "".join(
        task(f"t{number}", 9.0 + number / 100, 9.5, "paced", asked=1.0) for number in range(1, 6)
    )
    assert found(late) == {}


def test_tokens_in_between_tell_that_it_was_not() -> None:
    """None was handed out before t1, which was asked for at the end of that time."""
    late = PACED + task("t1", 9.0, 9.1, "few", asked=8.9)
    late += "".join(
        task(f"t{number}", 9.0 + number / 100, 9.5, "paced", asked=1.0) for number in range(2, 6)
    )
    assert found(late) == {"rate exceeded": 1}


def test_and_so_does_what_began_although_it_was_handed_out_later() -> None:
    """All of them were before t9, which began at 1.2: only t2 to t5 themselves begin much later."""
    late = PACED + "".join(
        task(f"t{number}", 9.0 + number * 3, 50, "paced", asked=1.0) for number in range(2, 6)
    )
    assert found(late) == {}
    assert found(late + task("t9", 1.2, 1.3, "few")) == {"rate exceeded": 1}


def test_a_tick_that_is_written_down_when_all_is_over_says_nothing_of_its_time() -> None:
    tick = "asked 80 s t1 0\nstored 80 s t1\nstarted 9 w t1 1 1\nfinished 9.1 w t1 1\n"
    late = PACED + "".join(
        task(f"t{number}", 9.0 + number / 100, 9.5, "paced", asked=1.0) for number in range(2, 6)
    )
    assert found(late + tick + "ended 99 audit t1 succeeded 0 1") == {}


def test_once_all_clocks_were_set_a_rate_is_theirs() -> None:
    text = at_times(2.0, 2.01, 2.02, 2.03)
    assert found(text + "struck 1.9 clock+86400 all a+b+c") == {}
    assert found(text + "struck 1.9 clock+86400 leader a") == {"rate exceeded": 1}
    assert found(text + "struck 2.5 clock+86400 all a+b+c") == {"rate exceeded": 1}
