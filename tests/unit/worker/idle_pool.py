"""A pool for tests of the loop around it."""

from collections.abc import Collection, Sequence

from raftwork.messages import (
    Hopeless,
    PushedTask,
    Wait,
)
from raftwork.worker.pool import Running
from raftwork.worker.runner import Ended
from raftwork.worker.task_notes import Board


class IdlePool:
    """A pool that is never given a task."""

    slots = 1
    wakers: Sequence[int] = ()
    notes = Board(lambda: None)

    def start(self, tasks: Collection[PushedTask]) -> None: ...
    def collect(self) -> list[Ended]:
        return []

    def running(self) -> list[Running]:
        return []

    def withdraw(self) -> list[PushedTask]:
        return []

    def cancel(self, tokens: Collection[int]) -> list[PushedTask]:
        return []

    def drain(self) -> None: ...
    def waiting(self) -> list[Wait]:
        return []

    def end_waits(self, hopeless: Collection[Hopeless]) -> None: ...
    def stop(self, tokens: Collection[int]) -> None: ...
    def close(self) -> None: ...
