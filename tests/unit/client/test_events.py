"""Events as a program reads them: in order, with a cursor that says where to go on."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from raftwork import App
from raftwork.client.caller import Caller
from raftwork.client.events import GAP, NOW, Event, Events
from raftwork.client.reply import Reply
from raftwork.errors import Unavailable
from raftwork.features.event_feed import Begin, Cursor, EventsRead, ReadEvents, ToldEvent
from raftwork.features.event_journal import EventKind

FAILED = ToldEvent(
    *(2, 7, 1, 1_000, EventKind.FAILED.value, "t1", "mail", "m.f", "w1", 2, 3_000, 40, "Error: no")
)
PAUSED = ToldEvent(2, 8, 1, 0, EventKind.PAUSED.value, "", "mail", "", "", 0, 0, 0, "")


def page(*events: ToldEvent, at: Cursor, gap: bool = False, more: bool = False) -> EventsRead:
    return EventsRead(0, list(events), *at, gap, more)


class FakeApp:
    """Answers what it was made with."""

    patience = 9.0

    def __init__(self, *answers: EventsRead | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[ReadEvents] = []

    def call(self, request: ReadEvents, _reply: type[object]) -> Reply[Any]:
        self.asked.append(request)
        reply: Reply[Any] = Reply()
        answer = self._answers.pop(0)
        reply.fail(answer) if isinstance(answer, Exception) else reply.tell(answer)
        return reply


def events(app: FakeApp, after: str | None = None, *, follow: bool = False, **more: Any) -> Events:
    return Events(cast("Caller", app), after, follow=follow, **more)


def test_an_event_says_what_happened_and_what_does_not_apply_is_none() -> None:
    app = FakeApp(page(FAILED, PAUSED, at=Cursor(2, 8, 1)))
    assert list(events(app)) == [
        Event(
            cursor=str(Cursor(2, 7, 1)),
            kind="failed",
            at=datetime.fromtimestamp(1, UTC),
            id="t1",
            queue="mail",
            name="m.f",
            worker="w1",
            attempt=2,
            due=datetime.fromtimestamp(3, UTC),
            run=timedelta(milliseconds=40),
            text="Error: no",
        ),
        Event(str(Cursor(2, 8, 1)), "paused", None, None, "mail", *[None] * 6),
    ]
    assert (app.asked[0].begin, app.asked[0].wait_ms) == (Begin.OLDEST, 0)


def test_pages_are_asked_for_until_that_was_all_and_a_gap_is_told() -> None:
    gap = Cursor(2, 6, 0xFFFFFF)
    app = FakeApp(
        page(at=gap, gap=True, more=True),
        page(FAILED, at=Cursor(2, 7, 1), more=True),
        page(at=Cursor(2, 9, 4)),
    )
    after = str(Cursor(1, 2, 3))
    reader = events(app, after)
    assert [(event.kind, event.cursor) for event in reader] == [
        (GAP, str(gap)),
        ("failed", str(Cursor(2, 7, 1))),
    ]
    assert [(asked.begin, asked.epoch, asked.seq) for asked in app.asked] == [
        *((Begin.AFTER, 1, 2), (Begin.AFTER, 2, 6), (Begin.AFTER, 2, 7))
    ]
    assert reader.cursor == str(Cursor(2, 9, 4))


def test_who_follows_waits_at_the_leader_and_goes_on_behind_the_last_event_it_took() -> None:
    app = FakeApp(
        page(FAILED, PAUSED, at=Cursor(2, 8, 1)),
        page(PAUSED, at=Cursor(2, 8, 1)),
        Unavailable("nobody answers"),
        page(PAUSED, at=Cursor(2, 8, 1)),
    )
    reader = events(app, NOW, follow=True)
    assert next(iter(reader)).kind == "failed"
    assert reader.cursor == str(Cursor(2, 7, 1))
    taken = iter(reader)
    assert next(taken).kind == "paused"
    with pytest.raises(Unavailable):
        next(taken)
    assert next(iter(reader)).kind == "paused"
    assert [(asked.begin, asked.seq, asked.wait_ms) for asked in app.asked] == [
        *((Begin.NOW, 0, 3_000), (Begin.AFTER, 7, 3_000)),
        *((Begin.AFTER, 8, 3_000), (Begin.AFTER, 8, 3_000)),
    ]


def test_coroutines_read_the_same() -> None:
    app = FakeApp(page(FAILED, at=Cursor(2, 7, 1), more=True), page(PAUSED, at=Cursor(2, 8, 1)))

    async def read() -> list[str]:
        return [event.kind async for event in events(app)]

    assert asyncio.run(read()) == ["failed", "paused"]


def test_what_is_no_filter_is_refused() -> None:
    with pytest.raises(TypeError, match="not looked for by task"):
        App("127.0.0.1:1").events(**cast("Any", {"task": "t1"}))
    with pytest.raises(TypeError, match="not looked for by stat"):
        App("127.0.0.1:1").runs(**cast("Any", {"stat": "failed"}))


def test_filters_are_sent_and_wrong_ones_named() -> None:
    app = FakeApp(page(at=Cursor(0, 0, 0)))
    kinds = ["failed", "lost"]
    assert list(events(app, kinds=kinds, queue="mail", name="m.*", id="t1")) == []
    asked = app.asked[0]
    assert (asked.kinds, asked.queue, asked.name, asked.id) == ([4, 5], "mail", "m.*", "t1")
    for wrong, text in (
        ({"kinds": ["failing"]}, "kinds are enqueued, assigned, .*got 'failing'"),
        ({"kinds": ["other"]}, "got 'other'"),
        ({"queue": "a,b"}, "must not contain a comma"),
        ({"after": "then"}, "'then' is no cursor"),
    ):
        with pytest.raises(ValueError, match=text):
            App("127.0.0.1:1").events(**cast("Any", wrong))
