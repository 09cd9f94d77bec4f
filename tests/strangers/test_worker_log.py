"""What a worker's log says, and what a worker does that cannot go on."""

import signal

import pytest

from raftwork.testing.processes import free_addresses
from tests.strangers.place import ROOT, Place

TASKS = """
import os, signal, time
from raftwork import App
app = App()

@app.task(retries=1, backoff=0.01)
def fail(): raise ValueError("first line\\nnope")

@app.task(max_losses=1)
def die(): os.kill(os.getpid(), signal.SIGKILL)

@app.task(timeout=0.2)
def late(): time.sleep(60)

@app.task
def wait_for(*args): return app.enqueue("tasks.fail").result()

@app.task
def wait_for_another(): return wait_for.options(queue="nobody's").enqueue().result()
"""


def test_the_log_of_a_worker_names_each_task_that_did_not_succeed(alone: Place) -> None:
    """X5: workers logged nothing about tasks, not a line at any level."""
    alone.write("tasks.py", TASKS)
    worker = alone.worker("--concurrency 2")
    options = "for task in tasks.fail, tasks.die, tasks.late: task.options("
    called = "id=task.name.removeprefix('tasks.')).enqueue()"
    done = alone.sh(f'python -c "import tasks\n{options}{called}"')
    assert done.code == 0, done.err
    alone.sh("raftwork enqueue tasks.unknown --id unknown")
    lines = (
        "task fail (tasks.fail), attempt 1 of 2, failed and is tried again: ValueError: nope",
        "task fail (tasks.fail), attempt 2 of 2, failed: ValueError: nope",
        "task die (tasks.die), attempt 1, was lost: ProcessDied:",
        "task late (tasks.late), attempt 1, failed: TimeLimitExceeded:",
        "task unknown (tasks.unknown), attempt 1, was refused: UnknownTask:",
    )
    for line in lines:
        alone.wait_until(lambda line=line: line in worker.text, line)  # type: ignore[misc]
    # What it is, whom it reaches and what it serves.
    at = alone.addresses["a"]
    assert (
        "worker w1 runs 5 tasks of tasks:app (tasks.die, tasks.fail, tasks.late, tasks.wait_for,"
        f" tasks.wait_for_another); pool: process, slots: 2, queues: default, brokers: {at}, pid: "
    ) in worker.text
    assert f"connected to the broker at {at}" in worker.text
    assert f"joined the leader at {at}, epoch 1; 1 of 1 brokers reached" in worker.text
    (broker,) = (each for each in alone._all if each.log.name == "a.log")
    data = alone.directory / "data/a"
    assert f"broker a of a={at}; raft, its data in {data}; " in broker.text
    assert ", protocol " in broker.text
    assert "active leader of epoch 1" in broker.text
    assert "worker w1 joined (" in broker.text


def test_a_worker_whose_brokers_do_not_exist_says_so(alone: Place) -> None:
    """F16: it was silent, for ever."""
    alone.write("tasks.py", TASKS)
    (at,) = free_addresses(1)
    worker = alone.start(f"raftwork worker tasks:app --brokers {at}", "w")
    alone.wait_until(lambda: f"no broker answers: {at}; still trying" in worker.text, "it says so")
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_a_worker_that_cannot_drain_ends_when_its_grace_is_over(alone: Place, pool: str) -> None:
    """F14: tasks wait for others that nobody runs, for ever, and so did SIGTERM.

    Nor did anybody say why nothing went on.
    """
    alone.write("tasks.py", TASKS)
    worker = alone.worker(f"--pool {pool} --concurrency 1 --grace 0.5")
    for _ in range(2):  # for one of them a spare slot is lent
        alone.sh("raftwork enqueue tasks.wait_for_another")
    says = "every slot (1) waits in result() for another task: tasks.wait_for_another "
    if pool == "async":  # parked, all of them
        alone.wait_until(lambda: alone.status()["queues"]["default"]["running"] == 2, "both wait")
    else:
        alone.wait_until(lambda: says in worker.text, "it says why nothing gets on")
        assert "raise the worker's --concurrency" in worker.text
    worker.signal(signal.SIGTERM)
    alone.wait_until(lambda: worker.code is not None, "it ends")
    assert worker.code == 0
    assert "finishing what runs (2 tasks); a second signal stops at once" in worker.text
    assert "its grace of 0.5 s is over" in worker.text


@pytest.mark.parametrize("target", ["./tasks:app", "tasks.py:app", "tasks"])
def test_a_file_for_a_module_is_answered_with_what_to_write(alone: Place, target: str) -> None:
    """F19: importlib said that its package argument was required."""
    alone.write("tasks.py", TASKS)
    done = alone.sh(f"raftwork worker {target}")
    assert done.code == 2
    assert "write tasks:app" in done.err.replace("\n", " ")


def test_a_module_with_logging_of_its_own_does_not_silence_the_worker(alone: Place) -> None:
    """X5: `logging.config` disables all loggers that it does not know; prints came at the end."""
    alone.write(
        "tasks.py",
        "import logging.config\n"
        "logging.config.dictConfig({'version': 1, 'loggers': {'their.own': {'level': 'INFO'}}})\n"
        "from raftwork import App\n"
        "app = App()\n"
        "@app.task\n"
        "def fail(): raise ValueError('nope')\n"
        "@app.task\n"
        "def say(): print('grüß', flush=False)\n",
    )
    alone.env |= {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    if str(ROOT).isascii():  # else Python itself does not find what is installed from there
        alone.env |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    worker = alone.worker("--concurrency 1")
    assert alone.sh("raftwork enqueue tasks.fail --wait").code == 1
    said = alone.sh("raftwork enqueue tasks.say --wait")
    assert said.code == 0, said.err
    alone.wait_until(lambda: "ValueError: nope" in worker.text, "the failure is logged")
    alone.wait_until(lambda: "grüß" in worker.text, "what was printed is seen")
