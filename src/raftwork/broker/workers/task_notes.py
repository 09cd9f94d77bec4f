"""What running tasks say of themselves: progress and checkpoints, and what they log. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.broker.workers.live_logs import LiveLogs
from raftwork.features.checkpoints import (
    CHECKPOINT_BYTES_MAX,
    CheckpointAnswered,
    KeepCheckpoint,
    Note,
    Verdict,
)
from raftwork.features.progress import TEXT_BYTES_MAX, Said, TellProgress
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.features.task_log import TellLog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.broker.machine import Machine
    from raftwork.broker.machine.commands import Command
    from raftwork.broker.workers.worker import Worker
    from raftwork.features.effects import CheckpointDecided
    from raftwork.features.progress import Told
    from raftwork.messages import FromBroker


class TaskNotes:
    """Of the tasks that run under this leadership; bounded by their number."""

    def __init__(self, machine: Machine, epoch: int, holder: Mapping[int, Worker]) -> None:
        """`holder` is who has the task under each token."""
        self._machine = machine
        self.logs = LiveLogs(machine, epoch, holder)
        self._epoch = epoch
        #: What to propose; drained by `commands`.
        self.wanted: list[Command] = []
        self._frames: list[tuple[bytes, FromBroker]] = []
        self._progress: dict[str, Said] = {}  # by the task's id
        self._ids: dict[int, str] = {}  # … and that by its token
        #: By token: the number of its last checkpoint that was proposed, and what became of it.
        self._checkpoints: dict[int, tuple[int, Verdict | None]] = {}

    def take(
        self, worker: Worker, frame: KeepCheckpoint | TellProgress | TellLog, time: int
    ) -> None:
        """What a worker sends of its tasks; `time` is leader time."""
        if isinstance(frame, TellLog):
            self.logs.take(worker, frame, time)
        elif isinstance(frame, TellProgress):
            self._tell(worker, frame.told, time)
        elif (verdict := self._keep(worker, frame)) is not None:
            self._answer(worker, frame.token, frame.number, verdict)

    def _tell(self, worker: Worker, told: list[Told], time: int) -> None:
        """What is of others, or means nothing, is dropped."""
        for token, fraction, text, age in told:
            running = self._machine.current(token) if token in worker.assignments else None
            if running is None or not 0 <= fraction <= 1 or len(text) > TEXT_BYTES_MAX:
                continue
            self._ids[token] = running.id
            self._progress[running.id] = Said(fraction, text, max(1, time - age))

    def _keep(self, worker: Worker, asked: KeepCheckpoint) -> Verdict | None:
        """What to answer at once; None if it is proposed, or was."""
        assignment = worker.assignments.get(asked.token)
        if assignment is None or not assignment.undecided:
            return Verdict.VOID
        if self._machine.level < LEVEL_OPTIONS:
            return Verdict.LEVEL
        if len(asked.value) > CHECKPOINT_BYTES_MAX:
            return Verdict.SIZE
        number, verdict = self._checkpoints.get(asked.token, (0, None))
        if asked.number <= number:  # it asks again: our answer was lost, or is on its way
            return verdict if asked.number == number else None
        self._checkpoints[asked.token] = asked.number, None
        self.wanted.append(Note(asked.token, asked.number, asked.value))
        return None

    def progress(self, id_: str) -> Said | None:
        """What this task said last, if it runs."""
        return self._progress.get(id_)

    def decided(self, effect: CheckpointDecided, worker: Worker | None) -> None:
        """The machine has decided on a checkpoint of a task of this worker."""
        token, number, verdict = effect
        if worker is not None:
            self._checkpoints[token] = number, verdict
            self._answer(worker, token, number, verdict)

    def _answer(self, worker: Worker, token: int, number: int, verdict: Verdict) -> None:
        if worker.routing is not None:
            answer = CheckpointAnswered(self._epoch, worker.session, token, number, verdict)
            self._frames.append((worker.routing, answer))

    def closed(self, token: int) -> None:
        """The attempt is over."""
        self._checkpoints.pop(token, None)
        id_ = self._ids.pop(token, None)
        if id_ is not None:
            self._progress.pop(id_, None)

    def commands(self) -> list[Command]:
        """What to propose, drained."""
        out, self.wanted = self.wanted, []
        return out

    def frames(self) -> list[tuple[bytes, FromBroker]]:
        """What to send, drained."""
        out, self._frames = self._frames + self.logs.frames(), []
        return out
