"""Unique tasks as their page shows them, and while the leader is killed."""

import re
from pathlib import Path

from tests.strangers.place import Place

PAGE = Path(__file__).parents[2] / "docs" / "howto-unique.md"
_FILE = re.compile(r"```python title=\"([\w.]+)\"\n(.*?)```", re.DOTALL)


def _type(place: Place) -> None:
    for name, text in _FILE.findall(PAGE.read_text()):
        place.write(name, text)
    place.worker("--pool thread --concurrency 4", target="shop:app")


def test_the_page_on_unique_tasks_works_as_printed(alone: Place) -> None:
    _type(alone)
    done = alone.sh("python place.py")
    assert done.out.splitlines() == [
        "True True",
        "there is True",
        "invoice of order 7",
        "False",
        "indexed",
    ], done.err
    line = "raftwork enqueue shop.invoice 8 --unique order-8 --queue nobody-serves"
    first, again = alone.sh(line), alone.sh(line)
    assert again.out == first.out != ""
    assert f"a task with the unique key order-8 is there: {first.out.strip()}" in again.err
    assert alone.status()["queues"]["nobody-serves"]["queued"] == 1
    kept = "python -c 'from shop import *; reindex.options(period=3600).enqueue().result(30)'"
    assert alone.sh(kept).code == 0
    alone.write("free.py", _FREE)
    assert alone.sh("python free.py").out == "True True False\n"
    (freed,) = [each for each in PAGE.read_text().splitlines() if " queue free-key " in each]
    assert alone.sh(freed).out == "keys freed: 0\n"
    quiet = alone.sh("python quiet.py")
    assert quiet.out == "invoice of order 9 version 4 1\n", quiet.err


_FREE = """
from shop import app, reindex

was = reindex.enqueue().existing
print(was, app.queue("default").free_key("shop.reindex", True), reindex.enqueue().existing)
"""

_EIGHT = """
import threading
from raftwork import App

app = App(timeout=30)
job = app.named("jobs.job", unique="k", on_conflict="rerun")
ids, lock = [], threading.Lock()

def ask():
    for _ in range(40):
        run = job.enqueue()
        with lock:
            ids.append(run.id)
        if len(ids) == 80:
            print("half", flush=True)

threads = [threading.Thread(target=ask) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
for each in sorted(set(ids)):
    app.run(each).result(60)
print("done", len(set(ids)) > 1, len(set(ids)) < len(ids), flush=True)
"""

_JOBS = """
import os, time
from raftwork import App
app = App()

@app.task
def job():
    with open("runs", "a") as runs:
        runs.write("begin\\n"); runs.flush()
        time.sleep(0.02)
        runs.write("end\\n")
"""


def test_of_a_key_one_is_unfinished_while_the_leader_is_killed(place: Place) -> None:
    brokers = place.brokers()
    place.write("jobs.py", _JOBS)
    place.write("eight.py", _EIGHT)
    place.trust_workers()
    place.worker("--pool thread --concurrency 4", target="jobs:app")
    eight = place.start("python eight.py", "eight")
    place.wait_until(lambda: "half" in eight.text, "half of it is asked for")
    brokers[place.leader()].kill()
    place.wait_until(lambda: "done" in eight.text, "all is done")
    assert "done True True" in eight.text
    runs = (place.directory / "runs").read_text().split()
    assert runs == ["begin", "end"] * (len(runs) // 2)  # never two at a time
