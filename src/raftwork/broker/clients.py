"""Clients' requests as the active leader serves them. Sans-IO.

1. An enqueue is acknowledged when its entry is applied, never before (G1); whatever is still open
   when leadership ends is simply forgotten: the client asks the next leader with the same ids (G2).
2. A committed outcome may be told at once, it never changes. "Not finished" and "unknown" are told
   only after a read barrier (G7).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from raftwork.broker.queue.commands import Done, Enqueue
from raftwork.errors import PayloadTooLarge, ProtocolError, QueueFull
from raftwork.messages import (
    BATCH_BYTES_MAX,
    ID_MAX,
    WATCH_IDS_MAX,
    Answer,
    Ask,
    Code,
    Enqueued,
    Refused,
    Result,
    Results,
    State,
    Watch,
    Watched,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from raftwork import messages
    from raftwork.broker.queue import Machine
    from raftwork.broker.queue.commands import Reply, Settled
    from raftwork.messages import FromBroker

#: Ids one session may watch at a time, and all sessions together.
WATCHES_PER_SESSION = 200_000
WATCHES_MAX = 2_000_000
#: Bytes of results in one frame.
RESULTS_BYTES = 1024 * 1024
#: Bytes of enqueues taken in and not yet applied; beyond, clients are told to come later.
PENDING_BYTES_MAX = 128 * 1024 * 1024
#: What an enqueue may cost beside its tasks, so that a flood of empty ones is bounded too.
ENQUEUE_BYTES = 512
#: Ids in questions that wait for a barrier.
ASKED_IDS_MAX = 1_000_000

CODES = {
    ProtocolError: Code.PROTOCOL,
    PayloadTooLarge: Code.PAYLOAD_TOO_LARGE,
    QueueFull: Code.QUEUE_FULL,
}


class PendingEnqueue(NamedTuple):
    """Whom to tell when the command is applied."""

    routing: bytes
    request: int
    size: int


class Question(NamedTuple):
    """Ids to look up once a barrier has passed; `request` is None for a watch's unknown ids."""

    routing: bytes
    request: int | None
    ids: list[str]


class Clients:
    """All client requests of one leadership. Requests in; frames, commands and barriers out."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._frames: list[tuple[bytes, FromBroker]] = []
        self._commands: list[tuple[Enqueue, PendingEnqueue]] = []
        self._pending: set[tuple[bytes, int]] = set()
        self._pending_bytes = 0
        self._watchers: dict[str, set[bytes]] = {}
        self._watched: dict[bytes, set[str]] = defaultdict(set)
        self._questions: list[Question] = []
        self._asked: dict[int, list[Question]] = {}
        self._asked_ids = 0  # in both
        self._outcomes: dict[bytes, list[Result]] = defaultdict(list)

    # ---- requests -----------------------------------------------------------------------------

    def enqueue(self, routing: bytes, request: messages.Enqueue) -> None:
        if (routing, request.request) in self._pending:
            return  # asked again while the first one is on its way to the disks
        size = len(request.tasks) + ENQUEUE_BYTES
        if self._pending_bytes + size > PENDING_BYTES_MAX:
            text = f"{self._pending_bytes} bytes of tasks are on their way already"
            self.refuse(routing, request.request, Code.QUEUE_FULL, text)
            return
        try:
            self._machine.validate(request.spec, request.tasks)
        except (ProtocolError, PayloadTooLarge, QueueFull) as error:
            self.refuse(routing, request.request, CODES[type(error)], str(error))
            return
        self._pending.add((routing, request.request))
        self._pending_bytes += size
        self._commands.append(
            (
                Enqueue(request.created, request.spec, request.tasks),
                PendingEnqueue(routing, request.request, size),
            )
        )

    def watch(self, routing: bytes, request: Watch) -> None:
        if not self._acceptable(routing, request):
            return
        ids = list(dict.fromkeys(request.ids))
        mine = self._watched[routing]
        new = sum(id_ not in mine for id_ in ids)
        if len(mine) + new > WATCHES_PER_SESSION or len(self._watchers) + new > WATCHES_MAX:
            text = f"too many results are waited for (at most {WATCHES_PER_SESSION} a client)"
            self.refuse(routing, request.request, Code.QUEUE_FULL, text)
            return
        unknown: list[str] = []
        for result in self._machine.lookup(ids):
            if result.state.final:
                self._outcomes[routing].append(result)
                continue
            if result.state is State.UNKNOWN:
                unknown.append(result.id)
            self._watchers.setdefault(result.id, set()).add(routing)
            mine.add(result.id)
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
        self._questions.append(question)
        self._asked_ids += len(question.ids)

    def refuse(self, routing: bytes, request: int, code: Code, text: str) -> None:
        self._frames.append((routing, Refused(request, code, text)))

    def gone(self, routing: bytes) -> None:
        """The session is closed: nobody is there to be told."""
        for id_ in list(self._watched.get(routing, ())):
            self._unwatch(id_, routing)
        self._watched.pop(routing, None)
        self._outcomes.pop(routing, None)

    def _unwatch(self, id_: str, routing: bytes) -> None:
        if routing in self._watched:
            self._watched[routing].discard(id_)
        watchers = self._watchers.get(id_)
        if watchers is not None:
            watchers.discard(routing)
            if not watchers:
                del self._watchers[id_]

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
        watchers = self._watchers.pop(effect.id, None)
        if watchers is None:
            return
        result = Result(effect.id, effect.state, effect.data)
        for routing in watchers:
            self._outcomes[routing].append(result)
            self._watched[routing].discard(effect.id)

    # ---- barriers -----------------------------------------------------------------------------

    @property
    def asking(self) -> bool:
        """Whether questions wait for a barrier to be asked for."""
        return bool(self._questions)

    def barrier(self, token: int) -> None:
        """All open questions wait for this one barrier."""
        self._asked[token] = self._questions
        self._questions = []

    def read_ready(self, token: int) -> None:
        for question in self._asked.pop(token, ()):
            self._asked_ids -= len(question.ids)
            results = self._machine.lookup(question.ids)
            if question.request is not None:
                self._answer(question.routing, question.request, results)
                continue
            for result in results:
                if result.state is State.UNKNOWN:
                    self._outcomes[question.routing].append(result)
                    self._unwatch(result.id, question.routing)

    def _answer(self, routing: bytes, request: int, results: list[Result]) -> None:
        size = sum(len(result.data) for result in results)
        if size > BATCH_BYTES_MAX:  # no frame may hold it
            text = f"results of {size} bytes in one answer; {BATCH_BYTES_MAX} are allowed"
            self.refuse(routing, request, Code.PAYLOAD_TOO_LARGE, text)
        else:
            self._frames.append((routing, Answer(request, results)))

    # ---- out ----------------------------------------------------------------------------------

    def commands(self) -> list[tuple[Enqueue, PendingEnqueue]]:
        out, self._commands = self._commands, []
        return out

    def frames(self) -> Iterable[tuple[bytes, FromBroker]]:
        out, self._frames = self._frames, []
        if self._outcomes:
            for routing, results in self._outcomes.items():
                out.extend((routing, Results(part)) for part in _parts(results))
            self._outcomes.clear()
        return out


def _parts(results: list[Result]) -> Iterator[list[Result]]:
    start = size = 0
    for i, result in enumerate(results):
        size += len(result.data) + 64
        if size > RESULTS_BYTES and i > start:
            yield results[start:i]
            start, size = i, len(result.data)
    if start < len(results):
        yield results[start:]
