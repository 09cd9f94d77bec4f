"""Tasks that wait for other tasks: more of them than a worker has slots."""

from collections import Counter

import pytest

from tests.strangers.place import Place

TASKS = """
import asyncio
import os
from raftwork import App, WouldDeadlock, current
app = App()

def note(text):
    with open("notes", "a") as notes:
        notes.write(text + "\\n")

@app.task
async def deep(n):
    note(f"{current().id} {current().attempt}")
    return n if n == 0 else 1 + await current().call(deep, n - 1)

@app.task
async def many(n):
    return sum(await asyncio.gather(*(current().call(leaf, each) for each in range(n))))

@app.task
def leaf(n):
    return n

@app.task
def down(n):
    return n if n == 0 else 1 + down.enqueue(n - 1).result()

@app.task
def forgiving(n):
    if n == 0:
        return 0
    try:
        return 1 + forgiving.enqueue(n - 1).result()
    except WouldDeadlock:
        return -1000

@app.task
def myself():
    return app.run(current().id).result()

@app.task
async def parent(n):
    values = [await current().call(noted, each) for each in range(n)]
    note(f"parent {current().attempt}")
    return [*values, await current().call(held)]

@app.task
async def held():
    note("held")
    while not os.path.exists("go"):
        await asyncio.sleep(0.02)
    return "free"

@app.task
def noted(n):
    note(f"noted {n}")
    return n

@app.task(limits=["one"])
async def outer():
    return await current().call(inner)

@app.task(limits=["one"])
def inner():
    return 1

@app.task(retries=1)
async def fickle():
    await current().call(leaf, current().attempt)
    raise ValueError("again")
"""


#: With the options of the task, which `raftwork enqueue` does not know.
ASK = """
import sys
import tasks

with tasks.app:
    try:
        print(getattr(tasks, sys.argv[1]).enqueue().result(60))
    except Exception as error:
        print(error)
"""


def _idle(place: Place) -> bool:
    queue = place.status()["queues"]["default"]
    return bool(queue["queued"] == queue["running"] == 0)


def _enqueue(place: Place, *what: str) -> str:
    done = place.sh(f"raftwork enqueue tasks.{' '.join(what)} --wait --timeout 60")
    return done.out.strip() or done.err


def _ask(place: Place, task: str) -> str:
    place.write("ask.py", ASK)
    done = place.sh(f"python ask.py {task}")
    return done.out.strip() or done.err


def test_coroutines_wait_deeper_than_there_are_slots(alone: Place) -> None:
    alone.write("tasks.py", TASKS)
    alone.trust_workers()
    worker = alone.worker("--pool async --concurrency 1")
    assert _enqueue(alone, "deep", "50") == "50"
    notes = (alone.directory / "notes").read_text().split("\n")[:-1]
    assert len(notes) == len({each.split()[0] for each in notes}) == 51
    assert all(each.endswith(" 1") for each in notes), "no attempt was repeated"
    assert _enqueue(alone, "many", "300") == str(sum(range(300)))
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", ["thread", "process"])
def test_functions_wait_deeper_than_there_are_slots(alone: Place, pool: str) -> None:
    alone.write("tasks.py", TASKS)
    worker = alone.worker(f"--pool {pool} --concurrency 3")
    for _ in range(3):
        assert _enqueue(alone, "down", "5") == "5"
    assert _enqueue(alone, "deep", "5") == "5"
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", ["thread", "process"])
def test_a_wait_that_would_last_for_ever_is_an_error(alone: Place, pool: str) -> None:
    alone.write("tasks.py", TASKS)
    worker = alone.worker(f"--pool {pool} --concurrency 2")
    assert "WouldDeadlock" in _enqueue(alone, "myself")
    told = _enqueue(alone, "down", "10")
    assert "WouldDeadlock" in told, told
    assert "raise --concurrency" in told, told
    assert int(_enqueue(alone, "forgiving", "10")) < 0
    # What was waited for stayed enqueued, and ends alike; then nothing is left in a slot.
    alone.wait_until(lambda: _idle(alone), "nothing is left to do")
    assert _enqueue(alone, "down", "3") == "3"
    assert worker.stop() == 0


def test_a_wait_for_a_task_that_needs_the_limit_which_the_waiting_one_fills_is_an_error(
    alone: Place,
) -> None:
    alone.write("tasks.py", TASKS)
    alone.sh("raftwork limit set one --concurrency 1")
    worker = alone.worker("--pool async --concurrency 4")
    assert "that task needs what this one holds" in _ask(alone, "outer")
    assert _ask(alone, "inner") == "1", "what was waited for had its turn"
    alone.sh("raftwork limit set one --concurrency 2")
    assert _ask(alone, "outer") == "1"
    assert worker.stop() == 0


def test_what_a_killed_attempt_called_is_not_run_again(alone: Place) -> None:
    alone.write("tasks.py", TASKS)
    killed = alone.worker("--pool async --concurrency 1")
    alone.sh("raftwork enqueue tasks.parent 3 --id p")
    notes = alone.directory / "notes"
    alone.wait_until(lambda: notes.exists() and "held" in notes.read_text(), "it is parked")
    killed.kill()
    alone.worker("--pool async --concurrency 2", name="w2")
    alone.wait_until(lambda: "parent 2" in notes.read_text(), "it is parked again")
    alone.write("go", "")
    told = alone.sh("raftwork result p --wait --timeout 60")
    assert told.out.strip() == '[0, 1, 2, "free"]', told.err
    counts = Counter(notes.read_text().splitlines())
    assert [counts[f"noted {each}"] for each in range(3)] == [1, 1, 1]


def test_an_attempt_that_calls_something_else_is_an_error(alone: Place) -> None:
    alone.write("tasks.py", TASKS)
    alone.worker("--pool process --concurrency 2")
    assert "not deterministic: call 1 of this task" in _ask(alone, "fickle")


def test_a_coroutine_that_waits_for_itself_is_an_error(alone: Place) -> None:
    alone.write("tasks.py", TASKS)
    worker = alone.worker("--pool async --concurrency 2")
    assert "waits for this one in turn" in _enqueue(alone, "myself")
    assert worker.stop() == 0
