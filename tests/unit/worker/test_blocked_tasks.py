"""Which tasks count as waiting for another one, and what becomes of their slots."""

import asyncio
import os
from collections.abc import Iterator
from threading import Thread

import pytest

from raftwork import wait_observer
from raftwork.errors import WouldDeadlock
from raftwork.messages import WAITS_MAX, Deadlock, Hopeless, Wait
from raftwork.wait_observer import Awaited, Observed
from raftwork.worker.blocked_tasks import _Nowhere, end_waits, notice_waits, run_in, waiting
from raftwork.worker.context import Context, running

MINE = ("a:1", "b:1")


class Slots:
    """Slots of which `left` can be lent."""

    def __init__(self) -> None:
        self.left = 1
        self.said: list[Wait] = []
        self.told: list[str] = []

    def park(self, token: int) -> bool:
        self.left -= 1
        self.told.append(f"park {token}")
        return self.left >= 0

    def resume(self, token: int) -> None:
        self.told.append(f"resume {token}")

    async def next_slot(self, token: int) -> None:
        await asyncio.sleep(0)
        self.told.append(f"slot {token}")

    def changed(self, wait: Wait) -> None:
        self.said.append(wait._replace(turn=0))


@pytest.fixture(autouse=True)
def slots(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slots]:
    monkeypatch.setattr(wait_observer, "_around", wait_observer._around)
    made = Slots()
    notice_waits(MINE)
    run_in(made)
    yield made
    run_in(_Nowhere())


def _task(token: int) -> running:
    return running(lambda: Context("id", token, 1, "w"))


def _wait(
    brokers: tuple[str, ...] = MINE,
    task: str = "other",
    *,
    endless: bool = True,
    errors: list[Exception] | None = None,
) -> Observed:
    seen = [] if errors is None else errors
    return wait_observer.observed(Awaited(brokers, task, endless, seen.append))


def _tokens() -> set[int]:
    return {wait.token for wait in waiting()}


def test_a_task_waits_from_its_first_wait_to_the_end_of_its_last(slots: Slots) -> None:
    with _task(7), _wait(("b:1", "c:1"), "x"):
        with _wait(task="y", endless=False):
            assert _tokens() == {7}
        assert _tokens() == {7}
    assert _tokens() == set()
    assert slots.told == ["park 7", "resume 7"]
    assert slots.said == [
        Wait(7, 0, True, ["x"], True),
        Wait(7, 0, True, ["x", "y"], False),
        Wait(7, 0, True, ["x"], True),
        Wait(7, 0),
    ]


def test_a_wait_that_fails_is_over() -> None:
    with _task(7), pytest.raises(TimeoutError), _wait():
        raise TimeoutError
    assert _tokens() == set()


def test_what_waits_for_another_cluster_or_runs_outside_a_task_does_not_count(
    slots: Slots,
) -> None:
    with _task(7), _wait(("elsewhere:1",)):
        assert _tokens() == set()
    with _wait():
        assert _tokens() == set()
    assert not slots.told
    assert not slots.said


def test_tasks_of_several_threads_are_told_apart(slots: Slots) -> None:
    def work() -> None:
        with _task(8), _wait():
            assert _tokens() == {7, 8}
            assert [wait.parked for wait in waiting()] == [True, False], "one slot can be lent"

    with _task(7), _wait():
        thread = Thread(target=work)
        thread.start()
        thread.join()
        assert _tokens() == {7}
    assert slots.told == ["park 7", "park 8", "resume 7"]


def test_a_coroutine_goes_on_once_it_has_a_slot_again(slots: Slots) -> None:
    async def task() -> None:
        with _task(7):
            async with _wait():
                pass
            slots.told.append("goes on")

    asyncio.run(task())
    assert slots.told == ["park 7", "slot 7", "goes on"]


def test_a_coroutine_that_is_cancelled_waits_for_no_slot(slots: Slots) -> None:
    async def task() -> None:
        with _task(7):
            async with _wait():
                await asyncio.sleep(60)

    async def cancel() -> None:
        running = asyncio.ensure_future(task())
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel())
    assert slots.told == ["park 7", "resume 7"]


def test_a_wait_without_hope_fails_unless_something_has_changed_since(slots: Slots) -> None:
    errors: list[Exception] = []
    with _task(7), _wait(task="x", errors=errors):
        (wait,) = waiting()
        end_waits([Hopeless(7, wait.turn + 1, Deadlock.CYCLE), Hopeless(8, 1, Deadlock.CYCLE)])
        assert not errors
        end_waits([Hopeless(7, wait.turn, Deadlock.SLOTS)])
        (error,) = errors
        assert isinstance(error, WouldDeadlock)
        assert "task id would wait for ever for the outcome of task x" in str(error)
        assert "raise --concurrency" in str(error)
    end_waits([Hopeless(7, wait.turn, Deadlock.CYCLE)])
    assert len(errors) == 1


def test_a_task_that_waits_for_very_many_is_told_without_their_ids(slots: Slots) -> None:
    with _task(7):
        waits = [_wait(task=f"t{at}") for at in range(WAITS_MAX + 2)]
        for wait in waits:
            wait.__enter__()
    assert [len(wait.ids) for wait in slots.said] == [*range(1, WAITS_MAX + 1), 0]
    assert waiting()[0][2:4] == (True, [])
    for wait in waits:
        wait.__exit__(None, None, None)
    told = [len(wait.ids) for wait in slots.said[WAITS_MAX + 1 :]]
    assert told == [0, *range(WAITS_MAX, -1, -1)]


def test_a_copy_that_a_task_forks_gives_nothing_away(slots: Slots) -> None:
    with _task(7):
        pid = os.fork()
        if pid == 0:
            with _wait():
                os._exit(len(slots.told) + len(waiting()))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
