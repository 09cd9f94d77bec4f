"""Tasks enter: acknowledged when applied, at once if they are in, refused before if possible."""

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.requests import result_outbox
from raftwork.broker.requests.request_processor import REQUEST_BYTES
from raftwork.features.enqueue import Enqueue, Enqueued, feature
from raftwork.features.feature import Budget
from raftwork.features.queue_settings import Configure, changes
from raftwork.features.results import Results
from raftwork.messages import PAYLOAD_MAX, Code, Refused, Result, State
from raftwork.wire import pack
from tests.unit.broker.queues import enqueue
from tests.unit.broker.request_harness import ME, OTHER, RequestHarness

FEATURE = feature()


@pytest.fixture
def harness() -> RequestHarness:
    return RequestHarness()


# ---- enqueue ----------------------------------------------------------------------------------


def test_an_enqueue_is_acknowledged_when_it_is_applied_not_before(harness: RequestHarness) -> None:
    harness.enqueue("a", request=7)
    assert harness.sent() == []
    harness.commit()
    assert harness.sent() == [Enqueued(7)]


def test_a_request_that_is_on_its_way_is_not_proposed_again(harness: RequestHarness) -> None:
    for _ in range(3):
        harness.enqueue("a", request=7)
    assert len(harness.wanted()) == 1
    harness.enqueue("a", request=7)
    assert harness.wanted() == []


def test_a_request_asked_again_after_its_answer_was_lost_is_answered_again(
    harness: RequestHarness,
) -> None:
    for _ in range(2):
        harness.enqueue("a", request=7)
        harness.commit()
        assert harness.sent() == [Enqueued(7)]
    assert [q.queued for q in harness.machine.queues()] == [1]


def test_what_is_stored_is_acknowledged_at_once_and_proposed_no_more(
    harness: RequestHarness,
) -> None:
    harness.enqueue("a", "b")
    harness.commit()
    harness.sent()
    harness.enqueue("a", "b", request=2, me=OTHER)
    harness.enqueue("b", request=3, me=OTHER)
    assert harness.sent(OTHER) == [Enqueued(2), Enqueued(3)]
    assert harness.wanted() == []


def test_what_is_stored_is_acknowledged_however_long_ago_it_was_tried_first(
    harness: RequestHarness,
) -> None:
    harness.enqueue("a")
    harness.commit()
    harness.sent()
    harness.queues.time += harness.machine._ledger.settings.enqueue_window + 1
    harness.enqueue("a", request=2)
    assert harness.sent() == [Enqueued(2)]
    harness.enqueue("a", "b", request=3)
    harness.commit()
    (refused,) = harness.sent()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (3, Code.PROTOCOL)


def test_a_batch_of_which_some_is_new_is_acknowledged_when_that_is_applied(
    harness: RequestHarness,
) -> None:
    harness.enqueue("a", "b")
    harness.commit()
    harness.sent()
    for request, ids in enumerate([("a", "c"), ("d", "b")], start=2):
        harness.enqueue(*ids, request=request)
        assert harness.sent() == []
        harness.commit()
        assert harness.sent() == [Enqueued(request)]
    assert [q.queued for q in harness.machine.queues()] == [4]


def test_other_contents_for_what_is_stored_are_refused_unproposed(harness: RequestHarness) -> None:
    harness.enqueue("a", payload=b"1")
    harness.commit()
    harness.sent()
    harness.enqueue("a", "b", request=2, payload=b"2")
    (refused,) = harness.sent()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (2, Code.PROTOCOL)
    assert harness.wanted() == []


def test_the_same_request_number_of_another_session_is_another_request(
    harness: RequestHarness,
) -> None:
    harness.enqueue("a", request=7)
    harness.enqueue("b", request=7, me=OTHER)
    harness.commit()
    assert dict(harness.frames()) == {ME: Enqueued(7), OTHER: Enqueued(7)}


def test_an_id_with_other_contents_is_refused_when_it_is_applied(harness: RequestHarness) -> None:
    harness.enqueue("a", payload=b"1")
    harness.enqueue("a", request=2, payload=b"2")
    harness.commit()
    acknowledged, refused = harness.sent()
    assert acknowledged == Enqueued(1)
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (2, Code.PROTOCOL)
    assert "'a'" in refused.text


@pytest.mark.parametrize(
    ("spec", "tasks", "code"),
    [
        (b"", pack([]), Code.PROTOCOL),
        (enqueue().spec, b"\xc1", Code.PROTOCOL),
        (enqueue().spec, pack([["a"]]), Code.PROTOCOL),
        (enqueue().spec, pack([["a", b"x" * (PAYLOAD_MAX + 1)]]), Code.PAYLOAD_TOO_LARGE),
        (b"x" * 100_000, pack([]), Code.PAYLOAD_TOO_LARGE),
    ],
)
def test_what_the_machine_would_refuse_is_refused_unproposed(
    harness: RequestHarness, spec: bytes, tasks: bytes, code: Code
) -> None:
    harness.say(Enqueue(3, 0, spec, tasks))
    assert harness.wanted() == []
    (refused,) = harness.sent()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (3, code)


def test_a_full_queue_pushes_back() -> None:
    harness = RequestHarness(ClusterSettings(tasks=1))
    harness.enqueue("a")
    harness.commit()
    harness.enqueue("b", request=2)
    assert isinstance(harness.sent()[1], Refused)
    harness.enqueue("a", request=3)  # stored already: it needs no room
    harness.commit()
    assert harness.sent() == [Enqueued(3)]


def test_what_is_on_its_way_is_bounded_even_if_it_holds_no_task(
    harness: RequestHarness,
) -> None:
    harness.allow(FEATURE, Budget(bytes=10 * REQUEST_BYTES))
    for request in range(100):
        harness.enqueue(request=request)
    refused = [m for m in harness.sent() if isinstance(m, Refused)]
    assert {m.code for m in refused} == {Code.QUEUE_FULL}
    assert len(refused) > 85
    harness.commit()
    harness.sent()
    harness.enqueue("a", request=200)  # there is room again
    harness.commit()
    assert harness.sent() == [Enqueued(200)]


def test_a_leader_that_takes_in_no_more_still_acknowledges_what_it_has(
    harness: RequestHarness,
) -> None:
    harness.enqueue("a", "b", request=1)
    harness.commit()
    harness.sent()
    harness.allow(FEATURE, Budget(bytes=1))
    harness.enqueue("a", "b", request=2)
    harness.enqueue("a", "c", request=3)
    done, refused = harness.sent()
    assert done == Enqueued(2)
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (3, Code.QUEUE_FULL)
    assert "try again later" in refused.text
    assert harness.wanted() == []


def test_a_leader_that_takes_in_no_more_refuses_other_contents_for_a_known_id(
    harness: RequestHarness,
) -> None:
    harness.enqueue("a", payload=b"1", request=1)
    harness.commit()
    harness.sent()
    harness.allow(FEATURE, Budget(bytes=1))
    harness.enqueue("a", payload=b"2", request=2)
    (refused,) = harness.sent()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (2, Code.PROTOCOL)


def test_a_full_queue_refuses_before_anything_is_proposed(harness: RequestHarness) -> None:
    harness.queues.apply(Configure("default", changes(max_length=1)))
    harness.enqueue("a", request=1)
    harness.enqueue("b", request=2)  # the leader cannot know yet: the log decides
    harness.commit()
    assert [type(message) for message in harness.sent()] == [Enqueued, Refused]
    harness.enqueue("c", request=3)
    assert harness.wanted() == []
    (refused,) = harness.sent()
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL
    harness.enqueue("a", request=4)
    harness.commit()
    assert harness.sent() == [Enqueued(4)]


def test_a_client_that_left_has_its_enqueue_stored_all_the_same(harness: RequestHarness) -> None:
    harness.enqueue("a")
    harness.processor.gone(ME)
    harness.commit()
    assert harness.machine.lookup(["a"])[0].state is State.QUEUED
    assert harness.under_way() == 0


def test_the_fate_of_an_enqueue_is_told_once_and_its_budget_is_given_back(
    harness: RequestHarness,
) -> None:
    harness.enqueue("a", request=7)
    assert harness.under_way() > REQUEST_BYTES
    assert harness.intake.under_way == {}
    (wanted,) = harness.processor.wanted()
    harness.decide(wanted)
    assert harness.intake.under_way == {"default": 0}
    assert harness.under_way() == 0
    assert harness.sent() == [Enqueued(7)]
    assert harness.sent() == []


# ---- with a watch of the outcome --------------------------------------------------------------


def watched(harness: RequestHarness, *ids: str, request: int = 1) -> None:
    _, spec, tasks, _ = enqueue(*ids, payload=b"")
    harness.say(Enqueue(request, 0, spec, tasks, watch=True))


def test_an_outcome_that_was_asked_for_with_the_enqueue_comes_by_itself(
    harness: RequestHarness,
) -> None:
    watched(harness, "a", request=7)
    harness.commit()
    assert harness.sent() == [Enqueued(7, watched=True)]
    harness.finish(1)
    assert harness.sent() == [Results([Result("a", State.SUCCEEDED, b"v")])]


def test_so_does_that_of_a_task_that_is_stored_already(harness: RequestHarness) -> None:
    harness.enqueue("a")
    harness.commit()
    harness.finish(1)
    harness.sent()
    watched(harness, "a", request=8)
    assert harness.sent() == [
        Enqueued(8, watched=True),
        Results([Result("a", State.SUCCEEDED, b"v")]),
    ]


def test_a_client_that_left_before_its_enqueue_was_applied_watches_nothing(
    harness: RequestHarness,
) -> None:
    watched(harness, "a")
    harness.processor.gone(ME)
    harness.commit()
    assert not harness.results._watchers and not harness.results._watched


def test_without_room_to_watch_a_task_is_stored_all_the_same(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_outbox, "WATCHES_PER_SESSION", 0)
    watched(harness, "a", request=7)
    harness.commit()
    assert harness.sent() == [Enqueued(7, watched=False)]
    assert not harness.results._watchers
