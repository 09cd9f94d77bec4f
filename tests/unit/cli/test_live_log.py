"""`raftwork logs`: a line for each, documents for programs, and what was kept of a failure."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Self

import pytest
from click.testing import CliRunner

from raftwork.cli import cluster, live_log
from raftwork.client.live_log import LiveEvent
from raftwork.client.status import Status
from raftwork.errors import Unavailable

AT = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
LINE = LiveEvent("log", AT, "INFO shop: \x1b[2J", 1, "w1")
EVENTS = [
    LiveEvent("started", AT, "", 1, "w1"),
    LINE,
    LiveEvent("progress", AT, "half", 1, "w1", 0.5),
    LiveEvent("ended", None, "failed", 1, "w1"),
]


class FakeApp:
    """Tells what it has; `fails` once in between."""

    def __init__(self) -> None:
        self.left = list(EVENTS)
        self.asked: list[tuple[str, bool]] = []
        self.fails = False
        self.log: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, id_: str) -> "FakeApp":
        self.asked.append((id_, False))
        return self

    def tail(self, *, follow: bool) -> "FakeApp":
        self.asked[-1] = self.asked[-1][0], follow
        return self

    def report(self) -> SimpleNamespace:
        return SimpleNamespace(log=self.log)

    def status(self) -> Status:
        return Status.FAILED

    def __iter__(self) -> Iterator[LiveEvent]:
        while self.left:
            if self.fails and len(self.left) == 2:
                self.fails = False
                raise Unavailable("nobody answers")
            yield self.left.pop(0)


@pytest.fixture(autouse=True)
def app(monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    made = FakeApp()
    monkeypatch.setattr(cluster, "connect", lambda *_: made)
    return made


def run(*arguments: str, code: int = 0) -> list[str]:
    result = CliRunner().invoke(live_log.command, list(arguments))
    assert result.exit_code == code, result.output
    return result.output.splitlines()


SHOWN = [
    "2026-01-02 03:04:05.678 attempt 1 on w1",
    "2026-01-02 03:04:05.678 INFO shop: \\x1b[2J",
    "2026-01-02 03:04:05.678 progress 50% half",
    "ended: failed",
]


def test_each_thing_is_a_line_and_none_moves_the_cursor(app: FakeApp) -> None:
    assert run("t1") == SHOWN
    assert app.asked == [("t1", False)]


def test_who_follows_goes_on_when_there_is_a_leader_again(app: FakeApp) -> None:
    app.fails = True
    assert run("t1", "--follow") == [*SHOWN[:2], "nobody answers; still trying", *SHOWN[2:]]
    app.left, app.fails = list(EVENTS), True
    assert run("t1", code=1)


def test_documents_for_programs() -> None:
    documents = [json.loads(line) for line in run("t1", "--json")]
    assert documents[2] == {
        "kind": "progress",
        "at": "2026-01-02T03:04:05.678+00:00",
        "text": "half",
        "attempt": 1,
        "worker": "w1",
        "fraction": 0.5,
    }


def test_of_one_that_has_ended_what_was_kept_is_shown(app: FakeApp) -> None:
    app.left, app.log = EVENTS[3:], "one\ntwo\n"
    assert run("t1") == ["ended: failed", "one", "two"]
    app.left, app.log = [], None
    assert run("t1") == ["no line of it is to be had; the task is failed"]
