"""The leader raises the level: at first by itself, later when asked, and only if all can follow."""

from collections.abc import Mapping

import pytest

from raftwork.broker.events import Event
from raftwork.broker.machine.commands import Raise
from raftwork.broker.requests.upgrade import OPEN_MAX, Upgrades
from raftwork.broker.versions import Member
from raftwork.messages import Code, FinishUpgrade, FromBroker, Refused, UpgradeFinished
from raftwork.release import LEVELS, RELEASE, Levels
from tests.unit.broker.queues import Queues

MINE = Member(RELEASE, LEVELS)
OLD = Member("0.1.9", Levels(0, 1))
NEXT = Levels(1, 2)
NEW = Member("0.3.0", NEXT)


class Desk:
    def __init__(
        self, members: Mapping[str, Member | None], level: int = 1, levels: Levels = NEXT
    ) -> None:
        self.queues = Queues(level=level, levels=levels)
        self.members = members
        self.told: list[Event] = []
        self.upgrades = Upgrades(self.queues.machine, lambda: self.members, self.told.append)

    def ask(self, number: int = 1) -> list[FromBroker]:
        self.upgrades.ask(b"c", FinishUpgrade(number))
        return self.frames()

    def frames(self) -> list[FromBroker]:
        return [message for _, message in self.upgrades.frames()]

    def commit(self) -> list[Raise]:
        done = self.upgrades.commands()
        for command, pending in done:
            self.queues.apply(command)
            self.upgrades.applied(pending)
        return [command for command, _ in done]


@pytest.mark.parametrize(
    ("members", "level"),
    [
        ({}, 1),
        ({"b": MINE, "c": None}, 1),
        ({"b": NEW}, 1),
        ({"b": Member("0.1.9", Levels(0, 0))}, 1),  # nothing below 1 is ever set
    ],
)
def test_a_cluster_without_a_level_is_given_one_at_once(
    members: dict[str, Member | None], level: int
) -> None:
    desk = Desk(members, 0, LEVELS)
    assert desk.commit() == [Raise(level, RELEASE)]
    assert desk.frames() == []
    assert desk.queues.machine.level == level
    assert Desk(members).commit() == []


def test_a_new_cluster_of_two_releases_begins_with_what_both_run() -> None:
    assert Desk({"b": MINE, "c": None}, 0, Levels(0, 2)).commit() == [Raise(1, RELEASE)]
    assert Desk({"b": NEW}, 0, Levels(0, 2)).commit() == [Raise(2, RELEASE)]
    assert Desk({"b": NEW, "c": None}, 0, Levels(0, 2)).commit() == [Raise(1, RELEASE)]
    assert Desk({"b": NEW, "c": NEW}, 0, Levels(0, 3)).commit() == [Raise(2, RELEASE)]


def test_a_raise_is_answered_once_it_is_applied() -> None:
    desk = Desk({"b": NEW, "c": NEW})
    assert desk.ask() == desk.ask() == []
    assert desk.commit() == [Raise(2, RELEASE)]
    assert desk.frames() == [UpgradeFinished(1, 2, 1)]
    assert list(map(str, desk.told)) == ["the cluster is at level 2 from now on"]
    assert desk.queues.machine.level == 2
    assert desk.ask(2) == [UpgradeFinished(2, 2, 2)]


def test_there_is_nothing_to_raise_at_the_top() -> None:
    desk = Desk({"b": None}, levels=LEVELS)
    assert desk.ask() == [UpgradeFinished(1, 1, 1)]
    assert desk.commit() == []


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"b": NEW, "c": None}, ["broker c does not answer", "start it"]),
        ({"b": OLD, "c": NEW}, ["broker b is of raftwork 0.1.9", "levels 0 to 1", RELEASE]),
        ({"b": OLD, "c": None}, ["broker b", "broker c"]),
    ],
)
def test_one_that_could_not_follow_keeps_the_cluster_where_it_is(
    members: dict[str, Member | None], said: list[str]
) -> None:
    desk = Desk(members)
    (refused,) = desk.ask()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (1, Code.UNSUPPORTED)
    for part in ("stays at level 1", *said):
        assert part in refused.text
    assert desk.commit() == []


def test_requests_under_way_are_bounded() -> None:
    desk = Desk({"b": NEW})
    for number in range(OPEN_MAX):
        assert desk.ask(number) == []
    (refused,) = desk.ask(OPEN_MAX)
    assert isinstance(refused, Refused) and "too many" in refused.text
