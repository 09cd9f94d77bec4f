"""One answer for all who ask the same at once."""

import threading
from itertools import count

import pytest

from raftwork.web.api import shared as shared_answers
from raftwork.web.api.shared import KEPT_MAX, Shared


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_answered_just_now_is_answered_again() -> None:
    clock, numbers = Clock(), count()
    shared = Shared(clock)

    def ask(key: str = "x") -> object:
        return shared.answer(key, lambda: next(numbers), 1.0)

    assert [ask(), ask(), ask("y")] == [0, 0, 1]
    clock.now = 1.0
    assert ask() == 2
    shared.forget()
    assert ask() == 3


def test_an_error_is_shared_too() -> None:
    """Else each of ten who wait for a leader would wait for those before it, too."""
    shared, asked = Shared(Clock()), count()

    def fail() -> object:
        next(asked)
        raise TimeoutError("no leader")

    for _ in range(3):
        with pytest.raises(TimeoutError):
            shared.answer("x", fail, 1.0)
    assert next(asked) == 1


def test_who_comes_meanwhile_waits_for_the_same_answer() -> None:
    shared, numbers = Shared(), count()
    begun, go_on, found = threading.Event(), threading.Event(), list[object]()

    def slowly() -> object:
        begun.set()
        go_on.wait(10)
        return next(numbers)

    threads = [
        threading.Thread(target=lambda: found.append(shared.answer("x", slowly, 60.0)))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert found == [0] * 5


def test_only_so_many_answers_are_kept() -> None:
    shared = Shared(Clock())
    for n in range(KEPT_MAX + 50):
        shared.answer(str(n), lambda: n, 1.0)  # noqa: B023 - called at once
    assert len(shared._kept) == KEPT_MAX


def test_answers_are_kept_up_to_so_many_bytes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task's result may have megabytes, and this process may not take many."""
    monkeypatch.setattr(shared_answers, "KEPT_BYTES_MAX", 100)
    shared = Shared(Clock())
    for name, size in (("a", 40), ("b", 40), ("c", 40), ("d", 101)):
        assert shared.answer(name, lambda: bytes(size), 1.0) == bytes(size)  # noqa: B023 - at once
        assert sum(kept.size for kept in shared._kept.values()) <= 100
    assert list(shared._kept) == ["b", "c"], "the oldest goes; one that is too large by itself, too"


def test_what_is_ready_is_had_without_a_wait_and_nothing_else_is() -> None:
    clock = Clock()
    shared = Shared(clock)
    assert shared.ready("k") is None
    shared.answer("k", lambda: b"made", 1.0)
    assert shared.ready("k") == b"made"
    clock.now += 1.0
    assert shared.ready("k") is None, "it is too old"
    with pytest.raises(ValueError, match="no"):
        shared.answer("k", _fails, 1.0)
    assert shared.ready("k") is None, "an error is raised where it is asked for"
    shared.answer("other", lambda: b"made", 1.0)
    shared.forget()
    assert shared.ready("other") is None


def _fails() -> object:
    raise ValueError("no")
