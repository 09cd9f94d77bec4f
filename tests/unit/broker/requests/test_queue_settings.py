"""Requests about queues: changed by the log, told behind a barrier, bounded."""

from raftwork.broker.machine import Limits
from raftwork.broker.requests.queue_settings import OPEN_MAX, Settings
from raftwork.features.queue_settings import (
    AskQueue,
    Configure,
    QueueSet,
    QueueSettings,
    SetQueue,
)
from raftwork.messages import Code, FromBroker, Refused
from tests.unit.broker.queues import Queues

ME = b"me"


class Desk:
    def __init__(self, limits: Limits | None = None) -> None:
        self.queues = Queues(limits or Limits())
        self.settings = Settings(self.queues.machine)

    def change(self, request: SetQueue) -> list[FromBroker]:
        self.settings.change(ME, request)
        return self.answers()

    def answers(self) -> list[FromBroker]:
        return [message for _, message in self.settings.frames()]

    def commit(self) -> list[FromBroker]:
        for command, pending in self.settings.commands():
            (reply,) = self.queues.apply(command).replies
            self.settings.applied(pending, reply)
        return self.answers()

    def ask(self, queue: str) -> list[FromBroker]:
        self.settings.ask(ME, AskQueue(9, queue))
        assert self.answers() == []
        self.settings.questions.barrier(1)
        self.settings.read_ready(1)
        return self.answers()


def test_a_change_is_acknowledged_when_it_is_applied_not_before() -> None:
    desk = Desk()
    assert desk.change(SetQueue(1, "q", "random", 5)) == []
    assert desk.commit() == [QueueSet(1)]
    assert desk.ask("q") == [QueueSettings(9, "random", 5, None)]


def test_a_change_that_is_on_its_way_is_not_proposed_again() -> None:
    desk = Desk()
    desk.change(SetQueue(1, "q", None, 5))
    desk.change(SetQueue(1, "q", None, 5))
    assert [command for command, _ in desk.settings.commands()] == [Configure("q", None, 5, None)]


def test_what_is_set_is_told_behind_a_barrier() -> None:
    desk = Desk()
    desk.settings.ask(ME, AskQueue(1, "q"))
    assert desk.settings.questions.asking
    assert desk.answers() == []
    assert desk.ask("q") == [QueueSettings(1, None, None, None), QueueSettings(9, None, None, None)]
    assert not desk.settings.questions.asking


def test_a_balancer_that_nobody_knows_is_refused_before_it_is_proposed() -> None:
    desk = Desk()
    (refused,) = desk.change(SetQueue(1, "q", "wieghted"))
    assert isinstance(refused, Refused)
    assert refused.code is Code.PROTOCOL
    assert "'wieghted'" in refused.text and "weighted, round_robin" in refused.text
    assert desk.settings.commands() == []


def test_one_queue_too_many_is_refused_before_it_is_proposed() -> None:
    desk = Desk(Limits(queues=1))
    desk.change(SetQueue(1, "a", None, 5))
    desk.commit()
    (refused,) = desk.change(SetQueue(2, "b", None, 5))
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL
    assert desk.settings.commands() == []


def test_requests_under_way_are_bounded() -> None:
    desk = Desk()
    for request in range(OPEN_MAX // 2):
        assert desk.change(SetQueue(request, "q", None, 5)) == []
        desk.settings.ask(ME, AskQueue(OPEN_MAX + request, "q"))
    desk.settings.questions.barrier(1)
    (refused,) = desk.change(SetQueue(99_999, "q", None, 5))
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL
    desk.settings.read_ready(1)
    assert len(desk.answers()) == OPEN_MAX // 2
    assert desk.change(SetQueue(99_999, "q", None, 5)) == []
