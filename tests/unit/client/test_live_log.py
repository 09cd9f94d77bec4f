"""What a running task says, as a program follows it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from raftwork.client.caller import Caller
from raftwork.client.live_log import LiveEvent, LogReader, Tail
from raftwork.client.reply import Reply
from raftwork.crypto import Encryption
from raftwork.errors import CannotDecrypt, Unavailable, Unsupported
from raftwork.features.progress import Said
from raftwork.features.task_log import LoggedLine, LogRead, ReadLog
from raftwork.messages import State
from raftwork.sealing import LOG, Bound, Codec

AT = datetime.fromtimestamp(1, UTC)
BEGUN = LogRead(
    0,
    State.RUNNING,
    token=7,
    attempt=1,
    worker="w1",
    started=1_000,
    progress=None,
    after=101,
    lines=[LoggedLine(1_000, b"one", False)],
    gap=False,
    heard=True,
    why="",
)
SILENT = BEGUN._replace(lines=[])
QUEUED = BEGUN._replace(
    state=State.QUEUED, token=0, attempt=0, worker="", started=0, after=0, lines=[], heard=False
)
ENDED = SILENT._replace(state=State.SUCCEEDED)


class FakeApp:
    """Answers what it was made with."""

    patience = 9.0

    def __init__(self, *answers: LogRead | Exception, codec: Codec | None = None) -> None:
        self._answers = list(answers)
        self.asked: list[ReadLog] = []
        self.codec = codec

    def call(self, request: ReadLog, _reply: type[object], *, ids: tuple[str, ...]) -> Reply[Any]:
        assert ids == (request.id,)
        self.asked.append(request)
        reply: Reply[Any] = Reply()
        answer = self._answers.pop(0)
        reply.fail(answer) if isinstance(answer, Exception) else reply.tell(answer)
        return reply


def tail(app: FakeApp, *, follow: bool = True) -> Tail:
    return Tail(cast("Caller", app), "t", follow=follow)


def kinds(events: list[LiveEvent]) -> list[str]:
    return [event.kind for event in events]


def test_lines_come_until_the_end_each_behind_the_one_before() -> None:
    two = BEGUN._replace(after=102, lines=[LoggedLine(2_000, b"two", False)])
    app = FakeApp(QUEUED, BEGUN, two._replace(state=State.SUCCEEDED), ENDED._replace(after=102))
    assert list(tail(app)) == [
        LiveEvent("started", AT, "", 1, "w1"),
        LiveEvent("log", AT, "one", 1, "w1"),
        LiveEvent("log", datetime.fromtimestamp(2, UTC), "two", 1, "w1"),
        LiveEvent("ended", None, "succeeded", 1, "w1"),
    ]
    where = [(each.token, each.after, each.state) for each in app.asked]
    assert where == [
        (0, 0, State.UNKNOWN),
        (0, 0, State.QUEUED),
        (7, 101, State.RUNNING),
        (7, 102, State.SUCCEEDED),
    ]


def test_coroutines_are_told_the_same() -> None:
    async def follow() -> list[LiveEvent]:
        events: AsyncIterator[LiveEvent] = aiter(tail(FakeApp(BEGUN, ENDED)))
        return [event async for event in events]

    assert kinds(asyncio.run(follow())) == ["started", "log", "ended"]


def test_progress_is_told_once_and_another_attempt_starts_anew() -> None:
    half = SILENT._replace(progress=Said(0.5, "half", 1_000))
    again = BEGUN._replace(token=9, attempt=2, worker="w2", progress=Said(0.5, "half", 1_000))
    ended = ENDED._replace(token=9, attempt=2)
    events = list(tail(FakeApp(BEGUN, half, half, again, ended)))
    assert kinds(events) == [
        *("started", "log", "progress", "started", "log", "progress", "ended"),
    ]
    assert (events[2].fraction, events[2].text, events[3].attempt) == (0.5, "half", 2)


def test_that_lines_are_missing_is_told() -> None:
    assert kinds(list(tail(FakeApp(BEGUN._replace(gap=True), ENDED))))[:3] == [
        *("started", "gap", "log"),
    ]


def test_what_there_is_now_ends_once_the_worker_has_answered() -> None:
    unheard = SILENT._replace(heard=False)
    app = FakeApp(unheard, BEGUN)
    assert kinds(list(tail(app, follow=False))) == ["started", "log"]
    assert kinds(list(tail(FakeApp(QUEUED), follow=False))) == []


def test_it_goes_on_where_it_was_when_there_was_no_leader() -> None:
    app = FakeApp(BEGUN, Unavailable("no leader", ("t",)), ENDED)
    following, told = tail(app), list[LiveEvent]()
    with pytest.raises(Unavailable):
        told.extend(following)
    told += following
    assert (app.asked[1].token, app.asked[2].token, app.asked[2].after) == (7, 7, 101)
    assert kinds(told)[-1] == "ended"


def test_a_worker_that_tells_none_is_no_silent_task() -> None:
    unheard = SILENT._replace(heard=False)
    with pytest.raises(Unsupported, match="w1 does not answer"):
        list(tail(FakeApp(*[unheard] * 20)))
    with pytest.raises(Unsupported, match="elsewhere"):
        list(tail(FakeApp(SILENT._replace(why="it runs elsewhere"))))


def test_lines_that_were_sealed_are_opened_by_the_key_alone() -> None:
    codec = Encryption([b"k" * 32])
    sealed = codec.seal(b"one", Bound(LOG, "t"))
    read = BEGUN._replace(lines=[LoggedLine(1_000, sealed, True)])
    assert next(e.text for e in tail(FakeApp(read, codec=codec)) if e.kind == "log") == "one"
    with pytest.raises(CannotDecrypt, match="no key"):
        list(tail(FakeApp(read)))
    with pytest.raises(CannotDecrypt):
        list(tail(FakeApp(BEGUN, codec=codec)))  # a broker made it up
    moved = codec.seal(b"one", Bound(LOG, "u"))
    with pytest.raises(CannotDecrypt):
        list(tail(FakeApp(BEGUN._replace(lines=[LoggedLine(1, moved, True)]), codec=codec)))


@pytest.mark.parametrize("cursor", ["x", "1", "1.x", "-1.2", "1.2.3", "9" * 50 + ".1"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError, match="is no cursor"):
        LogReader(cast("Caller", FakeApp()), "t", cursor)


def test_a_cursor_says_where_to_go_on() -> None:
    app = FakeApp(BEGUN, ENDED)
    first = LogReader(cast("Caller", app), "t")
    page = first.page(first.ask(0).result())
    second = LogReader(cast("Caller", app), "t", page.cursor)
    assert second.page(second.ask(0).result()).over
    assert app.asked[1][2:4] == (7, 101)
