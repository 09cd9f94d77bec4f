"""A pool whose tasks come and go sealed: what a worker of an App with a codec gives its agent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from raftwork.errors import BadMessage, CannotDecrypt, PayloadTooLarge
from raftwork.features.checkpoints import Verdict
from raftwork.messages import (
    Hopeless,
    Outcome,
    PushedTask,
    Wait,
    decode_ending,
    decode_spec,
    encode_failure,
)
from raftwork.messages.failures import Grown, is_growth
from raftwork.messages.flow_values import as_shard, taken_from_shard
from raftwork.sealed_failures import seal_failure, seal_log
from raftwork.sealed_flows import open_value, seal_graph
from raftwork.sealing import (
    ARGUMENTS,
    CHECKPOINT,
    LOG,
    RESULT,
    Bound,
    Codec,
    joined_marks,
    marks_of,
)
from raftwork.worker.pool import Pool, Running, TaskNotes
from raftwork.worker.runner import Ended, failure
from raftwork.worker.task_lines import Line, NewLines, Read
from raftwork.worker.task_notes import Asked, Said


class _Held(NamedTuple):
    """A task that the pool has."""

    #: As it came. A pool that hands it back has it opened, and who takes it next opens it again.
    sealed: PushedTask
    #: Of its arguments: what it comes to has them, too. None if these came unsealed.
    marks: Sequence[bytes] | None = ()

    @property
    def id(self) -> str:
        """The task's."""
        return self.sealed.id


class _Notes(NamedTuple):
    """Checkpoints leave sealed."""

    within: TaskNotes
    codec: Codec
    held: dict[int, _Held]
    #: Those whose end was collected last.
    ended: dict[int, _Held]

    def said(self) -> Sequence[Said]:
        """See TaskNotes."""
        return self.within.said()

    def asked(self) -> Sequence[Asked]:
        """See TaskNotes."""
        return [
            asked._replace(value=self.codec.seal(asked.value, Bound(CHECKPOINT, held.id)))
            for asked in self.within.asked()
            if (held := self.held.get(asked.token)) is not None
        ]

    def lines(self, token: int, read: Read) -> NewLines | None:
        """See LogSource. Lines are contents, too."""
        found, held = self.within.lines(token, read), self.held.get(token) or self.ended.get(token)
        if found is None:
            return None
        if held is None:
            return found._replace(lines=())
        bound = Bound(LOG, held.id)
        sealed = [Line(each.at, self.codec.seal(each.data, bound), True) for each in found.lines]
        return found._replace(lines=sealed)

    def with_last_lines(self, outcome: Outcome) -> Outcome:
        """See TaskNotes."""
        held, told = self.held.get(outcome.token), self.within.with_last_lines(outcome)
        if held is None:
            return outcome
        return told._replace(data=seal_log(self.codec, told.data, held.id, held.marks or ()))

    def answer(self, token: int, number: int, verdict: Verdict) -> None:
        """See TaskNotes."""
        self.within.answer(token, number, verdict)


class SealedPool:
    """Implements Pool around another one."""

    def __init__(self, within: Pool, codec: Codec) -> None:
        self._within, self._codec = within, codec
        #: By token, the tasks that the pool has.
        self._held: dict[int, _Held] = {}
        #: Tasks that could not be opened.
        self._unopened: list[Ended] = []
        self._ended: dict[int, _Held] = {}
        self._notes = _Notes(within.notes, codec, self._held, self._ended)

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
            self._held[task.token] = _Held(task)
            try:
                opened.append(self._open(task))
            except (BadMessage, CannotDecrypt) as error:
                told = failure(task.token, type(error).__name__, str(error))
                self._unopened.append(Ended(told, 0))
        self._within.start(opened)

    def _open(self, task: PushedTask) -> PushedTask:
        spec = decode_spec(task.spec)
        sealed, shard = taken_from_shard(task.payload)
        payload = self._codec.open(sealed, Bound(ARGUMENTS, task.id, spec.name, spec.queue))
        marks = self._codec.marks(sealed)
        if shard is not None:
            payload = as_shard(payload, *shard)
        self._held[task.token] = _Held(task, marks)
        about = task.about
        if about is not None and about.checkpoint is not None:
            left = self._codec.open(about.checkpoint, Bound(CHECKPOINT, task.id))
            about = about._replace(checkpoint=left)
        if about is not None and about.inputs:
            about = about._replace(
                inputs=[
                    (slot, open_value(self._codec, data, task.id, marks))
                    for slot, data in about.inputs
                ]
            )
        return task._replace(payload=payload, about=about)

    def collect(self) -> list[Ended]:
        """See Pool."""
        self._ended.clear()
        ends, self._unopened = [*self._unopened, *self._within.collect()], []
        return [end._replace(outcome=self._sealed(end.outcome)) for end in ends]

    def _sealed(self, outcome: Outcome) -> Outcome:
        held = self._held.pop(outcome.token, None)
        if held is None:
            return outcome._replace(ok=False, data=b"")  # its token is void: nobody takes it
        self._ended[outcome.token] = held
        if outcome.ok:
            return outcome._replace(data=self._result(outcome.data, held))
        if is_growth(outcome.data):
            return self._grown(outcome, held)
        seal = seal_failure if outcome.loss is None else seal_log  # how it was lost is a fact
        data = seal(self._codec, outcome.data, held.id, held.marks or ())
        return outcome._replace(data=data)

    def _result(self, data: bytes, held: _Held) -> bytes:
        return self._codec.seal(data, Bound(RESULT, held.id, marks=held.marks or ()))

    def _grown(self, outcome: Outcome, held: _Held) -> Outcome:
        """What its code made, and returned, if anything: an outcome of others is its own."""
        grown, codec = decode_ending(outcome.data), self._codec
        assert isinstance(grown, Grown), "the pool packed it"
        marks = held.marks or ()
        try:
            if grown.spawned:
                grown = grown._replace(spawned=seal_graph(codec, grown.spawned, marks))
            if grown.replaced:
                inside = joined_marks(marks, marks_of(held.id))
                grown = grown._replace(replaced=seal_graph(codec, grown.replaced, inside))
            else:
                grown = grown._replace(value=self._result(grown.value, held))
        except PayloadTooLarge as error:
            told = failure(outcome.token, type(error).__name__, str(error))
            data = seal_failure(codec, told.data, held.id, marks)
            return told._replace(data=data, final=True)
        return outcome._replace(data=encode_failure(grown))

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
        return [self._held.pop(task.token).sealed for task in tasks]

    def drain(self) -> None:
        """See Pool."""
        self._within.drain()

    def stop(self, tokens: Collection[int]) -> None:
        """See Pool."""
        for token in tokens:
            self._held.pop(token, None)
        self._within.stop(tokens)

    def close(self) -> None:
        """See Pool."""
        self._within.close()
