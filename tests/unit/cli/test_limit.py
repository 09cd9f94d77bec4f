"""`raftwork limit`, as it is typed and as it prints."""

import json
from datetime import UTC, datetime
from typing import Self

import pytest
from click.testing import CliRunner

from raftwork.cli import cluster, limit
from raftwork.client.limits import Limit

AT = datetime(2027, 1, 1, tzinfo=UTC)
LIMITS = [
    Limit("stripe", 10, "100/m", 2, "tenant", True, AT, 3, 2),
    Limit("other", None, None, 1, None, False, None, 0, 0),
]


class FakeApp:
    def __init__(self) -> None:
        self.limits = self
        self.asked: list[object] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set(self, name: str, **changes: object) -> None:
        self.asked.append((name, changes))

    def list(self) -> list[Limit]:
        return LIMITS

    def get(self, name: str) -> Limit:
        return next(each for each in LIMITS if each.name == name)

    def pause(self, name: str, until: datetime | None) -> None:
        self.asked.append((name, until))

    def resume(self, name: str) -> None:
        self.asked.append(name)

    def delete(self, name: str) -> bool:
        return name == "stripe"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    fake = FakeApp()
    monkeypatch.setattr(cluster, "connect", lambda *_: fake)
    return fake


def run(line: str, code: int = 0) -> str:
    result = CliRunner().invoke(limit.command, line.split())
    assert result.exit_code == code, result.output
    return result.output


def test_what_is_given_is_set_and_none_clears(app: FakeApp) -> None:
    run("set stripe --concurrency 10 --rate 100/m --burst 2 --per tenant")
    run("set stripe --rate none")
    whole = {"concurrency": 10, "rate": "100/m", "burst": 2, "per": "tenant"}
    assert app.asked == [("stripe", whole), ("stripe", {"rate": None})]


@pytest.mark.parametrize(
    "line",
    [
        "set stripe",
        "set stripe --concurrency 0",
        "set stripe --concurrency -1",
        "set stripe --concurrency x",
        "set stripe --rate 100",
        "set stripe --burst 10001",
        "set stripe --per user",
        "pause stripe --until tomorrow",
        "pause stripe --until 2027-01-01T00:00",
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(app: FakeApp, line: str) -> None:
    run(line, code=2)
    assert app.asked == []


def test_limits_are_shown(app: FakeApp) -> None:
    del app
    printed = run("list").splitlines()
    assert printed[1].split() == [
        *("stripe", "10", "3", "100/m", "2", "tenant", "2", "yes", "until"),
        "2027-01-01T00:00:00+00:00",
    ]
    assert printed[2].split() == ["other", "–", "0", "–", "1", "–", "0", "–"]
    document = json.loads(run("list --json"))
    assert document["stripe"] == {
        "name": "stripe",
        "concurrency": 10,
        "rate": "100/m",
        "burst": 2,
        "per": "tenant",
        "paused": True,
        "paused_until": "2027-01-01T00:00:00+00:00",
        "running": 3,
        "in_use": 2,
    }
    assert json.loads(run("show other --json")) == document["other"]
    assert "concurrency none\n" in run("show other")


def test_pause_resume_and_delete(app: FakeApp) -> None:
    assert run("pause stripe") == "stripe is paused\n"
    run("pause stripe --until 2027-01-01T00:00:00Z")
    run("resume stripe")
    assert app.asked == [("stripe", None), ("stripe", AT), "stripe"]
    assert run("delete stripe") == "stripe is deleted\n"
    assert "no limit other" in run("delete other", code=1)
