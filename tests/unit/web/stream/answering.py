"""A leader that answers what a test says, and events."""

from collections.abc import Sequence
from typing import Any, cast

from raftwork.client.caller import Caller
from raftwork.client.reply import Reply
from raftwork.features.event_feed import Cursor, EventsRead, ReadEvents, ToldEvent
from raftwork.features.event_journal import EventKind
from raftwork.web.stream.feed import Feed


def told(seq: int, n: int = 1, kind: EventKind = EventKind.ENQUEUED, **more: Any) -> ToldEvent:
    made = ToldEvent(1, seq, n, 1_000, kind.value, f"t{seq}.{n}", "q", "m.f", "", 1, 0, 0, "")
    return made._replace(**more)


def page(
    *events: ToldEvent, at: Cursor | None = None, gap: bool = False, more: bool = False
) -> EventsRead:
    return EventsRead(0, list(events), *(at or events[-1].cursor), gap, more)


class Leader:
    """Answers with these, one after the other."""

    patience = 9.0

    def __init__(self, *answers: EventsRead | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[ReadEvents] = []

    def call(self, request: ReadEvents, _reply: type[object]) -> Reply[Any]:
        self.asked.append(request)
        reply: Reply[Any] = Reply()
        answer = self.answers.pop(0)
        reply.fail(answer) if isinstance(answer, Exception) else reply.tell(answer)
        return reply


class Driven(Feed):
    """One without a thread: it looks when a test says so."""

    def __init__(self, leader: Leader) -> None:
        self.leader, self.kinds = leader, list[Sequence[int]]()
        super().__init__(cast("Caller", leader), self.kinds.append)

    def enter(self) -> None:
        self._viewers += 1

    def hear(self, *answers: EventsRead | Exception) -> None:
        self.leader.answers += answers
        for _ in answers:
            self.look()


#: What a feed begins with: nothing, up to here.
BEGUN = page(at=Cursor(1, 10, 2))
