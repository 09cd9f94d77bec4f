"""Hunts that are told to end leave no process."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.sim.mutants.catalogue import CONSENSUS

#: CPU seconds after which it has loaded all and is at it.
_AT_IT = 3.0


@pytest.mark.timeout(300)
def test_hunts_that_are_ended_leave_no_process() -> None:
    """Those of the pool once waited for ever for more."""
    only = ["--only", CONSENSUS[0].name, "--jobs", "1"]
    command = [sys.executable, "-m", "tests.sim.mutants", *only]
    with subprocess.Popen(command, start_new_session=True) as process:
        pool = _hunting(psutil.Process(process.pid))
        os.killpg(process.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(pool, timeout=30)
        for each in alive:
            each.kill()
        process.kill()
    assert not alive


def _hunting(process: psutil.Process) -> list[psutil.Process]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        pool = process.children()
        if any(each.cpu_times().user > _AT_IT for each in pool):
            return pool
        time.sleep(0.02)
    raise AssertionError("it does not hunt")
