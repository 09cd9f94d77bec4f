"""`raftwork schedule`, over a real leadership."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from raftwork.cli import cluster as asking
from raftwork.cli import main, schedule
from tests.unit.client.scheduled_app import ScheduledApp

Typed = Callable[..., Result]

CODE = """
from raftwork import App

app = App("127.0.0.1:1")


@app.schedule("nightly", cron="30 2 * * *", tz="Europe/Berlin")
@app.task
def report() -> None: ...
"""


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> ScheduledApp:
    made = ScheduledApp()
    monkeypatch.setattr(made, "close", lambda: None)
    monkeypatch.setattr(asking, "App", lambda **_: made)
    return made


@pytest.fixture
def typed(app: ScheduledApp) -> Typed:
    return lambda *words: CliRunner().invoke(main, ["schedule", *words])


def test_a_list_in_json_has_what_tools_count_on(typed: Typed, app: ScheduledApp) -> None:
    assert typed("create", "poll", "feeds.poll", "--every", "60").exit_code == 0
    app.world.sleep(60_000)
    (told,) = json.loads(typed("list", "--json").stdout)
    counted_on = {
        "id": "poll",
        "task": "feeds.poll",
        "cron": None,
        "every": 60.0,
        "tz": "UTC",
        "next": "2027-01-01T00:02:00Z",
        "last": "2027-01-01T00:01:00Z",
        "paused": False,
        "overlap": "skip",
        "catchup": "one",
        "counts": {"fired": 1, "overlap": 0, "late": 0, "paused": 0, "full": 0},
    }
    assert {name: told[name] for name in counted_on} == counted_on


def test_it_is_made_of_all_that_can_be_said(typed: Typed) -> None:
    done = typed(
        *("create", "nightly", "reports.nightly", "--queue", "bulk", "--cron", "30 2 * * *"),
        *("--tz", "Europe/Berlin", "--overlap", "queue_all", "--catchup", "all"),
        *("--window", "3600", "--jitter", "30", "--limit", "5", "--start", "2027-01-05T00:00Z"),
        *("--end", "2027-02-01T00:00+01:00", "--arg", "1", "--arg", "x", "--kwargs", '{"a": [2]}'),
        "--json",
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["args"], told["kwargs"]) == ([1, "x"], {"a": [2]})
    assert (told["start"], told["end"]) == ("2027-01-05T00:00:00Z", "2027-01-31T23:00:00Z")
    assert (told["queue"], told["limit"], told["window"]) == ("bulk", 5, 3600.0)
    assert typed("next", "nightly", "--count", "2").stdout.splitlines() == [
        "2027-01-05T01:30:00Z",
        "2027-01-06T01:30:00Z",
    ]
    assert json.loads(typed("next", "nightly", "--json", "--count", "1").stdout) == [
        "2027-01-05T01:30:00Z"
    ]


def test_a_table_shows_when_and_what_became_of_ticks(typed: Typed) -> None:
    typed("create", "nightly", "job", "--cron", "@daily", "--tz", "Europe/Berlin")
    typed("create", "poll", "job", "--every", "90")
    typed("pause", "poll")
    header, nightly, poll = typed("list").stdout.splitlines()
    assert header.split() == [
        *("id", "task", "when", "next", "last", "fired", "overlap", "late", "paused", "full")
    ]
    assert nightly.split()[:5] == [
        "nightly",
        "job",
        "@daily",
        "Europe/Berlin",
        "2027-01-01T23:00:00Z",
    ]
    assert poll.split()[:8] == ["poll", "job", "every", "1", "min", "30", "s", "paused"]


def test_it_is_paused_resumed_triggered_and_deleted(typed: Typed, app: ScheduledApp) -> None:
    typed("create", "poll", "job", "--every", "60")
    assert typed("pause", "poll").stdout == "poll is paused\n"
    app.world.sleep(60_000)
    assert app.world.ids() == []
    assert typed("resume", "poll").stdout == "poll goes on\n"
    first = typed("trigger", "poll")
    assert first.stdout.strip() == app.world.ids()[0]
    second = typed("trigger", "poll")
    assert second.exit_code == 1 and "an earlier one of poll waits or runs" in second.stderr
    assert typed("trigger", "poll", "--overlap", "allow", "--json").exit_code == 0
    assert (
        typed("backfill", "poll", "2026-12-31T23:00:00Z", "2026-12-31T23:59:59Z").stdout == "60\n"
    )
    assert typed("delete", "poll").stdout == "poll is deleted\n"
    gone = typed("show", "poll")
    assert gone.exit_code == 1 and "UnknownSchedule: there is no schedule 'poll'" in gone.stderr
    assert typed("list").stderr == "no schedules\n"


def test_each_change_says_in_json_what_became_of_it(typed: Typed) -> None:
    typed("create", "poll", "job", "--every", "60")
    for command, paused in ("pause", True), ("resume", False):
        told = json.loads(typed(command, "poll", "--json").stdout)
        assert (told["id"], told["paused"]) == ("poll", paused)
        assert told == json.loads(typed("show", "poll", "--json").stdout)
    assert json.loads(typed("trigger", "poll", "--json").stdout)["id"].startswith("poll@")
    backfill = ("backfill", "poll", "2026-12-31T23:00Z", "2026-12-31T23:59Z", "--json")
    assert json.loads(typed(*backfill).stdout) == {"made": 60}
    assert json.loads(typed("delete", "poll", "--json").stdout) == {"deleted": "poll"}


@pytest.mark.parametrize("command", sorted(schedule.command.commands))
def test_every_command_has_json(command: str) -> None:
    options = {name for each in schedule.command.commands[command].params for name in each.opts}
    assert "--json" in options


def test_code_is_applied_and_operators_override(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scheduled_reports.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    target = "scheduled_reports:app"
    assert typed("apply", target, "--prune").stdout == "nightly created\n"
    assert typed("update", "nightly", "--cron", "0 4 * * *").exit_code == 0
    assert typed("apply", target).stdout == "nightly same\n"
    shown = typed("show", "nightly").stdout.splitlines()
    assert {"cron 0 4 * * *", "overridden cron", f"declared_by {target}", "fired 0"} <= set(shown)
    assert json.loads(typed("reset", "nightly", "--json").stdout)["cron"] == "30 2 * * *"
    monkeypatch.delitem(sys.modules, "scheduled_reports")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("create", "a", "job"), 2, "needs cron or every"),
        (("create", "a", "job", "--cron", "0 0 30 2 *"), 2, "bad day-of-month"),
        (("create", "a", "job", "--cron", "@daily", "--tz", "Berlin"), 2, "no time zone 'Berlin'"),
        (("create", "a", "job", "--every", "60", "--start", "soon"), 2, "'soon' is no time"),
        (("create", "a", "job", "--every", "60", "--start", "2027-01-01"), 2, "has no time zone"),
        (("create", "a", "job", "--every", "60", "--overlap", "no"), 2, "queue_one"),
        (("backfill", "a", "2027-01-01", "2027-01-02"), 2, "has no time zone"),
        (("pause", "nobody"), 1, "there is no schedule 'nobody'"),
        (("apply", "nothing_there:app"), 1, "nothing_there"),
    ],
)
def test_what_cannot_be_is_named(
    typed: Typed, words: tuple[str, ...], status: int, says: str
) -> None:
    done = typed(*words)
    assert done.exit_code == status and says in done.stderr
