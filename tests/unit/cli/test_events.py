"""`raftwork events`: a line for each, documents for programs, and a gap is never silent."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Self

import pytest
from click.testing import CliRunner

from raftwork.cli import cluster, events
from raftwork.client.events import GAP, NOW, Event
from raftwork.errors import Unavailable

AT = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
FAILED = Event(
    *("c1", "failed", AT, "t1", "mail", "m.f", "w1", 2, AT),
    timedelta(milliseconds=40),
    "ValueError: no",
)
MISSING = Event("c0", GAP, *(None,) * 9)


class FakeApp:
    """Tells two events; `fails` once in between."""

    fails = False

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def events(self, after: str | None, **asked: object) -> "FakeApp":
        self.asked.append({"after": after, **asked})
        self._left = [MISSING, FAILED]
        return self

    def __iter__(self) -> Iterator[Event]:
        while self._left:
            if self.fails and len(self._left) == 1:
                self.fails = False
                raise Unavailable("nobody answers")
            yield self._left.pop(0)


@pytest.fixture(autouse=True)
def app(monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    made = FakeApp()
    monkeypatch.setattr(cluster, "connect", lambda *_: made)
    return made


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(events.command, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def test_an_event_is_a_line_and_so_is_a_gap(app: FakeApp) -> None:
    assert run().splitlines() == [
        "gap: events before the next one are not kept by the broker that was asked",
        "2026-01-02 03:04:05.678 failed t1 m.f queue=mail worker=w1 attempt=2"
        " due=2026-01-02T03:04:05.678+00:00 run=0.040s ValueError: no",
    ]
    assert app.asked == [{"after": None, "follow": False}]


def test_as_documents_one_a_line_with_the_cursor() -> None:
    gap, failed = map(json.loads, run("--json").splitlines())
    assert (gap["kind"], gap["cursor"], gap["at"]) == ("gap", "c0", None)
    assert (failed["cursor"], failed["at"]) == ("c1", "2026-01-02T03:04:05.678+00:00")
    assert (failed["run"], failed["attempt"], failed["text"]) == (0.04, 2, "ValueError: no")


def test_filters_reach_the_cluster_and_who_follows_begins_now(app: FakeApp) -> None:
    run("--follow", "--kind", "failed", "--kind", "lost", "--name", "m.*", "--id", "t1")
    run("--follow", "--after", "c1", "--queue", "mail")
    assert app.asked == [
        {
            "after": NOW,
            "follow": True,
            "kinds": ("failed", "lost"),
            "name": "m.*",
            "id": "t1",
        },
        {"after": "c1", "follow": True, "queue": "mail"},
    ]


def test_who_follows_goes_on_once_a_leader_answers_again(app: FakeApp) -> None:
    app.fails = True
    text = run("--follow")
    assert "nobody answers; still trying" in text
    assert text.count("failed t1") == 1
    app.fails = True
    run(code=1)
