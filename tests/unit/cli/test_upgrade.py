"""`raftwork upgrade`: what it makes of the brokers' answers."""

import json
from types import SimpleNamespace
from typing import Self

import pytest
from click.testing import CliRunner, Result

from raftwork.cli import main
from raftwork.client.overview import overview
from raftwork.errors import Unsupported
from raftwork.features.upgrade import FinishUpgrade, UpgradeFinished
from raftwork.messages import BrokerStatus

CLUSTER = (("a", "h:1"), ("b", "h:2"), ("c", "h:3"))


def says(name: str, release: str, levels: tuple[int, int], level: int) -> BrokerStatus:
    active = name == "a"
    role = "leader" if active else "follower"
    facts = (name, dict(CLUSTER)[name], "raft", role, active, 3, "a", 9, 9)
    return BrokerStatus(1, *facts, [], [], CLUSTER, (), release, levels, level)


OLD = {name: says(name, "0.2.0", (0, 1), 1) for name in "abc"}
NEW = {name: says(name, "0.3.0", (1, 2), 1) for name in "abc"}


def run(
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
    said: dict[str, BrokerStatus] = OLD,
    answer: UpgradeFinished | Unsupported | None = None,
) -> Result:
    seen = overview({at: said.get(name) for name, at in CLUSTER})

    class App:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def call(self, _request: FinishUpgrade, _reply: object) -> SimpleNamespace:
            if isinstance(answer, Exception):
                raise answer
            return SimpleNamespace(result=lambda: answer)

    for module in ("upgrade", "status"):
        monkeypatch.setattr(f"raftwork.cli.{module}.observe", lambda *_: seen)
    monkeypatch.setattr("raftwork.cli.cluster.connect", lambda *_: App())
    return CliRunner().invoke(main, arguments, prog_name="raftwork")


def test_status_shows_each_brokers_release_and_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = {"a": NEW["a"], "b": OLD["b"]}
    done = run(monkeypatch, "upgrade", "status", said=mixed)
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["level", "1"]
    assert [line[:8] for line in lines[-3:-1]] + [lines[-1][:5]] == [
        ["a", "h:1", "0.3.0", "levels", "1", "to", "2", "1"],
        ["b", "h:2", "0.2.0", "levels", "0", "to", "1", "1"],
        ["c", "h:3", "unreachable", "–", "–"],
    ]
    assert done.stderr == ""
    document = json.loads(run(monkeypatch, "upgrade", "status", "--json", said=mixed).stdout)
    assert (document["level"], document["raisable"]) == (1, False)
    assert [row["levels"] for row in document["brokers"]] == [[1, 2], [0, 1], None]


@pytest.mark.parametrize("command", [("upgrade", "status"), ("status",)])
def test_a_level_that_every_broker_runs_is_recommended(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    advice = "every broker runs level 2, the cluster is at 1: raftwork upgrade finish\n"
    assert run(monkeypatch, *command, said=NEW).stderr == advice
    assert run(monkeypatch, *command, said=OLD).stderr == ""
    assert run(monkeypatch, *command, said={**NEW, "c": OLD["c"]}).stderr == ""


def test_status_exits_1_without_a_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, "upgrade", "status", said={"b": OLD["b"]})
    assert done.exit_code == 1
    assert "no leader found" in done.stderr


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (UpgradeFinished(1, 2, 1), "raised from level 1 to level 2\n"),
        (UpgradeFinished(1, 1, 1), "nothing to raise: level 1 is the highest"),
    ],
)
def test_finish_says_what_came_of_it(
    answer: UpgradeFinished, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(monkeypatch, "upgrade", "finish", answer=answer)
    assert (done.exit_code, done.stdout) == (0, "")
    assert said in done.stderr


def test_finish_exits_1_and_says_who_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Unsupported("broker c does not answer the leader; start it")
    done = run(monkeypatch, "upgrade", "finish", answer=answer)
    assert done.exit_code == 1
    assert "Unsupported: broker c does not answer the leader" in done.stderr
