"""The demo keeps its promises in small, cleans up after itself, and would notice a loss."""

import os
import time
from pathlib import Path

import psutil
import pytest

from tests.cluster.harness import PATIENCE, Finished, run_cli

ROWS = (
    "enqueued",
    "acknowledged",
    "results",
    "lost",
    "duplicate outcomes",
    "run more than once",
    "longest gap between acknowledgements (s)",
    "tasks/s",
)


def row(done: Finished, name: str) -> float:
    """A number of the closing table."""
    line = next(line for line in done.out.splitlines() if name in line)
    return float(line.replace("│", " ").replace("|", " ").split()[-1])


def test_the_demo_loses_nothing_and_leaves_nothing_behind(tmp_path: Path, consensus: str) -> None:
    flags = ("--tasks", "200", "--consensus", consensus)
    done = run_cli("demo", *flags, cwd=tmp_path, env={"TMPDIR": str(tmp_path)})
    assert done.code == 0, done.err
    assert [name for name in ROWS if name in done.out] == list(ROWS)
    assert [row(done, name) for name in ROWS[:5]] == [200, 200, 200, 0, 0]
    assert row(done, "run more than once") >= 1, "the killed worker held tasks"
    assert "killed the leader" in done.err
    assert "killed the worker" in done.err
    assert "leads (epoch" in done.err
    assert not list(tmp_path.iterdir())
    # What a killed worker leaves says so to the brokers, for a second at most.
    deadline = time.monotonic() + PATIENCE
    while any(_below(process, tmp_path) for process in psutil.process_iter()):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.05)


def _below(process: psutil.Process, directory: Path) -> bool:
    try:
        return process.pid != os.getpid() and process.cwd().startswith(str(directory))
    except psutil.Error:
        return False


@pytest.mark.parametrize("arguments", [("--tasks", "19"), ("--consensus", "paxos")])
def test_a_demo_that_could_show_nothing_is_refused(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert run_cli("demo", *arguments, cwd=tmp_path).code == 2
