"""A pool whose tasks come and go sealed: what a worker of an App with a codec gives its agent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from raftwork.errors import BadMessage, CannotDecrypt
from raftwork.features.checkpoints import Verdict
from raftwork.messages import Hopeless, Outcome, PushedTask, Wait, decode_spec
from raftwork.sealed_failures import seal_failure
from raftwork.sealing import ARGUMENTS, CHECKPOINT, RESULT, Bound, Codec
from raftwork.worker.pool import Pool, Running, TaskNotes
from raftwork.worker.runner import Ended, failure
from raftwork.worker.task_notes import Asked, Said


class _Notes(NamedTuple):
    """Checkpoints leave sealed."""

    within: TaskNotes
    codec: Codec
    ids: dict[int, str]

    def said(self) -> Sequence[Said]:
        """See TaskNotes."""
        return self.within.said()

    def asked(self) -> Sequence[Asked]:
        """See TaskNotes."""
        return [
            asked._replace(value=self.codec.seal(asked.value, Bound(CHECKPOINT, task)))
            for asked in self.within.asked()
            if (task := self.ids.get(asked.token)) is not None
        ]

    def answer(self, token: int, number: int, verdict: Verdict) -> None:
        """See TaskNotes."""
        self.within.answer(token, number, verdict)


class SealedPool:
    """Implements Pool around another one."""

    def __init__(self, within: Pool, codec: Codec) -> None:
        self._within, self._codec = within, codec
        #: Of the tasks that the pool has.
        self._ids: dict[int, str] = {}
        #: Tasks that could not be opened.
        self._unopened: list[Ended] = []
        self._notes = _Notes(within.notes, codec, self._ids)

    @property
    def notes(self) -> TaskNotes:
        """See Pool."""
        return self._notes

    @property
    def slots(self) -> int:
        """See Pool."""
        return self._within.slots

    @property
    def wakers(self) -> Sequence[int]:
        """See Pool."""
        return self._within.wakers

    def start(self, tasks: Collection[PushedTask]) -> None:
        """See Pool. What cannot be opened fails as its code would."""
        opened = []
        for task in tasks:
            self._ids[task.token] = task.id
            try:
                opened.append(self._open(task))
            except (BadMessage, CannotDecrypt) as error:
                told = failure(task.token, type(error).__name__, str(error))
                self._unopened.append(Ended(told, 0))
        self._within.start(opened)

    def _open(self, task: PushedTask) -> PushedTask:
        spec = decode_spec(task.spec)
        bound = Bound(ARGUMENTS, task.id, spec.name, spec.queue)
        about = task.about
        if about is not None and about.checkpoint is not None:
            left = self._codec.open(about.checkpoint, Bound(CHECKPOINT, task.id))
            about = about._replace(checkpoint=left)
        return task._replace(payload=self._codec.open(task.payload, bound), about=about)

    def collect(self) -> list[Ended]:
        """See Pool."""
        ends, self._unopened = [*self._unopened, *self._within.collect()], []
        return [end._replace(outcome=self._sealed(end.outcome)) for end in ends]

    def _sealed(self, outcome: Outcome) -> Outcome:
        task = self._ids.pop(outcome.token, None)
        if task is None:
            return outcome._replace(ok=False, data=b"")  # its token is void: nobody takes it
        if outcome.ok:
            return outcome._replace(data=self._codec.seal(outcome.data, Bound(RESULT, task)))
        return outcome._replace(data=seal_failure(self._codec, outcome.data, task))

    def running(self) -> list[Running]:
        """See Pool."""
        return self._within.running()

    def waiting(self) -> Collection[Wait]:
        """See Pool."""
        return self._within.waiting()

    def end_waits(self, hopeless: Collection[Hopeless]) -> None:
        """See Pool."""
        self._within.end_waits(hopeless)

    def withdraw(self) -> list[PushedTask]:
        """See Pool."""
        return self._handed_back(self._within.withdraw())

    def cancel(self, tokens: Collection[int]) -> list[PushedTask]:
        """See Pool."""
        return self._handed_back(self._within.cancel(tokens))

    def _handed_back(self, tasks: list[PushedTask]) -> list[PushedTask]:
        for task in tasks:
            self._ids.pop(task.token, None)
        return tasks

    def drain(self) -> None:
        """See Pool."""
        self._within.drain()

    def stop(self, tokens: Collection[int]) -> None:
        """See Pool."""
        for token in tokens:
            self._ids.pop(token, None)
        self._within.stop(tokens)

    def close(self) -> None:
        """See Pool."""
        self._within.close()
