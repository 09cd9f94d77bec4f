"""Events over brokers in memory: each has the same, and a reader goes on at the next leader."""

from typing import Any

import pytest

from raftwork.broker.event_ring import EventRing
from raftwork.broker.own_facts import OwnFacts, Stored
from raftwork.consensus.core import Entry, Kind, Position
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.event_feed import START, Begin, Cursor, EventsRead, ReadEvents
from raftwork.features.event_journal import EventKind
from raftwork.messages import FromBroker, Outcome, Push, Report, Started
from raftwork.messages.facts import NO_LATENCIES
from tests.unit.broker.nodes import MemoryStore, World
from tests.unit.broker.queues import enqueue

CREATED = 1 << 52


def put(world: World, number: int, *ids: str, to: str) -> None:
    _, spec, tasks, _ = enqueue(*ids)
    assert Enqueued(number) in world.ask(b"client", Enqueue(number, CREATED, spec, tasks), to)


def read(world: World, number: int, after: Cursor, to: str) -> EventsRead:
    asked = ReadEvents(number, Begin.AFTER, *after, 100, 0)
    (page,) = [m for m in world.ask(b"client", asked, to) if isinstance(m, EventsRead)]
    return page


def cursor(page: EventsRead) -> Cursor:
    return Cursor(page.epoch, page.seq, page.n)


def words(page: EventsRead) -> list[str]:
    return [f"{EventKind(event.kind).name.lower()} {event.id}".strip() for event in page.events]


@pytest.mark.parametrize("protocol", ["raft", "zab"])
def test_a_reader_goes_on_at_the_next_leader_behind_the_event_it_read_last(
    protocol: str,
) -> None:
    world = World("a", "b", "c", consensus=protocol)
    first = world.elect()
    world.client(to=first)
    put(world, 1, "x", "y", to=first)
    page = read(world, 2, START, first)
    assert words(page)[-2:] == ["enqueued x", "enqueued y"]
    assert any(word.startswith("leader_activated") for word in words(page))
    mid = page.events[-2].cursor  # y is not read yet
    del world.nodes[first]
    second = world.elect()
    assert second != first
    world.client(to=second)
    put(world, 3, "z", to=second)
    page = read(world, 4, mid, second)
    assert (words(page)[0], words(page)[-1]) == ("enqueued y", "enqueued z")
    assert (page.gap, len({event.cursor for event in page.events})) == (False, len(page.events))
    world.run(1_000)
    rings = [node._events.ring for node in world.nodes.values()]
    assert [ring.last for ring in rings] == [rings[0].last] * 2


def test_a_tasks_life_is_told_with_its_worker_and_a_restart_keeps_it() -> None:
    world = World("a")
    world.elect()
    world.client()
    world.worker()
    put(world, 1, "x", to="a")
    (push,) = [m for m in world.heard(b"worker") if isinstance(m, Push)]
    token = push.tasks[0].token
    world.ask(b"worker", Report(1, [Started(token, 0)], [Outcome(token, True, b"v")], [], 0))
    page = read(world, 2, START, "a")
    life = [event for event in page.events if event.id == "x"]
    assert [EventKind(event.kind).name for event in life] == ["ENQUEUED", "ASSIGNED", "FINISHED"]
    assert [(event.worker, event.attempt) for event in life[1:]] == [("w", 1)] * 2
    assert {event.name for event in life} == {"job"}
    world.nodes["a"].rest()
    world.nodes["a"] = world.start("a")
    world.elect()
    world.client()
    assert words(read(world, 3, life[0].cursor, "a"))[:1] == ["assigned x"]
    assert cursor(page) <= cursor(read(world, 4, START, "a"))


def test_every_replica_counts_the_same_of_the_tasks() -> None:
    world = World("a", "b", "c")
    leader = world.elect()
    world.client(to=leader)
    put(world, 1, "x", "y", to=leader)
    world.run(300)
    said = world.worker(to=leader)
    world.run(300)
    (push,) = [m for m in (*said, *world.heard(b"worker")) if isinstance(m, Push)]
    outcome = Outcome(push.tasks[0].token, True, b"v")
    world.ask(b"worker", Report(1, [], [outcome], [], 0), leader)
    world.run(1_000)
    facts = OwnFacts("a", 1, 0).facts(0, 0, Stored(NO_LATENCIES, NO_LATENCIES, 0, 0, 0, 0))
    counted = [node._events.counted(facts, None) for node in world.nodes.values()]
    told = [each.machine for each in counted if each is not None and each.machine is not None]
    assert told == [told[0]] * 3
    (job,) = told[0].tasks
    assert (job.name, job.enqueued, job.succeeded) == ("job", 2, 1)
    (queue,) = told[0].queues
    assert sum(queue.waits.counts) == 2 and queue.waits.sum_ms >= 600


@pytest.mark.parametrize("protocol", ["raft", "zab"])
def test_what_is_committed_is_counted_as_what_is_applied_and_never_less_than_before(
    protocol: str,
) -> None:
    world = World("a", "b", "c", consensus=protocol)
    leader = world.elect()
    world.client(to=leader)
    put(world, 1, "x", to=leader)
    node = world.nodes[leader]
    facts = OwnFacts("a", 1, 0).facts(0, 0, Stored(NO_LATENCIES, NO_LATENCIES, 0, 0, 0, 0))
    at = node._events._at
    counted = [
        told.committed
        for committed in (at, Position(at.epoch, at.seq + 5), at)
        if (told := node._events.counted(facts, committed)) is not None
    ]
    assert counted == [node._events._applied, *[node._events._applied + 5] * 2]


def test_a_client_hears_of_its_task_before_the_event_is_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World("a")
    world.elect()
    world.client()
    noted, heard = EventRing.note, list[list[FromBroker]]()

    def note(ring: EventRing, *what: Any) -> None:
        heard.append([message for _, message in world.inbox[b"client"]])
        noted(ring, *what)

    monkeypatch.setattr(EventRing, "note", note)
    put(world, 1, "x", to="a")
    assert heard == [[Enqueued(1)]]


@pytest.mark.parametrize("protocol", ["raft", "zab"])
def test_no_crash_parts_what_is_applied_from_its_events(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World("a", "b", "c", consensus=protocol)
    leader = world.elect()
    world.client(to=leader)
    commit, commits = MemoryStore.commit, list[Position]()

    def committing(store: MemoryStore) -> None:
        (node,) = (world.nodes[name] for name in world.names if world.stores[name] is store)
        assert node._events.ring.last[:2] == store.applied
        commits.append(store.applied)
        commit(store)

    monkeypatch.setattr(MemoryStore, "commit", committing)
    for n in range(60):  # what is applied and what is promised meet in one transaction
        _, spec, tasks, _ = enqueue(f"x{n}")
        world.say(b"client", Enqueue(n + 1, CREATED, spec, tasks), leader)
        if n % 3:
            world.step()
    world.run(1_000)
    assert len(set(commits)) > 20


def test_whatever_commits_first_finds_the_events_of_the_last_entry_noted() -> None:
    """A snapshot is made of what is committed, before anything planned or sent."""
    world = World("a")
    world.elect()
    node, store = world.nodes["a"], world.stores["a"]
    at = Position(store.applied.epoch, store.applied.seq + 1)
    node.rest()
    store.begin()
    node.passed(Entry(at, Kind.NOOP, b""))
    node.before_commit()
    assert node._events.ring.last[:2] == at
