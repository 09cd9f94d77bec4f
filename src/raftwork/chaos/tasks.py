"""What the workers of a trial run: sleeps between two lines of the history, and ways to end."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from raftwork import App, Failure, Reject, Resume, current
from raftwork.chaos.history import Called, Finished, Found, Given, Journal, Kept, Started, now

#: The queue of a trial's tasks: on a running cluster no other worker takes them.
QUEUE = "chaos"
#: What a task leaves before it returns.
CHECKPOINTS = 3
#: It returns in this attempt, whatever it has found: a checkpoint that is lost is not to hang it.
_CLIMBS = 20
#: Between two looks whether it is to end.
_LOOK_S = 0.02

app = App()


@app.task(name="chaos.work", queue=QUEUE)
def work(number: int, milliseconds: int, journals: str) -> list[int]:
    """Sleep; the value distinguishes this run from every other run of any task."""
    with _recorded(journals):
        time.sleep(milliseconds / 1000)
    return [number, current().token]


@app.task(name="chaos.listen", queue=QUEUE)
def listen(number: int, milliseconds: int, journals: str) -> list[int]:
    """As `work`, and end once it is cancelled."""
    with _recorded(journals):
        until = now() + milliseconds / 1000
        while now() < until:
            time.sleep(_LOOK_S)
            current().check()
    return [number, current().token]


@app.task(name="chaos.stumble", queue=QUEUE)
def stumble(number: int, milliseconds: int, journals: str) -> list[int]:
    """As `work`, but fail where it is the first attempt."""
    with _recorded(journals):
        time.sleep(milliseconds / 1000)
        if current().attempt == 1:
            raise ValueError("the first attempt")
    return [number, current().token]


@app.task(name="chaos.fail", queue=QUEUE)
def fail(number: int, milliseconds: int, journals: str) -> None:
    """Fail, saying under which token."""
    with _recorded(journals):
        time.sleep(milliseconds / 1000)
    raise ValueError(f"{number} failed under {current().token}")


@app.task(name="chaos.reject", queue=QUEUE)
def reject(number: int, milliseconds: int, journals: str) -> None:
    """Fail for good, saying under which token."""
    with _recorded(journals):
        time.sleep(milliseconds / 1000)
    raise Reject(f"{number} failed under {current().token}")


@app.task(name="chaos.climb", queue=QUEUE)
def climb(number: int, milliseconds: int, journals: str) -> list[int]:
    """Leave one checkpoint an attempt, and go on in another: by failing, or by asking for it."""
    run = current()
    with _recorded(journals) as journal:
        found = run.checkpointed or 0
        journal.write(Found(now(), run.worker, run.id, run.token, found))
        time.sleep(milliseconds / 1000)
        if found < CHECKPOINTS and run.attempt < _CLIMBS:
            run.checkpoint(found + 1)
            journal.write(Kept(now(), run.worker, run.id, run.token, found + 1))
            if found % 2:
                raise ValueError("to be tried again")
            raise Resume
    return [number, run.token]


@app.task(name="chaos.gather", queue=QUEUE)
def gather(values: list[list[int]], number: int, milliseconds: int, journals: str) -> list[int]:
    """The body of a chord of `work`. What it does is recorded as the flow's, whose value is its."""
    run = current()
    flow = run.flow or run.id
    with _recorded(journals, flow) as journal:
        sources = ((f"{flow}/{at}", value[1]) for at, value in enumerate(values, 1))
        journal.write(*(Given(now(), run.worker, flow, run.token, *each) for each in sources))
        time.sleep(milliseconds / 1000)
    return [number, run.token]


@app.task(name="chaos.call", queue=QUEUE)
def call(milliseconds: int, journals: str) -> list[int]:
    """One of a broadcast; it returns which one, and under which token it ran."""
    run = current()
    index, count = run.shard or (-1, 0)
    called = Called(now(), run.worker, run.flow or run.id, run.token, index, count)
    _own_journal(journals).write(called)
    time.sleep(milliseconds / 1000)
    return [index, run.token]


@app.task(name="chaos.tally", queue=QUEUE)
def tally(values: list[Any], number: int, milliseconds: int, journals: str) -> list[int]:
    """As `gather`, after a broadcast of `call`, whatever has come of that."""
    run = current()
    flow = run.flow or run.id
    with _recorded(journals, flow) as journal:
        (calls,) = values
        for at, value in enumerate(calls):
            index, token = (at, -1) if isinstance(value, Failure) else value
            source = call_id(flow, index)
            journal.write(Given(now(), run.worker, flow, run.token, source, token))
        time.sleep(milliseconds / 1000)
    return [number, run.token]


def call_id(flow: str, index: int) -> str:
    """The id of the call of this index, from 0 on, in the broadcast that a flow begins with."""
    return f"{flow}/1.{index + 1}"


@contextmanager
def _recorded(journals: str, task: str | None = None) -> Iterator[Journal]:
    run = current()
    task = task or run.id
    journal = _own_journal(journals)
    journal.write(Started(now(), run.worker, task, run.token, run.attempt))
    try:
        yield journal
    finally:
        journal.write(Finished(now(), run.worker, task, run.token))


def _own_journal(journals: str) -> Journal:
    # By pid, because children are forked from a process that may have one open.
    return _journal(Path(journals) / f"runs-{os.getpid()}")


@lru_cache(maxsize=1)
def _journal(path: Path) -> Journal:
    return Journal(path)
