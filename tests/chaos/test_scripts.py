"""The scripts for people: they hit whom they name, and nobody else."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from raftwork.chaos.history import Healed, Struck, parse
from raftwork.chaos.processes import Brokers, Process
from tests.chaos.conftest import PATIENCE, leader_of, wait_until

HERE = Path(__file__).parent
SCRIPTS = sorted(HERE.glob("*.sh"))


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HERE / script, *arguments],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )


@contextmanager
def ending(directory: Path) -> Iterator[None]:
    """Whatever the scripts started again is killed in the end.

    It is found by its arguments: one that was started a moment ago has not opened its directory
    yet, and would live on unseen.
    """
    try:
        yield
    finally:
        for process in started_in(directory):
            process.signal(signal.SIGKILL)
            process.wait(PATIENCE)


def started_in(directory: Path) -> list[Process]:
    """The brokers that run on a directory below this one, whether they have opened it or not."""
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, psutil.Error):
            process = Process("broker", pid)
            arguments = psutil.Process(pid).cmdline()
            if "broker" in arguments and any(a.startswith(f"{directory}/") for a in arguments):
                found.append(process)
    return found


def pids(brokers: Brokers) -> dict[str, int]:
    return {name: process.pid for name, process in brokers.running().items()}


def wait_for_all(brokers: Brokers) -> None:
    wait_until(lambda: len(brokers.running()) == 3 and brokers.see().leader, "three brokers")


def test_a_killed_leader_is_started_again(brokers: Brokers, tmp_path: Path) -> None:
    with ending(tmp_path):
        wait_for_all(brokers)
        before, leader = pids(brokers), leader_of(brokers)
        done = run("kill_leader.sh", str(tmp_path), "--lasting", "0.2")
        assert done.returncode == 0, done.stderr
        begin, end = map(parse, done.stdout.splitlines())
        assert isinstance(begin, Struck) and isinstance(end, Healed)
        assert (begin.role, begin.victim, end.victim) == ("leader", leader, leader)
        wait_for_all(brokers)
        after = pids(brokers)
        assert {name for name in after if after[name] != before[name]} == {leader}


def test_again_and_again_for_a_while(brokers: Brokers, tmp_path: Path) -> None:
    with ending(tmp_path):
        wait_for_all(brokers)
        flags = ("--every", "0.5", "--for", "1.4", "--lasting", "0.1")
        done = run("kill_follower.sh", str(tmp_path), *flags)
        assert done.returncode == 0, done.stderr
        events = list(map(parse, done.stdout.splitlines()))
        # The second is due before the time is over whatever the first took, the third if it is in
        # time, and a fourth never.
        assert len(events) in (4, 6)
        assert {event.role for event in events if isinstance(event, Struck)} == {"follower"}


def test_a_script_that_is_told_to_stop_ends_its_fault(brokers: Brokers, tmp_path: Path) -> None:
    with ending(tmp_path):
        wait_for_all(brokers)
        arguments = [str(HERE / "kill_follower.sh"), str(tmp_path), "--lasting", "60"]
        environment = os.environ | {"PYTHON": sys.executable}
        with subprocess.Popen(
            arguments, env=environment, stdout=subprocess.PIPE, text=True
        ) as script:
            assert script.stdout is not None
            assert isinstance(parse(script.stdout.readline()), Struck)
            wait_until(lambda: len(brokers.running()) == 2, "one is dead")
            script.terminate()
            assert script.wait(PATIENCE) == 128 + signal.SIGTERM
        wait_for_all(brokers)


def test_what_was_started_again_a_moment_ago_is_found(brokers: Brokers, tmp_path: Path) -> None:
    """Before it has opened its directory nothing but its arguments says whose it is."""
    wait_for_all(brokers)
    with ending(tmp_path):
        done = run("kill_random.sh", str(tmp_path), "--lasting", "0")
        assert done.returncode == 0, done.stderr
        assert len(started_in(tmp_path)) == 3
    assert not started_in(tmp_path)


def test_who_is_to_stay_dead_does(brokers: Brokers, tmp_path: Path) -> None:
    wait_for_all(brokers)
    done = run("kill_random.sh", str(tmp_path), "--lasting", "0", "--stay-dead")
    assert done.returncode == 0, done.stderr
    assert len(brokers.running()) == 2


def test_a_pid_file_that_names_a_stranger_harms_nobody(brokers: Brokers, tmp_path: Path) -> None:
    wait_for_all(brokers)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        for process in brokers.running().values():
            process.signal(signal.SIGKILL)
            process.wait(PATIENCE)
        for name in brokers.addresses:
            (brokers.directory(name) / "broker.pid").write_text(f"{stranger.pid}\n")
        done = run("kill_random.sh", str(tmp_path))
        assert done.returncode == 1
        assert "no broker is running" in done.stderr
        assert stranger.poll() is None
        stranger.kill()


def test_nobody_to_hit_is_an_error(brokers: Brokers, tmp_path: Path) -> None:
    wait_for_all(brokers)
    done = run("kill_worker.sh", str(tmp_path))
    assert done.returncode == 1
    assert "no worker is running" in done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_wrong_usage_shows_the_usage(script: Path) -> None:
    assert run(script.name).returncode == 2
    assert f"usage: {script.name} " in script.read_text()
    shown = run(script.name, "--help")
    assert shown.returncode == 0
    assert "--every" in shown.stdout and "--for" in shown.stdout


def test_a_directory_without_brokers_is_an_error(tmp_path: Path) -> None:
    done = run("pause_leader.sh", str(tmp_path))
    assert done.returncode == 1
    assert "no broker's data directory" in done.stderr
