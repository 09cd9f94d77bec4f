"""What a trial says of its schedule's ticks."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from raftwork.chaos.beat import Beat, accounted
from raftwork.chaos.checker import judge
from raftwork.chaos.history import Asked, Ended, Event, Started, Stored
from raftwork.client.schedules import Schedule, TickCounts
from tests.unit.client.scheduled_app import ScheduledApp

LAST = datetime(2027, 1, 1, 0, 0, 3, tzinfo=UTC)


def schedule(app: ScheduledApp, last: datetime | None = LAST, **counts: int) -> Schedule:
    app.schedules.create("beat", "job", every=1)
    told = TickCounts(0, 0, 0, 0, 0)._replace(**counts)
    return replace(app.schedules.get("beat"), last=last, counts=told)


@pytest.fixture
def app() -> ScheduledApp:
    return ScheduledApp()


def test_each_tick_is_as_if_it_had_been_enqueued(app: ScheduledApp) -> None:
    events, wrong = accounted(schedule(app, fired=3), [], clocks_set=False)
    ids = [f"beat@2027-01-01T00:00:0{second}Z" for second in (1, 2, 3)]
    assert [e.task for e in events if isinstance(e, Asked)] == ids
    assert [e.task for e in events if isinstance(e, Stored)] == ids
    assert wrong == ""
    ran: list[Event] = []
    for number, id_ in enumerate(ids):
        ran += [Started(1.0, "w", id_, number, 1), Ended(2.0, "audit", id_, "succeeded", 0, number)]
    assert judge([*events, *ran]).good
    assert judge([*events, *ran[:-1], Ended(2.0, "audit", ids[-1], "unknown")]).findings["lost"]
    early = Started(1.0, "w", "beat@2027-01-01T00:00:04Z", 9, 1)
    assert judge([*events, *ran, early]).findings["unexpected"]


def test_ticks_that_made_no_task_are_told(app: ScheduledApp) -> None:
    _, wrong = accounted(schedule(app, fired=3, late=2), [], clocks_set=False)
    assert wrong.startswith("of 5 ticks of beat 2 made no task: ")


def test_where_clocks_were_set_late_ticks_prove_nothing(app: ScheduledApp) -> None:
    """They were said to be tasks that nobody asked for."""
    ran, others = "beat@2026-12-31T23:00:00Z", "w-1"
    events, wrong = accounted(schedule(app, fired=3, late=2), [ran, others], clocks_set=True)
    assert wrong == ""
    done: list[Event] = [Started(1.0, "w", ran, 1, 1), Ended(2.0, "audit", ran, "succeeded", 0, 1)]
    assert judge([*events, *done]).good
    assert judge([*events, Started(1.0, "w", others, 1, 1)]).findings["unexpected"]


def test_one_that_never_ticked_is_told(app: ScheduledApp) -> None:
    assert accounted(schedule(app, last=None), [], clocks_set=False) == (
        [],
        "the schedule beat never ticked",
    )


def test_it_ticks_each_second_from_begin_to_end(
    app: ScheduledApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftwork.chaos.beat.App", lambda **_: app)
    monkeypatch.setattr(app, "close", lambda: None)
    beat = Beat("127.0.0.1:1", "beat", "/nowhere")
    assert beat.end([], clocks_set=False) == ([], ""), "it never began"
    beat.begin()
    app.world.sleep(5_000)
    events, wrong = beat.end([], clocks_set=False)
    assert len(events) == 2 * 5 and wrong == ""
    app.world.sleep(5_000)
    assert len(app.world.ids()) == 5
