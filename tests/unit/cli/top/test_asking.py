"""What `raftwork top` is made of: asked without being waited for, and told what is wrong."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from raftwork import App
from raftwork.cli.top.asking import Answer, Asking
from raftwork.cli.top.changes import Cancel, Drain, Pause, Resume
from raftwork.cli.top.listings import progress
from raftwork.errors import PermissionDenied
from raftwork.features.progress import Said
from raftwork.features.running import RunningTask, RunningTold
from raftwork.testing.virtual_app import VirtualApp, installed
from tests.unit.cli.top.seen import task
from tests.unit.web.seen import watch

app = App(brokers="127.0.0.1:1")


@app.task(name="sums.add")
def add(x: int, y: int) -> int:
    return x + y


@pytest.fixture
def world() -> Iterator[VirtualApp]:
    with installed() as virtual:
        yield virtual


def test_a_picture_has_what_the_dashboard_says() -> None:
    asking = Asking(watch(without="c"), app)
    seen = asking.look()
    assert seen.seen.overview.leader == "a"
    assert seen.since == "1970-01-01T00:00:02.000+00:00"
    assert [alarm.text for alarm in seen.alarms if "c of 3" in alarm.text]
    assert asking.look() is seen, "nothing new is known"


def test_changes_are_carried_out_and_told(world: VirtualApp) -> None:
    asking = Asking(watch(), app)
    later = add.options(delay=60).enqueue(1, 2)
    for change in (Pause("default"), Resume("default"), Cancel(later.id, "sums.add")):
        asking.carry_out(change)
    told = [Answer(text, done=True) for text in (
        "default is paused", "default is resumed", f"{later.id} is asked to end",
    )]  # fmt: skip
    assert asking.answers() == told
    assert asking.answers() == []
    assert later.status() == "cancelled"


def test_what_is_refused_is_told_and_the_next_is_done(world: VirtualApp) -> None:
    asking = Asking(watch(), app)
    asking.carry_out(Drain("nobody", 1))
    asking.carry_out(Pause("default"))
    refused, paused = asking.answers()
    assert not refused.done and "nobody" in refused.text
    assert paused.done


def test_what_ran_last_stays_when_it_cannot_be_asked_for(
    world: VirtualApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Asking(watch(), app)
    asking.ask_running()
    first = asking.look()
    assert first.running.failure == ""

    def denied(**_: object) -> None:
        raise PermissionDenied("the key x may not look")

    monkeypatch.setattr(app, "runs", denied)
    asking.ask_running()
    assert asking.look().running == (first.running.tasks, "the key x may not look")


def test_what_runs_comes_with_how_far_it_is_by_its_own_word(
    world: VirtualApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Said(0.625, "copying", 1_800_000_000_000)
    told = [_running("id-1", said), _running("id-2", None), _running("gone", said)]
    answer = SimpleNamespace(result=lambda: RunningTold(1, told, 3, 0, 0))
    monkeypatch.setattr(app, "runs", lambda **_: [task("id-1"), task("id-2"), task("id-3")])
    monkeypatch.setattr(app, "call", lambda *_: answer)
    asking = Asking(watch(), app)
    asking.ask_running()
    shown = [progress(each) for each in asking.look().running.tasks]
    assert shown == [" 62% copying", "", ""]


def _running(id_: str, said: Said | None) -> RunningTask:
    return RunningTask(id_, "reports.build", "default", "w1", 1, 65_000, False, False, said)
