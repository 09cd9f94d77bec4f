"""Events that are read once for all who look: each viewer has its place in what was read."""

import json
import threading
from typing import cast

import pytest

from raftwork.client.caller import Caller
from raftwork.errors import AppClosed, PermissionDenied, Unavailable
from raftwork.features.event_feed import Begin, Cursor, ToldEvent, Wanted
from raftwork.features.event_journal import EventKind
from raftwork.web.stream import feed as feeds
from raftwork.web.stream.feed import EVERY_S, PAGE, Feed
from tests.unit.web.stream.answering import BEGUN, Driven, Leader, page, told

ALL = Wanted()


@pytest.fixture
def feed() -> Driven:
    made = Driven(Leader())
    made.hear(BEGUN)
    return made


def ids(feed: Feed, after: Cursor | None, wanted: Wanted = ALL, limit: int = PAGE) -> list[str]:
    return [json.loads(text)["id"] for text in feed.read(after, wanted, limit).events]


def test_it_begins_with_what_happens_from_now_on_and_goes_on_behind_that(feed: Driven) -> None:
    at = feed.read(None, ALL, PAGE).at
    assert at == Cursor(1, 10, 2)
    feed.hear(page(told(11), told(12)), page(told(13)))
    assert ids(feed, at) == ["t11.1", "t12.1", "t13.1"]
    assert ids(feed, Cursor(1, 12, 1)) == ["t13.1"]
    assert [(a.begin, a.seq, a.wait_ms > 0) for a in feed.leader.asked] == [
        *((Begin.NOW, 0, False), (Begin.AFTER, 10, True), (Begin.AFTER, 12, True))
    ]


def test_a_viewer_is_told_what_it_wants_and_its_cursor_moves_on_all_the_same(feed: Driven) -> None:
    feed.hear(page(told(11), told(12, queue="mail"), told(13, kind=EventKind.FAILED)))
    at = Cursor(1, 10, 2)
    assert ids(feed, at, Wanted(queue="mail")) == ["t12.1"]
    assert ids(feed, at, Wanted(frozenset({EventKind.FAILED.value}))) == ["t13.1"]
    assert ids(feed, at, Wanted(id="t11.1")) == ["t11.1"]
    assert ids(feed, at, Wanted(name="x.*")) == []
    assert feed.read(at, Wanted(name="x.*"), PAGE).at == Cursor(1, 13, 1)


def test_where_much_happens_it_asks_for_less_and_counts_what_it_was_not_told(feed: Driven) -> None:
    feed.hear(page(told(11), more=True), page(told(12, 50), told(12, 80), told(13, 7)))
    assert [asked.thin for asked in feed.leader.asked] == [False, False, True]
    batch = feed.read(Cursor(1, 11, 1), ALL, PAGE)
    assert (len(batch.events), batch.skipped) == (3, 49 + 29 + 6)
    feed.hear(page(told(14)))
    assert feed.leader.asked[-1].thin is False


def test_it_asks_ten_times_a_second_at_most_while_there_is_more(feed: Driven) -> None:
    many = [told(11, n) for n in range(1, PAGE + 1)]
    feed.leader.answers += [page(*many, more=True), page(told(12))]
    assert [feed.look(), feed.look()] == [EVERY_S, 0.0]


def test_of_more_than_a_viewer_is_told_at_once_it_has_the_newest(feed: Driven) -> None:
    feed.hear(page(*[told(11, n) for n in range(1, 8)]))
    batch = feed.read(Cursor(1, 10, 2), ALL, 2)
    assert [json.loads(text)["id"] for text in batch.events] == ["t11.6", "t11.7"]
    assert (batch.skipped, batch.at) == (5, Cursor(1, 11, 7))


def test_a_document_is_made_for_who_is_sent_it_and_once(
    feed: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most pages want to know only that something happened."""
    made: list[str] = []

    def text_of(event: ToldEvent) -> str:
        made.append(event.id)
        return json.dumps({"id": event.id})

    monkeypatch.setattr(feeds, "text_of", text_of)
    feed.hear(page(*[told(11, n) for n in range(1, 8)]))
    assert made == []
    for _ in range(2):
        assert ids(feed, Cursor(1, 10, 2), limit=2) == ["t11.6", "t11.7"]
    assert made == ["t11.6", "t11.7"]


def test_a_gap_is_told_to_everybody_behind_whom_it_is(feed: Driven) -> None:
    feed.hear(page(told(11)), page(at=Cursor(2, 1, 9), gap=True), page(told(13, epoch=2)))
    assert feed.read(Cursor(1, 10, 2), ALL, PAGE).gap
    assert feed.read(Cursor(1, 11, 1), Wanted(queue="other"), PAGE).gap
    assert not feed.read(Cursor(2, 1, 9), ALL, PAGE).gap
    assert EventKind.OTHER in feed.kinds[2]  # anything may have happened


def test_one_that_cannot_keep_up_goes_on_with_the_newest(
    feed: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "BEHIND_MAX", 2)
    feed.hear(*[page(told(seq), more=True) for seq in (11, 12, 13)])
    feed.hear(page(at=Cursor(1, 900, 1)), page(told(901)))
    assert [asked.begin for asked in feed.leader.asked[-2:]] == [Begin.NOW, Begin.AFTER]
    batch = feed.read(Cursor(1, 13, 1), ALL, PAGE)
    assert (batch.gap, len(batch.events)) == (True, 1)


def test_what_is_older_than_all_that_stands_here_is_the_leaders_to_tell(
    feed: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "KEPT_MAX", 2)
    assert feed.read(Cursor(1, 10, 1), ALL, PAGE).older
    feed.hear(page(told(11), told(12), told(13)))
    assert feed.read(Cursor(1, 10, 2), ALL, PAGE).older
    assert ids(feed, Cursor(1, 11, 1)) == ["t12.1", "t13.1"]


def test_a_refusal_is_told_and_asked_again_seldom_and_no_leader_is_none(feed: Driven) -> None:
    assert feed._refused(PermissionDenied("not you")) == feeds.REFUSED_S
    assert (feed.failure, feed.reads) == ("not you", False)
    feed.hear(page(told(11)))
    assert feed.reads
    assert feed._refused(Unavailable("nobody")) == EVERY_S
    assert feed.reads


def test_its_thread_reads_while_somebody_looks_and_ends_when_nobody_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeds, "IDLE_S", 0.0)
    read, go_on = threading.Event(), threading.Event()

    class Blocking(Leader):
        def call(self, *asked: object) -> object:  # type: ignore[override]
            if len(self.asked) == 2:
                read.set()
                go_on.wait(10)
            return super().call(*asked)  # type: ignore[arg-type]

    leader = Blocking(BEGUN, page(told(11)), page(told(12)), AppClosed("over"))
    feed = Feed(cast("Caller", leader), lambda _: None)
    feed.enter()
    thread = feed._thread
    assert thread is not None and read.wait(10)
    assert ids(feed, Cursor(1, 10, 2)) == ["t11.1"]
    feed.leave()
    go_on.set()
    thread.join(10)
    assert not thread.is_alive()
    assert (feed.at, len(leader.answers)) == (None, 1)  # the next one begins with its own now
