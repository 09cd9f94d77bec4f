"""Schedules tick: what a leader computes, and what becomes of it on every replica."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from raftwork.broker.disk_space import DiskSpace
from raftwork.broker.events import ChoreFailed, Event
from raftwork.errors import (
    ProtocolError,
    QueueFull,
    ScheduleConflict,
    UnknownSchedule,
    Unsupported,
)
from raftwork.features import schedule_planner, schedules
from raftwork.features.queue_settings import Configure
from raftwork.features.schedule_plan import CatchUp, Overlap, encode_fields
from raftwork.features.schedule_records import (
    BackfillSchedule,
    CreateSchedule,
    Declared,
    DeclareSchedules,
    DeleteSchedule,
    ListSchedules,
    NextTicks,
    PauseSchedule,
    PruneSchedules,
    ScheduleBackfilled,
    SchedulesDeclared,
    SchedulesTold,
    ScheduleTriggered,
    TicksTold,
    TriggerSchedule,
    UpdateSchedule,
)
from raftwork.features.upgrade import Raise
from raftwork.messages import Spec, State, encode_spec
from raftwork.recurrence import rule, zone
from raftwork.wire import pack
from tests.unit.broker.machine.driver import change_of
from tests.unit.broker.queues import Queues, enqueue
from tests.unit.broker.scheduling import HOUR, MINUTE, NEW_YEAR, Scheduling, at, fields

# ---- ticks ---------------------------------------------------------------------------------------


def test_each_tick_makes_one_task_whose_id_is_its_instant() -> None:
    world = Scheduling()
    world.create(every=MINUTE, overlap=Overlap.ALLOW)
    world.sleep(3 * MINUTE)
    assert world.ids() == [at(1), at(2), at(3)]
    assert world.counts() == {"fired": 3}
    facts = world.facts()
    assert (facts.last, facts.next) == (NEW_YEAR + 3 * MINUTE, NEW_YEAR + 4 * MINUTE)


def test_none_is_early() -> None:
    world = Scheduling()
    world.create(cron="* * * * *")
    world.sleep(MINUTE - 1)
    assert world.ids() == []
    world.sleep(1)
    assert world.ids() == [at(1)]


def test_its_task_knows_its_tick() -> None:
    world = Scheduling()
    world.hello()
    world.create(every=MINUTE)
    world.sleep(MINUTE)
    (task,) = world.pushed()
    assert task.about is not None and task.about.tick == NEW_YEAR + MINUTE
    assert task.payload == b"\x90"


def test_a_new_leader_goes_on_where_the_last_one_was() -> None:
    world = Scheduling()
    world.create(every=MINUTE, overlap=Overlap.ALLOW)
    world.sleep(MINUTE)
    world.fail_over()
    world.sleep(MINUTE)
    world.fail_over(epoch=3)
    assert world.ids() == [at(1), at(2)]


def test_a_tick_that_is_late_by_a_failover_is_run_whatever_catchup_says() -> None:
    world = Scheduling()
    world.create(every=1_000, overlap=Overlap.ALLOW, catchup=CatchUp.NONE)
    world.sleep(1_000)
    world.fail_over(after=5_000)
    world.sleep(500)
    assert world.ids() == [at(0, second) for second in range(1, 7)]
    assert world.counts() == {"fired": 6}


def test_without_room_on_the_disks_none_ticks_and_what_is_missed_is_as_after_an_outage() -> None:
    world = Scheduling()
    world.create(every=MINUTE, overlap=Overlap.ALLOW)
    world.harness.lead.processor.view.disk = disk = DiskSpace("a", ("a",), 1_000)
    disk.look(0, 0)
    world.sleep(3 * MINUTE + 30_000)
    assert world.ids() == []
    disk.look(5_000, 1)
    world.sleep(2_000)
    assert world.ids() == [at(3)]
    world.sleep(MINUTE)
    assert world.ids() == [at(3), at(4)]


def test_a_clock_that_is_set_back_delays_ticks_and_repeats_none() -> None:
    world = Scheduling()
    world.create(every=MINUTE, overlap=Overlap.ALLOW)
    world.sleep(2 * MINUTE)
    world.fail_over(after=-HOUR)
    assert world.time >= NEW_YEAR + 2 * MINUTE, "machine time is never set back"
    world.sleep(MINUTE)
    assert world.ids() == [at(1), at(2), at(3)]


def test_a_clock_that_is_set_forward_makes_no_more_than_the_window_holds() -> None:
    world = Scheduling()
    world.create(every=HOUR, overlap=Overlap.ALLOW, catchup=CatchUp.ALL, window=5 * HOUR)
    world.fail_over(after=365 * 24 * HOUR)
    world.sleep(5_000)
    assert len(world.ids()) == 5
    assert world.counts() == {"fired": 5, "late": 365 * 24 - 5}


def test_jitter_makes_it_later_and_never_earlier() -> None:
    world = Scheduling()
    world.create("a", every=MINUTE, jitter=30_000)
    world.create("b", every=MINUTE, jitter=30_000)
    world.sleep(MINUTE)
    assert world.ids() == []
    world.sleep(30_000)
    assert sorted(world.ids()) == [f"{each}@2027-01-01T00:01:00Z" for each in "ab"]


def test_nothing_before_the_start_after_the_end_or_beyond_the_limit() -> None:
    world = Scheduling()
    start, end = NEW_YEAR + 5 * MINUTE, NEW_YEAR + 7 * MINUTE
    world.create(cron="* * * * *", start=start, end=end, overlap=Overlap.ALLOW)
    world.create("few", every=MINUTE, limit=2, overlap=Overlap.ALLOW)
    world.sleep(10 * MINUTE)
    ids = world.ids()
    assert [id_ for id_ in ids if id_.startswith("nightly")] == [at(5), at(6), at(7)]
    assert len(ids) == 5
    assert world.facts().next == world.facts("few").next == 0


def test_fractions_of_a_second_stand_in_the_id() -> None:
    world = Scheduling()
    world.create(every=1_500, overlap=Overlap.ALLOW)
    world.sleep(3_000)
    assert world.ids() == ["nightly@2027-01-01T00:00:01.500Z", at(0, 3)]


# ---- overlap -------------------------------------------------------------------------------------


def test_skip_counts_what_only_waits_as_well() -> None:
    world = Scheduling()
    world.create(every=MINUTE)
    world.sleep(2 * MINUTE)
    assert world.ids() == [at(1)] and world.counts() == {"fired": 1, "overlap": 1}
    world.hello()
    world.harness.turn()
    (task,) = world.pushed()
    world.sleep(MINUTE)
    assert world.counts() == {"fired": 1, "overlap": 2}
    world.finish(task)
    world.sleep(MINUTE)
    assert world.ids() == [at(1), at(4)]


def test_queue_one_has_one_that_waits_behind() -> None:
    world = Scheduling()
    world.hello()
    world.create(every=MINUTE, overlap=Overlap.QUEUE_ONE)
    world.sleep(4 * MINUTE)
    assert world.ids() == [at(1), at(2)] and world.counts() == {"fired": 2, "overlap": 2}
    (first,) = world.pushed()
    world.sleep(10)
    assert world.pushed() == []
    world.finish(first)
    (second,) = world.pushed()
    assert second.id == at(2)


def test_queue_all_runs_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Scheduling()
    world.hello()
    world.create(every=MINUTE, overlap=Overlap.QUEUE_ALL)
    world.sleep(3 * MINUTE)
    ran: list[str] = []
    while tasks := world.pushed():
        (task,) = tasks
        ran.append(task.id)
        world.finish(task)
    assert ran == [at(1), at(2), at(3)]


def test_cancel_previous_takes_the_place_of_what_waits() -> None:
    world = Scheduling()
    world.create(every=MINUTE, overlap=Overlap.CANCEL_PREVIOUS)
    world.sleep(2 * MINUTE)
    machine = world.harness.queues.machine
    assert machine.states([at(1), at(2)]) == [State.CANCELLED, State.QUEUED]


def test_cancel_previous_waits_until_what_runs_has_ended() -> None:
    world = Scheduling()
    world.hello()
    world.create(every=MINUTE, overlap=Overlap.CANCEL_PREVIOUS)
    world.sleep(MINUTE)
    (first,) = world.pushed()
    world.sleep(MINUTE)
    machine = world.harness.queues.machine
    assert machine.states([at(1), at(2)]) == [State.RUNNING, State.QUEUED]
    assert world.pushed() == []
    world.sleep(11_000)  # its grace
    assert machine.states([at(1), at(2)]) == [State.CANCELLED, State.RUNNING]
    assert first.id == at(1)


def test_a_full_queue_is_counted() -> None:
    world = Scheduling()
    world.harness.queues.apply(Configure("small", change_of(max_length=1)))
    world.create(every=MINUTE, queue="small", overlap=Overlap.ALLOW)
    world.sleep(3 * MINUTE)
    assert world.counts() == {"fired": 1, "full": 2}


def test_of_many_that_tick_at_once_those_enter_for_which_there_is_room() -> None:
    world = Scheduling()
    world.harness.queues.apply(Configure("small", change_of(max_length=3)))
    names = ("a", "b", "c", "d", "e")
    for name in names:
        world.create(name, every=MINUTE, queue="small")
    world.create("elsewhere", every=MINUTE)
    world.sleep(MINUTE)
    fates = [world.counts(name) for name in names]
    assert fates == [{"fired": 1}] * 3 + [{"full": 1}] * 2
    assert world.counts("elsewhere") == {"fired": 1}


def test_many_that_tick_at_once_are_each_by_itself() -> None:
    """Some have a task already, of that id or without an outcome; some are alone of their kind."""
    world = Scheduling()
    for name in ("known", "fresh", "busy", "again"):
        world.create(name, every=MINUTE)
    world.create("other", every=MINUTE, task="other")
    world.create("behind", every=MINUTE, overlap=Overlap.QUEUE_ALL)
    world.create("free", every=MINUTE, overlap=Overlap.ALLOW)
    world.ask(TriggerSchedule(0, "busy", "by-hand"))
    world.harness.queues.apply(enqueue(at(1, schedule="known"), created=NEW_YEAR))
    world.sleep(MINUTE)
    expected = {
        **{name: {"fired": 1} for name in ("fresh", "again", "other", "behind", "free")},
        "known": {},
        "busy": {"fired": 1, "overlap": 1},
    }
    assert {name: world.counts(name) for name in expected} == expected
    machine = world.harness.queues.machine
    made = [at(1, schedule=name) for name in ("fresh", "again", "other", "behind", "free")]
    assert machine.states(made) == [State.QUEUED] * 5
    assert machine.states([at(1, schedule="busy")]) == [State.UNKNOWN]


# ---- many ----------------------------------------------------------------------------------------


def declare_many(world: Scheduling, many: int) -> None:
    """So many that tick together each hour."""
    for first in range(0, many, 100):
        declared = [
            Declared(f"s{each}", encode_fields(fields(every=HOUR)))
            for each in range(first, first + 100)
        ]
        world.ask(DeclareSchedules(0, "m:app", declared))


def test_ten_thousand_at_once_are_a_bounded_part_of_each_entry() -> None:
    world = Scheduling()
    many = 1_000
    declare_many(world, many)
    world.sleep(HOUR - 1_000, step=1_000)
    entries = []
    while len(world.ids()) < many:
        world.harness.now += 1
        before = len(world.ids())
        world.harness.lead.plan(world.harness.now)
        world.harness.commit()
        entries.append(len(world.ids()) - before)
    assert max(entries) <= schedule_planner._TICKS
    assert world.time < NEW_YEAR + HOUR + 1_000


def test_what_has_ticked_leaves_turns_to_others_before_it_is_looked_at_again() -> None:
    """After ten thousand have ticked a leader would look at them in turn after turn."""
    world = Scheduling()
    many = 200
    declare_many(world, many)
    world.sleep(HOUR, step=1_000)
    harness = world.harness
    while len(world.ids()) < many:
        harness.turn(1)
    assert harness.lead.wake_at > harness.now
    world.sleep(HOUR, step=1_000)
    world.sleep(1_000)
    assert world.counts("s199") == {"fired": 1, "overlap": 1}


def test_large_arguments_are_a_bounded_part_of_each_entry() -> None:
    world = Scheduling()
    large = encode_fields(fields(every=HOUR)._replace(payload=bytes(200_000)))
    for each in range(9):
        world.ask(DeclareSchedules(0, "m:app", [Declared(f"s{each}", large)]))
    world.sleep(HOUR - 1_000, step=1_000)
    entries = []
    while len(world.ids()) < 9:
        world.harness.now += 1
        before = len(world.ids())
        world.harness.lead.plan(world.harness.now)
        world.harness.commit()
        entries.append(len(world.ids()) - before)
    assert max(entries) == 3
    answer = world.ask(BackfillSchedule(0, "s0", NEW_YEAR - 5 * HOUR, NEW_YEAR, Overlap.ALLOW))
    assert isinstance(answer, ScheduleBackfilled) and answer.made == 6


# ---- paused --------------------------------------------------------------------------------------


def test_ticks_of_a_pause_are_counted_and_make_no_task() -> None:
    world = Scheduling()
    world.create(every=MINUTE)
    world.ask(PauseSchedule(0, "nightly", True))
    world.sleep(3 * MINUTE)
    assert world.ids() == [] and world.counts() == {"paused": 3}
    assert world.facts().paused
    world.ask(PauseSchedule(0, "nightly", False))
    world.sleep(MINUTE)
    assert world.ids() == [at(4)]


def test_a_pause_may_be_made_up_for() -> None:
    world = Scheduling()
    world.create(every=MINUTE, overlap=Overlap.ALLOW, catchup=CatchUp.ALL)
    world.ask(PauseSchedule(0, "nightly", True))
    world.sleep(3 * MINUTE)
    world.ask(PauseSchedule(0, "nightly", False, True))
    world.sleep(1_000)
    assert world.ids() == [at(1), at(2), at(3)] and world.counts() == {"fired": 3}


def test_a_pause_is_no_outage_for_the_latest_tick_either() -> None:
    world = Scheduling()
    world.create(every=MINUTE)
    world.ask(PauseSchedule(0, "nightly", True))
    world.sleep(3 * MINUTE + 30_000)
    world.ask(PauseSchedule(0, "nightly", False, True))
    world.sleep(1_000)
    assert world.ids() == [at(3)] and world.counts() == {"fired": 1, "late": 2}


# ---- by hand -------------------------------------------------------------------------------------


def trigger(world: Scheduling, task: str, overlap: Overlap | None = None) -> bool:
    answer = world.ask(TriggerSchedule(0, "nightly", task, overlap))
    assert isinstance(answer, ScheduleTriggered)
    return answer.made


def test_a_trigger_obeys_overlap_unless_told_otherwise() -> None:
    world = Scheduling()
    world.create(every=MINUTE)
    world.ask(PauseSchedule(0, "nightly", True))
    assert trigger(world, "nightly@1")
    assert trigger(world, "nightly@1"), "asked for again"
    assert not trigger(world, "nightly@2")
    assert trigger(world, "nightly@3", Overlap.ALLOW)
    assert world.ids() == ["nightly@1", "nightly@3"]
    assert world.counts() == {"fired": 2, "overlap": 1}


def backfill(world: Scheduling, start: int, end: int) -> int:
    answer = world.ask(BackfillSchedule(0, "nightly", start, end, Overlap.ALLOW))
    assert isinstance(answer, ScheduleBackfilled)
    return answer.made


def test_a_backfill_makes_the_ticks_that_are_not_known() -> None:
    world = Scheduling()
    world.create(cron="* * * * *", overlap=Overlap.ALLOW)
    world.sleep(2 * MINUTE)
    start, end = NEW_YEAR - 100 * MINUTE, NEW_YEAR + 2 * MINUTE
    assert backfill(world, start, end) == 101  # of 103 two are known
    assert backfill(world, start, end) == 0
    assert world.ids()[2] == "nightly@2026-12-31T22:20:00Z"


def test_a_backfill_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Scheduling()
    world.create(every=1_000, overlap=Overlap.ALLOW)
    with pytest.raises(ProtocolError, match="10001 ticks, 10000 are allowed"):
        backfill(world, NEW_YEAR, NEW_YEAR + 10_000_000)
    with pytest.raises(ProtocolError, match="ends before it begins"):
        backfill(world, NEW_YEAR, NEW_YEAR - 1)
    world.create("seconds", cron="* * * * * *")
    monkeypatch.setattr(schedules, "BACKFILL_MAX", 80)
    with pytest.raises(ProtocolError, match="more than 80 ticks"):
        world.ask(BackfillSchedule(0, "seconds", NEW_YEAR, NEW_YEAR + HOUR, Overlap.ALLOW))
    assert world.ids() == []


# ---- declared and overridden ---------------------------------------------------------------------


def declare(world: Scheduling, apply: bool = False, source: str = "m:app", **said: object) -> str:
    declared = Declared("nightly", encode_fields(fields(**said)))  # type: ignore[arg-type]
    answer = world.ask(DeclareSchedules(0, source, [declared], apply))
    assert isinstance(answer, SchedulesDeclared)
    ((id_, fate),) = answer.fates
    assert id_ == "nightly"
    return fate


def update(world: Scheduling, version: int = 0, **said: object) -> None:
    over = fields(**said)._replace(spec=None, payload=None)  # type: ignore[arg-type]
    world.ask(UpdateSchedule(0, "nightly", encode_fields(over), version))


def test_a_worker_that_starts_creates_what_is_missing_and_changes_nothing() -> None:
    world = Scheduling()
    assert declare(world, every=HOUR) == "created"
    before = world.row()
    world.sleep(MINUTE)
    assert declare(world, every=HOUR) == "same"
    assert declare(world, every=MINUTE) == "differs"
    assert world.row() == before


def test_what_stands_already_costs_no_entry() -> None:
    world = Scheduling()
    declare(world, every=HOUR)
    before = world.harness.core.seq
    assert declare(world, every=HOUR) == "same"
    assert declare(world, every=MINUTE) == "differs"
    assert world.harness.core.seq == before


def test_old_and_new_deployments_that_start_in_turns_do_not_flip_it() -> None:
    world = Scheduling()
    declare(world, every=HOUR)
    assert declare(world, apply=True, every=MINUTE) == "changed"
    applied = world.row()
    for _ in range(3):
        assert declare(world, every=HOUR) == "differs"
        assert declare(world, every=MINUTE) == "same"
        world.sleep(10_000)
    assert world.row() == applied


def test_what_operators_say_stands_before_what_code_says() -> None:
    world = Scheduling()
    declare(world, every=HOUR, window=HOUR)
    update(world, every=MINUTE)
    assert declare(world, apply=True, every=2 * HOUR, window=2 * HOUR) == "changed"
    plan = world.row().plan
    assert (plan.every, plan.window) == (MINUTE, 2 * HOUR)
    world.ask(UpdateSchedule(0, "nightly", b"", 0, True))
    assert world.row().plan.every == 2 * HOUR


def test_a_change_of_when_it_ticks_counts_from_now() -> None:
    world = Scheduling()
    declare(world, every=HOUR)
    world.sleep(30 * MINUTE, step=1_000)
    update(world, every=0, cron="15 * * * *")
    world.sleep(15 * MINUTE, step=1_000)
    assert world.ids() == []
    update(world, every=0, cron="10 * * * *", tz="Europe/Berlin")
    world.sleep(1_000)
    assert world.ids() == [] and not world.row().last
    assert world.facts().next == NEW_YEAR + 70 * MINUTE


def test_a_change_of_anything_else_leaves_the_next_tick() -> None:
    world = Scheduling()
    declare(world, every=HOUR)
    world.sleep(30 * MINUTE, step=1_000)
    update(world, jitter=0, window=HOUR)
    declare(world, apply=True, every=HOUR, queue="other")
    world.sleep(30 * MINUTE, step=1_000)
    assert world.ids() == ["nightly@2027-01-01T01:00:00Z"]


def test_an_etag_that_is_old_is_refused() -> None:
    world = Scheduling()
    version = world.create(every=HOUR).version
    update(world, version, window=HOUR)
    with pytest.raises(ScheduleConflict, match="has version 2 by now, not 1"):
        update(world, version, window=2 * HOUR)
    update(world, version, window=HOUR)  # the first one, asked for again


def test_no_map_of_a_clients_is_built_of_what_its_tasks_have_besides() -> None:
    """A mebibyte of keys that collide would hold up the leader for seconds."""
    world = Scheduling()
    with pytest.raises(ProtocolError, match=r"task is malformed: .*max_map_len"):
        world.create(every=HOUR, extras=pack({n: n for n in range(100)}))


def test_created_twice_is_a_conflict_unless_it_is_the_same() -> None:
    world = Scheduling()
    world.create(every=HOUR)
    world.create(every=HOUR)
    with pytest.raises(ScheduleConflict, match="there is a schedule 'nightly' already"):
        world.create(every=MINUTE)


def test_a_prune_deletes_what_the_same_code_declared_and_nothing_else() -> None:
    world = Scheduling()
    for id_, source in (("a", "m:app"), ("b", "m:app"), ("c", "other:app")):
        world.ask(DeclareSchedules(0, source, [Declared(id_, encode_fields(fields(every=HOUR)))]))
    world.create("d", every=HOUR)
    answer = world.ask(PruneSchedules(0, "m:app", ["b"]))
    assert isinstance(answer, SchedulesDeclared) and answer.fates == [("a", "deleted")]
    answer = world.ask(PruneSchedules(0, "m:app", ["b"]))
    assert isinstance(answer, SchedulesDeclared) and answer.fates == []
    told = world.ask(ListSchedules(0))
    assert isinstance(told, SchedulesTold)
    assert [each.id for each in told.schedules] == ["b", "c", "d"]


def test_what_is_deleted_ticks_no_more_and_its_tasks_stay() -> None:
    world = Scheduling()
    world.hello()
    world.create(every=MINUTE)
    world.sleep(MINUTE)
    world.ask(DeleteSchedule(0, "nightly"))
    world.sleep(5 * MINUTE)
    assert world.ids() == [at(1)]
    world.finish(*world.pushed())
    with pytest.raises(UnknownSchedule, match="there is no schedule 'nightly'"):
        world.facts()
    world.create(every=MINUTE)
    world.sleep(MINUTE)
    assert len(world.ids()) == 2


# ---- looked at -----------------------------------------------------------------------------------


def test_the_next_ticks() -> None:
    world = Scheduling()
    world.create(cron="30 2 * * *", tz="Europe/Berlin")
    told = world.ask(NextTicks(0, "nightly", 2))
    assert isinstance(told, TicksTold)
    assert told.ticks == [NEW_YEAR + 90 * MINUTE, NEW_YEAR + 25 * HOUR + 30 * MINUTE]


def test_they_are_listed_by_pages() -> None:
    world = Scheduling()
    ids = [f"s{each:03}" for each in range(150)]
    for id_ in reversed(ids):
        world.create(id_, every=HOUR)
    first = world.ask(ListSchedules(0))
    assert isinstance(first, SchedulesTold) and first.more
    second = world.ask(ListSchedules(0, first.schedules[-1].id))
    assert isinstance(second, SchedulesTold) and not second.more
    assert [each.id for each in (*first.schedules, *second.schedules)] == ids


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({}, "either cron or every"),
        ({"every": 10}, "every must be at least 1 s, got 0.01"),
        ({"cron": "0 0 30 2 *"}, "bad day-of-month"),
        ({"cron": "0 0 */31 2 MON#5"}, "never matches"),
        ({"cron": "@daily", "tz": "Europe/Berln"}, "no time zone 'Europe/Berln'"),
        (
            {"every": HOUR, "start": 2 * NEW_YEAR, "end": 2 * NEW_YEAR - 1},
            "end is before start.*: 2083-12-31T",
        ),
        (
            {"every": HOUR, "window": 10**14},
            "window must be at most 115740 d 17 h .*, got 1157407 d",
        ),
        (
            {"every": HOUR, "end": 10**14},
            "end must be no later than 2286-11-20T17:46:40Z, got 5138-",
        ),
    ],
)
def test_what_would_never_tick_is_named(said: dict[str, Any], says: str) -> None:
    world = Scheduling()
    with pytest.raises(ProtocolError, match=says):
        world.create(**said)
    with pytest.raises(ProtocolError, match=f"schedule 'nightly': .*{says}"):
        declare(world, **said)


def test_an_older_level_has_no_schedules() -> None:
    world = Scheduling(queues=Queues(level=1))
    with pytest.raises(Unsupported, match="schedules need a cluster at level 2, this one is at"):
        world.create(every=HOUR)
    with pytest.raises(Unsupported, match="run `raftwork upgrade finish`"):
        world.ask(ListSchedules(0))
    world.harness.queues.apply(Raise(2, "0.3.0"))
    world.create(every=MINUTE)
    world.sleep(2 * MINUTE)
    assert world.ids()[0].startswith("nightly@")


def test_ordered_tasks_have_no_key() -> None:
    world = Scheduling()
    spec = encode_spec(Spec("job", "default", ordered=True))
    packed = encode_fields(fields(every=HOUR)._replace(spec=spec))
    with pytest.raises(ProtocolError, match="cannot be ordered"):
        world.ask(CreateSchedule(0, "nightly", packed))


def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Scheduling()
    monkeypatch.setattr("raftwork.features.schedule_rows.SCHEDULES_MAX", 1)
    world.create(every=HOUR)
    with pytest.raises(QueueFull, match="this would make 2 schedules, 1 are allowed"):
        world.create("second", every=HOUR)
    update(world, window=12 * HOUR)
    world.ask(DeleteSchedule(0, "nightly"))
    world.create("second", every=HOUR)


@contextmanager
def no_zones() -> Iterator[None]:
    """This machine has no tz database."""

    def nothing(name: str) -> None:
        raise ModuleNotFoundError(name)

    zone.cache_clear()
    rule._two_after.cache_clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("zoneinfo.ZoneInfo", nothing)
        yield
    zone.cache_clear()


def test_a_zone_that_is_unknown_here_stops_that_schedule_alone() -> None:
    world = Scheduling()
    world.create("berlin", cron="* * * * *", tz="Europe/Berlin")
    world.create("utc", cron="* * * * *")
    told: list[Event] = []
    with no_zones():
        world.fail_over()
        world.harness.lead._tell = told.append
        world.sleep(MINUTE)
        says = "schedule berlin does not tick: no time zone 'Europe/Berlin'"
        assert any(isinstance(each, ChoreFailed) and str(each).startswith(says) for each in told)
        assert world.ids() == ["utc@2027-01-01T00:01:00Z"]
        world.fail_over(epoch=3)
    world.sleep(2 * MINUTE)
    assert world.row("berlin").fired == 1


def test_what_asks_for_its_ticks_is_refused_alone_where_a_zone_is_unknown() -> None:
    """A leader that failed at a backfill would be made anew, for the next client to ask again."""
    world = Scheduling()
    world.create(cron="* * * * *", tz="Europe/Berlin")
    with no_zones():
        world.fail_over()
        says = "schedule 'nightly' cannot be computed: no time zone 'Europe/Berlin'"
        with pytest.raises(ProtocolError, match=says):
            backfill(world, NEW_YEAR - HOUR, NEW_YEAR)
        with pytest.raises(ProtocolError, match=says):
            world.ask(NextTicks(0, "nightly", 2))
        assert world.facts().next == 0
    assert backfill(world, NEW_YEAR - HOUR, NEW_YEAR) == 61
