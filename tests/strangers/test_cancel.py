"""Somebody wants a task not to be done any more, and a queue to stand still for a while."""

import json
import re
from pathlib import Path

import pytest

from tests.strangers.place import Place

PAGE = Path(__file__).parents[2] / "docs" / "howto-cancel.md"
_FILE = re.compile(r"```python title=\"([\w.]+)\"\n(.*?)```", re.DOTALL)
_LINES = re.compile(r"```sh\n(.*?)```", re.DOTALL)
POOLS = pytest.mark.parametrize("pool", ["process", "thread", "async"])

TASKS = """
import asyncio, os, time
from raftwork import App, current
app = App()

def note(text):
    with open("notes", "a") as notes:
        notes.write(f"{text} {time.monotonic()}\\n")

@app.task(retries=5)
def polite():
    note("began")
    while not current().cancelled:
        time.sleep(0.001)
    note("told")
    current().check()

@app.task(retries=5)
async def coroutine():
    note("began")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        note("told")
        await asyncio.sleep(0.05)
        note("cleaned")
        raise

@app.task(retries=5)
def deaf(path):
    note("began")
    while not os.path.exists(path):
        time.sleep(0.01)
    note("went_on")
    return 7

@app.task
def quick(): return 1
"""


def _notes(place: Place) -> list[str]:
    path = place.directory / "notes"
    return [line.split(" ")[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_the_page_works_as_printed(alone: Place) -> None:
    for name, text in _FILE.findall(PAGE.read_text()):
        alone.write(name, text)
    worker = alone.worker("--pool thread --concurrency 60")
    done = alone.sh("python stop.py")
    assert done.out.splitlines() == [
        "True True",
        "cancelled user",
        "cancelled user",
        "51",
    ], done.err
    # On a busy machine it may have been cancelled before any worker had it.
    if json.loads(alone.sh("raftwork tasks --name tasks.listen --worker w1 --json").out):
        alone.wait_until(lambda: "the connection is closed" in worker.text, "it cleaned up")
    lines = [line for block in _LINES.findall(PAGE.read_text()) for line in block.splitlines()]
    assert len(lines) == 10
    for line in lines:
        said = alone.sh(line)
        unknown = line.startswith("raftwork cancel 0195f2d4")
        assert said.code == unknown, (line, said)
        assert ("no task has the id" in said.err) == unknown


@POOLS
@pytest.mark.parametrize("task", ["polite", "coroutine"])
def test_code_that_runs_is_told_and_the_task_ends_as_cancelled(
    alone: Place, pool: str, task: str
) -> None:
    alone.write("tasks.py", TASKS)
    alone.worker(f"--pool {pool} --concurrency 1")
    alone.sh(f"raftwork enqueue tasks.{task} --id one")
    alone.wait_until(lambda: _notes(alone) == ["began"], "it runs")
    said = alone.sh("raftwork cancel one")
    assert (said.code, said.out) == (0, "1\n"), said.err
    result = alone.sh("raftwork result one --wait --timeout 60")
    assert result.code == 1 and "cancelled on request" in result.err
    cleaned = ["cleaned"] if task == "coroutine" else []
    assert _notes(alone) == ["began", "told", *cleaned]
    queue = alone.status()["queues"]["default"]
    assert (queue["cancelled"], queue["running"], queue["failed"]) == (1, 0, 0)
    # The slot is free, and it cannot be cancelled twice.
    assert alone.sh("raftwork enqueue tasks.quick --wait --timeout 60").out == "1\n"
    assert json.loads(alone.sh("raftwork cancel one --json").out) == {"cancelled": 0}


@POOLS
def test_code_that_heeds_nothing_is_ended_with_its_grace(alone: Place, pool: str) -> None:
    """A process is killed; a thread goes on, and the task is cancelled all the same."""
    alone.write("tasks.py", TASKS)
    alone.worker(f"--pool {pool} --concurrency 2")
    alone.sh("raftwork enqueue tasks.deaf go --id one")
    alone.wait_until(lambda: _notes(alone) == ["began"], "it runs")
    assert alone.sh("raftwork cancel one --grace 0.5").out == "1\n"
    # The grace that was asked for, not the usual 10 s.
    alone.wait_until(lambda: alone.status()["queues"]["default"]["cancelled"] == 1, "its end", 8)
    result = alone.sh("raftwork result one --wait --timeout 60")
    assert result.code == 1 and "cancelled on request" in result.err
    assert alone.sh("raftwork enqueue tasks.quick --wait --timeout 60").out == "1\n"
    alone.write("go", "")
    if pool == "process":
        assert _notes(alone) == ["began"]
    else:
        alone.wait_until(lambda: "went_on" in _notes(alone), "it went on")
        assert alone.sh("raftwork result one").code == 1  # what it returned is no result


def test_a_paused_queue_hands_nothing_out_until_it_is_resumed(alone: Place) -> None:
    alone.write("tasks.py", TASKS)
    assert alone.sh("raftwork queue pause mail").code == 0
    alone.worker("--queues default,mail")
    alone.sh("raftwork enqueue tasks.quick --queue mail --id one")
    assert alone.sh("raftwork enqueue tasks.quick --wait --timeout 60").out == "1\n"
    queue = alone.status()["queues"]["mail"]
    assert (queue["queued"], queue["running"], queue["paused"]) == (1, 0, True)
    assert "not empty" in alone.sh("raftwork queue delete mail").err
    assert alone.sh("raftwork queue resume mail").code == 0
    assert alone.sh("raftwork result one --wait --timeout 60").out == "1\n"
    assert alone.sh("raftwork queue delete mail").code == 0
    assert "mail" not in alone.status()["queues"]


def test_a_cancel_that_names_no_scope_or_two_is_refused(alone: Place) -> None:
    for line in ("raftwork cancel", "raftwork cancel a --all", "raftwork cancel --tag x"):
        assert alone.sh(line).code == 2
