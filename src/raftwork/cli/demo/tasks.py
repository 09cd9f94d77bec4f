"""The demo's task: about 10 ms of work that leaves a record of every time it really ran."""

import os
import time
from pathlib import Path
from typing import NamedTuple

from raftwork import App, Task, current


def work(number: int, records: str) -> list[int]:
    """Sleep 10 ms between two records; the value tells this run from any other of the task."""
    run = current()
    _record(records, f"start {run.worker} {run.token} {run.id}")
    time.sleep(0.01)
    _record(records, f"finish {run.worker} {run.token} {run.id}")
    return [number, run.token]


def demo_task(app: App) -> Task[[int, str], list[int], list[int]]:
    """The task as `app` enqueues or runs it."""
    return app.task(name="demo.work")(work)


#: What the workers load; they are told where the brokers are.
app = App()
demo_task(app)


def _record(path: str, text: str) -> None:
    # One short write to a file opened for appending: records of several processes do not mix.
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"{time.time():.6f} {text}\n".encode())
    finally:
        os.close(file)


class Start(NamedTuple):
    """One beginning of a task's code."""

    at: float  # seconds since the epoch
    worker: str
    task: str


class Records:
    """What the runs recorded, read on from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        #: Started and not finished, by token.
        self.running: dict[int, Start] = {}
        #: When each task id was started, in order.
        self.starts: dict[str, list[float]] = {}
        self._offset = 0

    def read(self) -> None:
        """Take in what was recorded since the last look."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        # A record still being written is left for the next look.
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode().splitlines():
            at, what, worker, token, task = line.split(" ")
            if what == "start":
                self.running[int(token)] = Start(float(at), worker, task)
                self.starts.setdefault(task, []).append(float(at))
            else:
                self.running.pop(int(token), None)
