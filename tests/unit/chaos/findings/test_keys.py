"""Unique keys that two unfinished tasks had, or one that was over."""

from tests.unit.chaos.findings.histories import found


def task(name: str, asked: float, stored: float, began: float, ended: float, token: int) -> str:
    """A task of the unique key k."""
    number = int(name[1:])
    return f"""
asked {asked} c {name} {number}
wanted {asked} c {name} unique k
stored {stored} c {name}
started {began} w {name} {token} 1
finished {ended} w {name} {token}
ended {ended + 0.1} c {name} succeeded {number} {token}
ended 99 audit {name} succeeded {number} {token}
"""


def told(name: str, asked: float, owner: str) -> str:
    """Its enqueue was told of another task."""
    return f"""
asked {asked} c {name} {name[1:]}
wanted {asked} c {name} unique k
existing {asked + 0.1} c {name} {owner}
ended 99 audit {name} unknown
"""


def test_one_after_the_other_is_good() -> None:
    assert found(task("t1", 1.0, 1.1, 2.0, 2.5, 5) + task("t2", 2.4, 2.6, 2.7, 2.8, 6)) == {}


def test_one_that_is_acknowledged_while_another_is_unfinished_is_found() -> None:
    text = task("t1", 1.0, 1.1, 2.0, 2.5, 5) + task("t2", 1.2, 1.3, 3.0, 3.5, 6)
    assert found(text) == {"two of a unique key": 1}


def test_so_is_one_that_was_never_acknowledged_and_runs() -> None:
    other = task("t2", 1.2, 1.3, 2.2, 3.5, 6).replace("stored 1.3 c t2\n", "")
    assert found(task("t1", 1.0, 1.1, 2.0, 2.5, 5) + other) == {"two of a unique key": 1}


def test_one_that_was_cancelled_had_the_key_until_then() -> None:
    cancelled = """
asked 1.0 c t1 1
wanted 1.0 c t1 unique k
stored 1.1 c t1
cancelling {at} c t1
ended 3.0 audit t1 cancelled
"""
    other = task("t2", 1.2, 2.0, 2.2, 2.5, 6)
    assert found(cancelled.format(at=1.5) + other) == {}
    assert found(cancelled.format(at=2.1) + other) == {"two of a unique key": 1}


def test_who_is_told_of_another_task_has_none() -> None:
    assert found(task("t1", 1.0, 1.1, 2.0, 2.5, 5) + told("t2", 1.2, "t1")) == {}


def test_a_task_that_was_told_to_be_over_has_no_key() -> None:
    text = task("t1", 1.0, 1.1, 2.0, 2.5, 5) + told("t2", 2.7, "t1")
    assert found(text) == {"unique key kept": 1}
