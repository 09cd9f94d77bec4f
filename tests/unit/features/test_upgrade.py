"""The leader raises the level: at first by itself, later when asked, and only if all can follow."""

from collections.abc import Mapping

import pytest

from raftwork.broker.machine.commands import Tick
from raftwork.broker.version_negotiation import Member
from raftwork.features.upgrade import FinishUpgrade, Raise, UpgradeFinished, feature
from raftwork.messages import Code, Refused
from raftwork.messages.registry import Command
from raftwork.release import LEVELS, RELEASE, Levels
from tests.unit.broker.queues import Queues
from tests.unit.broker.request_harness import RequestHarness

FEATURE = feature()

MINE = Member(RELEASE, LEVELS)
OLD = Member("0.1.9", Levels(0, 1))
NEXT = Levels(1, 2)
NEW = Member("0.3.0", NEXT)

Members = Mapping[str, Member | None]


def leader(members: Members, level: int = 1, levels: Levels = NEXT) -> RequestHarness:
    """A leader of a cluster at this level, whose release runs these."""
    return RequestHarness(queues=Queues(level=level, levels=levels), members=lambda: members)


def begun(members: Members, level: int, levels: Levels) -> list[Command]:
    """What it proposes first, applied."""
    one = leader(members, level, levels)
    commands = list(FEATURE.begins(one.view))
    for command in commands:
        one.queues.apply(command)
    assert one.machine.level >= 1
    return commands


@pytest.mark.parametrize(
    ("members", "level"),
    [
        ({}, LEVELS.most),
        ({"b": MINE, "c": None}, LEVELS.most),
        ({"b": NEW}, LEVELS.most),
        ({"b": Member("0.1.9", Levels(0, 0))}, 1),  # nothing below 1 is ever set
    ],
)
def test_a_cluster_without_a_level_is_given_one_at_once(members: Members, level: int) -> None:
    assert begun(members, 0, LEVELS) == [Raise(level, RELEASE)]
    assert begun(members, 1, LEVELS) == []


def test_a_cluster_with_tasks_does_not_leave_behind_a_broker_that_was_not_heard() -> None:
    one = leader({"b": NEW, "c": None}, 0, LEVELS)
    one.queues.apply(Tick())
    assert list(FEATURE.begins(one.view)) == [Raise(1, RELEASE)]


def test_a_new_cluster_of_two_releases_begins_with_what_both_run() -> None:
    assert begun({"b": OLD, "c": None}, 0, Levels(0, 2)) == [Raise(1, RELEASE)]
    assert begun({"b": NEW}, 0, Levels(0, 2)) == [Raise(2, RELEASE)]
    assert begun({"b": NEW, "c": None}, 0, Levels(0, 2)) == [Raise(2, RELEASE)]
    assert begun({"b": NEW, "c": NEW}, 0, Levels(0, 3)) == [Raise(2, RELEASE)]


def test_a_raise_is_answered_once_it_is_applied() -> None:
    one = leader({"b": NEW, "c": NEW})
    assert one.ask(FinishUpgrade(1)) == one.ask(FinishUpgrade(1)) == []
    one.commit()
    assert one.sent() == [UpgradeFinished(1, 2, 1)]
    assert one.machine.level == 2
    assert one.ask(FinishUpgrade(2)) == [UpgradeFinished(2, 2, 2)]


def test_there_is_nothing_to_raise_at_the_top() -> None:
    one = leader({"b": None}, LEVELS.most, LEVELS)
    assert one.ask(FinishUpgrade(1)) == [UpgradeFinished(1, LEVELS.most, LEVELS.most)]
    assert one.wanted() == []


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"b": NEW, "c": None}, ["broker c does not answer", "start it"]),
        ({"b": OLD, "c": NEW}, ["broker b is of raftwork 0.1.9", "levels 0 to 1", RELEASE]),
        ({"b": OLD, "c": None}, ["broker b", "broker c"]),
    ],
)
def test_one_that_could_not_follow_keeps_the_cluster_where_it_is(
    members: Members, said: list[str]
) -> None:
    one = leader(members)
    (refused,) = one.ask(FinishUpgrade(1))
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (1, Code.UNSUPPORTED)
    for part in ("stays at level 1", *said):
        assert part in refused.text
    assert one.wanted() == []


def test_requests_under_way_are_bounded() -> None:
    one = leader({"b": NEW})
    for number in range(FEATURE.budget.requests):
        assert one.ask(FinishUpgrade(number)) == []
    (refused,) = one.ask(FinishUpgrade(FEATURE.budget.requests))
    assert isinstance(refused, Refused)
    assert refused.code is Code.QUEUE_FULL
