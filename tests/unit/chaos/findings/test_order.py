"""Ordered tasks of a key that overlapped or overtook."""

from tests.unit.chaos.findings.histories import found


def task(name: str, asked: float, stored: float, *runs: tuple[float, float, int]) -> str:
    """An ordered task of the key k, and its runs as (began, ended, token): the last one counts."""
    number = int(name[1:])
    lines = [f"asked {asked} c {name} {number}", f"wanted {asked} c {name} ordered k"]
    lines.append(f"stored {stored} c {name}")
    for attempt, (began, ended, token) in enumerate(runs, 1):
        lines += [f"started {began} w {name} {token} {attempt}"]
        lines += [f"finished {ended} w {name} {token}"]
    lines.append(f"ended 99 audit {name} succeeded {number} {runs[-1][2]}")
    return "\n".join(lines) + "\n"


def test_one_after_the_other_in_their_order_is_good() -> None:
    first = task("t1", 1.0, 1.1, (2.0, 2.5, 5), (3.0, 3.5, 6))
    assert found(first + task("t2", 1.2, 1.3, (3.6, 3.7, 7))) == {}


def test_one_that_begins_before_the_other_is_done_is_found() -> None:
    first = task("t1", 1.0, 1.1, (2.0, 2.5, 5))
    assert found(first + task("t2", 1.2, 1.3, (2.4, 2.6, 6))) == {"order broken": 1}


def test_so_is_one_that_begins_while_the_other_waits_for_a_retry() -> None:
    first = task("t1", 1.0, 1.1, (2.0, 2.5, 5), (3.0, 3.5, 7))
    assert found(first + task("t2", 1.2, 1.3, (2.7, 2.8, 6))) == {"order broken": 1}


def test_so_is_one_that_overtakes_what_was_stored_before_it_was_asked_for() -> None:
    first = task("t1", 1.0, 1.1, (3.0, 3.5, 6))
    assert found(first + task("t2", 1.2, 1.3, (2.0, 2.1, 5))) == {"order broken": 1}


def test_and_one_that_overtakes_another_of_its_batch() -> None:
    first = task("t1", 1.0, 1.1, (3.0, 3.5, 6))
    assert found(first + task("t2", 1.0, 1.1, (2.0, 2.1, 5))) == {"order broken": 1}


def test_of_those_asked_for_at_once_either_may_go_first() -> None:
    first = task("t1", 1.0, 1.3, (3.0, 3.5, 6))
    assert found(first + task("t2", 1.2, 1.4, (2.0, 2.1, 5))) == {}


def test_the_late_run_of_a_worker_that_was_given_up_overlaps_nothing() -> None:
    """Its token is not the one that counts."""
    first = task("t1", 1.0, 1.1, (2.0, 9.0, 5), (3.0, 3.5, 6))
    assert found(first + task("t2", 1.2, 1.3, (4.0, 4.1, 7))) == {}


def test_tasks_of_two_keys_go_as_they_like() -> None:
    first = task("t1", 1.0, 1.1, (2.0, 2.5, 5))
    other = task("t2", 1.2, 1.3, (1.5, 2.6, 4)).replace("ordered k", "ordered l")
    assert found(first + other) == {}
