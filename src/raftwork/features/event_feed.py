"""The feed of events: what happened to tasks, queues, schedules, flows and the cluster, in order.

1. A cursor says up to where somebody has read: the position of a log entry, and how many of its
   events. All brokers count alike, so a reader goes on at any of them, and after a failover at the
   next leader, without an event missed or doubled.
2. Each broker keeps the newest events (broker/event_ring.py). To whom older ones are missing, or
   those that a broker took over with a snapshot, that is said: there is a gap, never silence.
3. An event is of an entry that a majority has. So it is told without a read barrier: who leads no
   more may tell late, and nothing that is not so.
4. A reader asks, and is answered once there is something, GATHER_MS after it asked at the
   earliest: however much happens, it costs the leader ten answers a second.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from enum import IntEnum
from fnmatch import translate
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.errors import ProtocolError
from raftwork.features.event_journal import Happened
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.messages import ID_MAX
from raftwork.messages.bounds import Between, OptionalName
from raftwork.messages.registry import reply, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: Events of one answer.
PAGE_MAX: Final = 1_000
#: A reader that has all there is waits so long for more to come together, and at most so long.
GATHER_MS: Final = 100
WAIT_MAX_MS: Final = 10_000
#: Above every number of events of an entry: all of them.
ALL_OF_IT: Final = 0xFFFFFF
_KINDS_MAX: Final = 64
_WORKER: Final = "SELECT name FROM worker WHERE incarnation = ?"

_CURSOR = re.compile(r"([0-9a-f]{8})\.([0-9a-f]{12})\.([0-9a-f]{6})")


class Cursor(NamedTuple):
    """The first `n` events of the entry at (epoch, seq), and all before it. Only to be compared.

    As texts they compare in the same order.
    """

    epoch: int
    seq: int
    n: int

    def __str__(self) -> str:
        return f"{self.epoch:08x}.{self.seq:012x}.{self.n:06x}"


START: Final = Cursor(0, 0, 0)


def parse_cursor(text: str) -> Cursor:
    """The cursor that is written so. Raises ValueError."""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no cursor: it is the `cursor` of an event")
    return Cursor(*(int(part, 16) for part in found.groups()))


class Begin(IntEnum):
    """Where a reader begins."""

    AFTER = 0  # behind its cursor
    OLDEST = 1  # with the oldest that is kept
    NOW = 2  # with the next that happens


# ---- records ------------------------------------------------------------------------------------


class ToldEvent(NamedTuple):
    """One event. Times are leader time in ms; 0, and an empty text, is what does not apply."""

    epoch: int
    seq: int
    n: int  # of its entry's, from 1
    at: int
    kind: int  # EventKind; a newer release's may be unknown here
    id: str
    queue: str
    name: str
    worker: str
    attempt: int
    due: int
    run_ms: int
    text: str

    @property
    def cursor(self) -> Cursor:
        """Up to this event."""
        return Cursor(self.epoch, self.seq, self.n)


@reply(230)
class EventsRead(NamedTuple):
    """The next events, and the cursor (epoch, seq, n) up to which this broker has looked.

    With `gap` events between the cursor that was given and the first of these are not kept here.
    """

    request: int
    events: list[ToldEvent]
    epoch: int
    seq: int
    n: int
    gap: bool
    more: bool  # there may be more at once


@request(230, reply=EventsRead)
class ReadEvents(NamedTuple):
    """The events behind a cursor that pass all that is given; waits for one if there is none.

    `thin`: of those of an entry that are alike but for their ids the last one alone is told. So a
    reader keeps up that only shows what happens; by the cursors it knows how many these were.
    """

    request: int
    begin: Begin
    epoch: int
    seq: int
    n: int
    limit: Annotated[int, Between(1, PAGE_MAX)]
    wait_ms: Annotated[int, Between(0, WAIT_MAX_MS)]
    kinds: Annotated[list[int], Between(0, _KINDS_MAX)] = []  # noqa: RUF012 - any
    queue: OptionalName = ""
    name: OptionalName = ""  # a glob
    id: Annotated[str, Between(0, ID_MAX)] = ""
    thin: bool = False


class Wanted(NamedTuple):
    """Which events somebody reads; what is empty is any."""

    kinds: frozenset[int] = frozenset()
    queue: str = ""
    name: str = ""  # a glob
    id: str = ""
    thin: bool = False  # of alike ones the last, unless an id is wanted

    def passes(self, event: Happened | ToldEvent) -> bool:
        """Whether some of these are among them, by all but the id."""
        return (
            (not self.kinds or event.kind in self.kinds)
            and self.queue in {"", event.queue}
            and (not self.name or _glob(self.name)(event.name) is not None)
        )


class Page(NamedTuple):
    """What one look found."""

    events: list[ToldEvent]
    cursor: Cursor  # up to here it has looked
    gap: bool
    more: bool  # there are rows behind it


@lru_cache(maxsize=64)
def _glob(pattern: str) -> Callable[[str], object]:
    return re.compile(translate(pattern)).match


def told(
    after: Cursor,
    at: int,
    happened: list[Happened],
    wanted: Wanted,
    limit: int,
    name_of: Callable[[bytes], str],
) -> tuple[list[ToldEvent], int]:
    """Of an entry's events, at most `limit` of those behind the first `after.n` that are wanted.

    `after` has the entry's position. Also returns how many of the entry's were looked at then.
    """
    found: list[ToldEvent] = []
    n = 0
    for event in happened:
        count = event.events
        if n + count <= after.n or not wanted.passes(event):
            n += count
            continue
        worker = name_of(event.worker) if event.worker else ""
        thin = wanted.thin and not wanted.id and len(found) < limit
        for place in range(count - 1 if thin else max(0, after.n - n), count):
            id_ = event.ids[place] if event.ids else ""
            if wanted.id in {"", id_}:
                if len(found) == limit:
                    return found, n + place
                ms = event.runs_ms[place] if event.runs_ms else 0
                position = (after.epoch, after.seq, n + place + 1, at, int(event.kind))
                names = (id_, event.queue, event.name, worker)
                found.append(ToldEvent(*position, *names, event.attempt, event.due, ms, event.text))
        n += count
    return found, n


# ---- on the leader ------------------------------------------------------------------------------


def _poll(view: View, asked: ReadEvents) -> Generator[None, None, EventsRead]:
    """Look once, and again when something may have happened. See rule 4."""
    ring, began, until = view.events, view.time, view.time + asked.wait_ms
    if not ring.keeps:
        raise ProtocolError("this broker keeps no events: it was started with --event-bytes 0")
    after = Cursor(asked.epoch, asked.seq, asked.n)
    if asked.begin is not Begin.AFTER:
        after = ring.floor if asked.begin is Begin.OLDEST else ring.last
    wanted = Wanted(frozenset(asked.kinds), asked.queue, asked.name, asked.id, asked.thin)
    name_of = worker_names(view)
    while True:
        while not ring.may_look(view.time):
            yield
        page = ring.read(after, wanted, asked.limit, name_of)
        if page.gap or page.more or view.time >= until:
            break
        if page.events and view.time >= began + GATHER_MS:
            break
        if not page.events:
            after = page.cursor
            while ring.last <= after and view.time < until:
                yield
        while view.time < min(began + GATHER_MS, until):  # what comes until then is told with it
            yield
    return EventsRead(asked.request, page.events, *page.cursor, page.gap, page.more)


def worker_names(view: View) -> Callable[[bytes], str]:
    """The name of a worker of an incarnation; empty if it is not known (any more)."""
    return lru_cache(partial(_worker_name, view))


def _worker_name(view: View, incarnation: bytes) -> str:
    if name := view.workers.inspection.name(incarnation):
        return name
    if view.machine.level < LEVEL_OPTIONS:
        return ""
    row = view.state.db.execute(_WORKER, (incarnation,)).fetchone()
    return row[0] if row else ""


def feature() -> Feature:
    """See the package."""
    from raftwork.features.feature import Budget, Feature, wait

    return Feature(
        "events",
        rules=[wait(ReadEvents, _poll, each_turn=False)],
        budget=Budget(requests=200, bytes=1024 * 1024),
    )
