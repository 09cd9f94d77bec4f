"""Requests about dead tasks, as the active leader serves them. Sans-IO.

1. A retry or a purge is acknowledged when it is applied, never before; asked for again, a retry is
   the same one.
2. Who is dead is told only after a read barrier: a deposed leader would miss the newest.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from raftwork.broker.requests.read_barrier import ReadBarrier
from raftwork.features.dead_letters import (
    DEAD_IDS_MAX,
    DEAD_PAGE_MAX,
    DeadPage,
    DeadPurged,
    DeadRetried,
    ListDead,
    Purge,
    PurgeDead,
    Retry,
    RetryDead,
    ShowDead,
)
from raftwork.features.effects import Done
from raftwork.messages import ID_MAX, Code, Refused

if TYPE_CHECKING:
    from raftwork.broker.machine import Machine
    from raftwork.features.effects import Reply
    from raftwork.messages import FromBroker

#: Requests that wait for the log or a barrier, and ids in them.
OPEN_MAX = 1_000
OPEN_IDS_MAX = 20_000
#: Answered in one turn: each reads up to a page.
TURN_ANSWERS = 4

DeadRequest = ListDead | ShowDead | RetryDead | PurgeDead


class PendingDead(NamedTuple):
    """Whom to tell when the command is applied."""

    routing: bytes
    request: RetryDead | PurgeDead


class DeadTasks:
    """The requests of one leadership. Requests in; frames, commands and barriers out."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._frames: list[tuple[bytes, FromBroker]] = []
        self._commands: list[tuple[RetryDead | PurgeDead, PendingDead]] = []
        self._pending: dict[tuple[bytes, int], int] = {}  # with the number of ids
        self.questions = ReadBarrier[tuple[bytes, ListDead | ShowDead]]()
        self._ready: deque[tuple[bytes, ListDead | ShowDead]] = deque()

    # ---- requests -----------------------------------------------------------------------------

    def ask(self, routing: bytes, request: DeadRequest) -> None:
        """A client's request; one that is under way already is not carried out twice."""
        if (routing, request.request) in self._pending:
            return
        refusal = self._objection(request)
        if refusal is not None:
            self._frames.append((routing, refusal))
        elif isinstance(request, ListDead | ShowDead):
            self.questions.add((routing, request))
        else:
            ids = len(request.ids) if isinstance(request, PurgeDead) else 1
            self._pending[routing, request.request] = ids
            self._commands.append((request, PendingDead(routing, request)))

    def _objection(self, request: DeadRequest) -> Refused | None:
        ids: list[str] = []
        match request:
            case ShowDead():
                ids = [request.id]
            case RetryDead():
                ids = [request.id, request.new]
            case PurgeDead():
                ids = request.ids
            case ListDead():
                if not 1 <= request.limit <= DEAD_PAGE_MAX:
                    text = f"a page of {request.limit} tasks; 1 to {DEAD_PAGE_MAX} are allowed"
                    return Refused(request.request, Code.PROTOCOL, text)
        if len(ids) > DEAD_IDS_MAX or not all(0 < len(id_) <= ID_MAX for id_ in ids):
            text = f"at most {DEAD_IDS_MAX} ids, of 1 to {ID_MAX} characters each, are allowed"
            return Refused(request.request, Code.PROTOCOL, text)
        asked = len(self.questions) + len(self._ready) + len(self._pending)
        if asked >= OPEN_MAX or sum(self._pending.values()) + len(ids) > OPEN_IDS_MAX:
            text = f"{asked} requests about dead tasks are under way already; try again later"
            return Refused(request.request, Code.QUEUE_FULL, text)
        return None

    # ---- what the machine decided -------------------------------------------------------------

    def applied(self, pending: PendingDead, reply: Reply) -> None:
        """The fate of a retry or a purge."""
        routing, request = pending
        self._pending.pop((routing, request.request), None)
        answer: FromBroker
        if not isinstance(reply, Done):
            answer = Refused(request.request, reply.code, reply.text)
        elif isinstance(request, RetryDead):
            answer = DeadRetried(request.request, self._machine.retried_as(request.id))
        else:
            answer = DeadPurged(request.request, reply.found)
        self._frames.append((routing, answer))

    # ---- a barrier has passed ------------------------------------------------------------------

    def read_ready(self, token: int) -> None:
        """What was asked before this barrier may be answered; `frames` does, some a turn."""
        self._ready.extend(self.questions.passed(token))

    def _answer(self, question: ListDead | ShowDead) -> FromBroker:
        if isinstance(question, ListDead):
            number, queue, before, limit = question
            return DeadPage(number, self._machine.dead_page(queue, before, limit))
        details = self._machine.dead_details(question.request, question.id)
        if details is None:
            text = f"no dead task has the id {question.id!r}"
            return Refused(question.request, Code.UNKNOWN_TASK, text)
        return details

    # ---- out ----------------------------------------------------------------------------------

    def commands(self, time: int) -> list[tuple[Retry | Purge, PendingDead]]:
        """What to propose at leader time `time`, drained."""
        out, self._commands = self._commands, []
        return [(_command(request, time), pending) for request, pending in out]

    @property
    def waiting(self) -> bool:
        """Whether answers wait for their turn."""
        return bool(self._ready)

    def frames(self) -> list[tuple[bytes, FromBroker]]:
        for _ in range(min(TURN_ANSWERS, len(self._ready))):
            routing, question = self._ready.popleft()
            self._frames.append((routing, self._answer(question)))
        out, self._frames = self._frames, []
        return out


def _command(request: RetryDead | PurgeDead, time: int) -> Retry | Purge:
    if isinstance(request, RetryDead):
        return Retry(time, request.id, request.new)
    return Purge(request.ids, request.queue)
