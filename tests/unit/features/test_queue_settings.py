"""Requests about queues: changed by the log, told behind a barrier, bounded."""

from raftwork.broker.machine import ClusterSettings
from raftwork.features.queue_settings import (
    AskQueue,
    Configure,
    QueueSet,
    SetQueue,
    SettingsTold,
    changes,
    feature,
)
from raftwork.messages import Code, Refused
from tests.unit.broker.request_harness import RequestHarness

FEATURE = feature()


def test_a_change_is_acknowledged_when_it_is_applied_not_before() -> None:
    processor = RequestHarness()
    assert processor.ask(SetQueue(1, "q", changes(balancer="random", max_length=5))) == []
    processor.commit()
    assert processor.sent() == [QueueSet(1)]
    assert processor.told(AskQueue(9, "q")) == [
        SettingsTold(9, changes(balancer="random", max_length=5))
    ]


def test_a_change_that_is_on_its_way_is_not_proposed_again() -> None:
    processor = RequestHarness()
    processor.ask(SetQueue(1, "q", changes(max_length=5)))
    processor.ask(SetQueue(1, "q", changes(max_length=5)))
    assert processor.wanted() == [Configure("q", changes(max_length=5))]


def test_what_is_set_is_told_behind_a_barrier() -> None:
    processor = RequestHarness()
    processor.say(AskQueue(1, "q"))
    assert processor.processor.read_barrier.asking
    assert processor.sent() == []
    assert processor.told(AskQueue(9, "q")) == [
        SettingsTold(1, changes()),
        SettingsTold(9, changes()),
    ]
    assert not processor.processor.read_barrier.asking


def test_tenants_need_take_no_turns_any_more() -> None:
    processor = RequestHarness()
    assert processor.done(SetQueue(1, "q", changes(fair=False))) == [QueueSet(1)]
    assert processor.told(AskQueue(9, "q")) == [SettingsTold(9, changes(fair=False))]


def test_a_balancer_that_nobody_knows_is_refused_before_it_is_proposed() -> None:
    processor = RequestHarness()
    (refused,) = processor.ask(SetQueue(1, "q", changes(balancer="wieghted")))
    assert isinstance(refused, Refused)
    assert refused.code is Code.PROTOCOL
    assert "'wieghted'" in refused.text and "weighted, round_robin" in refused.text
    assert processor.wanted() == []


def test_one_queue_too_many_is_refused_before_it_is_proposed() -> None:
    processor = RequestHarness(ClusterSettings(queues=1))
    processor.ask(SetQueue(1, "a", changes(max_length=5)))
    processor.commit()
    assert processor.sent() == [QueueSet(1)]
    (refused,) = processor.ask(SetQueue(2, "b", changes(max_length=5)))
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL
    assert processor.wanted() == []


def test_requests_under_way_are_bounded() -> None:
    processor = RequestHarness()
    for request in range(FEATURE.budget.requests // 2):
        assert processor.ask(SetQueue(request, "q", changes(max_length=5))) == []
        processor.say(AskQueue(FEATURE.budget.requests + request, "q"))
    processor.processor.read_barrier.barrier(1)
    (refused,) = processor.ask(SetQueue(99_999, "q", changes(max_length=5)))
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL
    processor.processor.read_ready(1)
    assert len(processor.sent()) == FEATURE.budget.requests // 2
    assert processor.ask(SetQueue(99_999, "q", changes(max_length=5))) == []
