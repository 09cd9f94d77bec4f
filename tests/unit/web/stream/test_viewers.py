"""The stream as a viewer reads it: what is new, from where on, and how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import pytest

from raftwork.client.app import App
from raftwork.errors import Unavailable
from raftwork.features.event_feed import Cursor, Wanted
from raftwork.features.event_journal import EventKind
from raftwork.web.stream import viewers
from raftwork.web.stream.changes import WORDS
from raftwork.web.stream.subscription import Subscription
from raftwork.web.stream.viewers import VIEWERS_MAX, Streams, TooManyViewers
from tests.unit.web.seen import status, watch
from tests.unit.web.stream.answering import BEGUN, Driven, Leader, page, told

NOW = Subscription(None, Wanted(), events=True, changed=False)


class Frame(NamedTuple):
    name: str
    id: str
    data: Any


def frames(text: str) -> list[Frame]:
    found = []
    for block in text.split("\n\n"):
        lines = [line.partition(": ") for line in block.splitlines() if line != ":"]
        said = {name: value for name, _, value in lines}
        if "retry" not in said and block:
            data = json.loads(said["data"]) if "data" in said else None
            found.append(Frame(said.get("event", ""), said.get("id", ""), data))
    return found


class Stage:
    def __init__(self) -> None:
        self.leader, self.watch, self.forgotten = Leader(), watch(), 0
        self.streams = Streams(self.watch, None, self._forget)
        self.streams._app = cast("App", self.leader)
        self.feed = self.streams.feed = Driven(self.leader)
        self.feed._heard = self.streams._heard

    def _forget(self) -> None:
        self.forgotten += 1

    @asynccontextmanager
    async def open(
        self, asked: Subscription = NOW, still: Callable[[], bool] = lambda: True
    ) -> AsyncIterator[Callable[[], Awaitable[list[Frame]]]]:
        """What a viewer is told next."""
        sent: asyncio.Queue[str] = asyncio.Queue()
        response = self.streams.open(asked, still)

        async def send(message: Any) -> None:
            await sent.put(message.get("body", b"").decode())

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def following() -> list[Frame]:
            while not (found := frames(await asyncio.wait_for(sent.get(), 5))):
                pass
            return found

        task = asyncio.create_task(response({"type": "http"}, receive, send))
        try:
            yield following
        finally:
            task.cancel()
            await asyncio.wait([task])


def on_stage(play: Callable[[Stage], Awaitable[None]]) -> None:
    asyncio.run(play(Stage()))  # type: ignore[arg-type]


def told_of(frame: Frame) -> list[str]:
    return [event["id"] for event in frame.data["events"]]


def test_who_comes_is_told_what_happens_from_then_on_and_up_to_where() -> None:
    async def play(stage: Stage) -> None:
        async with stage.open() as following:
            stage.feed.hear(BEGUN)
            (first,) = await following()
            assert (first.name, first.id) == ("", str(Cursor(1, 10, 2)))
            stage.feed.hear(page(told(11), told(12)))
            (second,) = await following()
            assert (second.name, told_of(second), second.id) == (
                *("events", ["t11.1", "t12.1"], str(Cursor(1, 12, 1))),
            )
            assert second.data["skipped"] == 0

    on_stage(play)


def test_who_comes_back_misses_nothing_and_is_told_nothing_twice() -> None:
    async def play(stage: Stage) -> None:
        stage.feed.hear(BEGUN, page(told(11), told(12)))
        async with stage.open(Subscription(Cursor(1, 11, 1), Wanted(), True, False)) as following:
            assert told_of((await following())[0]) == ["t12.1"]
            stage.feed.hear(page(told(13)))
            assert told_of((await following())[0]) == ["t13.1"]

    on_stage(play)


def test_what_is_older_is_read_from_the_leader_page_by_page_and_joined() -> None:
    async def play(stage: Stage) -> None:
        stage.feed.hear(BEGUN, page(told(11)))
        wanted = Wanted(frozenset({EventKind.ENQUEUED.value}), "q")
        stage.leader.answers += [
            page(told(3), more=True),
            page(at=Cursor(1, 5, 1), more=True),
            Unavailable("an election"),
            page(told(9), told(10, 1), at=Cursor(1, 10, 2)),
        ]
        async with stage.open(Subscription(Cursor(1, 2, 1), wanted, True, False)) as following:
            assert told_of((await following())[0]) == ["t3.1"]
            later = asyncio.ensure_future(following())
            while not later.done():  # once something is new it asks again
                stage.streams._tell()
                await asyncio.sleep(0)
            assert told_of((await later)[0]) == ["t9.1", "t10.1"]
            assert told_of((await following())[0]) == ["t11.1"]
        read = stage.leader.asked[2:]
        assert [(asked.seq, asked.kinds, asked.queue) for asked in read] == [
            *((2, [1], "q"), (3, [1], "q"), (5, [1], "q"), (5, [1], "q"))
        ]

    on_stage(play)


@pytest.mark.parametrize("held", [True, False])
def test_where_events_are_missing_there_is_a_gap(
    held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody keeps them; or they are more than one viewer is read."""
    monkeypatch.setattr(viewers, "OLDER_PAGES_MAX", 1 if held else 50)

    async def play(stage: Stage) -> None:
        stage.feed.hear(BEGUN, page(told(11)))
        older = page(told(3), more=True) if held else page(at=Cursor(1, 10, 2), gap=True)
        stage.leader.answers.append(older)
        async with stage.open(Subscription(Cursor(1, 2, 1), Wanted(), True, False)) as following:
            if held:
                assert told_of((await following())[0]) == ["t3.1"]
            assert (await following())[0].name == "gap"

    on_stage(play)


def test_who_watches_is_told_what_is_another_and_answers_of_before_are_forgotten() -> None:
    async def play(stage: Stage) -> None:
        asked = Subscription(None, Wanted(), events=False, changed=True)
        stage.feed.hear(BEGUN)
        async with stage.open(asked) as following:
            assert (await following())[0].data == {"changed": list(WORDS)}
            stage.streams._looked()
            await following()
            forgotten = stage.forgotten
            stage.watch.seen = watch(a=status("a")._replace(workers=[])).seen
            stage.streams._looked()
            assert await following() == [Frame("changed", "", {"changed": ["workers"]})]
            assert stage.forgotten == forgotten + 1
            stage.streams._looked()
            assert stage.forgotten == forgotten + 1
        stage.watch.seen = watch().seen
        stage.streams._looked()  # nobody looks
        assert stage.forgotten == forgotten + 1

    on_stage(play)


def test_while_events_cannot_be_read_everything_may_be_another_each_second() -> None:
    async def play(stage: Stage) -> None:
        async with stage.open(Subscription(None, Wanted(), False, True)) as following:
            await following()
            for _ in range(2):
                stage.streams._looked()
                assert (await following())[0].data == {"changed": list(WORDS)}

    on_stage(play)


def test_a_new_leader_is_looked_for_at_once() -> None:
    async def play(stage: Stage) -> None:
        stage.feed.hear(BEGUN, page(told(11)))
        assert not stage.watch._hurry.is_set()
        stage.feed.hear(page(told(12, kind=EventKind.LEADER_ACTIVATED)))
        assert stage.watch._hurry.is_set()

    on_stage(play)


def test_where_nothing_happens_there_is_a_comment_and_who_may_look_no_more_is_told_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(viewers, "COMMENT_S", 0.01)

    async def play(stage: Stage) -> None:
        stage.feed.hear(BEGUN)
        may = [True, True, False]
        response = stage.streams.open(NOW, lambda: may.pop(0))
        text = "".join([str(part) async for part in response.body_iterator])
        assert [frame.id for frame in frames(text)] == [str(Cursor(1, 10, 2))] * 3
        assert not may

    on_stage(play)


def test_a_hundred_look_and_no_more_and_at_the_end_all_of_them_end() -> None:
    async def play(stage: Stage) -> None:
        open_ = [stage.streams.open(NOW, lambda: True) for _ in range(VIEWERS_MAX)]
        with pytest.raises(TooManyViewers):
            stage.streams.open(NOW, lambda: True)
        ended = [asyncio.create_task(_drain(each)) for each in open_[:3]]
        await asyncio.sleep(0)
        stage.streams.end()
        await asyncio.wait_for(asyncio.gather(*ended), 5)
        assert stage.streams._open == VIEWERS_MAX - 3
        assert stage.feed._viewers == VIEWERS_MAX - 3

    async def _drain(response: Any) -> None:
        async def send(_message: Any) -> None: ...

        async def receive() -> Any:
            await asyncio.Event().wait()

        await response({"type": "http"}, receive, send)

    on_stage(play)
