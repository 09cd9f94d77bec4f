"""A purge: what waits ends for good, what runs stays, and no entry is large."""

import pytest

from raftwork.broker.machine.commands import Assign
from raftwork.features import purge_queue
from raftwork.features.purge_queue import DropWaiting, PurgeQueue, QueuePurged
from raftwork.features.results import Results, Watch, Watched
from raftwork.messages import Code, Refused, State, decode_failure
from tests.unit.broker.desks import OTHER, Counter


@pytest.fixture
def counter() -> Counter:
    counter = Counter()
    counter.enqueue(*"abcde")
    counter.commit()
    counter.sent()
    return counter


def purge(counter: Counter, request: int = 7) -> tuple[int, int]:
    """How many it told of, and how many entries it took."""
    assert counter.ask(PurgeQueue(request, "default")) == []
    for entries in range(1, 99):
        counter.next_turn()
        for wanted in counter.desk.wanted():
            for effect in counter.decide(wanted).effects:
                counter.results.settled(effect)  # type: ignore[arg-type]
        told = [m for m in counter.sent() if isinstance(m, QueuePurged | Refused)]
        if told:
            (answer,) = told
            assert isinstance(answer, QueuePurged)
            return answer.purged, entries
    raise AssertionError("it never ended")


def test_what_waits_ends_as_purged_and_what_runs_stays(counter: Counter) -> None:
    counter.queues.apply(Assign(b"w", [1]))
    assert counter.ask(Watch(1, [*"abc"]), OTHER) == [Watched(1)]
    counter.say(PurgeQueue(7, "default"))
    (wanted,) = counter.desk.wanted()
    for effect in counter.decide(wanted).effects:
        counter.results.settled(effect)  # type: ignore[arg-type]
    frames = counter.frames()
    assert QueuePurged(7, 4) in [message for _, message in frames]
    ((_, results),) = [each for each in frames if each[0] == OTHER]
    assert isinstance(results, Results)
    assert [(r.id, r.state) for r in results.results] == [("b", State.FAILED), ("c", State.FAILED)]
    assert {decode_failure(r.data).type for r in results.results} == {"Purged"}
    assert counter.machine.states([*"ab"]) == [State.RUNNING, State.FAILED]
    status = counter.machine.queue("default")
    assert (status.queued, status.running, status.failed, status.bytes) == (0, 1, 4, 0)


def test_a_large_queue_is_purged_by_parts(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_queue, "_PART", 2)
    assert purge(counter) == (5, 3)
    assert counter.under_way() == 0


def test_parts_of_the_same_size_as_the_rest_end_with_an_empty_one(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_queue, "_PART", 5)
    assert purge(counter) == (5, 2)


def test_what_comes_in_after_it_was_asked_for_stays(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_queue, "_PART", 3)
    counter.say(PurgeQueue(7, "default"))
    (part,) = counter.desk.wanted()
    assert part.command(counter.view) == DropWaiting("default", 5, 3)
    counter.decide(part)
    counter.enqueue("f", request=2)
    counter.commit()
    counter.next_turn()
    counter.commit()
    assert QueuePurged(7, 5) in counter.sent()
    assert [task.id for task in counter.machine.waiting("default", 0, 9, 1 << 20)] == ["f"]


@pytest.mark.parametrize("queue", ["default", "never used"])
def test_that_a_queue_is_empty_is_known_once_the_log_says_so(counter: Counter, queue: str) -> None:
    """To a leader that was deposed a queue seems to be empty in which tasks wait."""
    assert purge(counter) == (5, 1)
    assert counter.ask(PurgeQueue(8, queue)) == []
    counter.commit()
    assert counter.sent() == [QueuePurged(8, 0)]


def test_a_turn_has_one_part_of_it_even_if_that_is_applied_at_once(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is alone commits what it proposes in the same turn, and then plans again."""
    monkeypatch.setattr(purge_queue, "_PART", 2)
    counter.say(PurgeQueue(7, "default"))
    for left in (3, 1, 0):
        counter.next_turn()
        for _ in range(3):  # plans of the same turn
            counter.desk.poll(counter.now)
            counter.commit()
        assert counter.machine.queue("default").queued == left
        assert counter.desk.waiting == (left > 0)
    assert counter.sent() == [QueuePurged(7, 5)]


def test_a_turn_has_the_next_part_of_one_purge_however_many_are_under_way(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their parts together would be one large entry."""
    monkeypatch.setattr(purge_queue, "_PART", 1)
    counter.say(PurgeQueue(7, "default"))
    counter.say(PurgeQueue(8, "default"))
    counter.commit()
    for left in (2, 1, 0):
        counter.next_turn()
        counter.commit()
        assert counter.machine.queue("default").queued == left
    for _ in range(2):
        counter.next_turn()
        counter.commit()
    assert sorted(counter.sent()) == [QueuePurged(7, 3), QueuePurged(8, 2)]


def test_purges_under_way_are_bounded(counter: Counter) -> None:
    for request in range(purge_queue._PURGES_MAX):
        assert counter.ask(PurgeQueue(request, "default")) == []
    (refused,) = counter.ask(PurgeQueue(99, "default"))
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL
