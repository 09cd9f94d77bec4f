"""A client of a trial, in a process of its own: enqueues, asks, waits, and records each step.

`python -m raftwork.chaos.workload NAME BROKERS JOURNALS RATE`. SIGTERM: enqueue nothing new,
wait for what is out, exit 0. Whatever is unavailable is tried again under the same ids.
"""

import asyncio
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

from raftwork import App, RaftworkError, Run, TaskFailed, TaskLost, Unavailable, UnknownTask
from raftwork.chaos.history import Asked, Ended, Journal, Looked, Refused, Stored, now
from raftwork.chaos.tasks import QUEUE, work

log = logging.getLogger("raftwork.trial")

#: Seconds one enqueue or question may take before it is tried again.
TIMEOUT_S = 5.0
#: Requests under way at once; tasks without an outcome.
LANES = 4
OUTSTANDING = 100
BATCH_MAX = 5
#: Seconds for what is out to end once the client is told to stop.
SETTLED_WITHIN_S = 60.0
#: Shares of the tasks: at most once; looked at by `status()`; running for so long that faults hit
#: them in the middle.
ONCE, SEEN, LONG = 0.1, 0.2, 0.03


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
            runs = await self._enqueue(numbers, once=self._rng.random() < ONCE)
            for _ in numbers[len(runs) :]:
                self._room.release()
            for run in runs:
                wait = asyncio.create_task(self._follow(run))
                self._waits.add(wait)
                wait.add_done_callback(self._waits.discard)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._rng.expovariate(1 / self._pause))

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _enqueue(self, numbers: list[int], *, once: bool) -> list[Run[list[int]]]:
        """The acknowledged runs: all, or none."""
        ids = [f"{self._name}-{number}" for number in numbers]
        calls = [(number, self._duration(), self._journals) for number in numbers]
        task = self._app.named(
            work.name, queue=QUEUE, delivery="at_most_once" if once else "at_least_once"
        )
        at = now()
        self._journal.write(
            *(
                Asked(at, self._name, task_id, number, int(once))
                for task_id, number in zip(ids, numbers, strict=True)
            )
        )
        give_up = None
        while give_up is None or now() < give_up:
            try:
                runs = await task.aenqueue_many(calls, ids=ids)
            except Unavailable:
                if self._stop.is_set() and give_up is None:
                    give_up = now() + SETTLED_WITHIN_S / 2
            except RaftworkError as error:
                log.warning("refused: %s", error)
                at = now()
                self._journal.write(*(Refused(at, self._name, task_id) for task_id in ids))
                return []
            else:
                at = now()
                self._journal.write(*(Stored(at, self._name, task_id) for task_id in ids))
                return runs
        return []

    def _duration(self) -> int:
        if self._rng.random() < LONG:
            return self._rng.randint(200, 400)
        return self._rng.randint(1, 10)

    async def _follow(self, run: Run[list[int]]) -> None:
        seen = self._rng.random() < SEEN
        try:
            if seen:
                await self._look(run.id)
            self._journal.write(await self._end(run))
            if seen:
                await self._look(run.id)
        finally:
            self._room.release()

    async def _end(self, run: Run[list[int]]) -> Ended:
        try:
            value = await run.aresult()
        except (TaskFailed, TaskLost, UnknownTask) as error:
            return Ended(now(), self._name, run.id, state_of(error))
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


def state_of(error: RaftworkError | TimeoutError) -> str:
    """The end of a task that `result()` reports by raising this."""
    match error:
        case TaskFailed():
            return "failed"
        case TaskLost():
            return "lost"
        case UnknownTask():
            return "unknown"
        case _:
            return "none"


async def _main(name: str, brokers: str, journals: str, rate: str) -> None:
    stop = asyncio.Event()
    # Before the journal is there, which says that this client may be told to stop.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Client(name, brokers, Path(journals), float(rate), stop).run()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
