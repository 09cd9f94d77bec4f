"""Dead tasks as a person reads them."""

import json
from datetime import UTC, datetime
from typing import Self

import pytest
from click.testing import CliRunner

from raftwork import Status
from raftwork.cli import cluster, dead
from raftwork.client.dead_letters import DeadReport, DeadTask, Loss

ENDED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TASK = DeadTask("x1", "mod.f", "q", Status.LOST, ENDED, 3, 1, 2, "[red]gone", "x2", 7)
LOSSES = [
    Loss("w", ENDED, None, 9, 3 * 2**20),
    Loss("w", ENDED, None, 77, None),
    Loss("w", ENDED, 3, None, None),
    Loss("", ENDED, None, None, None),
]
REPORT = DeadReport(TASK, "Lost", "gone", "", [1, "a"], {"k": None}, LOSSES)


class FakeDead:
    def __init__(self, queue: str | None) -> None:
        self._queue = queue

    def list(self, limit: int, *, before: int | None) -> list[DeadTask]:
        assert limit in (1, 50)
        return [] if before or self._queue else [TASK]

    def show(self, id_: str) -> DeadReport:
        assert id_ == "x1"
        return REPORT

    def purge(self, *ids: str) -> int:
        return len(ids) or 9


class FakeApp:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def dead(self, queue: str | None = None) -> FakeDead:
        return FakeDead(queue)


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "connect", lambda *_: FakeApp())


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(dead.command, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def test_the_list_is_whole_where_nobody_looks_at_a_terminal() -> None:
    output = run("list")
    for word in ("x1", "mod.f", "lost", "2026-01-02 03:04:05", "[red]gone", "x2"):
        assert word in output


def test_a_list_of_none_says_so_and_a_full_one_how_to_go_on() -> None:
    for arguments, said in (
        (("--queue", "q"), "no dead tasks of the queue q\n"),
        (("--before", "7"), "no dead tasks before 7\n"),
        (("--limit", "1"), "older ones: --before 7\n"),
    ):
        done = CliRunner().invoke(dead.command, ["list", *arguments])
        assert (done.exit_code, done.stderr) == (0, said)
        assert ("x1" in done.stdout) == (arguments[0] == "--limit")
    nothing = CliRunner().invoke(dead.command, ["list", "--queue", "q", "--json"])
    assert (nothing.stdout, nothing.stderr) == ("[]\n", "")


def test_the_list_as_json() -> None:
    (document,) = json.loads(run("list", "--json"))
    assert document == {
        "number": 7,
        "id": "x1",
        "name": "mod.f",
        "queue": "q",
        "status": "lost",
        "ended": "2026-01-02T03:04:05+00:00",
        "attempts": 3,
        "failures": 1,
        "losses": 2,
        "error": "[red]gone",
        "retried_as": "x2",
    }


def test_a_report_says_what_was_called_and_how_each_worker_ended() -> None:
    lines = run("show", "x1").splitlines()
    at = "lost at 2026-01-02 03:04:05 UTC:"
    assert lines == [
        "x1  mod.f  in queue q",
        "lost at 2026-01-02 03:04:05 UTC after 3 attempts, 1 failure, 2 losses",
        "retried as x2",
        "called with (1, 'a', k=None)",
        f"{at} a process of w, killed by signal 9 (SIGKILL), at most 3 MiB resident",
        f"{at} a process of w, killed by signal 77",
        f"{at} a process of w, which exited with status 3",
        f"{at} an unknown worker, which vanished",
        "Lost: gone",
    ]


def test_a_report_as_json_has_every_loss() -> None:
    document = json.loads(run("show", "x1", "--json"))
    assert document["args"] == [1, "a"]
    assert document["lost"][0] == {
        "worker": "w",
        "time": "2026-01-02T03:04:05+00:00",
        "exit": None,
        "signal": 9,
        "memory": 3 * 2**20,
    }


def test_to_forget_everything_must_be_said() -> None:
    for arguments in ((), ("--all", "x"), ("--queue", "q", "--all")):
        assert "give either ids, or --queue, or --all" in run("purge", *arguments, code=2)
    assert run("purge", "--all") == "9\n"
    assert run("purge", "x", "y") == "2\n"
