"""`raftwork chaos`: faults under load on a cluster of its own or a running one, and the verdict."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from raftwork.chaos.processes import Brokers


def chaos(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "raftwork", "chaos", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_a_mixture_of_faults_on_a_cluster_of_its_own(tmp_path: Path, consensus: str) -> None:
    kills = ("--kill", "leader", "--kill", "worker", "--kill", "client", "--pause", "random")
    protocol = ("--consensus", consensus)
    done = chaos(*kills, "--every", "2", "--for", "12", "--json", *protocol, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["good"] is True
    assert sum(report["faults"].values()) >= 3
    assert report["acknowledged"] > 300
    assert set(report["findings"].values()) == {0}


def test_a_running_cluster_is_attacked_and_left_running(brokers: Brokers, tmp_path: Path) -> None:
    others = tmp_path / "elsewhere"
    others.mkdir()
    where = ("--brokers", brokers.text, "--data", str(tmp_path))
    try:
        done = chaos("--kill", "follower", *where, "--every", "1", "--for", "3", cwd=others)
        assert done.returncode == 0, done.stderr
        assert "lost" in done.stdout
        assert len(brokers.running()) == 3
    finally:
        for process in brokers.running().values():
            process.signal(signal.SIGKILL)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--kill", "nobody"),
        ("--kill", "leader", "--every", "0"),
        ("--kill", "leader", "--brokers", "127.0.0.1:7701"),
    ],
)
def test_wrong_usage_is_told(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert chaos(*arguments, cwd=tmp_path).returncode == 2


def test_a_directory_without_brokers_is_an_error(tmp_path: Path) -> None:
    done = chaos("--kill", "leader", "--data", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 1
    assert "no broker's data directory" in done.stderr
    assert "kept" not in done.stderr
