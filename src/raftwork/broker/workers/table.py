"""The table of workers: bounded, whatever says hello. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.broker.workers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

#: Workers remembered at a time, lost ones among them. Each costs a look at every beat.
WORKERS_MAX = 10_000


class WorkerTable:
    """Every worker that is remembered, and the connection each of them has."""

    def __init__(self, left: Callable[[bytes], None]) -> None:
        """`left(incarnation)` is called for a worker that is forgotten."""
        self._left = left
        self.by_incarnation: dict[bytes, Worker] = {}
        self.by_routing: dict[bytes, Worker] = {}

    def admit(self, routing: bytes, incarnation: bytes, now: int) -> Worker | None:
        """A worker that says its first hello; None if the table is full.

        One connection has one worker: a process that says hello under ever new incarnations must
        not fill the table.
        """
        self._evict(self.by_routing.get(routing))
        if len(self.by_incarnation) >= WORKERS_MAX and not self._evict(self._longest_lost()):
            return None
        worker = self.by_incarnation[incarnation] = Worker(incarnation, now)
        return worker

    def remove(self, worker: Worker) -> None:
        """Forget a worker."""
        worker.lost = worker.deadline if worker.lost is None else worker.lost
        del self.by_incarnation[worker.incarnation]
        self._left(worker.incarnation)

    def _longest_lost(self) -> Worker | None:
        lost = (w for w in self.by_incarnation.values() if w.lost is not None and not w.assignments)
        return min(lost, key=lambda worker: worker.lost or 0, default=None)

    def _evict(self, worker: Worker | None) -> bool:
        """Forget a worker, unless it holds tasks; whether it is gone."""
        if worker is None or worker.assignments:
            return False
        if worker.routing is not None:
            del self.by_routing[worker.routing]
            worker.routing = None
        self.remove(worker)
        return True
