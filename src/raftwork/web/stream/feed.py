"""The cluster's events, followed once for all who look at this process.

1. There is one reader, and none while nobody looks. Viewers share what it has read: the newest
   events stand here once, and a viewer is a cursor into them. So one that is slow costs nothing,
   and one that has come back goes on where it was.
2. It asks a leader ten times a second at most, for so many events. Where more happen it asks for
   them `thin`: of those that are alike the last one, and the number of the others. Where even that
   are too many it goes on with the newest, and there is a gap.
3. Who wants what is older than all that stands here is told to read it from the leader.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.client.events import event_document, event_of
from raftwork.errors import AppClosed, RaftworkError, Unavailable
from raftwork.features.event_feed import START, Begin, Cursor, EventsRead, ReadEvents
from raftwork.features.event_journal import EventKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from raftwork.client.caller import Caller
    from raftwork.features.event_feed import ToldEvent, Wanted

#: Events that are kept here, and of one answer.
KEPT_MAX: Final = 5_000
PAGE: Final = 200
#: Between two questions while much happens, s.
EVERY_S: Final = 0.1
#: Answers in a row that had more behind them, though they were thin: then it gives up on that.
BEHIND_MAX: Final = 100
#: After the last viewer has gone it goes on for so long, s: most come back.
IDLE_S: Final = 20.0
#: After a refusal, and where no leader answers, s.
REFUSED_S: Final = 5.0
_WAIT_MS: Final = 5_000

log = logging.getLogger("raftwork.web")


class _Kept:
    """An event, or a gap."""

    __slots__ = ("_text", "at", "skipped", "told")

    def __init__(self, at: Cursor, told: ToldEvent | None, skipped: int) -> None:
        self.at = at
        self.told = told  # None is a gap
        self.skipped = skipped  # alike ones before it
        self._text = ""

    @property
    def text(self) -> str:
        """Its document: made for the first who is sent it, as of many events nobody is sent any."""
        if not self._text and self.told is not None:
            self._text = text_of(self.told)
        return self._text


class Batch(NamedTuple):
    """What a viewer is told next."""

    events: Sequence[str]  # in JSON
    at: Cursor | None  # up to here; None while nothing is known
    skipped: int = 0
    gap: bool = False
    #: What it wants begins before what stands here.
    older: bool = False


def text_of(told: ToldEvent) -> str:
    """An event's document, in JSON: one line."""
    return json.dumps(event_document(event_of(told)))


def passes(wanted: Wanted, told: ToldEvent) -> bool:
    """Whether a viewer wants this event."""
    return wanted.passes(told) and wanted.id in {"", told.id}


class Feed:
    """See the top of this file. `heard` is called in another thread, with the kinds of events."""

    def __init__(self, app: Caller | None, heard: Callable[[Sequence[int]], None]) -> None:
        self._app, self._heard = app, heard
        self._lock = threading.Lock()
        self._viewers, self._left = 0, 0.0
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._forget()
        #: Why nothing can be read; empty if it can, or nobody looks.
        self.failure = "this process may not ask the leader" if app is None else ""

    def _forget(self) -> None:
        self._kept: deque[_Kept] = deque()
        self._at: Cursor | None = None
        self._floor = START
        #: Whether the last answer had more behind it; how many in a row had, that were thin.
        self._thin, self._behind = False, 0

    # ---- for viewers ----------------------------------------------------------------------------

    def enter(self) -> None:
        """One more looks."""
        with self._lock:
            self._viewers += 1
            if self._app is not None and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()

    def leave(self) -> None:
        """One looks no more."""
        with self._lock:
            self._viewers -= 1
            self._left = time.monotonic()

    def stop(self) -> None:
        """Nobody will look any more."""
        self._over.set()

    def read(self, after: Cursor | None, wanted: Wanted, limit: int) -> Batch:
        """What stands here behind a cursor, at most `limit` of it, the newest; None: of now."""
        with self._lock:
            if self._at is None or after is None:
                return Batch((), self._at)
            if after < self._floor:
                return Batch((), after, older=True)
            if after >= self._at:
                return Batch((), after)
            new = self._behind_cursor(after)
            at = self._at
        skipped = sum(kept.skipped for kept in new if kept.told and wanted.passes(kept.told))
        gap = any(kept.told is None for kept in new)
        told = [kept for kept in new if kept.told and passes(wanted, kept.told)]
        texts = [kept.text for kept in told[-limit:]]
        return Batch(texts, at, skipped + max(0, len(told) - limit), gap)

    def _behind_cursor(self, after: Cursor) -> list[_Kept]:
        many = 0
        for kept in reversed(self._kept):
            if kept.at <= after:
                break
            many += 1
        return list(islice(self._kept, len(self._kept) - many, None))

    @property
    def at(self) -> Cursor | None:
        """Up to where it has read; None while that is not known."""
        return self._at

    @property
    def reads(self) -> bool:
        """Whether events are read now."""
        return self._at is not None and not self.failure

    # ---- reading --------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended():
            try:
                pause = self.look()
            except AppClosed:
                return
            except Exception as error:
                if not isinstance(error, RaftworkError):
                    log.exception("events could not be read")
                pause = self._refused(error)
            self._over.wait(pause)

    def _ended(self) -> bool:
        with self._lock:
            idle = not self._viewers and time.monotonic() - self._left >= IDLE_S
            if idle or self._over.is_set():
                self._thread = None
                self._forget()
                return True
        return False

    def _refused(self, error: Exception) -> float:
        if isinstance(error, Unavailable):
            return EVERY_S  # it has waited for a leader
        if not self.failure:
            self.failure = str(error) or type(error).__name__
            self._heard(())
        return REFUSED_S

    def look(self) -> float:
        """Ask once; for how long to wait then, s. Raises RaftworkError."""
        assert self._app is not None
        asked = self._asked(self._app)
        page = self._app.call(asked, EventsRead).result()
        self.failure = ""
        with self._lock:
            for kept in self._of_page(page, jumped=asked.begin is Begin.NOW):
                if len(self._kept) == KEPT_MAX:
                    self._floor = self._kept.popleft().at
                self._kept.append(kept)
            self._at = Cursor(page.epoch, page.seq, page.n)
            self._behind = self._behind + 1 if page.more and self._thin else 0
            self._thin = page.more
        self._heard([told.kind for told in page.events] or [EventKind.OTHER] * page.gap)
        return EVERY_S * len(page.events) / PAGE if page.more else 0.0

    def _asked(self, app: Caller) -> ReadEvents:
        if self._at is None or self._behind >= BEHIND_MAX:
            return ReadEvents(0, Begin.NOW, *START, PAGE, 0)
        wait_ms = min(_WAIT_MS, int(app.patience * 1_000) // 3)
        return ReadEvents(0, Begin.AFTER, *self._at, PAGE, wait_ms, thin=self._thin)

    def _of_page(self, page: EventsRead, *, jumped: bool) -> Iterator[_Kept]:
        at = Cursor(page.epoch, page.seq, page.n)
        before = self._at
        if before is None:
            self._floor = before = at
        elif jumped or page.gap:
            yield _Kept(at, None, 0)
        for told in page.events:
            same = before[:2] == (told.epoch, told.seq)
            alike = told.n - 1 - (before.n if same else 0)
            before = told.cursor
            yield _Kept(before, told, alike)
