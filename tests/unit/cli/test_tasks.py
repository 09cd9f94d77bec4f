"""Tasks as a person reads them: one, and lists of them."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Self

import click
import pytest
from click.testing import CliRunner

from raftwork import Status
from raftwork.cli import cluster, show, tasks
from raftwork.client.run_info import Attempt, Found, Progress, Reason, Report, RunInfo
from raftwork.features.lineage import Lineage

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUNS = RunInfo(
    id="x1",
    name="m.f",
    queue="q",
    status=Status.RUNNING,
    attempts=[
        Attempt("w0", None, None, "ValueError: no"),
        Attempt("w1", AT, timedelta(seconds=1.5), None),
    ],
    enqueued=AT,
    tags={"customer": "7"},
    key="k",
    priority=5,
    tenant=None,
    due=None,
    ended=None,
    hand_outs=2,
    failures=1,
    losses=0,
    waits=[],
    progress=Progress(0.4, "half of it", AT),
    number=7,
    lineage=Lineage("f1", "p1", ["c1", "c2"], more=True),
)
WAITS = RunInfo(
    *("x2", None, "q", Status.QUEUED, [], None, {}, None, 0, None, None, None, 0, 0, 0),
    [Reason("busy", "all 4 slots are busy"), Reason("place", "it is the first")],
    None,
    8,
)


class FakeApp:
    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.report: Report | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, id_: str) -> SimpleNamespace:
        told = RUNS if id_ == "x1" else WAITS
        made = Report(told, [1, "a"], {"k": None}, None, None, "", {"row": 7})
        return SimpleNamespace(report=lambda: self.report or made)

    def runs(self, **asked: object) -> Found:
        self.asked.append(asked)
        found = Found([] if asked["queue"] == "empty" else [WAITS, RUNS])
        found.scanned, found.before = 4_000, 12 if asked["error"] else None
        return found


@pytest.fixture(autouse=True)
def app(monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    made = FakeApp()
    monkeypatch.setattr(cluster, "connect", lambda *_: made)
    return made


def run(command: click.Command, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(command, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def test_one_task_is_shown() -> None:
    assert run(show.command, "x1").splitlines() == [
        "x1  m.f  in queue q",
        "running, 2 hand-outs, 1 failure",
        "enqueued 2026-01-02 03:04:05 UTC",
        "priority 5",
        "key k",
        "tag customer=7",
        "in the flow f1",
        "made by p1",
        "made c1, c2, …",
        "attempt on w0: ValueError: no",
        "attempt on w1, since 2026-01-02 03:04:05 UTC, for 1.5 s",
        "progress 40% half of it",
        "called with (1, 'a', k=None)",
        "checkpoint {'row': 7}",
    ]


def test_of_a_failed_task_the_last_lines_of_its_log_are_shown(app: FakeApp) -> None:
    app.report = Report(RUNS, None, None, None, "Traceback\nValueError: no", "one\ntwo\n", None)
    assert run(show.command, "x1").splitlines()[-5:] == [
        "Traceback",
        "ValueError: no",
        "its last lines in the log:",
        "one",
        "two",
    ]


def test_why_a_task_waits_is_shown_first() -> None:
    assert run(show.command, "x2").splitlines()[1:4] == [
        "queued, 0 hand-outs",
        "waits: all 4 slots are busy",
        "waits: it is the first",
    ]


def test_one_task_as_a_document() -> None:
    told = json.loads(run(show.command, "x1", "--json"))
    assert (told["id"], told["status"], told["worker"], told["age"]) == ("x1", "running", "w1", 1.5)
    assert (told["enqueued"], told["args"]) == ("2026-01-02T03:04:05+00:00", [1, "a"])
    assert told["progress"] == {"fraction": 0.4, "text": "half of it", "at": AT.isoformat()}
    assert (told["checkpoint"], told["log"]) == ({"row": 7}, "")
    assert told["attempts"][0] == {
        "worker": "w0",
        "started": None,
        "run": None,
        "error": "ValueError: no",
    }
    assert json.loads(run(show.command, "x2", "--json"))["waits"] == [
        {"why": "busy", "text": "all 4 slots are busy"},
        {"why": "place", "text": "it is the first"},
    ]


def test_a_list_says_where_a_task_runs_and_for_how_long(app: FakeApp) -> None:
    lines = run(tasks.command, "--limit", "2").splitlines()
    assert lines[2].split() == ["x1", "m.f", "q", "running", "2", "w1", "1.5", "s", "7"]
    assert lines[3] == "older ones: --before 7"
    assert app.asked[0]["limit"] == 2


def test_filters_reach_the_cluster(app: FakeApp) -> None:
    given = ("--state", "failed", "--name", "m.*", "--queue", "empty", "--tag", "a=b=c")
    assert run(tasks.command, *given, "--since", "1.5h", "--before", "9") == "no such tasks\n"
    assert app.asked == [
        {
            "state": "failed",
            "name": "m.*",
            "queue": "empty",
            "tag": ("a", "b=c"),
            "since": 5_400.0,
            "worker": None,
            "error": None,
            "limit": 50,
            "before": 9,
            "budget": 0.25,
        }
    ]


def test_where_time_did_not_do_it_is_said_how_far_it_came(app: FakeApp) -> None:
    text = run(tasks.command, "--error", "Timeout", "--worker", "w1")
    assert "looked at the newest 4000 tasks; to go on: --before 12" in text
    assert (app.asked[0]["error"], app.asked[0]["worker"]) == ("Timeout", "w1")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (("--tag", "a"), "'a' is not KEY=VALUE"),
        (("--tag", "=a"), "'=a' is not KEY=VALUE"),
        (("--since", "1y"), "'1y' is no age such as 90s, 15m, 1h or 7d"),
        (("--state", "gone"), "'gone' is not one of"),
        (("--limit", "0"), "0 is not in the range"),
    ],
)
def test_wrong_usage_is_said_at_once(wrong: tuple[str, ...], text: str) -> None:
    assert text in run(tasks.command, *wrong, code=2)
