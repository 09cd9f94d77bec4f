"""Standard streams that are missing, closed, or replaced by what is none."""

import json

import pytest

from raftwork.testing.processes import free_addresses
from tests.strangers.place import Place

TASKS = """
import os, subprocess, sys
from raftwork import App
app = App()

@app.task
def talk():
    print("on stdout")
    print("on stderr", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo said; echo said >&2"], check=True)
    return [os.readlink(f"/proc/self/fd/{n}") for n in (0, 1, 2)]

@app.task
def fail():
    raise ValueError("nope")
"""
ODD = """
import sys
class Mute:
    def write(self, text): pass
sys.stdout = Mute()
sys.stderr.close()
"""
CLOSED = ">&- 2>&- <&-"


def _talk(place: Place) -> list[str]:
    done = place.sh("raftwork enqueue tasks.talk --wait --timeout 60")
    assert done.code == 0, done.err
    files: list[str] = json.loads(done.out)
    return files


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_a_worker_without_standard_streams_works_and_drains(alone: Place, pool: str) -> None:
    """F5: it died at its start, sys.stdout being None; or a socket was descriptor 1."""
    alone.write("tasks.py", TASKS)
    worker = alone.worker(f"--pool {pool} --concurrency 1 {CLOSED}")
    assert _talk(alone) == ["/dev/null"] * 3
    assert alone.sh("raftwork enqueue tasks.fail --wait --timeout 60").code == 1
    assert _talk(alone) == ["/dev/null"] * 3
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_what_tasks_print_leaves_at_once(alone: Place, pool: str) -> None:
    """Into a file it came when 8 KiB were full, and never if the worker was killed before."""
    alone.write("tasks.py", TASKS)
    worker = alone.worker(f"--pool {pool} --concurrency 1")
    _talk(alone)
    assert "on stdout\n" in worker.text
    worker.kill()


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_a_module_may_replace_and_close_them(alone: Place, pool: str) -> None:
    alone.write("tasks.py", ODD + TASKS)
    worker = alone.worker(f"--pool {pool} --concurrency 1")
    assert len(_talk(alone)) == 3
    assert worker.stop() == 0


@pytest.mark.parametrize("closed", [CLOSED, ">&-"])
def test_commands_do_without_them(alone: Place, closed: str) -> None:
    (at,) = free_addresses(1)
    broker = alone.start(
        f"raftwork broker --name b --cluster b={at} --data data/b {closed}", "closed"
    )
    flags = f"--brokers {at}"

    def leads() -> bool:
        assert broker.code is None
        return bool(json.loads(alone.sh(f"raftwork status --json {flags}").out)["leader"])

    alone.wait_until(leads, "b leads")
    assert alone.sh(f"raftwork enqueue t.x 1 {flags} {closed}").code == 0
    assert alone.sh(f"raftwork status --timeout 60 {flags} {closed}").code == 0
    queued = json.loads(alone.sh(f"raftwork status --timeout 60 --json {flags}").out)["queues"][
        "default"
    ]
    assert queued["queued"] == 1
    assert broker.stop() == 0
