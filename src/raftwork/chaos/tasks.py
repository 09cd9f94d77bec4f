"""What the workers of a trial run: sleeps between two lines of the history."""

import os
import time
from functools import lru_cache
from pathlib import Path

from raftwork import App, current
from raftwork.chaos.history import Finished, Journal, Started, now

#: The queue of a trial's tasks: on a running cluster no other worker takes them.
QUEUE = "chaos"

app = App()


@app.task(name="chaos.work", queue=QUEUE)
def work(number: int, milliseconds: int, journals: str) -> list[int]:
    """Sleep; the value distinguishes this run from every other run of any task."""
    run = current()
    journal = _journal(Path(journals) / f"runs-{os.getpid()}")
    journal.write(Started(now(), run.worker, run.id, run.token, run.attempt))
    time.sleep(milliseconds / 1000)
    journal.write(Finished(now(), run.worker, run.id, run.token))
    return [number, run.token]


@lru_cache(maxsize=1)
def _journal(path: Path) -> Journal:
    # By pid, because children are forked from a process that may have one open.
    return Journal(path)
