"""Signals as a program finds them at its start, and as process 1 of a container."""

import json
import os
import signal
import subprocess

import psutil
import pytest

from raftwork.testing.processes import free_addresses
from tests.strangers.place import Place

TASKS = """
import os, signal, subprocess, time
from raftwork import App
app = App()

@app.task
def add(x, y): return x + y

@app.task
def state():
    return [
        len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        subprocess.run(["sh", "-c", "exit 3"]).returncode,
    ]

@app.task
def orphan():
    subprocess.run(["sh", "-c", "(sleep 0.1; exit 4) & (exit 5) &"], check=True)
    return os.getpid()

@app.task
def zombies():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                head, _, tail = stat.read().rpartition(")")
        except OSError:
            continue
        name, (state, parent) = head.partition("(")[2], tail.split()[:2]
        if parent == "1" and name in ("sh", "sleep"):
            found.append([name, state])
    return found

@app.task
def sleep(seconds): time.sleep(seconds)
"""
ORPHANS = """
import time
from tasks import orphan, state, zombies
for _ in range(3): orphan.enqueue().result(timeout=60)
print(state.enqueue().result(timeout=60))
until = time.monotonic() + 20
while (left := zombies.enqueue().result(timeout=60)) and time.monotonic() < until: time.sleep(0.05)
print(left or "reaped")
"""
#: Starts a program with the signals that matter to it ignored, or blocked.
LAUNCHER = """
import os, signal, sys
numbers = [signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE]
if sys.argv[1] == "ignored":
    for number in numbers: signal.signal(number, signal.SIG_IGN)
else:
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("pool", "how"),
    [("process", "ignored"), ("process", "blocked"), ("thread", "blocked"), ("async", "ignored")],
)
def test_signals_that_were_ignored_or_blocked_at_the_start_are_obeyed(
    alone: Place, pool: str, how: str
) -> None:
    """F6: with SIGCHLD ignored a worker exited 1 after a clean drain."""
    alone.write("tasks.py", TASKS)
    alone.write("launch.py", LAUNCHER)
    worker = alone.start(
        f"python launch.py {how} raftwork worker tasks:app --pool {pool} --concurrency 1", "w"
    )
    state = alone.sh("raftwork enqueue tasks.state --wait --timeout 60")
    assert json.loads(state.out) == [0, 3], state.err
    assert worker.stop() == 0, worker.text


@pytest.mark.parametrize("how", ["ignored", "blocked"])
def test_so_they_are_by_a_broker(alone: Place, how: str) -> None:
    alone.write("launch.py", LAUNCHER)
    (at,) = free_addresses(1)
    broker = alone.start(
        f"python launch.py {how} raftwork broker --name b --cluster b={at} --data data/b", "b"
    )
    alone.wait_until(lambda: "listening" in broker.text, "it listens")
    assert broker.stop() == 0


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_module_that_ignores_the_ends_of_children_drains(alone: Place, pool: str) -> None:
    ignore = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    alone.write("tasks.py", ignore + TASKS)
    worker = alone.worker(f"--pool {pool} --concurrency 1")
    assert alone.sh("raftwork enqueue tasks.add 1 2 --wait --timeout 60").out.strip() == "3"
    assert worker.stop() == 0, worker.text


UNSHARE = "unshare --pid --fork --kill-child --mount-proc"


def _namespaces() -> str:
    """Why there can be no process 1 of our own here; empty if there can."""
    try:
        tried = subprocess.run([*UNSHARE.split(), "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return "unshare is not installed"
    return tried.stderr.decode() if tried.returncode else ""


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_as_process_one_a_worker_reaps_orphans_and_only_those(alone: Place, pool: str) -> None:
    """F15: what lost its parent in a worker's container stayed a zombie."""
    if why := _namespaces():
        pytest.skip(f"no PID namespace: {why}")
    alone.write("tasks.py", TASKS)
    unshare = alone.start(f"{UNSHARE} raftwork worker tasks:app --pool {pool} --concurrency 1", "w")
    alone.write("ask.py", ORPHANS)
    asked = alone.sh("python ask.py")
    # What a task waits for itself is left to it.
    assert asked.out.splitlines() == ["[0, 3]", "reaped"], asked.err + unshare.text
    (init,) = _children(unshare.pid)
    os.kill(init, signal.SIGTERM)
    alone.wait_until(lambda: unshare.code is not None, "it ends")
    assert unshare.code == 0, unshare.text
    assert "has stopped" in unshare.text


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split()]


SERVER = """
import asyncio, os, signal, time
from raftwork import App, current
app = App()

@app.task
async def serve():
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: None)
        loop.remove_signal_handler(number)

@app.task
async def work(path):
    open(path, "w").close()
    await asyncio.sleep(1)
    return current().attempt
"""


@pytest.mark.parametrize("pool", ["process", "async"])
def test_a_worker_drains_after_a_task_that_had_signals_of_its_own(alone: Place, pool: str) -> None:
    """F4, F6: asyncio gave them back to the system, and the next SIGTERM killed what ran.

    A service manager sends it to all processes of a service.
    """
    alone.write("tasks.py", SERVER)
    worker = alone.worker(f"--pool {pool} --concurrency 1")
    assert alone.sh("raftwork enqueue tasks.serve --wait").code == 0
    alone.sh("raftwork enqueue tasks.work begun --id work")
    alone.wait_until((alone.directory / "begun").exists, "it runs")
    for process in psutil.Process(worker.pid).children(recursive=True):
        process.send_signal(signal.SIGTERM)
    assert worker.stop() == 0, worker.text
    assert alone.sh("raftwork result work").out == "1\n"
