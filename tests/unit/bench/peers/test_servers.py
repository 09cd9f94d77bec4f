"""Other people's servers as child processes."""

import sys
from pathlib import Path

import pytest

from bench.peers.servers import Server, find, running, until
from tests.unit.bench.peers.processes import assert_gone

SLEEPER = (sys.executable, "-c", "print('here', flush=True); import time; time.sleep(600)")
#: Starts another and says its pid.
PARENT = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
time.sleep(600)
"""


def test_a_server_ends_with_its_block_and_what_it_started_ends_too(tmp_path: Path) -> None:
    command = (sys.executable, "-c", PARENT)
    with running([Server(command, tmp_path / "s")]) as servers:
        (server,) = servers
        until(lambda: server.log.read_text().endswith("\n"), servers, "its child")
        child = int(server.log.read_text())
    assert not server.alive
    assert_gone(child)


def test_one_that_was_killed_starts_again_in_its_place(tmp_path: Path) -> None:
    with running([Server(SLEEPER, tmp_path / "s")]) as servers:
        (server,) = servers
        first = server.pid
        until(lambda: server.log.read_text() == "here\n", servers, "the first")
        server.kill()
        assert not server.alive
        server.restart()
        until(lambda: server.log.read_text() == "here\n" * 2, servers, "the second")
        assert server.pid != first


def test_waiting_for_a_server_that_has_ended_fails_with_its_log(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "raise SystemExit('no such flag')")
    with (
        running([Server(command, tmp_path / "s")]) as servers,
        pytest.raises(ChildProcessError, match="no such flag"),
    ):
        until(lambda: False, servers, "an answer")


def test_waiting_ends_and_a_foreseen_failure_means_not_yet(tmp_path: Path) -> None:
    answers = iter([OSError(), None])

    def ask() -> bool:
        if (error := next(answers)) is not None:
            raise error
        return True

    with running([Server(SLEEPER, tmp_path / "s")]) as servers:
        until(ask, servers, "an answer")
        with pytest.raises(TimeoutError, match="an answer: not within"):
            until(lambda: False, servers, "an answer", within=0.1)


def test_a_program_is_found_beside_our_interpreter_or_not_at_all() -> None:
    name = Path(sys.executable).name
    assert find(name) == str(Path(sys.executable).parent / name)
    assert find("no-such-program") is None
