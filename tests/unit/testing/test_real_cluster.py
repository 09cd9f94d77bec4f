"""`raftwork_cluster`: what it starts ends with its block."""

import time
from pathlib import Path

import psutil
import pytest

from raftwork.testing import real_cluster
from raftwork.testing.processes import Child
from raftwork.testing.real_cluster import RealCluster

#: A worker that does not drain, and a process that it started.
DEAF = """
import os, signal, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    Path("pids.new").write_text(f"{os.getpid()} {child}")
    os.rename("pids.new", "pids")
time.sleep(600)
"""


@pytest.mark.parametrize("drains", [True, False])
def test_a_worker_that_does_not_drain_in_time_is_killed_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, drains: bool
) -> None:
    """It went on beside the workers of the next tests, and took their tasks."""
    text = DEAF.replace("SIG_IGN", "SIG_DFL") if drains else DEAF
    (tmp_path / "deaf.py").write_text(text)
    made = RealCluster(tmp_path)

    def start(name: str, *_: object) -> Child:
        return Child(name, [], tmp_path, {}, module="deaf")

    monkeypatch.setattr(made._local, "start", start)
    monkeypatch.setattr(real_cluster, "START_S", 60.0 if drains else 0.2)
    pids = tmp_path / "pids"

    def run() -> None:
        with made.worker("any:app") as child:
            while not pids.exists():
                assert child.alive, child.tail()

    if drains:
        run()
    else:
        with pytest.raises(TimeoutError, match="still runs"):
            run()
    deadline = time.monotonic() + 30
    while any(map(_runs, map(int, pids.read_text().split()))):
        assert time.monotonic() < deadline, "something of it still runs"
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:  # an orphan that was killed is there until its new parent has read its end
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
