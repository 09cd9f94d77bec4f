"""Clients' requests as the active leader serves them. Sans-IO.

1. An enqueue is acknowledged when its entry is applied, never before (G1); whatever is still open
   when leadership ends is simply forgotten: the client asks the next leader with the same ids (G2).
   What is applied already is acknowledged at once: who asks again costs the log and the disks
   nothing.
2. A committed outcome may be told at once, it never changes. "Not finished" and "unknown" are told
   only after a read barrier (G7).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from raftwork.broker.events import QueueFullRefusal, RequestRefused, unheard
from raftwork.broker.machine.commands import Done, Enqueue
from raftwork.broker.requests.read_barrier import ReadBarrier
from raftwork.broker.requests.result_outbox import WATCHES_PER_SESSION, ResultOutbox
from raftwork.errors import PayloadTooLarge, ProtocolError, QueueFull
from raftwork.messages import (
    ID_MAX,
    WATCH_IDS_MAX,
    Answer,
    Ask,
    Code,
    Enqueued,
    Refused,
    Result,
    State,
    Watch,
    Watched,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from raftwork import messages
    from raftwork.broker.events import Event
    from raftwork.broker.machine import Machine
    from raftwork.broker.machine.commands import Reply, Settled
    from raftwork.messages import FromBroker

#: Bytes of enqueues taken in and not yet applied; beyond, clients are told to come later.
PENDING_BYTES_MAX = 128 * 1024 * 1024
#: What an enqueue may cost beside its tasks, so that a flood of empty ones is bounded too.
ENQUEUE_BYTES = 512
#: Ids in questions that wait for a barrier or for their turn.
ASKED_IDS_MAX = 1_000_000
#: Ids looked up in one turn, about 8 µs each. A million at once would silence a leader for longer
#: than its followers wait before they elect another one.
TURN_IDS = 2_000


class PendingEnqueue(NamedTuple):
    """Whom to tell when the command is applied."""

    routing: bytes
    request: int
    size: int
    queue: str
    name: str
    tasks: int
    keyed: bool = False  # some of them have a key


class Question(NamedTuple):
    """Ids to look up once a barrier has passed; `request` is None for a watch's unknown ids."""

    routing: bytes
    request: int | None
    ids: list[str]


class Clients:
    """All client requests of one leadership. Requests in; frames, commands and barriers out."""

    def __init__(
        self,
        machine: Machine,
        room: Callable[[bytes], bool] = lambda _routing: True,
        tell: Callable[[Event], None] = unheard,
    ) -> None:
        """`room(routing)` tells whether a session's connection takes more results now."""
        self._machine = machine
        self._tell = tell
        self._frames: list[tuple[bytes, FromBroker]] = []
        self._commands: list[tuple[Enqueue, PendingEnqueue]] = []
        self._pending: set[tuple[bytes, int]] = set()
        self._pending_bytes = 0
        self._deliveries = ResultOutbox(machine, room)
        self.questions = ReadBarrier[Question]()
        self._ready: deque[tuple[Question, list[State]]] = deque()  # with what was looked up so far
        self._asked_ids = 0  # in both

    # ---- requests -----------------------------------------------------------------------------

    def enqueue(self, routing: bytes, request: messages.Enqueue) -> None:
        if (routing, request.request) in self._pending:
            return  # asked again while the first one is on its way to the disks
        size = len(request.tasks) + ENQUEUE_BYTES
        try:
            spec, tasks = self._machine.validate(request.spec, request.tasks)
            stored = self._machine.stored(request.spec, tasks)
        except (ProtocolError, PayloadTooLarge, QueueFull) as error:
            self.refuse(routing, request.request, Code(error.code), str(error))
            return
        if stored:
            self._frames.append((routing, Enqueued(request.request)))
        elif self._pending_bytes + size > PENDING_BYTES_MAX:
            text = (
                f"the leader takes in no more for now: {self._pending_bytes} bytes of tasks are on "
                f"their way to a majority's disks, {PENDING_BYTES_MAX} may be; try again later"
            )
            self.refuse(routing, request.request, Code.QUEUE_FULL, text)
        else:
            command = Enqueue(request.created, request.spec, request.tasks)
            self._propose(
                command,
                PendingEnqueue(
                    routing,
                    request.request,
                    size,
                    spec.queue,
                    spec.name,
                    len(tasks.ids),
                    bool(tasks.keys),
                ),
            )

    def _propose(self, command: Enqueue, pending: PendingEnqueue) -> None:
        self._pending.add((pending.routing, pending.request))
        self._pending_bytes += pending.size
        self._commands.append((command, pending))

    def watch(self, routing: bytes, request: Watch) -> None:
        if not self._acceptable(routing, request):
            return
        ids = list(dict.fromkeys(request.ids))
        if not self._deliveries.room_to_watch(routing, ids):
            text = f"too many results are waited for (at most {WATCHES_PER_SESSION} a client)"
            self.refuse(routing, request.request, Code.QUEUE_FULL, text)
            return
        unknown: list[str] = []
        for id_, state in zip(ids, self._machine.states(ids), strict=True):
            if state.final:
                self._deliveries.tell(routing, id_)
                continue
            if state is State.UNKNOWN:
                unknown.append(id_)
            self._deliveries.watch(routing, id_)
        self._frames.append((routing, Watched(request.request)))
        if unknown:
            self._question(Question(routing, None, unknown))

    def ask(self, routing: bytes, request: Ask) -> None:
        if self._acceptable(routing, request):
            ids = list(dict.fromkeys(request.ids))
            self._question(Question(routing, request.request, ids))

    def _acceptable(self, routing: bytes, request: Watch | Ask) -> bool:
        ids = request.ids
        if len(ids) > WATCH_IDS_MAX:
            text = f"{len(ids)} ids in one request; {WATCH_IDS_MAX} are allowed"
            self.refuse(routing, request.request, Code.PROTOCOL, text)
        elif (longest := max(map(len, ids), default=0)) > ID_MAX:
            text = f"an id of {longest} characters; {ID_MAX} are allowed"
            self.refuse(routing, request.request, Code.PROTOCOL, text)
        elif self._asked_ids + len(ids) > ASKED_IDS_MAX:
            text = f"{self._asked_ids} ids are being asked for already"
            self.refuse(routing, request.request, Code.QUEUE_FULL, text)
        else:
            return True
        return False

    def _question(self, question: Question) -> None:
        self.questions.add(question)
        self._asked_ids += len(question.ids)

    def refuse(self, routing: bytes, request: int, code: Code, text: str) -> None:
        self._frames.append((routing, Refused(request, code, text)))
        full = code is Code.QUEUE_FULL
        self._tell(QueueFullRefusal(text) if full else RequestRefused(text))

    def gone(self, routing: bytes) -> None:
        """The session is closed: nobody is there to be told."""
        self._deliveries.gone(routing)

    # ---- what the machine decided -------------------------------------------------------------

    def applied(self, pending: PendingEnqueue, reply: Reply) -> None:
        """The fate of an enqueue."""
        self._pending.discard((pending.routing, pending.request))
        self._pending_bytes -= pending.size
        if isinstance(reply, Done):
            self._frames.append((pending.routing, Enqueued(pending.request)))
        else:
            self.refuse(pending.routing, pending.request, reply.code, reply.text)

    def settled(self, effect: Settled) -> None:
        """A task has its outcome: tell whoever waits for it."""
        self._deliveries.settled(effect)

    # ---- a barrier has passed ------------------------------------------------------------------

    def read_ready(self, token: int) -> None:
        """What was asked before this barrier may be answered; `frames` does, a slice a turn."""
        self._ready.extend((question, []) for question in self.questions.passed(token))

    def _look_up(self) -> None:
        """The next slice. A state read later than the barrier is true all the same."""
        left = TURN_IDS
        while self._ready and left > 0:
            question, states = self._ready[0]
            part = question.ids[len(states) : len(states) + left]
            states += self._machine.states(part)
            left -= len(part)
            if len(states) == len(question.ids):
                self._ready.popleft()
                self._asked_ids -= len(states)
                self._answer(question, states)

    def _answer(self, question: Question, states: list[State]) -> None:
        if question.request is not None:
            answers = [Result(*known, b"") for known in zip(question.ids, states, strict=True)]
            self._frames.append((question.routing, Answer(question.request, answers)))
            return
        for id_, state in zip(question.ids, states, strict=True):
            if state is State.UNKNOWN:
                self._deliveries.unknown(question.routing, id_)

    # ---- out ----------------------------------------------------------------------------------

    def commands(self) -> list[tuple[Enqueue, PendingEnqueue]]:
        out, self._commands = self._commands, []
        return out

    @property
    def waiting(self) -> bool:
        """Whether outcomes wait for a connection that had no room, or answers for their turn."""
        return self._deliveries.waiting or bool(self._ready)

    def frames(self) -> Iterator[tuple[bytes, FromBroker]]:
        if self._ready:
            self._look_up()
        out, self._frames = self._frames, []
        yield from out
        yield from self._deliveries.frames()
