"""The ring of events: what it keeps, what it says is gone, and what a reader's cursor means."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import apsw
import pytest

from raftwork.broker.containment import Containment
from raftwork.broker.event_ring import EventNotes, EventRing
from raftwork.broker.machine import Machine
from raftwork.broker.node_setup import Setup
from raftwork.consensus.core import ORIGIN, Entry, Kind, Position
from raftwork.consensus.membership import encode_roster
from raftwork.features.event_feed import START, Cursor, Page, Wanted, parse_cursor
from raftwork.features.event_journal import EventKind, Happened, Journal

ALL = Wanted()


@dataclass
class Store:
    connection: apsw.Connection
    applied: Position = ORIGIN

    def take(self, ring: EventRing, at: Position, *events: Happened) -> None:
        """Apply an entry."""
        self.connection.execute("BEGIN")
        ring.note(at, at.seq * 10, events)
        self.applied = at
        self.connection.execute("COMMIT")


@pytest.fixture
def store() -> Store:
    return Store(apsw.Connection(":memory:"))


def entered(*ids: str, name: str = "m.f", queue: str = "default") -> Happened:
    return Happened(EventKind.ENQUEUED, ids, queue, name)


def look(ring: EventRing, after: Cursor = START, wanted: Wanted = ALL, limit: int = 100) -> Page:
    return ring.read(after, wanted, limit, lambda incarnation: incarnation.decode())


def ids(page: Page) -> list[str]:
    return [event.id for event in page.events]


def test_events_are_read_in_order_and_each_cursor_goes_on_behind_its_event(store: Store) -> None:
    ring = EventRing(store)
    store.take(ring, Position(1, 1), entered("a", "b"), entered("c"))
    store.take(ring, Position(1, 2))
    store.take(ring, Position(2, 3), entered("d"))
    whole = look(ring)
    assert (ids(whole), whole.gap, whole.more) == (["a", "b", "c", "d"], False, False)
    assert [event.cursor for event in whole.events] == [
        *((1, 1, 1), (1, 1, 2), (1, 1, 3), (2, 3, 1))
    ]
    assert [event.at for event in whole.events] == [10, 10, 10, 30]
    for place, event in enumerate(whole.events):
        rest = look(ring, event.cursor)
        assert (ids(rest), rest.gap) == (["a", "b", "c", "d"][place + 1 :], False)
    assert whole.cursor == ring.last


def test_a_page_ends_in_the_midst_of_an_entry_and_the_next_one_goes_on_there(store: Store) -> None:
    ring = EventRing(store)
    store.take(ring, Position(1, 1), entered("a", "b", "c"), entered("d"))
    seen, after = list[str](), START
    for _ in range(9):
        page = look(ring, after, limit=2)
        seen, after = seen + ids(page), page.cursor
        if not page.more:
            break
    assert seen == ["a", "b", "c", "d"]


def test_filters_are_joined_and_the_cursor_moves_over_what_they_leave_out(store: Store) -> None:
    ring = EventRing(store)
    store.take(ring, Position(1, 1), entered("a", queue="mail"), entered("b", "c", name="x.y"))
    store.take(ring, Position(1, 2), Happened(EventKind.PAUSED, queue="mail"))
    assert ids(look(ring, wanted=Wanted(queue="mail"))) == ["a", ""]
    assert ids(look(ring, wanted=Wanted(name="x.*"))) == ["b", "c"]
    (only,) = look(ring, wanted=Wanted(id="c")).events
    assert only.cursor == (1, 1, 3)
    assert ids(look(ring, wanted=Wanted(frozenset({EventKind.PAUSED}), queue="mail"))) == [""]
    nothing = look(ring, wanted=Wanted(queue="nosuch"))
    assert (nothing.events, nothing.cursor) == ([], (1, 2, 1))


def test_a_restart_keeps_them_and_an_entry_that_is_applied_again_is_told_once(
    store: Store,
) -> None:
    ring = EventRing(store)
    store.take(ring, Position(1, 1), entered("a"))
    store.connection.execute("BEGIN")
    ring.note(Position(1, 2), 20, [entered("b")])
    store.connection.execute("ROLLBACK")  # the process died before the commit
    again = EventRing(store)
    assert (again.last, again.floor) == ((1, 1, 1), (0, 0, 0))
    store.take(again, Position(1, 2), entered("b"))
    assert ids(look(again)) == ["a", "b"]


def test_who_was_applied_without_the_ring_begins_it_anew_and_says_so(store: Store) -> None:
    ring = EventRing(store)
    store.take(ring, Position(1, 1), entered("a"))
    store.applied = Position(1, 5)  # by a release that keeps none, or with none wanted
    again = EventRing(store)
    page = look(again, Cursor(1, 1, 1))
    assert (page.events, page.gap, page.cursor[:2]) == ([], True, (1, 5))
    store.take(again, Position(1, 6), entered("f"))
    page = look(again, Cursor(1, 1, 1))
    assert (page.events, page.gap, page.more) == ([], True, True)
    assert ids(look(again, page.cursor)) == ["f"]
    assert not look(again, page.cursor).gap


def test_without_room_for_any_an_entry_costs_no_statement(store: Store) -> None:
    off = EventRing(store, 0)
    store.take(off, Position(1, 1), entered("a"))
    said: list[str] = []
    store.connection.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: said.append(event["sql"]))
    off.note(Position(1, 2), 20, [entered("b")])
    assert said == []
    assert look(off) == Page([], START, gap=False, more=False)
    assert off.newest((2, 1)) == []


def test_without_room_for_any_none_are_kept_and_what_was_there_goes(store: Store) -> None:
    store.take(EventRing(store), Position(1, 1), entered("a"))
    off = EventRing(store, 0)
    assert not off.keeps
    store.take(off, Position(1, 2), entered("b"))
    tables = store.connection.execute("SELECT name FROM sqlite_schema").fetchall()
    assert tables == []


def test_the_oldest_go_once_it_is_full_and_a_reader_behind_is_told(store: Store) -> None:
    ring = EventRing(store, 20_000)
    for seq in range(1, 501):
        store.take(ring, Position(1, seq), entered(f"task-{seq:04}"))
    size = store.connection.execute("SELECT sum(length(data) + 32) FROM store_event").get
    assert 18_000 < size <= 20_000
    assert ring.floor > (1, 100, 0)
    behind = look(ring, Cursor(1, 50, 1))
    assert (behind.events, behind.gap, behind.cursor) == ([], True, ring.floor)
    rest = look(ring, behind.cursor, limit=1_000)
    assert not rest.gap
    assert ids(rest) == [f"task-{seq:04}" for seq in range(ring.floor.seq + 1, 501)]
    assert not look(ring, ring.floor).gap
    assert look(ring, ring.floor._replace(n=0)).gap  # its own events are gone
    again = EventRing(store, 20_000)
    assert (again.floor, again.last, again._size) == (ring.floor, ring.last, ring._size)


@pytest.mark.parametrize("limit", [1 << 20, 9_000])
def test_a_place_is_found_in_every_epoch_also_where_each_counts_from_one(
    store: Store, limit: int
) -> None:
    ring = EventRing(store, limit)
    positions = [Position(epoch, seq) for epoch in (1, 2, 5) for seq in range(1, 90)]
    for at in positions:
        store.take(ring, at, entered(f"{at.epoch}.{at.seq}"))
    kept = [at for at in positions if at > tuple(ring.floor[:2])]
    assert len(kept) == len(positions) if limit > 9_000 else 90 < len(kept) < 250
    told = [f"{at.epoch}.{at.seq}" for at in kept]
    for place, at in enumerate(kept):
        page = look(ring, Cursor(*at, 1), limit=1_000)
        assert (ids(page), page.gap) == (told[place + 1 :], False)
        older = [position for position, _, _ in ring.newest(at) if position > ring.floor[:2]]
        assert older == list(reversed(kept[:place]))
    assert look(ring, Cursor(9, 1, 0)).events == []


def test_an_entry_adds_a_row_at_the_end_and_takes_no_page_apart(tmp_path: Path) -> None:
    """In the order of (epoch, seq) each entry of ten tasks wrote more than two pages of its own."""
    db = apsw.Connection(str(tmp_path / "db"))
    db.execute("PRAGMA journal_mode = WAL")
    pages: list[int] = []

    def committed(_db: apsw.Connection, _name: str, count: int) -> int:
        pages.append(count)
        return 0

    db.set_wal_hook(committed)
    own = Store(db)
    ring = EventRing(own)
    for seq in range(1, 302):
        own.take(ring, Position(1, seq), entered(*(f"{seq:030}-{n:05}" for n in range(10))))
    assert (pages[-1] - pages[0]) / 300 < 1.5


def test_a_look_is_bounded_work(store: Store) -> None:
    ring = EventRing(store)
    for seq in range(1, 1_203):
        store.take(ring, Position(1, seq), entered("a"))
    first = look(ring, wanted=Wanted(queue="nosuch"))
    assert (first.events, first.more) == ([], True)
    assert first.cursor.seq < 600
    large = EventRing(Store(apsw.Connection(":memory:")))
    other = Store(large._db)
    for seq in range(1, 10):
        other.take(large, Position(1, seq), entered(*(f"{at:032}" for at in range(1_000))))
    assert look(large, wanted=Wanted(queue="nosuch")).cursor.seq < 4
    looks = [ring.may_look(5) for _ in range(99)]
    assert looks == [*looks[:8], *(91 * [False])]
    assert all(looks[:8])
    assert ring.may_look(6)


def test_cursors_compare_as_texts_do() -> None:
    cursors = [Cursor(1, 2, 3), Cursor(1, 2, 16), Cursor(1, 255, 0), Cursor(2, 1, 0)]
    assert sorted(map(str, cursors)) == [str(cursor) for cursor in cursors]
    assert [parse_cursor(str(cursor)) for cursor in cursors] == cursors
    for wrong in ("", "now", "1.2.3", str(cursors[0]).upper() + "F"):
        with pytest.raises(ValueError, match="is no cursor"):
            parse_cursor(wrong)


# ---- what an entry brought about ----------------------------------------------------------------


class Queues:
    """As much of a machine as has its events noted."""

    def __init__(self) -> None:
        self.state = SimpleNamespace(journal=Journal(), time=7)


def notes(
    store: Store, contained: list[str], event_bytes: int = 1_000_000
) -> tuple[EventNotes, Queues]:
    queues = Queues()
    containment = Containment(lambda what, _error: contained.append(what))
    setup = cast("Setup", SimpleNamespace(event_bytes=event_bytes))
    return EventNotes(store, cast("Machine", queues), containment, setup), queues


def test_leaders_and_rosters_are_told_of_where_they_stand_in_the_log(store: Store) -> None:
    made, queues = notes(store, [])
    queues.state.journal.entered("default", "m.f", ["a"])
    roster = encode_roster({"a": b"1" * 16, "b": b"2" * 16})
    store.connection.execute("BEGIN")
    made.applied(Entry(Position(3, 1), Kind.DATA, b""))  # the first of its epoch, by Zab
    made.note()
    made.applied(Entry(Position(4, 2), Kind.NOOP, b""))  # … and by Raft
    made.note()
    made.applied(Entry(Position(4, 3), Kind.ROSTER, roster))
    made.note()
    store.connection.execute("COMMIT")
    told = [(event.kind, event.id, event.text) for event in look(made.ring).events]
    assert told == [
        (EventKind.LEADER_ACTIVATED, "", "3"),
        (EventKind.ENQUEUED, "a", ""),
        (EventKind.LEADER_ACTIVATED, "", "4"),
        (EventKind.ROSTER_CHANGED, "", "a, b"),
    ]


def test_what_cannot_be_noted_is_a_gap_and_ends_no_broker(store: Store) -> None:
    contained: list[str] = []
    made, queues = notes(store, contained)
    made.applied(Entry(Position(1, 1), Kind.NOOP, b""))
    made.note()
    queues.state.journal.note(Happened(EventKind.PAUSED, ids=cast("list[str]", [object()])))
    made.applied(Entry(Position(1, 2), Kind.DATA, b""))
    made.note()
    assert contained == ["noting events"]
    queues.state.journal.entered("default", "m.f", ["b"])
    made.applied(Entry(Position(1, 3), Kind.DATA, b""))
    made.note()
    page = look(made.ring, Cursor(1, 1, 1))
    assert (page.events, page.gap) == ([], True)
    assert ids(look(made.ring, page.cursor)) == ["b"]


def test_tasks_are_counted_also_where_no_events_are_kept(store: Store) -> None:
    made, queues = notes(store, [], event_bytes=0)
    queues.state.journal.entered("default", "m.f", ["a", "b"])
    made.applied(Entry(Position(1, 1), Kind.DATA, b""))
    made.note()
    assert [(t.name, t.enqueued) for t in made._counters.told()] == [("m.f", 2)]
    assert made.ring.keeps is False
