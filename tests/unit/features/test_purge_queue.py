"""A purge: what waits ends for good, what runs stays, and no entry is large."""

import pytest

from raftwork.broker.machine.commands import Assign
from raftwork.features import purge_queue
from raftwork.features.effects import Settled
from raftwork.features.enqueue import Admit
from raftwork.features.purge_queue import DropWaiting, PurgeQueue, QueuePurged
from raftwork.features.results import Results, Watch, Watched
from raftwork.messages import Code, Refused, Spec, State, decode_failure, encode_spec
from raftwork.wire import pack
from tests.unit.broker.queues import Queues, enqueue
from tests.unit.broker.request_harness import OTHER, RequestHarness


@pytest.fixture
def harness() -> RequestHarness:
    harness = RequestHarness()
    harness.enqueue(*"abcde")
    harness.commit()
    harness.sent()
    return harness


def purge(harness: RequestHarness, request: int = 7) -> tuple[int, int]:
    """How many it told of, and how many entries it took."""
    assert harness.ask(PurgeQueue(request, "default")) == []
    for entries in range(1, 99):
        harness.next_turn()
        for wanted in harness.processor.wanted():
            for effect in harness.decide(wanted).effects:
                harness.results.settled(effect)  # type: ignore[arg-type]
        told = [m for m in harness.sent() if isinstance(m, QueuePurged | Refused)]
        if told:
            (answer,) = told
            assert isinstance(answer, QueuePurged)
            return answer.purged, entries
    raise AssertionError("it never ended")


def test_what_waits_ends_as_purged_and_what_runs_stays(harness: RequestHarness) -> None:
    harness.queues.apply(Assign(b"w", [1]))
    assert harness.ask(Watch(1, [*"abc"]), OTHER) == [Watched(1)]
    harness.say(PurgeQueue(7, "default"))
    (wanted,) = harness.processor.wanted()
    for effect in harness.decide(wanted).effects:
        harness.results.settled(effect)  # type: ignore[arg-type]
    frames = harness.frames()
    assert QueuePurged(7, 4) in [message for _, message in frames]
    ((_, results),) = [each for each in frames if each[0] == OTHER]
    assert isinstance(results, Results)
    assert [(r.id, r.state) for r in results.results] == [("b", State.FAILED), ("c", State.FAILED)]
    assert {decode_failure(r.data).type for r in results.results} == {"Purged"}
    assert harness.machine.states([*"ab"]) == [State.RUNNING, State.FAILED]
    status = harness.machine.queue("default")
    assert (status.queued, status.running, status.failed, status.bytes) == (0, 1, 4, 0)


def test_a_large_queue_is_purged_by_parts(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_queue, "_PART", 2)
    assert purge(harness) == (5, 3)
    assert harness.under_way() == 0


def test_parts_of_the_same_size_as_the_rest_end_with_an_empty_one(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_queue, "_PART", 5)
    assert purge(harness) == (5, 2)


def test_what_comes_in_after_it_was_asked_for_stays(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_queue, "_PART", 3)
    harness.say(PurgeQueue(7, "default"))
    (part,) = harness.processor.wanted()
    assert part.command(harness.view) == DropWaiting("default", 5, 3)
    harness.decide(part)
    harness.enqueue("f", request=2)
    harness.commit()
    harness.next_turn()
    harness.commit()
    assert QueuePurged(7, 5) in harness.sent()
    assert [task.id for task in harness.machine.waiting("default", 0, 9, 1 << 20)] == ["f"]


@pytest.mark.parametrize("queue", ["default", "never used"])
def test_that_a_queue_is_empty_is_known_once_the_log_says_so(
    harness: RequestHarness, queue: str
) -> None:
    """To a leader that was deposed a queue seems to be empty in which tasks wait."""
    assert purge(harness) == (5, 1)
    assert harness.ask(PurgeQueue(8, queue)) == []
    harness.commit()
    assert harness.sent() == [QueuePurged(8, 0)]


def test_a_turn_has_one_part_of_it_even_if_that_is_applied_at_once(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is alone commits what it proposes in the same turn, and then plans again."""
    monkeypatch.setattr(purge_queue, "_PART", 2)
    harness.say(PurgeQueue(7, "default"))
    for left in (3, 1, 0):
        harness.next_turn()
        for _ in range(3):  # plans of the same turn
            harness.processor.poll(harness.now)
            harness.commit()
        assert harness.machine.queue("default").queued == left
        assert harness.processor.waiting == (left > 0)
    assert harness.sent() == [QueuePurged(7, 5)]


def test_a_turn_has_the_next_part_of_one_purge_however_many_are_under_way(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their parts together would be one large entry."""
    monkeypatch.setattr(purge_queue, "_PART", 1)
    harness.say(PurgeQueue(7, "default"))
    harness.say(PurgeQueue(8, "default"))
    harness.commit()
    for left in (2, 1, 0):
        harness.next_turn()
        harness.commit()
        assert harness.machine.queue("default").queued == left
    for _ in range(2):
        harness.next_turn()
        harness.commit()
    assert sorted(harness.sent()) == [QueuePurged(7, 3), QueuePurged(8, 2)]


def test_purges_under_way_are_bounded(harness: RequestHarness) -> None:
    for request in range(purge_queue._PURGES_MAX):
        assert harness.ask(PurgeQueue(request, "default")) == []
    (refused,) = harness.ask(PurgeQueue(99, "default"))
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL


def test_what_waits_in_lanes_and_behind_its_key_is_dropped_as_well() -> None:
    queues = Queues()
    queues.apply(enqueue("ordinary"))
    queues.apply(enqueue("high", spec=Spec("job", "default", priority=105)))
    ordered = encode_spec(Spec("job", "default", ordered=True, halts=True))
    queues.apply(Admit(0, ordered, pack([[id_, b"", "key"] for id_ in ("first", "second")])))
    applied = queues.apply(DropWaiting("default", 4, 1_000))
    assert [e.id for e in applied.effects if isinstance(e, Settled)] == [
        *("second", "high", "first", "ordinary")
    ]
    assert queues.machine.state.queues["default"].queued == 0
    for table in ("waiting", "laned", "key_waiting", "key_order", "lane"):
        assert not list(queues.db.execute(f"SELECT * FROM {table}")), table
