"""Requests about queues' settings, as the active leader serves them. Sans-IO.

1. A change is acknowledged when it is applied, never before; one that is asked for again is carried
   out again. Of two changes at the same time either may be the one that stands.
2. What is set is told only after a read barrier: a deposed leader would tell what once was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from raftwork.broker.placement.balancers import BALANCERS
from raftwork.broker.requests.read_barrier import ReadBarrier
from raftwork.errors import ProtocolError, QueueFull
from raftwork.features.effects import Done
from raftwork.features.queue_settings import AskQueue, Configure, QueueSet, QueueSettings
from raftwork.messages import Code, Refused

if TYPE_CHECKING:
    from raftwork.broker.machine import Machine
    from raftwork.features.effects import Reply
    from raftwork.features.queue_settings import SetQueue
    from raftwork.messages import FromBroker

#: Requests that wait for the log or a barrier.
OPEN_MAX = 1_000


class PendingChange(NamedTuple):
    """Whom to tell when the command is applied."""

    routing: bytes
    request: int


class Settings:
    """The requests of one leadership. Requests in; frames, commands and barriers out."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._frames: list[tuple[bytes, FromBroker]] = []
        self._commands: list[tuple[Configure, PendingChange]] = []
        self._pending: set[PendingChange] = set()
        self.questions = ReadBarrier[tuple[bytes, AskQueue]]()

    # ---- requests -----------------------------------------------------------------------------

    def change(self, routing: bytes, request: SetQueue) -> None:
        pending = PendingChange(routing, request.request)
        if pending in self._pending or not self._room(routing, request):
            return
        try:
            _check_balancer(request.balancer)
            self._machine.validate_settings(request)
        except (ProtocolError, QueueFull) as error:
            code = Code.PROTOCOL if isinstance(error, ProtocolError) else Code.QUEUE_FULL
            self._frames.append((routing, Refused(request.request, code, str(error))))
            return
        self._pending.add(pending)
        self._commands.append((Configure(*request[1:]), pending))

    def ask(self, routing: bytes, request: AskQueue) -> None:
        if self._room(routing, request):
            self.questions.add((routing, request))

    def _room(self, routing: bytes, request: SetQueue | AskQueue) -> bool:
        if len(self._pending) + len(self.questions) < OPEN_MAX:
            return True
        text = f"{OPEN_MAX} requests about queues are under way already; try again later"
        self._frames.append((routing, Refused(request.request, Code.QUEUE_FULL, text)))
        return False

    # ---- what the machine decided -------------------------------------------------------------

    def applied(self, pending: PendingChange, reply: Reply) -> None:
        """The fate of a change."""
        self._pending.discard(pending)
        answer: FromBroker
        if isinstance(reply, Done):
            answer = QueueSet(pending.request)
        else:
            answer = Refused(pending.request, reply.code, reply.text)
        self._frames.append((pending.routing, answer))

    # ---- a barrier has passed ------------------------------------------------------------------

    def read_ready(self, token: int) -> None:
        for routing, question in self.questions.passed(token):
            status = self._machine.queue(question.queue)
            set_ = (status.balancer, status.max_length, status.max_bytes)
            self._frames.append((routing, QueueSettings(question.request, *set_)))

    # ---- out ----------------------------------------------------------------------------------

    def commands(self) -> list[tuple[Configure, PendingChange]]:
        out, self._commands = self._commands, []
        return out

    def frames(self) -> list[tuple[bytes, FromBroker]]:
        out, self._frames = self._frames, []
        return out


def _check_balancer(name: str | None) -> None:
    if name and name not in BALANCERS:
        raise ProtocolError(f"no balancer {name!r:.80}; there are {', '.join(BALANCERS)}")
