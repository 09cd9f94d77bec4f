"""Results: outcomes at once, everything else behind a barrier, and all of it bounded."""

from collections.abc import Sequence

import pytest

from raftwork.broker.machine.commands import Assign
from raftwork.broker.requests import result_outbox
from raftwork.broker.requests.request_processor import TURN_WORK
from raftwork.features.enqueue import Enqueued
from raftwork.features.feature import Budget
from raftwork.features.results import SLICE, Answer, Ask, Results, Watch, Watched, feature
from raftwork.messages import (
    ID_MAX,
    PAYLOAD_MAX,
    WATCH_IDS_MAX,
    Code,
    Refused,
    Result,
    State,
)
from tests.unit.broker.request_harness import ME, OTHER, RequestHarness

FEATURE = feature()


@pytest.fixture
def harness() -> RequestHarness:
    return RequestHarness()


# ---- watch ------------------------------------------------------------------------------------


def test_a_finished_task_is_told_at_once(harness: RequestHarness) -> None:
    harness.enqueue("a")
    harness.commit()
    harness.finish(1)
    harness.sent()
    harness.say(Watch(5, ["a"]))
    assert harness.sent() == [Watched(5), Results([Result("a", State.SUCCEEDED, b"v")])]
    assert not harness.processor.read_barrier.asking


def test_an_unfinished_task_is_told_when_it_ends_and_once(harness: RequestHarness) -> None:
    harness.enqueue("a")
    harness.commit()
    harness.sent()
    for _ in range(2):
        harness.say(Watch(5, ["a", "a"]))
    harness.say(Watch(1, ["a"]), OTHER)
    assert harness.sent() == [Watched(5), Watched(5)]
    harness.finish(1)
    frames = dict(harness.frames())
    assert frames[ME] == frames[OTHER] == Results([Result("a", State.SUCCEEDED, b"v")])
    assert harness.sent() == []


def test_unknown_is_told_only_behind_a_barrier(harness: RequestHarness) -> None:
    harness.say(Watch(5, ["nobody's"]))
    assert harness.sent() == [Watched(5)]
    assert harness.processor.read_barrier.asking
    harness.barrier()
    assert harness.sent() == [Results([Result("nobody's", State.UNKNOWN, b"")])]


def test_a_task_that_arrives_before_the_barrier_is_not_told_as_unknown(
    harness: RequestHarness,
) -> None:
    harness.say(Watch(5, ["a"]))
    harness.enqueue("a")
    harness.commit()
    harness.barrier()
    assert harness.sent() == [Watched(5), Enqueued(1)]
    harness.finish(1)
    assert harness.sent() == [Results([Result("a", State.SUCCEEDED, b"v")])]


def test_a_barrier_answers_what_was_asked_before_it_and_nothing_else(
    harness: RequestHarness,
) -> None:
    harness.say(Ask(1, ["a"]))
    harness.processor.read_barrier.barrier(1)
    harness.say(Ask(2, ["a"]))
    harness.processor.read_ready(1)
    assert [m.request for m in harness.sent() if isinstance(m, Answer)] == [1]
    assert harness.processor.read_barrier.asking
    harness.processor.read_ready(99)  # nobody asked
    assert harness.sent() == []


def test_a_million_questions_are_answered_by_slices_and_each_of_them(
    harness: RequestHarness,
) -> None:
    """One turn that answered them all would be longer than an election timeout."""
    harness.enqueue("a")
    harness.commit()
    harness.sent()
    looked_up: list[int] = []
    states = harness.machine.states

    def counting(ids: Sequence[str]) -> list[State]:
        looked_up.append(len(ids))
        return states(ids)

    harness.machine.states = counting  # type: ignore[method-assign]
    ids = ["a", *map(str, range(2 * TURN_WORK))]
    for request in range(3):
        harness.say(Ask(request, ids))
    harness.barrier()
    answers: list[Answer] = []
    while harness.processor.waiting:
        looked_up.clear()
        answers += [m for m in harness.sent() if isinstance(m, Answer)]
        assert 0 < sum(looked_up) < TURN_WORK + SLICE
    assert [answer.request for answer in answers] == [0, 1, 2]
    known = [result.state for result in answers[0].results]
    assert known == [State.QUEUED] + [State.UNKNOWN] * (2 * TURN_WORK)
    assert all([result.id for result in answer.results] == ids for answer in answers)
    assert harness.under_way() == 0


def test_nothing_is_left_of_a_client_that_left(harness: RequestHarness) -> None:
    harness.enqueue("a")
    harness.commit()
    harness.sent()
    harness.say(Watch(5, ["a", "b"]))
    harness.sent()
    harness.processor.gone(ME)
    harness.barrier()
    harness.finish(1)
    assert not harness.results._watchers
    assert not harness.results._watched
    assert harness.sent() == []


def test_asking_for_unknown_ids_for_ever_uses_nothing_up(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_outbox, "WATCHES_PER_SESSION", 10)
    for i in range(30):
        harness.say(Watch(i, [f"{i}"]))
        harness.barrier()
        assert not any(isinstance(m, Refused) for m in harness.sent())
    assert not harness.results._watchers


def test_watches_are_bounded_and_renewing_them_is_free(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_outbox, "WATCHES_PER_SESSION", 4)
    harness.enqueue(*"abcde")
    harness.commit()
    harness.sent()
    for _ in range(3):
        harness.say(Watch(1, list("abcd")))
    assert harness.sent() == [Watched(1)] * 3
    harness.say(Watch(2, ["e"]))
    (refused,) = harness.sent()
    assert isinstance(refused, Refused)
    assert refused.code is Code.QUEUE_FULL


@pytest.mark.parametrize(
    "ids", [["i"] * (WATCH_IDS_MAX + 1), ["i" * (ID_MAX + 1)]], ids=["many", "long"]
)
def test_too_many_or_too_long_ids_are_refused_with_both_sizes(
    harness: RequestHarness, ids: list[str]
) -> None:
    harness.say(Watch(1, ids))
    harness.say(Ask(2, ids))
    refusals = [m for m in harness.sent() if isinstance(m, Refused)]
    assert [(m.request, m.code) for m in refusals] == [(1, Code.PROTOCOL), (2, Code.PROTOCOL)]
    assert not harness.processor.read_barrier.asking


def test_an_id_asked_for_many_times_is_told_once(harness: RequestHarness) -> None:
    harness.enqueue("a")
    harness.commit()
    harness.finish(1, b"x" * PAYLOAD_MAX)
    harness.sent()
    harness.say(Watch(1, ["a"] * WATCH_IDS_MAX))
    harness.say(Ask(2, ["a"] * WATCH_IDS_MAX))
    harness.barrier()
    sent = harness.sent()
    assert [len(m.results) for m in sent if isinstance(m, Results | Answer)] == [1, 1]


def test_results_are_cut_into_frames_by_size(harness: RequestHarness) -> None:
    harness.enqueue(*"abc")
    harness.commit()
    for seq in (1, 2, 3):
        harness.finish(seq, b"x" * (result_outbox.RESULTS_BYTES * 2 // 5))
    harness.sent()
    harness.say(Watch(1, list("abc")))
    assert [len(m.results) for m in harness.sent() if isinstance(m, Results)] == [2, 1]


# ---- ask --------------------------------------------------------------------------------------


def test_a_question_is_answered_behind_a_barrier_in_the_order_of_its_ids(
    harness: RequestHarness,
) -> None:
    harness.enqueue(*"abc")
    harness.commit()
    harness.finish(1)
    harness.queues.apply(Assign(b"w", [2]))
    harness.sent()
    harness.say(Ask(9, ["c", "nobody's", "b", "a"]))
    assert harness.sent() == []
    harness.barrier()
    (answer,) = harness.sent()
    assert isinstance(answer, Answer)
    assert [r.id for r in answer.results] == ["c", "nobody's", "b", "a"]
    states = [State.QUEUED, State.UNKNOWN, State.RUNNING, State.SUCCEEDED]
    assert [r.state for r in answer.results] == states


def test_an_answer_tells_states_and_carries_no_results(harness: RequestHarness) -> None:
    ids = [f"{i}" for i in range(20)]
    harness.enqueue(*ids)
    harness.commit()
    for seq in range(1, 21):
        harness.finish(seq, b"x" * PAYLOAD_MAX)
    harness.sent()
    harness.say(Ask(1, ids))
    harness.barrier()
    (answer,) = harness.sent()
    assert answer == Answer(1, [Result(id_, State.SUCCEEDED, b"") for id_ in ids])


def test_questions_that_wait_are_bounded(harness: RequestHarness) -> None:
    harness.allow(FEATURE, Budget(requests=5))
    for request in range(9):
        harness.say(Ask(request, ["a"]))
    assert [m.code for m in harness.sent() if isinstance(m, Refused)] == [Code.QUEUE_FULL] * 4
    harness.barrier()
    assert len(harness.sent()) == 5
    harness.say(Ask(10, ["a"]))
    assert harness.processor.read_barrier.asking
