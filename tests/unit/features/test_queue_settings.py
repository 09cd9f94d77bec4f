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
from tests.unit.broker.desk_harness import DeskHarness

FEATURE = feature()


def test_a_change_is_acknowledged_when_it_is_applied_not_before() -> None:
    desk = DeskHarness()
    assert desk.ask(SetQueue(1, "q", changes(balancer="random", max_length=5))) == []
    desk.commit()
    assert desk.sent() == [QueueSet(1)]
    assert desk.told(AskQueue(9, "q")) == [
        SettingsTold(9, changes(balancer="random", max_length=5))
    ]


def test_a_change_that_is_on_its_way_is_not_proposed_again() -> None:
    desk = DeskHarness()
    desk.ask(SetQueue(1, "q", changes(max_length=5)))
    desk.ask(SetQueue(1, "q", changes(max_length=5)))
    assert desk.wanted() == [Configure("q", changes(max_length=5))]


def test_what_is_set_is_told_behind_a_barrier() -> None:
    desk = DeskHarness()
    desk.say(AskQueue(1, "q"))
    assert desk.desk.read_barrier.asking
    assert desk.sent() == []
    assert desk.told(AskQueue(9, "q")) == [
        SettingsTold(1, changes()),
        SettingsTold(9, changes()),
    ]
    assert not desk.desk.read_barrier.asking


def test_a_balancer_that_nobody_knows_is_refused_before_it_is_proposed() -> None:
    desk = DeskHarness()
    (refused,) = desk.ask(SetQueue(1, "q", changes(balancer="wieghted")))
    assert isinstance(refused, Refused)
    assert refused.code is Code.PROTOCOL
    assert "'wieghted'" in refused.text and "weighted, round_robin" in refused.text
    assert desk.wanted() == []


def test_one_queue_too_many_is_refused_before_it_is_proposed() -> None:
    desk = DeskHarness(ClusterSettings(queues=1))
    desk.ask(SetQueue(1, "a", changes(max_length=5)))
    desk.commit()
    assert desk.sent() == [QueueSet(1)]
    (refused,) = desk.ask(SetQueue(2, "b", changes(max_length=5)))
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL
    assert desk.wanted() == []


def test_requests_under_way_are_bounded() -> None:
    desk = DeskHarness()
    for request in range(FEATURE.budget.requests // 2):
        assert desk.ask(SetQueue(request, "q", changes(max_length=5))) == []
        desk.say(AskQueue(FEATURE.budget.requests + request, "q"))
    desk.desk.read_barrier.barrier(1)
    (refused,) = desk.ask(SetQueue(99_999, "q", changes(max_length=5)))
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL
    desk.desk.read_ready(1)
    assert len(desk.sent()) == FEATURE.budget.requests // 2
    assert desk.ask(SetQueue(99_999, "q", changes(max_length=5))) == []
