"""`python -m bench peers`: a peer is measured apart, and nothing of it stays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.peers import run
from bench.peers.catalogue import PEERS, RAFTWORK, Peer
from bench.peers.measures import Effort, Sample
from tests.unit.bench.peers import fake
from tests.unit.bench.peers.processes import assert_gone

ROOT = Path(__file__).parents[4]
EFFORT = Effort(seconds=0.5, kills=1)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the fake peer, which takes Raftwork's place, is told what to do."""
    monkeypatch.setitem(PEERS, RAFTWORK, Peer("Fake", fake.__name__, "", ""))
    monkeypatch.setenv(fake.VARIABLE, str(tmp_path))
    (tmp_path / "behaviour").write_text("works")
    return tmp_path


def test_a_peer_is_measured_in_a_process_of_its_own_and_nothing_of_it_stays(there: Path) -> None:
    side = run.measure(RAFTWORK, ["enqueue", "threads"], EFFORT)
    assert side.versions == "Fake 1.0"
    assert side.samples == {"enqueue": Sample(50.0, {"p99 ms": 3.0})}  # it has no threads
    assert_gone(int((there / "pid").read_text()))


def test_what_a_peer_that_failed_said_last_is_told(there: Path) -> None:
    (there / "behaviour").write_text("fails")
    with pytest.raises(run.SideFailed, match="no server today"):
        run.measure(RAFTWORK, ["enqueue"], EFFORT)
    assert_gone(int((there / "pid").read_text()))


def test_a_peer_that_hangs_is_given_up(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (there / "behaviour").write_text("hangs")
    monkeypatch.setattr(run, "PATIENCE_S", 0)
    with pytest.raises(run.SideFailed, match="-9"):
        run.measure(RAFTWORK, ["enqueue"], EFFORT)


def test_a_failure_is_noted_and_the_others_are_measured(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PEERS, "broken", Peer("Broken", "bench.peers.nowhere", "", ""))
    results = run.run([RAFTWORK, "broken"], ["enqueue"], 1, EFFORT)
    assert results.absent == {"broken": "failed in round 1"}
    assert [sample.value for sample in results.samples(RAFTWORK, "enqueue")] == [50.0]


def test_what_is_not_installed_is_skipped_and_says_what_would_install_it(there: Path) -> None:
    nothing = Peer("Nothing", "x", "", "", {"no-such-server": "apt-get install it"})
    assert nothing.missing() == "no program no-such-server (apt-get install it)"
    no_client = Peer("Nothing", "x", "", "", packages=("no_such_client",))
    assert "no_such_client (pip install -r bench/peers/requirements.txt)" in str(
        no_client.missing()
    )


def test_every_peer_has_a_module_and_requirements_where_it_says() -> None:
    assert [
        p for p in PEERS.values() if not (ROOT / f"{p.module.replace('.', '/')}.py").exists()
    ] == []
    assert (ROOT / "bench/peers/requirements.txt").exists()


def test_a_bench_that_is_killed_leaves_nothing_behind() -> None:
    script = """
import os, subprocess, sys, time
from bench.peers.run import marked
with marked() as mark:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                             env=os.environ | mark, start_new_session=True)
    print(child.pid, flush=True)
    time.sleep(600)
"""
    bench = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert bench.stdout is not None
    pid = int(bench.stdout.readline())
    assert psutil.pid_exists(pid)
    os.kill(bench.pid, signal.SIGKILL)
    bench.wait()
    bench.stdout.close()
    assert_gone(pid)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--only", "luck"), "no luck; there is raftwork, celery"),
        (("--measure", "luck"), "no luck; there is one-in-flight"),
        (("--rounds", "0"), "at least one round"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_runs(
    asked: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run.main(asked)
    assert said in capsys.readouterr().err
