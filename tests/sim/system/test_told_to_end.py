"""A simulator that is told to end takes along what its history has on disk, which is memory."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

#: Of the histories with files the first.
_SEED = "5-5"


def test_a_history_that_is_ended_leaves_nothing_behind() -> None:
    command = [sys.executable, "-m", "tests.sim.system", "--seeds", _SEED, "--jobs", "1"]
    with subprocess.Popen(command, start_new_session=True) as process:
        directory = _directory(psutil.Process(process.pid))
        process.terminate()
        assert process.wait(timeout=60) == 128 + 15
    assert not directory.exists()


def _directory(process: psutil.Process) -> Path:
    """Where its files are, once it has any."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for file in process.open_files():
            for parent in Path(file.path).parents:
                if parent.name.startswith("raftwork-sim-"):
                    return parent
        time.sleep(0.01)
    raise AssertionError("it has opened no files")
