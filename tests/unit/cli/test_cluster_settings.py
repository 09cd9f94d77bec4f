"""`raftwork cluster settings` and `set`: times are seconds, sizes bytes, nothing is half meant."""

import json
from collections.abc import Callable
from typing import Self

import pytest
from click.testing import CliRunner, Result

from raftwork.cli import cluster, main
from raftwork.client.cluster import ClusterSetting
from raftwork.features.cluster_settings import SETTINGS


class FakeApp:
    """Its own cluster; remembers what was set."""

    def __init__(self) -> None:
        self.changes: dict[str, object] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def cluster(self) -> Self:
        return self

    def set(self, **changes: object) -> None:
        self.changes = changes

    def settings(self) -> dict[str, ClusterSetting]:
        return {
            "dead": ClusterSetting(7, 10_000, "tasks", 1, 99, "Dead tasks"),
            "worker_lease": ClusterSetting(4.5, 3, "s", 3, 600, "Silence"),
        }


Invoke = Callable[..., Result]


@pytest.fixture
def app() -> FakeApp:
    return FakeApp()


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, app: FakeApp) -> Invoke:
    monkeypatch.setattr(cluster, "connect", lambda *_: app)
    return lambda *arguments: CliRunner().invoke(main, ["cluster", *arguments])


def test_settings_are_shown_with_their_defaults(invoke: Invoke) -> None:
    done = invoke("settings")
    assert done.exit_code == 0, done.output
    rows = [line.split(maxsplit=4) for line in done.stdout.splitlines()]
    assert rows[1:] == [
        ["dead", "7", "tasks", "10000", "Dead tasks"],
        ["worker_lease", "4.5", "s", "3", "Silence"],
    ]
    (lease,) = [json.loads(invoke("settings", "--json").stdout)["worker_lease"]]
    assert lease == {
        "value": 4.5,
        "default": 3,
        "unit": "s",
        "least": 3,
        "most": 600,
        "help": "Silence",
    }


def test_what_is_given_is_set(invoke: Invoke, app: FakeApp) -> None:
    done = invoke("set", "worker_lease=4.5", "dead=7", "result_bytes=4GiB", "--reset", "tasks")
    assert (done.exit_code, done.output) == (0, "")
    assert app.changes == {
        "worker_lease": 4.5,
        "dead": 7,
        "result_bytes": 4 << 30,
        "tasks": None,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give at least one NAME=VALUE, or --reset NAME"),
        (["dead"], "'dead' is not NAME=VALUE"),
        (["parrots=1"], "no such setting: 'parrots'; there are tasks, queues"),
        (["--reset", "parrots"], "no such setting: 'parrots'"),
        (["dead=1", "dead=2"], "dead is given twice"),
        (["dead=1", "--reset", "dead"], "dead is given twice"),
        (["dead=many"], "dead must be between 1 and 1000000 tasks, got 'many'"),
        (["dead=0"], "dead must be between 1 and 1000000 tasks, got '0'"),
        (["worker_lease=nan"], "worker_lease must be between 3 and 600 s, got 'nan'"),
        (["worker_lease=2.9"], "worker_lease must be between 3 and 600 s, got '2.9'"),
        (["result_bytes=1TB"], "(also as 300KiB, MiB, GiB), got '1TB'"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(
    invoke: Invoke, app: FakeApp, arguments: list[str], said: str
) -> None:
    done = invoke("set", *arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert app.changes == {}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_can_be_reset(invoke: Invoke, app: FakeApp, name: str) -> None:
    assert invoke("set", "--reset", name).exit_code == 0
    assert app.changes == {name: None}
