"""So many tasks of a schedule, by itself and by hand, and no more."""

from typing import Any

import pytest

from raftwork.errors import ProtocolError
from raftwork.features.schedule_plan import CatchUp, Overlap, encode_fields
from raftwork.features.schedule_records import (
    BackfillSchedule,
    PauseSchedule,
    ScheduleBackfilled,
    ScheduleTriggered,
    TriggerSchedule,
    UpdateSchedule,
)
from raftwork.features.schedule_ticks import Fire, Tick
from tests.unit.broker.scheduling import HOUR, MINUTE, NEW_YEAR, Scheduling, at, fields

REACHED = "schedule 'nightly' has made 2 tasks, by itself and by hand, and its limit is 2: raise"


def limited(limit: int = 2, **said: Any) -> Scheduling:
    world = Scheduling()
    said = {"every": MINUTE, "overlap": Overlap.ALLOW, "catchup": CatchUp.ALL, **said}
    world.create(limit=limit, **said)
    return world


def trigger(world: Scheduling, task: str) -> bool:
    answer = world.ask(TriggerSchedule(0, "nightly", task))
    assert isinstance(answer, ScheduleTriggered)
    return answer.made


def backfill(world: Scheduling, start: int, end: int) -> int:
    answer = world.ask(BackfillSchedule(0, "nightly", start, end, Overlap.ALLOW))
    assert isinstance(answer, ScheduleBackfilled)
    return answer.made


def update(world: Scheduling, limit: int) -> None:
    over = fields(limit=limit)._replace(spec=None, payload=None)
    world.ask(UpdateSchedule(0, "nightly", encode_fields(over), 0))


def test_a_trigger_counts_and_the_limit_holds_it() -> None:
    world = limited()
    assert trigger(world, "by-hand")
    world.sleep(3 * MINUTE)
    assert world.ids() == ["by-hand", at(1)]
    with pytest.raises(ProtocolError, match=REACHED):
        trigger(world, "once-more")
    assert trigger(world, "by-hand"), "asked for again"
    assert world.ids() == ["by-hand", at(1)] and world.facts().next == 0


def test_a_backfill_makes_what_is_left_and_then_none() -> None:
    world = limited(limit=50)
    trigger(world, "by-hand")
    assert backfill(world, NEW_YEAR - 100 * MINUTE, NEW_YEAR - 1) == 49
    assert world.ids()[-1] == "nightly@2026-12-31T23:08:00Z"
    with pytest.raises(ProtocolError, match=r"has made 50 tasks, .* its limit is 50"):
        backfill(world, NEW_YEAR - 100 * MINUTE, NEW_YEAR - 1)
    world.sleep(3 * MINUTE)
    assert world.counts() == {"fired": 50}


def test_a_tick_that_is_on_its_way_as_the_last_task_is_made_by_hand_is_none() -> None:
    world = limited(limit=1)
    row = world.row()
    trigger(world, "by-hand")
    tick = Tick(row.number, row.version, row.decided, NEW_YEAR + MINUTE, NEW_YEAR + 2 * MINUTE)
    world.sleep(2 * MINUTE)
    world.harness.queues.time = world.time
    world.harness.queues.apply(Fire([tick]))
    assert world.ids() == ["by-hand"] and world.counts() == {"fired": 1}


@pytest.mark.parametrize("limit", [0, 4])
def test_a_limit_that_is_raised_or_taken_away_counts_from_now(limit: int) -> None:
    world = limited()
    world.sleep(HOUR, step=1_000)
    assert world.ids() == [at(1), at(2)]
    update(world, limit)
    world.sleep(30_000)
    assert world.ids() == [at(1), at(2)], "what was no tick then is none now"
    world.sleep(MINUTE)
    assert world.ids()[2:] == ["nightly@2027-01-01T01:01:00Z"]
    assert world.counts() == {"fired": 3}


def test_a_limit_that_is_raised_in_a_pause_makes_up_for_nothing_before() -> None:
    world = limited()
    world.sleep(10 * MINUTE)
    world.ask(PauseSchedule(0, "nightly", True))
    world.sleep(10 * MINUTE)
    update(world, 100)
    world.sleep(2 * MINUTE + 30_000)
    world.ask(PauseSchedule(0, "nightly", False, True))
    world.sleep(10_000)
    assert world.ids()[2:] == [at(21), at(22)]


def test_a_limit_that_is_lowered_leaves_the_next_tick() -> None:
    world = limited(limit=9)
    world.sleep(MINUTE + 30_000)
    update(world, 5)
    world.sleep(30_000)
    assert world.ids() == [at(1), at(2)]
