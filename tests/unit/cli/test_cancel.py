"""`raftwork cancel`: one scope, and how many."""

import json
from typing import Any, Self

import pytest
from click.testing import CliRunner

from raftwork.cli import cluster as asking
from raftwork.cli.cancel import command


class Cluster:
    """An App that cancels nothing."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def cancel(self, **given: Any) -> int:
        self.asked.append({name: value for name, value in given.items() if value})
        return 3


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(asking, "App", lambda **_: made)
    return made


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (["a", "b"], {"ids": ("a", "b"), "grace": 10.0}),
        (["--name", "mail", "--grace", "2.5"], {"name": "mail", "grace": 2.5}),
        (["--queue", "bulk"], {"queue": "bulk", "grace": 10.0}),
        (["--tag", "customer=7=8"], {"tag": ("customer", "7=8"), "grace": 10.0}),
        (["--all", "--grace", "0"], {"all": True}),
    ],
)
def test_it_says_how_many(cluster: Cluster, line: list[str], asked: dict[str, Any]) -> None:
    done = CliRunner().invoke(command, line)
    assert (done.exit_code, done.output) == (0, "3\n")
    done = CliRunner().invoke(command, [*line, "--json"])
    assert json.loads(done.output) == {"cancelled": 3}
    assert cluster.asked == [asked, asked]


@pytest.mark.parametrize(
    "line", [[], ["a", "--all"], ["--name", "a", "--queue", "b"], ["--tag", "customer"], ["--tag="]]
)
def test_no_scope_or_two_are_wrong_usage(cluster: Cluster, line: list[str]) -> None:
    assert CliRunner().invoke(command, line).exit_code == 2
    assert cluster.asked == []
