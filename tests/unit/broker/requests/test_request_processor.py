"""Every feature is served alike: repeated requests, budgets, refusals, sessions that end."""

import pytest

from raftwork.broker.events import QueueFullRefusal
from raftwork.broker.requests.request_processor import ITEM_BYTES, REQUEST_BYTES
from raftwork.features import dead_letters, enqueue, queue_settings, results, to_broker
from raftwork.features.dead_letters import ListDead, PurgeDead
from raftwork.features.drain import DrainWorker
from raftwork.features.enqueue import Enqueue
from raftwork.features.feature import Budget
from raftwork.features.queue_settings import AskQueue, QueueSet, SetQueue, changes
from raftwork.features.results import Answer, Ask
from raftwork.messages import Code, Refused
from raftwork.messages.registry import Frame
from tests.unit.broker.request_harness import ME, OTHER, RequestHarness

CHANGE, READ, WAIT = SetQueue(7, "q", changes(max_length=5)), Ask(7, ["a"]), DrainWorker(7, "w")


@pytest.fixture
def harness() -> RequestHarness:
    return RequestHarness()


@pytest.mark.parametrize("request_", [CHANGE, READ, WAIT])
def test_a_request_costs_its_frame_once_however_often_it_is_sent(
    harness: RequestHarness, request_: Frame
) -> None:
    ids = len(request_[1]) if isinstance(request_[1], list) else 0
    for _ in range(3):
        assert harness.ask(request_) == []
    frame = len(to_broker.encode(request_))
    assert harness.under_way() == frame + REQUEST_BYTES + ids * ITEM_BYTES


def test_numbers_count_for_each_session_and_each_kind_of_request(harness: RequestHarness) -> None:
    harness.say(CHANGE)
    harness.say(CHANGE, OTHER)
    harness.say(AskQueue(7, "q"))
    assert len(harness.wanted()) == 2
    assert harness.processor.read_barrier.asking


def test_a_budget_is_one_features_own(harness: RequestHarness) -> None:
    harness.allow(queue_settings.feature(), Budget(requests=1))
    harness.say(CHANGE)
    (refused,) = harness.ask(SetQueue(8, "q", changes(max_length=6)))
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (8, Code.QUEUE_FULL)
    assert "1 requests about queues are under way, 1 may be; try again later" in refused.text
    assert harness.events == [QueueFullRefusal(refused.text)]
    harness.enqueue("a")
    harness.commit()
    assert [type(message) for message in harness.sent()] == [QueueSet, enqueue.Enqueued]
    assert harness.done(SetQueue(9, "q", changes(max_length=6))) == [QueueSet(9)]


def test_bytes_of_names_and_ids_count_as_they_came(harness: RequestHarness) -> None:
    """Whatever a request holds of a leader's memory came in its frame."""
    most = 3 * (REQUEST_BYTES + 200)
    harness.allow(dead_letters.feature(), Budget(bytes=most))
    refused = []
    for number in range(9):
        refused += harness.ask(PurgeDead(number, ["x" * 100], "q" * 50))
    assert 5 < len(refused) < 9
    assert harness.under_way() <= most


def test_what_is_out_of_bounds_is_refused_before_anything_is_made_of_it(
    harness: RequestHarness,
) -> None:
    (refused,) = harness.ask(AskQueue(3, ""))
    assert refused == Refused(3, Code.PROTOCOL, "queue must have 1 to 255 characters, got 0")
    assert harness.under_way() == 0
    assert not harness.processor.read_barrier.asking


def test_a_session_that_ends_is_waited_for_no_more_and_its_changes_stand(
    harness: RequestHarness,
) -> None:
    harness.say(WAIT)
    harness.say(CHANGE)
    harness.processor.gone(ME)
    harness.processor.poll(harness.now)
    harness.commit()
    assert harness.machine.queue("q").settings == changes(max_length=5)
    assert harness.under_way() == 0


def test_reads_are_answered_in_the_order_in_which_they_were_asked(harness: RequestHarness) -> None:
    for number in range(5):
        harness.say(Ask(number, ["a"]) if number % 2 else ListDead(number, "", 9, 9))
    harness.barrier()
    answers = []
    while harness.processor.waiting:
        answers += harness.sent()
    assert [type(answer) is Answer for answer in answers] == [False, True, False, True, False]
    assert [answer[0] for answer in answers] == [0, 1, 2, 3, 4]


def test_a_change_that_is_refused_when_applied_gives_its_budget_back(
    harness: RequestHarness,
) -> None:
    harness.enqueue("a", payload=b"1")
    harness.enqueue("a", request=2, payload=b"2")
    assert harness.under_way() > 2 * REQUEST_BYTES
    harness.commit()
    assert [type(message) for message in harness.sent()] == [enqueue.Enqueued, Refused]
    assert harness.under_way() == 0
    assert harness.intake.under_way == {"default": 0}


def test_a_batch_that_is_in_already_needs_no_budget(harness: RequestHarness) -> None:
    harness.enqueue("a")
    harness.commit()
    harness.sent()
    harness.allow(enqueue.feature(), Budget(requests=0))
    harness.enqueue("a", request=2)
    assert harness.sent() == [enqueue.Enqueued(2)]
    assert harness.ask(Enqueue(3, 0, b"", b"")) != []
    assert results.feature().budget.requests > 1_000
