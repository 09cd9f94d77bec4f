"""Which tasks count as waiting for another one."""

from collections.abc import Iterator
from threading import Thread

import pytest

from raftwork import wait_observer
from raftwork.worker.blocked_tasks import notice_waits, waiting, when_changed
from raftwork.worker.context import Context, running

MINE = ("a:1", "b:1")


@pytest.fixture(autouse=True)
def noticed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[set[int]]]:
    """The waiting tasks, each time that changed."""
    monkeypatch.setattr(wait_observer, "_around", wait_observer._around)
    seen: list[set[int]] = []
    notice_waits(MINE)
    when_changed(lambda: seen.append(waiting()))
    yield seen
    when_changed(lambda: None)


def test_a_task_waits_from_its_first_wait_to_the_end_of_its_last(
    noticed: list[set[int]],
) -> None:
    with running(Context("id", 7, 1, "w")), wait_observer.observed(["b:1", "c:1"]):
        with wait_observer.observed(MINE):
            pass
        assert waiting() == {7}
    assert waiting() == set()
    assert noticed == [{7}, {7}, {7}, set()]


def test_a_wait_that_fails_is_over() -> None:
    with (
        running(Context("id", 7, 1, "w")),
        pytest.raises(TimeoutError),
        wait_observer.observed(MINE),
    ):
        raise TimeoutError
    assert waiting() == set()


def test_what_waits_for_another_cluster_or_runs_outside_a_task_does_not_count(
    noticed: list[set[int]],
) -> None:
    with running(Context("id", 7, 1, "w")), wait_observer.observed(["elsewhere:1"]):
        assert waiting() == set()
    with wait_observer.observed(MINE):
        assert waiting() == set()
    assert noticed == []


def test_tasks_of_several_threads_are_told_apart() -> None:
    def work() -> None:
        with running(Context("id", 8, 1, "w")), wait_observer.observed(MINE):
            assert waiting() == {7, 8}

    with running(Context("id", 7, 1, "w")), wait_observer.observed(MINE):
        thread = Thread(target=work)
        thread.start()
        thread.join()
        assert waiting() == {7}
