"""What becomes of the ticks of an outage, once somebody leads again."""

from collections.abc import Iterator
from typing import Any

import pytest

from raftwork.features import schedule_planner
from raftwork.features.schedule_plan import CatchUp, Overlap, encode_fields
from raftwork.features.schedule_planner import SchedulePlanner
from raftwork.features.schedule_records import CreateSchedule
from raftwork.recurrence import rule
from tests.unit.broker.scheduling import HOUR, MINUTE, NEW_YEAR, Scheduling, at, fields


@pytest.mark.parametrize(
    ("catchup", "ids", "counts"),
    [
        (CatchUp.ONE, [at(30)], {"fired": 1, "late": 29}),
        (CatchUp.NONE, [], {"late": 30}),
        (CatchUp.ALL, [at(minute) for minute in range(1, 31)], {"fired": 30}),
    ],
)
@pytest.mark.parametrize("when", [{"every": MINUTE}, {"cron": "* * * * *"}])
def test_after_an_outage(
    catchup: CatchUp, ids: list[str], counts: dict[str, int], when: dict[str, Any]
) -> None:
    world = Scheduling()
    world.create(overlap=Overlap.ALLOW, catchup=catchup, **when)
    world.fail_over(after=30 * MINUTE + 30_000)
    world.sleep(10_000)
    assert world.ids() == ids
    assert world.counts() == counts
    world.sleep(MINUTE)
    assert world.ids() == [*ids, at(31)]


@pytest.mark.parametrize("catchup", [CatchUp.ONE, CatchUp.ALL])
def test_what_is_older_than_the_window_is_counted_and_not_run(catchup: CatchUp) -> None:
    world = Scheduling()
    world.create(every=HOUR, overlap=Overlap.ALLOW, catchup=catchup, window=91 * MINUTE)
    world.fail_over(after=10 * HOUR + 30 * MINUTE)
    world.sleep(1_000)
    run = [10] if catchup is CatchUp.ONE else [9, 10]
    assert world.ids() == [f"nightly@2027-01-01T{hour:02}:00:00Z" for hour in run]
    assert world.counts() == {"fired": len(run), "late": 10 - len(run)}


def due_late(tick: int, after: int, jitter: int) -> str:
    """The id of a schedule whose jitter makes this tick due that much after it, or later."""
    ids = (f"s{each}" for each in range(1_000))
    return next(id_ for id_ in ids if rule.jittered(id_, tick, tick + HOUR, jitter) > tick + after)


@pytest.mark.parametrize(
    ("catchup", "at_once"),
    [(CatchUp.ONE, [9]), (CatchUp.NONE, []), (CatchUp.ALL, [*range(1, 10)])],
)
@pytest.mark.parametrize("when", [{"every": HOUR}, {"cron": "0 * * * *"}])
def test_a_tick_of_an_outage_that_its_jitter_makes_due_later_is_run_then(
    catchup: CatchUp, at_once: list[int], when: dict[str, Any]
) -> None:
    world = Scheduling()
    last = NEW_YEAR + 10 * HOUR
    id_ = due_late(last, 35 * MINUTE, 50 * MINUTE)
    world.create(id_, overlap=Overlap.ALLOW, catchup=catchup, jitter=50 * MINUTE, **when)
    world.fail_over(after=10 * HOUR + 30 * MINUTE)
    world.sleep(2 * MINUTE)
    made = [f"{id_}@2027-01-01T{hour:02}:00:00Z" for hour in at_once]
    assert world.ids() == made, "none is early"
    world.sleep(rule.jittered(id_, last, last + HOUR, 50 * MINUTE) - world.time, step=1_000)
    world.sleep(1_000)
    assert world.ids() == [*made, f"{id_}@2027-01-01T10:00:00Z"]
    assert world.counts(id_) == {
        "fired": len(made) + 1,
        **({"late": 9 - len(made)} if len(made) < 9 else {}),
    }


@pytest.mark.parametrize(
    ("catchup", "ran"), [(CatchUp.ONE, [10]), (CatchUp.NONE, []), (CatchUp.ALL, [10])]
)
def test_how_late_a_tick_is_counts_from_when_its_jitter_made_it_due(
    catchup: CatchUp, ran: list[int]
) -> None:
    world = Scheduling()
    last, jitter = NEW_YEAR + 10 * HOUR, 50 * MINUTE
    id_ = due_late(last, 35 * MINUTE, jitter)
    world.create(
        *(id_,),
        every=HOUR,
        overlap=Overlap.ALLOW,
        catchup=catchup,
        jitter=jitter,
        window=MINUTE,
    )
    due = rule.jittered(id_, last, last + HOUR, jitter)
    world.fail_over(after=due - world.time + 30_000)
    world.sleep(1_000)
    assert world.ids() == [f"{id_}@2027-01-01T{hour}:00:00Z" for hour in ran]


def test_looks_at_large_arguments_are_few_in_a_turn() -> None:
    world = Scheduling()
    large = encode_fields(fields(every=HOUR)._replace(payload=bytes(500_000)))
    for each in range(9):
        world.ask(CreateSchedule(0, f"s{each}", large))
    planner = SchedulePlanner(world.harness.lead.processor.view)
    turns = 0
    while planner._todo:
        before = len(planner._todo)
        planner.commands()
        assert 1 <= before - len(planner._todo) <= 2
        turns += 1
    assert turns == 5


def test_many_missed_ticks_are_counted_a_part_in_each_turn() -> None:
    world = Scheduling()
    world.create(cron="* * * * * *")
    world.fail_over(after=HOUR)
    turns = 0
    while not world.row().last:
        world.harness.turn()
        turns += 1
    assert turns >= HOUR // 1_000 // schedule_planner._STEPS
    assert world.counts() == {"fired": 1, "late": HOUR // 1_000 - 1 + turns // 1_000}


def test_a_schedule_whose_zone_is_gone_while_its_outage_is_counted_is_left_alone() -> None:
    world = Scheduling()
    world.create(cron="* * * * *", tz="Europe/Berlin")
    world.fail_over(after=10 * 24 * HOUR)
    for _ in range(20):
        world.harness.turn(1)
    planner = next(c for c in world.harness.lead._chores if isinstance(c, SchedulePlanner))
    assert planner._passed, "it is being counted"

    def fails() -> Iterator[int]:
        yield from ()
        raise ValueError("no such zone any more")

    planner._passed[0]._following = fails()
    world.sleep(1_000)
    assert world.ids() == []
    world.sleep(MINUTE + 20_000)
    assert len(world.ids()) == 1
