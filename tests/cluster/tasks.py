"""The tasks that workers of test clusters run. They leave marks in the file RAFTWORK_TEST_MARKS.

A worker is made bad by a file beside it: `MARKS.deadly` holds the name of the worker under whose
tasks the process dies; while there is `MARKS.stillbirth`, the pool's processes die at their birth.
"""

import asyncio
import contextlib
import os
import signal
import time

import psutil

from raftwork import App, current

app = App()
#: Of the release before: it knows none of the other tasks.
old = App()

_MARKS = os.environ.get("RAFTWORK_TEST_MARKS", "")


def mark(what: str) -> None:
    """One line `what id token attempt worker pid`, whole even if several processes write."""
    run = current()
    line = f"{what} {run.id} {run.token} {run.attempt} {run.worker} {os.getpid()}\n"
    file = os.open(_MARKS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
    if _beside("deadly") == run.worker:
        os.kill(os.getpid(), signal.SIGKILL)


def _beside(what: str) -> str | None:
    with contextlib.suppress(FileNotFoundError), open(f"{_MARKS}.{what}") as file:
        return file.read()
    return None


def _born(worker: int = os.getpid()) -> None:
    if os.getppid() != worker and _beside("stillbirth") is not None:  # nor is it the fork server
        os._exit(1)


os.register_at_fork(after_in_child=_born)


@app.task(name="add")
def add(x: int, y: int = 0) -> int:
    mark("start")
    return x + y


@app.task(name="echo")
def echo(value: object) -> object:
    return value


@app.task(name="nap")
def nap(seconds: float) -> int:
    """Sleeps between two marks; the value is the token under which it ran."""
    mark("start")
    time.sleep(seconds)
    mark("finish")
    return current().token


@app.task(name="anap")
async def anap(seconds: float) -> int:
    """As `nap`, as a coroutine."""
    mark("start")
    await asyncio.sleep(seconds)
    mark("finish")
    return current().token


@app.task(name="until")
def until(path: str) -> int:
    """Runs until somebody makes the file `path`; the value is the token under which it ran."""
    mark("start")
    while not os.path.exists(path):
        time.sleep(0.005)
    mark("finish")
    return current().token


@app.task(name="add_elsewhere")
def add_elsewhere(x: int, y: int) -> int:
    """Has another task do it."""
    return add.enqueue(x, y).result(timeout=60)


@app.task(name="deaf")
async def deaf() -> None:
    """Does not let itself be cancelled."""
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


@app.task(name="blocking")
async def blocking() -> None:
    """Blocks its event loop."""
    time.sleep(3600)  # noqa: ASYNC251


@app.task(name="fail")
def fail(times: int) -> int:
    """Fails on its first `times` attempts; the value is the attempt that succeeded."""
    mark("start")
    if current().attempt <= times:
        raise ValueError(f"attempt {current().attempt} fails as asked")
    return current().attempt


@app.task(name="climb")
def climb(path: str) -> list[object]:
    """Leaves a checkpoint, says so, and runs until there is the file; what it found and left."""
    run = current()
    found = run.checkpointed
    run.checkpoint((found or 0) + 1)
    run.progress(0.5, f"attempt {run.attempt}")
    mark("start")
    while not os.path.exists(path):
        time.sleep(0.005)
    return [found, run.attempt]


@app.task(name="crash")
def crash() -> None:
    """Kills the process that runs it."""
    mark("start")
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="unheard")
def unheard() -> int:
    """Stops its worker the first time: nobody hears that it ran. Needs a pool of processes."""
    if current().attempt == 1:
        os.kill(psutil.Process(os.getppid()).ppid(), signal.SIGSTOP)  # above the fork server
    mark("start")
    return current().token


@old.task(name="old")
def old_task() -> None:
    """Of this release the code is not there any more."""
