"""Schedules as a program sees them, over a real leadership."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from raftwork import Schedule, ScheduleConflict, UnknownSchedule
from raftwork.client.schedules import TickCounts
from raftwork.errors import NotSerializable, ProtocolError
from raftwork.messages import decode_spec
from raftwork.wire import unpack
from tests.unit.client.scheduled_app import ScheduledApp

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def app() -> ScheduledApp:
    return ScheduledApp()


def report(day: str, *, deep: bool = False) -> None: ...


def test_what_is_created_is_told(app: ScheduledApp) -> None:
    task = app.task(name="report")(report)
    start, end = NEW_YEAR + HOUR, datetime(2028, 1, 1, tzinfo=timezone(HOUR))
    made = app.schedules.create(
        "nightly",
        task.options(queue="bulk"),
        cron="30 2 * * *",
        tz="Europe/Berlin",
        overlap="queue_one",
        catchup="all",
        window=60,
        jitter=timedelta(seconds=5),
        start=start,
        end=end,
        limit=3,
        args=("monday",),
        kwargs={"deep": True},
    )
    assert made == Schedule(
        id="nightly",
        task="report",
        queue="bulk",
        cron="30 2 * * *",
        every=None,
        tz="Europe/Berlin",
        overlap="queue_one",
        catchup="all",
        window=60.0,
        jitter=5.0,
        start=start,
        end=end,
        limit=3,
        args=["monday"],
        kwargs={"deep": True},
        next=NEW_YEAR + 1.5 * HOUR,
        last=None,
        paused=False,
        counts=TickCounts(0, 0, 0, 0, 0),
        declared_by=None,
        overridden=(),
        etag="1",
    )
    assert app.schedules.get("nightly") == made
    assert list(app.schedules.list()) == [made]
    assert app.schedules.next("nightly", 1) == [NEW_YEAR + 1.5 * HOUR]


def test_none_is_what_is_not_given_and_takes_bounds_away(app: ScheduledApp) -> None:
    nothing: dict[str, Any] = {"cron": None, "start": None, "end": None, "limit": None}
    assert app.schedules.create("a", "job", every=60, **nothing).limit is None
    assert app.schedules.update("a", limit=5, start=NEW_YEAR).limit == 5
    back = app.schedules.update("a", limit=None, start=None)
    assert (back.limit, back.start) == (None, None)


def test_all_that_coroutines_may_ask(app: ScheduledApp) -> None:
    async def ask() -> None:
        schedules = app.schedules
        made = await schedules.acreate("a", "job", every=60)
        assert made.every == 60.0 and made.tz == "UTC"
        assert (await schedules.aupdate("a", every=90, etag=made.etag)).every == 90.0
        await schedules.apause("a")
        assert (await schedules.aget("a")).paused
        await schedules.aresume("a")
        assert [each.id for each in await schedules.alist()] == ["a"]
        assert len(await schedules.anext("a", 3)) == 3
        run = await schedules.atrigger("a")
        assert run is not None and run.id.startswith("a@")
        assert await schedules.atrigger("a") is None
        assert await schedules.abackfill("a", NEW_YEAR - HOUR, NEW_YEAR) == 41
        await schedules.adelete("a")
        with pytest.raises(UnknownSchedule):
            await schedules.aget("a")

    asyncio.run(ask())


def test_a_backfill_that_ends_before_it_begins_is_not_asked_for(app: ScheduledApp) -> None:
    with pytest.raises(ValueError, match="a must not be later than b"):
        app.schedules.backfill("a", NEW_YEAR, NEW_YEAR - HOUR)


def test_an_override_shows_and_can_be_taken_back(app: ScheduledApp) -> None:
    app.schedule("nightly", cron="30 2 * * *")(app.task(name="job")(lambda: None))
    assert app.schedules.apply(app.declarations, "tasks:app") == {"nightly": "created"}
    changed = app.schedules.update("nightly", cron="0 4 * * *", window=60)
    assert changed.overridden == ("cron", "window")
    assert (changed.cron, changed.declared_by) == ("0 4 * * *", "tasks:app")
    assert app.schedules.apply(app.declarations, "tasks:app") == {"nightly": "same"}
    with pytest.raises(ScheduleConflict, match="version 2 by now, not 1"):
        app.schedules.update("nightly", window=50, etag="1")
    assert app.schedules.reset("nightly").overridden == ()
    with pytest.raises(ScheduleConflict, match="no etag"):
        app.schedules.update("nightly", window=50, etag="x")


def test_what_no_code_declares_has_nothing_to_go_back_to(app: ScheduledApp) -> None:
    app.schedules.create("a", "job", every=60)
    with pytest.raises(ProtocolError, match="no code declares"):
        app.schedules.reset("a")


def test_a_prune_deletes_what_is_not_declared_any_more(app: ScheduledApp) -> None:
    first, second = ScheduledApp(), ScheduledApp()
    for each, ids in ((first, "ab"), (second, "bc")):
        task = each.task(name="job")(lambda: None)
        for id_ in ids:
            each.schedule(id_, every=60)(task)
    app.schedules.apply(first.declarations, "tasks:app")
    app.schedules.create("mine", "job", every=60)
    fates = app.schedules.apply(second.declarations, "tasks:app", prune=True)
    assert fates == {"b": "same", "c": "created", "a": "deleted"}
    assert [each.id for each in app.schedules.list()] == ["b", "c", "mine"]


def test_many_are_declared_by_pages(app: ScheduledApp) -> None:
    task = app.task(name="job")(lambda: None)
    for each in range(250):
        app.schedule(f"s{each:03}", every=60)(task)
    fates = app.schedules.apply(app.declarations, "tasks:app")
    assert len(fates) == 250 and set(fates.values()) == {"created"}
    assert len(app.schedules.list()) == 250


def test_a_tick_runs_with_the_tasks_options(app: ScheduledApp) -> None:
    @app.schedule("nightly", every=60, args=("monday",))
    @app.task(name="report", unique=True, tags={"of": "reports"}, retries=2)
    def task(day: str) -> None: ...

    app.schedules.apply(app.declarations, "tasks:app")
    app.world.hello()
    app.world.sleep(60_000)
    (pushed,) = app.world.pushed()
    assert unpack(pushed.payload) == [["monday"], {}]
    spec = decode_spec(pushed.spec)
    assert (spec.name, spec.retries) == ("report", 2)
    assert pushed.about is not None and pushed.about.tags == [("of", "reports")]
    assert task("x") is None, "the decorator leaves the task as it is"


def test_a_unique_task_that_is_there_is_an_overlap(app: ScheduledApp) -> None:
    task = app.task(name="job", unique="one")(lambda: None)
    app.schedules.create("a", task, every=60, overlap="allow")
    app.schedules.create("b", task, every=60, overlap="allow")
    app.world.sleep(60_000)
    counts = [app.schedules.get(each).counts for each in "ab"]
    assert sorted(counts) == [TickCounts(0, 1, 0, 0, 0), TickCounts(1, 0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({}, ValueError, "needs cron or every"),
        ({"cron": "@daily", "every": 60}, ValueError, "needs cron or every, and not both"),
        ({"cron": ""}, ValueError, "must not be empty"),
        ({"cron": 5}, TypeError, "cron must be a str, got int"),
        ({"cron": "* * *"}, ValueError, "3 fields"),
        ({"cron": "0 0 30 2 *"}, ValueError, "bad day-of-month"),
        ({"cron": "0 0 */31 2 MON#5"}, ValueError, "never matches"),
        ({"cron": "@daily", "tz": "Europe/Berln"}, ValueError, "no time zone 'Europe/Berln'"),
        ({"every": 60, "tz": "nowhere"}, ValueError, "no time zone 'nowhere'"),
        ({"every": 0.5}, ValueError, "at least 1 s, got 0.5 s"),
        ({"every": "1"}, TypeError, "every must be seconds"),
        ({"every": 60, "overlap": "no"}, ValueError, "overlap must be one of skip, allow"),
        ({"every": 60, "catchup": "no"}, ValueError, "catchup must be one of one, none, all"),
        ({"every": 60, "limit": 0}, ValueError, "limit must be between 1"),
        ({"every": 60, "limit": True}, TypeError, "limit must be an int"),
        ({"every": 60, "window": -1}, ValueError, "window must be between"),
        ({"every": 60, "start": datetime(2027, 1, 1)}, TypeError, "aware datetime"),  # noqa: DTZ001
        ({"every": 60, "start": NEW_YEAR, "end": NEW_YEAR - HOUR}, ValueError, "before start"),
        ({"every": 60, "args": "monday"}, TypeError, "args must be a sequence"),
        ({"every": 60, "args": (1, 2)}, TypeError, "positional"),
        ({"every": 60, "args": (object(),)}, NotSerializable, "day"),
        ({"every": 60, "kwargs": {1: 2}}, TypeError, "kwargs must be a mapping"),
        ({"every": 60, "minutes": 5}, TypeError, "no such field: minutes; the fields are cron"),
    ],
)
def test_what_cannot_be_meant_is_named_before_anything_is_sent(
    app: ScheduledApp, fields: dict[str, Any], error: type[Exception], says: str
) -> None:
    task = app.task(name="report")(report)
    fields.setdefault("args", ("monday",)) if "kwargs" not in fields else None
    with pytest.raises(error, match=says):
        app.schedules.create("nightly", task, **fields)
    with pytest.raises(error, match=says):
        app.schedule("nightly", **fields)(task)
    assert app.world.numbers == 0 and not app.declarations


def test_a_schedule_is_of_a_task_and_has_an_id(app: ScheduledApp) -> None:
    with pytest.raises(TypeError, match=r"above @app\.task"):
        app.schedule("nightly", every=60)(report)  # type: ignore[type-var]
    with pytest.raises(ValueError, match="a schedule's id must have 1 to 200 characters, got 201"):
        app.schedule("x" * 201, every=60)
    with pytest.raises(TypeError, match="at least one field"):
        app.schedules.update("nightly")


def test_an_id_is_of_one_task_and_its_last_declaration_counts(app: ScheduledApp) -> None:
    task = app.task(name="a")(lambda: None)
    app.schedule("nightly", every=60)(task)
    app.schedule("nightly", every=90)(task)
    assert len(app.declarations) == 1
    with pytest.raises(ValueError, match="'nightly' is of the task a already"):
        app.schedule("nightly", every=60)(app.task(name="b")(lambda: None))


def test_a_machine_without_a_tz_database_leaves_the_zone_to_the_brokers(
    app: ScheduledApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftwork.recurrence.has_zones", lambda: False)
    app.schedule("nightly", cron="@daily", tz="Mars/Olympus")(app.task(name="a")(lambda: None))
    with pytest.raises(ProtocolError, match="schedule 'nightly': no time zone 'Mars/Olympus'"):
        app.schedules.apply(app.declarations, "tasks:app")
