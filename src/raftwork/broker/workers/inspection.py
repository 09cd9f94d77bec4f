"""What a leader tells of its workers, and of what they run, to those who look at tasks. Sans-IO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from raftwork.broker.workers.attribution import Attribution
    from raftwork.broker.workers.live_logs import LiveLogs
    from raftwork.broker.workers.task_notes import TaskNotes
    from raftwork.broker.workers.worker import Assignment, Worker
    from raftwork.features.progress import Said


@dataclass(frozen=True, slots=True)
class Inspection:
    """It reads what the registry keeps up to date, and changes nothing."""

    _workers: Mapping[bytes, Worker]
    _holder: Mapping[int, Worker]
    _attribution: Attribution
    _notes: TaskNotes
    _last_beat: Callable[[], int]

    def serving(self, queue: str) -> list[Worker]:
        """Those that take tasks of this queue, or would if they could."""
        return [w for w in self._workers.values() if queue in w.queues and w.lost is None]

    def takers(self, queue: str) -> list[str]:
        """The names of those that are active and serve this queue, in order."""
        serving = self.serving(queue)
        return sorted({w.name for w in serving if w.retained and w.name})

    def why_not(self, worker: Worker) -> str:
        """Why it gets no tasks, or not all it could take, for people; else empty."""
        return self._attribution.reason(worker, self._last_beat())

    def held(self, token: int) -> tuple[str, int | None]:
        """The name of the worker that has it, and how long (ms) its code had run at the last beat.

        Empty, and None, for what the worker has not said to this leader.
        """
        worker = self._holder.get(token)
        if worker is None:
            return "", None
        began = worker.assignments[token].started
        return worker.name, None if began is None else max(0, self._last_beat() - began)

    def hands(self, worker: str = "") -> list[tuple[int, int | None]]:
        """Every token that a worker has, with how long (ms) its code had run at the last beat.

        Of workers of this name alone, if one is given. None: it has not begun, or only just.
        """
        beat = self._last_beat()
        return [
            (token, None if each.started is None else max(0, beat - each.started))
            for one in self._workers.values()
            if worker in {"", one.name}
            for token, each in one.assignments.items()
            if each.undecided
        ]

    def hand(self, token: int) -> tuple[str, Assignment] | None:
        """The name of the worker that has it, and what is known of that; None if it is over."""
        worker = self._holder.get(token)
        return None if worker is None else (worker.name, worker.assignments[token])

    def name(self, incarnation: bytes) -> str:
        """Of the worker of this incarnation; empty if this leader has not heard of it."""
        worker = self._workers.get(incarnation)
        return "" if worker is None else worker.name

    @property
    def logs(self) -> LiveLogs:
        """What running tasks log, where somebody follows them."""
        return self._notes.logs

    def progress(self, id_: str) -> Said | None:
        """How far the task of this id is by its own word, if it runs."""
        return self._notes.progress(id_)
