"""A client of a trial, in a process of its own: enqueues, asks, waits, and records each step.

`python -m raftwork.chaos.workload NAME BROKERS JOURNALS RATE`. SIGTERM: enqueue nothing new,
wait for what is out, exit 0. Whatever is unavailable is tried again under the same ids.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from raftwork import (
    App,
    RaftworkError,
    Run,
    TaskCancelled,
    TaskFailed,
    TaskLost,
    Unavailable,
    UnknownTask,
    Unsupported,
)
from raftwork.chaos.history import (
    Asked,
    Cancelled,
    Cancelling,
    Ended,
    Existing,
    Journal,
    Looked,
    Refused,
    Stored,
    Wanted,
    now,
)
from raftwork.chaos.mix import MIX, ORDINARY, Batch, draw
from raftwork.client.canvas import Canvas

log = logging.getLogger("raftwork.trial")

#: Seconds one enqueue or question may take before it is tried again.
TIMEOUT_S = 5.0
#: Requests under way at once; tasks without an outcome.
LANES = 4
OUTSTANDING = 100
BATCH_MAX = 5
#: Seconds for what is out to end once the client is told to stop.
SETTLED_WITHIN_S = 60.0
#: Share of the tasks that are looked at by `status()`.
SEEN = 0.2


class Client:
    """`rate` is tasks a second, as long as the cluster keeps up; `stop` ends it."""

    def __init__(
        self, name: str, brokers: str, journals: Path, rate: float, stop: asyncio.Event
    ) -> None:
        self._name = name
        self._app = App(brokers=brokers, timeout=TIMEOUT_S)
        # An App answers questions about outcomes it knows by itself; this one never knows any.
        self._reader = App(brokers=brokers, timeout=TIMEOUT_S)
        self._journal = Journal(journals / name)
        self._journals = str(journals)
        self._rng = Random()
        self._pause = LANES * (1 + BATCH_MAX) / 2 / rate
        self._number = 0
        self._room = asyncio.Semaphore(OUTSTANDING)
        self._waits: set[asyncio.Task[None]] = set()
        self._stop = stop
        self._mix = MIX

    async def run(self) -> None:
        """Enqueue and wait until told to stop; then settle what is under way and close."""
        await asyncio.gather(*(self._lane() for _ in range(LANES)))
        if self._waits:
            await asyncio.wait(self._waits, timeout=SETTLED_WITHIN_S)
        self._app.close()
        self._reader.close()

    async def _lane(self) -> None:
        while not self._stop.is_set():
            numbers = [self._next() for _ in range(self._rng.randint(1, BATCH_MAX))]
            for _ in numbers:
                await self._room.acquire()
            batch = draw(self._mix, self._rng, self._name)
            runs = await self._enqueue(numbers, batch)
            for _ in numbers[len(runs) :]:
                self._room.release()
            for run in runs:
                self._in_background(self._follow(run, batch.cancel_after))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._rng.expovariate(1 / self._pause))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _in_background(self, wait: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(wait)
        self._waits.add(task)
        task.add_done_callback(self._waits.discard)

    async def _enqueue(self, numbers: list[int], batch: Batch) -> Sequence[Run[Any]]:
        """The acknowledged runs: all, or none."""
        ids = [f"{self._name}-{number}" for number in numbers]
        enqueue = self._ready(numbers, ids, batch)
        self._announce(numbers, ids, batch)
        give_up = None
        while give_up is None or now() < give_up:
            try:
                runs = await enqueue()
            except Unavailable:
                if self._stop.is_set() and give_up is None:
                    give_up = now() + SETTLED_WITHIN_S / 2
            except RaftworkError as error:
                if isinstance(error, Unsupported):
                    self._mix = ORDINARY  # the cluster's level is that of an older release
                log.warning("refused: %s", error)
                at = now()
                self._journal.write(*(Refused(at, self._name, task_id) for task_id in ids))
                return []
            else:
                self._answered(ids, runs, batch)
                return runs
        return []

    def _ready(
        self, numbers: list[int], ids: list[str], batch: Batch
    ) -> Callable[[], Awaitable[Sequence[Run[Any]]]]:
        """What enqueues them: each time it is called the same, so they enter once."""
        if batch.is_of_flows:
            flows = [batch.flow(self._app, n, self._rng, self._journals) for n in numbers]
            return partial(_submitted, flows, ids)
        calls = [(number, batch.sleep(self._rng), self._journals) for number in numbers]
        return partial(batch.task(self._app).aenqueue_many, calls, ids=ids)

    def _announce(self, numbers: list[int], ids: list[str], batch: Batch) -> None:
        at = now()
        for number, task in zip(numbers, ids, strict=True):
            wanted = (Wanted(at, self._name, task, *each) for each in batch.wanted.items())
            self._journal.write(Asked(at, self._name, task, number, int(batch.once)), *wanted)
            for member in batch.member_ids(task):
                self._journal.write(Asked(at, self._name, member, number))

    def _answered(self, ids: list[str], runs: Sequence[Run[Any]], batch: Batch) -> None:
        at = now()
        for flow in ids:
            members = (Stored(at, self._name, member) for member in batch.member_ids(flow))
            self._journal.write(*members)
        self._journal.write(
            *(
                Stored(at, self._name, task)
                if run.id == task
                else Existing(at, self._name, task, run.id)
                for task, run in zip(ids, runs, strict=True)
            )
        )

    async def _follow(self, run: Run[Any], cancel_after: float | None) -> None:
        seen = self._rng.random() < SEEN
        try:
            if seen:
                await self._look(run.id)
            if cancel_after is not None:
                await asyncio.sleep(cancel_after)
                await self._cancel(run)
            self._journal.write(await self._end(run))
            if seen:
                await self._look(run.id)
        finally:
            self._room.release()

    async def _cancel(self, run: Run[Any]) -> None:
        self._journal.write(Cancelling(now(), self._name, run.id))
        give_up = now() + SETTLED_WITHIN_S / 2
        while now() < give_up:
            try:
                done = await run.acancel(grace=1)
            except Unavailable:
                continue
            except RaftworkError as error:
                log.warning("not cancelled: %s", error)
                return
            if done:
                self._journal.write(Cancelled(now(), self._name, run.id))
            return

    async def _end(self, run: Run[Any]) -> Ended:
        try:
            value = await run.aresult()
        except RaftworkError as error:
            return ended(self._name, run.id, error)
        return Ended(now(), self._name, run.id, "succeeded", *value)

    async def _look(self, task: str) -> None:
        asked = now()
        try:
            state = str(await self._reader.run(task).astatus())
        except UnknownTask:
            state = "unknown"
        except RaftworkError:
            return
        self._journal.write(Looked(now(), self._name, task, asked, state))


async def _submitted(flows: Sequence[Canvas], ids: Sequence[str]) -> list[Run[Any]]:
    """Flows, one after the other; one that is there already is there once."""
    return [(await made.aenqueue(id_)).run for made, id_ in zip(flows, ids, strict=True)]


def ended(client: str, task: str, error: RaftworkError | TimeoutError) -> Ended:
    """The end of a task that `result()` reports by raising this."""
    state, token = "none", -1
    match error:
        case TaskFailed():
            state, token = "failed", _token(error)
        case TaskLost():
            state = "lost"
        case TaskCancelled():
            state = "cancelled"
        case UnknownTask():
            state = "unknown"
        case _:
            pass
    return Ended(now(), client, task, state, token=token)


def _token(error: TaskFailed) -> int:
    """What the code of a trial raises ends with its token; nothing else should be raised."""
    last = error.message.rpartition(" ")[2]
    return int(last) if last.isdecimal() else -1


async def _main(name: str, brokers: str, journals: str, rate: str) -> None:
    stop = asyncio.Event()
    # Before the journal is there, which says that this client may be told to stop.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Client(name, brokers, Path(journals), float(rate), stop).run()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
