"""What happened in the cluster, as a program reads it: see `App.events`."""

from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from raftwork.client.options import label, queue_name, task_id
from raftwork.client.reply import Reply
from raftwork.client.run_info import time
from raftwork.features.event_feed import (
    PAGE_MAX,
    START,
    Begin,
    Cursor,
    EventsRead,
    ReadEvents,
    ToldEvent,
    parse_cursor,
)
from raftwork.features.event_journal import EventKind
from raftwork.messages import NAME_MAX

if TYPE_CHECKING:
    from raftwork.client.caller import Caller

#: Begin with what happens from now on.
NOW: Final = "now"
#: Events are missing here: the broker that was asked does not keep them (any more).
GAP: Final = "gap"
_KINDS: Final = {kind.name.lower(): kind.value for kind in EventKind if kind}
#: A leader that has nothing to tell answers after so long (ms), or a third of the App's timeout.
_WAIT_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. What does not apply is None."""

    #: Give it as `after` to go on behind this event, at any broker. As texts cursors compare in the
    #: order of the events.
    cursor: str
    kind: str  # a word of docs/howto-follow-events.md
    at: datetime | None  # UTC, by the cluster's clock
    id: str | None  # of the task, flow or schedule that it is about
    queue: str | None
    name: str | None  # of the task; else of what it is about
    worker: str | None
    attempt: int | None
    due: datetime | None  # when the task may be handed out, or the instant that a tick is for
    run: timedelta | None  # how long its code ran, as far as that was noticed
    text: str | None  # the beginning of an error, or a detail


class EventFields(TypedDict, total=False):
    """Which events: all that is given must hold."""

    kinds: Collection[str]
    queue: str
    name: str  # a glob
    id: str  # of one task, flow or schedule


class Events:
    """Events in the order in which they came about, to be iterated with `for` or `async for`.

    Each iteration goes on where the one before it ended. It raises Unavailable if no leader answers
    in the App's timeout: then, too, the next one goes on behind the last event.
    """

    def __init__(
        self, app: "Caller", after: str | None, *, follow: bool, **wanted: Unpack[EventFields]
    ) -> None:
        """Raises ValueError, TypeError."""
        if unknown := wanted.keys() - EventFields.__optional_keys__:
            raise TypeError(f"events are not looked for by {', '.join(sorted(unknown))}")
        self._app, self._follow = app, follow
        self._begin, self._at = Begin.OLDEST, START
        if after == NOW:
            self._begin = Begin.NOW
        elif after is not None:
            self._begin, self._at = Begin.AFTER, parse_cursor(after)
        patience_ms = int(app.patience * 1_000)
        queue, name, id_ = (wanted.get("queue"), wanted.get("name"), wanted.get("id"))
        self._asked = ReadEvents(
            0,
            self._begin,
            epoch=0,
            seq=0,
            n=0,
            limit=PAGE_MAX,
            wait_ms=min(_WAIT_MS, patience_ms // 3) if follow else 0,
            kinds=[kind_number(word) for word in wanted.get("kinds", ())],
            queue="" if queue is None else queue_name(queue),
            name="" if name is None else label("name", name, NAME_MAX),
            id="" if id_ is None else task_id(id_),
        )

    @property
    def cursor(self) -> str | None:
        """Up to where it has read; None before the first event or answer."""
        return str(self._at) if self._begin is Begin.AFTER else None

    def __iter__(self) -> Iterator[Event]:
        more = True
        while more:
            page = self._ask().result()
            yield from self._told(page)
            more = self._goes_on(page)

    async def __aiter__(self) -> AsyncIterator[Event]:
        more = True
        while more:
            page = await self._ask().aresult()
            for event in self._told(page):
                yield event
            more = self._goes_on(page)

    def _ask(self) -> Reply[EventsRead]:
        epoch, seq, n = self._at
        asked = self._asked._replace(begin=self._begin, epoch=epoch, seq=seq, n=n)
        return self._app.call(asked, EventsRead)

    def _told(self, page: EventsRead) -> Iterator[Event]:
        """Its events; the cursor moves with each that is taken."""
        for told in page.events:
            self._begin, self._at = Begin.AFTER, told.cursor
            yield event_of(told)
        self._begin, self._at = Begin.AFTER, Cursor(page.epoch, page.seq, page.n)
        if page.gap:
            yield Event(str(self._at), GAP, *(None,) * 9)

    def _goes_on(self, page: EventsRead) -> bool:
        return self._follow or page.more


def event_of(told: ToldEvent) -> Event:
    """An event, as a program reads it."""
    return Event(
        str(told.cursor),
        EventKind(told.kind).name.lower(),
        time(told.at),
        told.id or None,
        told.queue or None,
        told.name or None,
        told.worker or None,
        told.attempt or None,
        time(told.due),
        timedelta(milliseconds=told.run_ms) if told.run_ms else None,
        told.text or None,
    )


_FIELDS: Final = tuple(field.name for field in fields(Event))


def event_document(event: Event) -> dict[str, object]:
    """As `raftwork events --json` prints it, and the API tells it."""
    return {name: _plain(getattr(event, name)) for name in _FIELDS}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return value.total_seconds() if isinstance(value, timedelta) else value


def kind_number(word: str) -> int:
    """The number of a kind. Raises ValueError."""
    if word not in _KINDS:
        raise ValueError(f"kinds are {', '.join(_KINDS)}; got {word!r}")
    return _KINDS[word]
