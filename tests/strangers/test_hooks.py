"""Hooks of an App: where and when a worker calls them."""

import pytest

from tests.strangers.place import Place

TASKS = """
import os
from raftwork import App, current
app = App()

def note(text):
    with open("notes", "a") as notes:
        notes.write(f"{text} {os.getpid()}\\n")

@app.on_worker_start
def worker_start(): note("worker_start")

@app.on_child_start
def child_start():
    if os.path.exists("broken"): raise RuntimeError("no connection")
    note("child_start")
    app.opened = os.getpid()

@app.on_task_start
def task_start(): note(f"task_start:{current().id}")

@app.on_task_end
def task_end(outcome):
    note(f"task_end:{current().id}:{outcome.ok}")
    raise SystemExit("of a hook")

@app.on_child_stop
def child_stop(): note("child_stop")

@app.on_worker_stop
def worker_stop(): note("worker_stop")

@app.task
def opened(): return app.opened == os.getpid()

@app.task
def fail(): raise ValueError("nope")
"""
POOLS = pytest.mark.parametrize("pool", ["process", "thread", "async"])


def _notes(place: Place) -> list[tuple[str, int]]:
    lines = (place.directory / "notes").read_text().splitlines()
    return [(line.split()[0], int(line.split()[1])) for line in lines]


@POOLS
def test_hooks_are_called_where_they_say(alone: Place, pool: str) -> None:
    """X16: what a module opened at its import was shared by all processes of the pool."""
    alone.write("tasks.py", TASKS)
    worker = alone.worker(f"--pool {pool} --concurrency 1")
    opened = alone.sh("raftwork enqueue tasks.opened --id one --wait --timeout 60")
    assert opened.out.strip() == "true", opened.err
    alone.sh("raftwork enqueue tasks.fail --id two --wait --timeout 60")
    assert worker.stop() == 0
    notes = _notes(alone)
    told = [text for text, _ in notes]
    assert sorted(told[:2]) == ["child_start", "worker_start"]
    assert told[2:] == [
        *("task_start:one", "task_end:one:True", "task_start:two", "task_end:two:False"),
        *("child_stop", "worker_stop"),
    ]
    by = dict(notes)
    assert (by["child_start"] == worker.pid) == (pool != "process")
    assert by["worker_start"] == by["worker_stop"] == worker.pid
    assert by["task_end:one:True"] == by["child_start"] == by["child_stop"]
    assert "on_task_end failed: SystemExit: of a hook" in worker.text


def test_a_child_whose_hook_fails_runs_nothing_until_it_succeeds(alone: Place) -> None:
    alone.write("tasks.py", TASKS)
    alone.write("broken", "")
    worker = alone.start("raftwork worker tasks:app --concurrency 2 --name w", "w")
    alone.wait_until(lambda: "on_child_start failed: RuntimeError" in worker.text, "it is said")

    def slots() -> list[int]:
        return [row["slots"] for row in alone.status()["workers"]]

    alone.wait_until(lambda: slots() == [0], "no slot counts")
    task = alone.sh("raftwork enqueue tasks.opened").out.strip()
    (alone.directory / "broken").unlink()
    assert alone.sh(f"raftwork result {task} --wait --timeout 60").out.strip() == "true"
    assert worker.stop() == 0


@pytest.mark.parametrize(
    ("pool", "hook"), [("process", "worker"), ("thread", "worker"), ("async", "child")]
)
def test_a_worker_whose_hook_fails_does_not_start(alone: Place, pool: str, hook: str) -> None:
    failing = f"\n@app.on_{hook}_start\ndef broken(): raise SystemExit('not today')\n"
    alone.write("tasks.py", TASKS + failing)
    done = alone.sh(f"raftwork worker tasks:app --pool {pool}")
    assert done.code == 1
    assert f"on_{hook}_start failed: SystemExit: not today" in done.err
    assert "worker_stop" not in [text for text, _ in _notes(alone)]
