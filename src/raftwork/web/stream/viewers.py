"""Those who look at the stream: each is told what is new to it, ten times a second at most.

1. A viewer is a cursor into what all share (feed.py), and so many words that were changed. One that
   does not read is not waited for by anybody, and has nothing put by for it: once its connection
   takes no more it is closed (connections.py), and it may come back with its cursor.
2. At the end of the process every stream ends at once: nobody waits for one that has no end.
3. Who may look no more is told no more, a comment's time later at the latest.
"""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from raftwork.errors import RaftworkError
from raftwork.features.event_feed import START, Begin, Cursor, EventsRead, ReadEvents
from raftwork.features.event_journal import EventKind
from raftwork.web.stream.changes import NEVER, Changes
from raftwork.web.stream.feed import EVERY_S, PAGE, Batch, Feed, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from starlette.types import Receive, Scope, Send

    from raftwork.client.app import App
    from raftwork.web.stream.subscription import Subscription
    from raftwork.web.watch import Watch

VIEWERS_MAX: Final = 100
#: A proxy closes what says nothing; and a connection that is gone is noticed by what is sent, s.
COMMENT_S: Final = 15.0
#: Pages of older events that one is told, behind its cursor; then there is a gap.
OLDER_PAGES_MAX: Final = 50
#: A browser whose stream broke off comes back after so long, ms.
_RETRY_MS: Final = 1_000
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class TooManyViewers(RaftworkError):
    """So many streams are open as one process has."""


class Streams:
    """Of one process. `forget` drops the answers that are shared: they are of before."""

    def __init__(self, watch: Watch, app: App | None, forget: Callable[[], None]) -> None:
        self._watch, self._app, self._forget = watch, app, forget
        self.changes = Changes()
        self.feed = Feed(app, self._heard)
        self._lock = threading.Lock()
        self._open = 0
        self._over = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        watch.on_look = self._looked

    # ---- in other threads -----------------------------------------------------------------------

    def _looked(self) -> None:
        if not self._open:
            return
        if not self.feed.reads:
            self.changes.everything()
        with self._watch.lock:
            rates = self._watch.samples.now()
        if self.changes.look(self._watch.seen, rates):
            self._forget()  # who is told now asks, and is to see what it was told of
            self._wake()

    def _heard(self, kinds: Sequence[int]) -> None:
        self.changes.happened(kinds)
        if EventKind.LEADER_ACTIVATED in kinds:
            self._watch.hurry()
        self._wake()

    def _wake(self) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(self._tell)

    # ---- in the loop ----------------------------------------------------------------------------

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def end(self) -> None:
        """All of them end now, and no more begin."""
        self._over = True
        self.feed.stop()
        self._tell()

    def open(self, asked: Subscription, still: Callable[[], bool]) -> StreamingResponse:
        """The answer to one. `still` is whether it may go on looking. Raises TooManyViewers."""
        self._loop = asyncio.get_running_loop()
        if self._open >= VIEWERS_MAX or self._over:
            raise TooManyViewers(f"{self._open} streams are open, and {VIEWERS_MAX} may be")
        self._open += 1
        self.feed.enter()
        return _Stream(self._told(_Viewer(self, asked), still), self._closed)

    def _closed(self) -> None:
        self._open -= 1
        self.feed.leave()

    async def _told(self, viewer: _Viewer, still: Callable[[], bool]) -> AsyncGenerator[str]:
        clock = asyncio.get_running_loop().time
        checked = clock()
        yield f"retry: {_RETRY_MS}\n\n"
        while not self._over:
            news = self._news
            if text := await viewer.frame():
                yield text
                await asyncio.sleep(EVERY_S)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(COMMENT_S):
                        await news.wait()
            if clock() - checked >= COMMENT_S:
                checked = clock()
                if not still():
                    return
                yield viewer.comment()

    def older(self, asked: ReadEvents) -> EventsRead:
        """From the leader. Raises RaftworkError."""
        assert self._app is not None
        return self._app.call(asked, EventsRead).result()


class _Stream(StreamingResponse):
    """One that says when it is over, however it ends."""

    def __init__(self, told: AsyncGenerator[str], closed: Callable[[], None]) -> None:
        super().__init__(told, headers=_HEADERS, media_type="text/event-stream")
        self._frames, self._closed = told, closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._closed()
            await self._frames.aclose()


class _Viewer:
    def __init__(self, streams: Streams, asked: Subscription) -> None:
        self._streams, self._asked = streams, asked
        self._at = asked.after
        self._pages = 0
        self._counts = NEVER  # with all of them it begins: what it knows may be of before

    async def frame(self) -> str:
        """What is new to it; empty if nothing is."""
        events = await self._events() if self._asked.events else ""
        return events + (self._changed() if self._asked.changed else "")

    def comment(self) -> str:
        """Something that says nothing, but up to where it was told."""
        return f"{self._id()}:\n\n"

    def _id(self) -> str:
        return "" if self._at is None else f"id: {self._at}\n"

    def _changed(self) -> str:
        words, self._counts = self._streams.changes.since(self._counts)
        return _event("changed", {"changed": words}) if words else ""

    async def _events(self) -> str:
        began = self._at is None
        batch = await self._next()
        if batch.at is None:
            return ""
        self._at = batch.at
        gap = _event("gap", {}) if batch.gap else ""
        if batch.events or batch.skipped:
            listed = ",".join(batch.events)
            data = f'{{"events":[{listed}],"skipped":{batch.skipped}}}'
            return f"{gap}{self._id()}event: events\ndata: {data}\n\n"
        return f"{gap}{self.comment()}" if gap or began else ""

    async def _next(self) -> Batch:
        feed, wanted = self._streams.feed, self._asked.wanted
        while (batch := feed.read(self._at, wanted, PAGE)).older:
            self._pages += 1
            if self._pages > OLDER_PAGES_MAX:
                return batch._replace(at=feed.at, gap=True)
            batch = await self._older()
            if batch.events or batch.gap or batch.at is None:
                break
            self._at = batch.at
        return batch

    async def _older(self) -> Batch:
        wanted = self._asked.wanted
        asked = ReadEvents(0, Begin.AFTER, *(self._at or START), PAGE, 0)._replace(
            kinds=sorted(wanted.kinds), queue=wanted.queue, name=wanted.name, id=wanted.id
        )
        try:
            page = await run_in_threadpool(self._streams.older, asked)
        except RaftworkError:
            return Batch((), None)  # later
        told = [text_of(event) for event in page.events]
        return Batch(told, Cursor(page.epoch, page.seq, page.n), gap=page.gap)


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
