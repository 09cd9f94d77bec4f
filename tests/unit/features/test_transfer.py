"""Leadership that goes to another broker: who is asked, what is refused, and what is answered."""

from collections.abc import Mapping

import pytest

from raftwork.broker.version_negotiation import Member
from raftwork.features.transfer import LeadershipTold, TransferLeadership
from raftwork.messages import FromBroker, Refused
from raftwork.release import LEVELS
from tests.unit.broker.request_harness import RequestHarness

UP = Member("0.3.0", LEVELS)


class Leading(RequestHarness):
    """The leader `a` in epoch 7; `c` is down."""

    def __init__(self, others: Mapping[str, Member | None] | None = None) -> None:
        known = {"b": UP, "c": None} if others is None else others
        super().__init__(members=lambda: known)
        self.view.name, self.view.epoch, self.view.time = "a", 7, 1_000
        self.begun: list[str] = []
        self.view.hand_over = self.begun.append

    def asked(self, to: str, epoch: int = 7) -> list[FromBroker]:
        self.say(TransferLeadership(1, to, epoch))
        return self.later(0)

    def later(self, ms: int) -> list[FromBroker]:
        self.view.time += ms
        self.processor.poll(self.now)
        return self.sent(b"me")


def test_the_named_broker_is_handed_leadership_once_and_the_next_leader_answers() -> None:
    leader = Leading()
    assert leader.asked("b") == []
    assert leader.later(2_999) == []
    assert leader.begun == ["b"]  # no more: tasks must be able to enter in between
    (told,) = leader.later(1)
    assert isinstance(told, LeadershipTold)
    assert (told.name, told.epoch) == ("a", 7)
    assert told.why == "b did not take over within 3 s: see whether it is up and level"


@pytest.mark.parametrize("epoch", [0, 6, 8])
def test_the_end_of_another_epoch_ends_nothing(epoch: int) -> None:
    leader = Leading()
    assert leader.asked("b", epoch) == [LeadershipTold(1, "a", 7)]
    assert leader.begun == []


def test_who_leads_already_needs_nothing_handed_over() -> None:
    leader = Leading()
    assert leader.asked("a") == [LeadershipTold(1, "a", 7)]
    assert leader.begun == []


def test_any_other_one_may_be_meant() -> None:
    leader = Leading()
    assert leader.asked("") == []
    assert leader.begun == [""]
    (told,) = leader.later(3_000)
    assert isinstance(told, LeadershipTold)
    assert told.why.startswith("no other broker took over")


def test_a_broker_that_is_down_is_not_waited_for() -> None:
    leader = Leading()
    told = LeadershipTold(1, "a", 7, "c does not answer a, which leads: start it")
    assert leader.asked("c") == [told]
    assert leader.begun == []


@pytest.mark.parametrize(
    ("others", "to", "text"),
    [
        ({"b": UP, "c": None}, "d", "there is no broker 'd'; there are a, b, c"),
        ({}, "", "a is the only broker: no other one can lead"),
    ],
)
def test_what_can_never_be_is_refused(
    others: Mapping[str, Member | None], to: str, text: str
) -> None:
    leader = Leading(others)
    (refused,) = leader.asked(to)
    assert isinstance(refused, Refused)
    assert refused.text == text
    assert leader.begun == []
