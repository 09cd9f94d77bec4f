"""New tasks that are assigned by the command that stores them. Sans-IO.

A task that one command stores and assigns needs one commit less until it runs. That is only fair
while no task of its queue waits before it, or is on its way into the queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raftwork.broker.dispatch.dispatcher import Dispatcher
    from raftwork.broker.workers.registry import WorkerRegistry
    from raftwork.broker.workers.worker import Worker


class Intake:
    """Finds workers that can begin new tasks at once, for one leadership."""

    def __init__(self, dispatcher: Dispatcher, workers: WorkerRegistry) -> None:
        self._dispatcher = dispatcher
        self._workers = workers
        self._available: list[Worker] | None = None  # this turn's, if it was asked for
        # Tasks on their way into each queue that no worker is named for: later ones stay behind.
        self._unplaced: dict[str, int] = {}

    def turn(self) -> None:
        """A new turn: workers' capacity may have changed."""
        self._available = None

    def begin(self, queue: str, name: str, tasks: int, *, placed: bool) -> list[tuple[bytes, int]]:
        """How many of these new tasks begin at once, by incarnation; the others wait.

        `placed`: where they go is decided by more than what is free, once they are in the queue.
        """
        begin: list[tuple[bytes, int]] = []
        unplaced = self._unplaced.get(queue, 0)
        if not unplaced and not placed and self._dispatcher.is_empty(queue):
            if self._available is None:
                self._available = self._workers.available()
            begin = self._dispatcher.begin(queue, name, tasks, self._available)
        if begin:
            tasks -= sum(count for _, count in begin)
        if tasks:
            self._unplaced[queue] = unplaced + tasks
        return begin

    def entered(self, queue: str, tasks: int, begin: list[tuple[bytes, int]]) -> None:
        """They are applied, or refused. What `begin` reserved follows as an effect."""
        if begin:
            tasks -= sum(count for _, count in begin)
            self._workers.unreserve(begin)
            self._dispatcher.needs_plan = True
        if tasks:
            self._unplaced[queue] -= tasks
            if not self._unplaced[queue]:
                del self._unplaced[queue]
