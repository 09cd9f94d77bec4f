"""What a client asks until another broker leads."""

from collections.abc import Sequence
from typing import cast

import pytest

from raftwork.client import leadership
from raftwork.client.leadership import Transferred, moves
from raftwork.features.transfer import LeadershipTold, TransferLeadership


def play(
    to: str, answers: Sequence[tuple[str, int]], wait: float = 30.0
) -> tuple[list[int], Transferred]:
    """The epochs that it wants ended, and what it found; each answer is (leader, epoch)."""
    steps = moves(to, wait)
    step, epochs = next(steps), list[int]()
    try:
        for name, epoch in answers:
            assert step.asked == TransferLeadership(0, to, step.asked.epoch)
            epochs.append(step.asked.epoch)
            step = steps.send(LeadershipTold(0, name, epoch, f"{to} is behind"))
    except StopIteration as end:
        return epochs, cast("Transferred", end.value)
    raise AssertionError(f"it would ask {step}")


def test_it_asks_who_leads_and_then_for_the_end_of_that_epoch_alone() -> None:
    assert play("b", [("a", 3), ("b", 4)]) == ([0, 3], Transferred("b", 4, "a"))
    assert play("", [("a", 3), ("c", 4)]) == ([0, 3], Transferred("c", 4, "a"))


def test_who_leads_already_is_asked_for_nothing() -> None:
    assert play("a", [("a", 3)]) == ([0], Transferred("a", 3, "a"))


def test_another_one_that_took_over_is_asked_in_its_own_epoch() -> None:
    assert play("b", [("a", 3), ("c", 4), ("b", 5)]) == ([0, 3, 4], Transferred("b", 5, "a"))
    # The same one again, after an election, is not another one.
    assert play("", [("a", 3), ("a", 5), ("b", 6)]) == ([0, 3, 5], Transferred("b", 6, "a"))


def test_it_ends_with_what_the_leader_says(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(leadership, "monotonic", lambda: now)
    steps = moves("b", 2.0)
    told = LeadershipTold(0, "a", 3, "b is behind")
    next(steps)
    for _ in range(5):  # who leads, and then at 0, 0.5, 1 and 1.5 s
        now += steps.send(told).pause
    assert now == 2.0
    with pytest.raises(TimeoutError, match=r"not handed over within 2 s: b is behind$"):
        steps.send(told)


def test_with_no_time_to_wait_it_tries_once() -> None:
    steps = moves("b", 0.0)
    next(steps)
    steps.send(LeadershipTold(0, "a", 3))
    with pytest.raises(TimeoutError, match="a leads, in epoch 3"):
        steps.send(LeadershipTold(0, "a", 3))
