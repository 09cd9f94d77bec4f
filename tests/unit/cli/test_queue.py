"""`raftwork queue`: a name with a typo in it is told, and does not stay (X12)."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Self

import pytest
from click.testing import CliRunner, Result

from raftwork.cli import cluster, main, queue, status
from raftwork.client.overview import Overview, overview
from raftwork.client.queues import QueueSettings
from raftwork.features.queue_settings import SETTINGS
from raftwork.messages import QueueStatus
from tests.unit.client.statuses import WORKER, status_of

LEADER = status_of("a", active=True, epoch=1, applied=0)._replace(
    workers=[WORKER._replace(queues=["served"])],
    queues=[QueueStatus("had", 0, 0, 1, 0, 0), QueueStatus("waits", 1, 0, 0, 0, 0)],
)
SEEN = overview({"h:1": LEADER})
NO_LEADER = overview({"h:1": None})


class FakeApp:
    def __init__(self) -> None:
        self.settings = QueueSettings()
        self.changes: dict[str, object] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def queue(self, _name: str) -> SimpleNamespace:
        return SimpleNamespace(settings=lambda: self.settings, set=self.changes.update)


Invoke = Callable[..., Result]


@pytest.fixture
def app() -> FakeApp:
    return FakeApp()


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, app: FakeApp) -> Invoke:
    def run(*arguments: str, seen: Overview = SEEN) -> Result:
        def observe(*asked: object) -> Overview:
            asked_with.append(asked)
            return seen

        monkeypatch.setattr(cluster, "connect", lambda *_: app)
        for module in (queue, status):
            monkeypatch.setattr(module, "observe", observe)
        return CliRunner().invoke(main, arguments)

    return run


asked_with: list[tuple[object, ...]] = []


def test_a_queue_that_is_none_is_an_error(invoke: Invoke) -> None:
    for flags in ((), ("--json",)):
        done = invoke("queue", "show", "typo", *flags)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == (
            "Error: no queue typo: it never had a task, has no settings, and no worker serves it; "
            "there are had, served, waits\n"
        )


@pytest.mark.parametrize("name", ["had", "served", "waits"])
def test_a_queue_with_tasks_or_a_worker_is_one(name: str, invoke: Invoke) -> None:
    done = invoke("queue", "show", name)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "".join(f"{name} none\n" for name in SETTINGS)


def test_a_queue_that_is_set_is_one_and_without_a_leader_nothing_is_denied(
    app: FakeApp, invoke: Invoke
) -> None:
    assert invoke("queue", "show", "typo", seen=NO_LEADER).exit_code == 0
    app.settings = QueueSettings(max_length=3)
    assert invoke("queue", "show", "typo").exit_code == 0


def test_to_set_what_nobody_serves_is_told(app: FakeApp, invoke: Invoke) -> None:
    done = invoke("queue", "set", "typo", "--max-length", "7")
    assert (done.exit_code, done.stdout, app.changes) == (0, "", {"max_length": 7})
    assert "no worker serves the queue typo, and it has no tasks" in done.stderr
    for name in ("served", "waits"):
        assert invoke("queue", "set", name, "--max-length", "7").stderr == ""
    assert invoke("queue", "set", "typo", "--max-length", "7", seen=NO_LEADER).stderr == ""


def test_reset_clears_what_is_not_given(app: FakeApp, invoke: Invoke) -> None:
    done = invoke("queue", "set", "typo", "--reset")
    assert (done.exit_code, done.stderr) == (0, "")
    assert app.changes == dict.fromkeys(SETTINGS)
    invoke("queue", "set", "had", "--reset", "--max-bytes", "2KiB")
    assert app.changes == dict.fromkeys(SETTINGS) | {"max_bytes": 2048}
    assert invoke("queue", "set", "had").exit_code == 2


@pytest.mark.parametrize("command", [("status",), ("queue", "list")])
def test_a_list_says_that_nobody_serves_a_queue(command: tuple[str, ...], invoke: Invoke) -> None:
    said = "no worker serves the queue waits (queued: 1)"
    for flags in ((), ("--json",)):
        done = invoke(*command, *flags)
        assert (done.exit_code, done.stderr.strip()) == (0, said)
    json.loads(done.stdout)


@pytest.mark.parametrize("command", [("status",), ("queue", "list")])
def test_a_list_has_its_time(command: tuple[str, ...], invoke: Invoke) -> None:
    asked_with.clear()
    invoke(*command, "--timeout", "0.25", "--brokers", "h:1")
    invoke(*command, "--brokers", "h:1")
    assert asked_with == [("h:1", 0.25), ("h:1", 1.0)]
    assert invoke(*command, "--timeout", "0").exit_code == 2


def test_no_queues_are_told(invoke: Invoke) -> None:
    done = invoke("queue", "list", seen=overview({"h:1": LEADER._replace(queues=[])}))
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "no queue has had a task or has a setting\n"


def test_fairness_is_set_with_its_weights(invoke: Invoke, app: FakeApp) -> None:
    done = invoke(
        "queue", "set", "q", "--fair", "yes", "--weights", "acme=3,b=2", "--patience", "0"
    )
    assert done.exit_code == 0
    assert app.changes == {"fair": True, "weights": {"acme": 3, "b": 2}, "patience": 0}


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--weights", "acme"), ("--weights", "acme=x"), ("--patience", "-1"), ("--fair", "maybe")],
)
def test_a_setting_of_another_form_is_wrong_usage(invoke: Invoke, flag: str, value: str) -> None:
    assert invoke("queue", "set", "q", flag, value).exit_code == 2
