"""Whoever reads events while everything runs, by a cursor that outlives clients and leaders.

What happened is known from the effects of what was applied. Each task's end must be told once, and
in its place, or lie in a gap that was told. All replicas have the same events of an entry.
"""

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from raftwork.broker.event_ring import EventRing
from raftwork.client.calls import Answered
from raftwork.consensus.core import Position
from raftwork.errors import ProtocolError
from raftwork.features.effects import Applied, Settled
from raftwork.features.event_feed import START, Begin, Cursor, EventsRead, ReadEvents, Wanted
from raftwork.features.event_journal import ENDS, EventKind
from raftwork.messages import State
from tests.sim.system.promises import Violation, require

if TYPE_CHECKING:
    from tests.sim.system.world import World

_EVERY = 120
#: What a broker keeps: all of it, some, or nothing. Of the others' a reader is told a gap.
_SIZES = (1 << 20, 1 << 20, 1 << 20, 3_000, 0)
_ROW = "SELECT events, data FROM store_event WHERE epoch = ? AND seq = ?"
_STATES = {
    State.SUCCEEDED: {EventKind.FINISHED},
    State.FAILED: {EventKind.FAILED},
    State.LOST: {EventKind.LOST},
    State.CANCELLED: {EventKind.CANCELLED, EventKind.EXPIRED},
}


class End(NamedTuple):
    """Of a task."""

    id: str
    kinds: frozenset[EventKind]


class _Gap(NamedTuple):
    after: Cursor
    upto: Cursor


class EventChecker:
    """What happened, and what was told of it."""

    def __init__(self, reached: Counter[str]) -> None:
        self._reached = reached
        self._ends: dict[Position, list[End]] = {}
        #: By position: how many events, and what they are.
        self._noted: dict[Position, tuple[int, bytes]] = {}

    def applied(self, at: Position, applied: Applied) -> None:
        """The first replica has applied this entry."""
        ends = [
            End(effect.id, frozenset(_STATES[effect.state]))
            for effect in applied.effects
            if isinstance(effect, Settled) and effect.queue
        ]
        if ends:
            self._ends[at] = ends

    def noted(self, name: str, at: Position, ring: EventRing) -> None:
        """A replica has applied it, and noted what it keeps."""
        rows: list[tuple[int, bytes]] = list(ring._db.execute(_ROW, at))
        require(len(rows) == 1, "events", lambda: f"{name} has noted nothing of {at}")
        if ring.floor[:2] < at:
            known = self._noted.setdefault(at, rows[0])
            require(known == rows[0], "same events", lambda: f"{name} notes others of {at}")

    def reads(self, ring: EventRing, reader: "Reading") -> None:
        """All that is left of a ring."""
        while True:
            page = ring.read(reader.cursor, Wanted(), 1_000, lambda _: "")
            told = EventsRead(0, page.events, *page.cursor, page.gap, page.more)
            reader.told(told)
            if not page.more:
                return

    def check(self, who: str, reader: "Reading") -> None:
        """Up to its cursor a reader has been told of each end once, but for the gaps."""
        last = reader.cursor
        for at, ends in self._ends.items():
            if not reader.begun < (*at, 0) or not at < last[:2] or reader.lacks(at):
                continue
            seen = reader.ends.get(at, [])
            same = [task for task, _ in seen] == [end.id for end in ends]
            if not same or any(
                kind not in end.kinds for (_, kind), end in zip(seen, ends, strict=True)
            ):
                text = f"{who} is told that {seen} ended at {at}, and {ends} did"
                raise Violation("events", text)
        others = reader.ends.keys() - self._ends.keys()
        require(not others, "events", f"{who} is told of ends at {others}, where none was")
        self._reached["events: read to the end"] += 1


class Reading:
    """What a reader was told, and up to where."""

    def __init__(self, begun: Cursor = START) -> None:
        self.begun = self.cursor = begun
        self.ends: dict[Position, list[tuple[str, EventKind]]] = {}
        self.gaps: list[_Gap] = []
        self._last = begun

    def told(self, page: EventsRead) -> None:
        """The next page."""
        upto = Cursor(page.epoch, page.seq, page.n)
        for event in page.events:
            if not event.cursor > self._last:
                raise Violation("events", f"{event} comes after {self._last}")
            self._last = event.cursor
            if event.kind in ENDS:
                at = Position(event.epoch, event.seq)
                self.ends.setdefault(at, []).append((event.id, EventKind(event.kind)))
        require(upto >= max(self.cursor, self._last), "events", f"{upto} after {self.cursor}")
        if page.gap:
            self.gaps.append(_Gap(self.cursor, upto))
        self.cursor = self._last = upto

    def lacks(self, at: Position) -> bool:
        """Whether the events of this entry lie in a gap, or some of them."""
        return any(gap.after[:2] <= at <= gap.upto[:2] for gap in self.gaps)


class EventReader:
    """Asks by way of the clients, one request after the other; an answer that is late is none."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = Random(f"events of {world.seed}")
        self._there = self._rng.random() < 0.6
        self.reading = Reading()

    def keeps(self) -> int:
        """How much a broker keeps that starts now, in bytes."""
        return self._rng.choice(_SIZES)

    def begin(self) -> None:
        """From now on until there is peace."""
        world, rng = self._world, self._rng
        if self._there and not world.peaceful:
            epoch, seq, n = self.reading.cursor
            limit, wait = rng.randint(1, 40), rng.choice((0, 50, 1_000))
            asked = ReadEvents(0, Begin.AFTER, epoch, seq, n, limit, wait)
            rng.choice(world.users).inquire(asked)
            world.timeline.after(rng.randint(1, 2 * _EVERY), self.begin)

    def answered(self, asked: ReadEvents, answer: Answered) -> None:
        """A leader has told what it keeps."""
        reached = self._world.reach.counts
        match answer.message:
            case EventsRead() as page if (asked.epoch, asked.seq, asked.n) == self.reading.cursor:
                before = self.reading.cursor
                self.reading.told(page)
                reached["events: gap told"] += page.gap
                over = bool(page.events) and page.events[0].epoch > before.epoch > 0
                reached["events: read across a failover"] += over and not page.gap
            case EventsRead():
                reached["events: a late answer"] += 1
            case _:
                refused = isinstance(answer.error, ProtocolError) and "keeps no" in str(
                    answer.error
                )
                require(refused, "events", f"{asked} is answered by {answer}")

    def check(self) -> None:
        """In the end: what was read, and what each broker has."""
        world = self._world
        checker = world.queue.events
        checker.check("a reader", self.reading)
        for broker in world.brokers:
            assert broker.node is not None
            ring = broker.node._events.ring
            if not ring.keeps:
                continue
            for who, reading in (("a reader", self.reading), (broker.host, Reading(ring.floor))):
                checker.reads(ring, reading)
                checker.check(who, reading)
