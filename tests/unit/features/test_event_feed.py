"""Reading events from a leader: at once, together, after a wait, and what a gap is told as."""

import apsw
import pytest

from raftwork.broker.event_ring import NO_EVENTS, EventRing
from raftwork.consensus.core import ORIGIN, Position
from raftwork.features.event_feed import (
    GATHER_MS,
    START,
    Begin,
    Cursor,
    EventsRead,
    ReadEvents,
)
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.history import NameWorker
from raftwork.messages import Refused
from tests.unit.broker.request_harness import RequestHarness

WORKER = b"incarnation of 1"


class Feed:
    """A leader that is asked for events, and what it applies."""

    connection: apsw.Connection

    def __init__(self) -> None:
        self.harness = RequestHarness()
        self.connection, self.applied = apsw.Connection(":memory:"), ORIGIN
        self.ring = self.harness.view.events = EventRing(self)
        self.harness.view.time = 1_000

    def take(self, *ids: str, kind: EventKind = EventKind.ENQUEUED) -> None:
        at = Position(1, self.ring.last.seq + 1)
        self.ring.note(at, 5, [Happened(kind, ids, "default", "m.f", WORKER)])

    def ask(self, after: Cursor = START, **more: object) -> None:
        asked = ReadEvents(1, Begin.AFTER, *after, 100, 5_000)
        self.harness.say(asked._replace(**more))  # type: ignore[arg-type]

    def poll(self, ms: int = 0) -> EventsRead | None:
        """What is answered after so much time."""
        self.harness.view.time += ms
        self.harness.processor.poll(self.harness.view.time)
        answers = self.harness.sent()
        assert all(isinstance(answer, EventsRead) for answer in answers), answers
        return answers[0] if answers else None  # type: ignore[return-value]


@pytest.fixture
def feed() -> Feed:
    return Feed()


def test_who_is_behind_is_answered_at_once(feed: Feed) -> None:
    feed.harness.queues.apply(NameWorker(WORKER, "w1"))
    feed.take(*(f"task-{at}" for at in range(300)))
    feed.ask()
    page = feed.poll()
    assert page is not None
    assert (len(page.events), page.more, page.gap) == (100, True, False)
    assert {event.worker for event in page.events} == {"w1"}
    assert (page.epoch, page.seq, page.n) == (1, 1, 100)


def test_who_has_all_waits_for_what_comes_and_gets_it_together(feed: Feed) -> None:
    feed.take("a")
    feed.ask(feed.ring.last)
    assert feed.poll() is None
    assert not feed.harness.processor.polls_each_turn  # it costs a leader no turns
    feed.take("b")
    assert feed.poll(GATHER_MS - 10) is None
    feed.take("c")
    page = feed.poll(10)
    assert page is not None
    assert [event.id for event in page.events] == ["b", "c"]
    assert feed.harness.under_way() == 0


def test_who_waited_long_gets_the_first_event_as_soon_as_it_comes(feed: Feed) -> None:
    feed.ask()
    assert feed.poll() is None
    assert feed.poll(2_000) is None
    feed.take("a")
    page = feed.poll()
    assert page is not None
    assert [event.id for event in page.events] == ["a"]


def test_where_nothing_comes_the_answer_says_how_far_that_is(feed: Feed) -> None:
    feed.take("a")
    feed.ask(queue="nosuch", wait_ms=300)
    assert feed.poll() is None
    feed.take("b")
    assert feed.poll(299) is None
    page = feed.poll(1)
    assert page is not None
    assert (page.events, Cursor(page.epoch, page.seq, page.n)) == ([], feed.ring.last)


def test_without_a_wait_it_is_answered_with_what_there_is(feed: Feed) -> None:
    feed.ask(wait_ms=0)
    page = feed.poll()
    assert page is not None
    assert page.events == []


def test_a_reader_begins_with_the_oldest_or_with_what_comes(feed: Feed) -> None:
    feed.take("a")
    feed.ask(begin=Begin.OLDEST, wait_ms=0)
    page = feed.poll()
    assert page is not None
    assert [event.id for event in page.events] == ["a"]
    feed.ask(begin=Begin.NOW)
    assert feed.poll() is None
    assert feed.poll(200) is None
    feed.take("b")
    page = feed.poll()
    assert page is not None
    assert [event.id for event in page.events] == ["b"]


def test_a_gap_is_told_at_once_and_by_itself(feed: Feed) -> None:
    feed.take("a")
    feed.ring.lose(Position(1, 2))
    feed.ring.last = feed.ring.floor
    feed.take("c")
    feed.ask(Cursor(1, 1, 1))
    page = feed.poll()
    assert page is not None
    assert (page.gap, page.events) == (True, [])
    feed.ask(Cursor(page.epoch, page.seq, page.n), wait_ms=0)
    page = feed.poll()
    assert page is not None
    assert (page.gap, [event.id for event in page.events]) == (False, ["c"])


def test_only_events_that_pass_are_told(feed: Feed) -> None:
    feed.take("a", "b")
    feed.take("b", kind=EventKind.FINISHED)
    feed.ask(kinds=[EventKind.FINISHED.value], id="b", name="m.*", queue="default", wait_ms=0)
    page = feed.poll()
    assert page is not None
    assert [(event.kind, event.id, event.n) for event in page.events] == [(3, "b", 1)]


def test_of_alike_events_a_thin_page_has_the_last_and_the_cursors_say_how_many(feed: Feed) -> None:
    feed.take("a", "b", "c")
    feed.take("d", kind=EventKind.FINISHED)
    feed.take("e", "f")
    feed.ask(Cursor(1, 1, 1), thin=True, wait_ms=0)
    page = feed.poll()
    assert page is not None
    assert [(event.seq, event.n, event.id) for event in page.events] == [
        *((1, 3, "c"), (2, 1, "d"), (3, 2, "f"))
    ]
    feed.ask(thin=True, limit=2, wait_ms=0)
    page = feed.poll()
    assert page is not None
    assert (Cursor(page.epoch, page.seq, page.n), page.more) == (Cursor(1, 3, 0), True)
    feed.ask(thin=True, id="e", wait_ms=0)
    page = feed.poll()
    assert page is not None
    assert [event.id for event in page.events] == ["e"]


def test_a_broker_that_keeps_none_says_so(feed: Feed) -> None:
    feed.harness.view.events = NO_EVENTS
    feed.ask()
    feed.harness.processor.poll(1)
    (answer,) = feed.harness.sent()
    assert isinstance(answer, Refused)
    assert "--event-bytes" in answer.text


def test_however_many_read_a_turn_stays_short(feed: Feed) -> None:
    feed.take(*(f"task-{at}" for at in range(300)))
    for reader in range(20):
        asked = ReadEvents(1, Begin.AFTER, *START, 100, 5_000)
        feed.harness.say(asked, me=b"%d" % reader)
    feed.harness.processor.poll(1)
    assert 0 < len(feed.harness.frames()) <= 8
