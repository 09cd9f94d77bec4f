"""The demo's run: load on three brokers and two workers, one of each killed, honest counts.

Everything is counted on one event loop, so "this enqueue is pending" is a fact at the instant a
process is killed and not a guess.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import psutil

from raftwork import App, RaftworkError, Run, Task
from raftwork.cli.demo.tasks import Records, Start, demo_task
from raftwork.cli.output import count
from raftwork.client.overview import Overview, observe
from raftwork.testing.processes import LocalCluster

#: Seconds for a cluster of fresh processes to be ready.
READY_WITHIN_S = 30.0
#: Seconds for the last result to come, besides the work itself.
SETTLED_WITHIN_S = 60.0
WORKERS = ("w1", "w2")
SLOTS = 4


@dataclass(slots=True, kw_only=True)
class Counts:
    """What the demo counted."""

    enqueued: int = 0
    acknowledged: int = 0
    results: int = 0
    #: Acknowledged, but without a result when the time was up.
    lost: int = 0
    #: Asked again at the end, the outcome was another.
    duplicate_outcomes: int = 0
    run_more_than_once: int = 0
    longest_gap: float = 0.0  # s between two acknowledgements
    rate: float = 0.0  # results a second
    #: Kills that proved nothing, because the process had nothing to do.
    idle_kills: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing was lost, and each kill hit a busy process."""
        complete = self.enqueued == self.acknowledged == self.results
        return complete and not (self.lost or self.duplicate_outcomes or self.idle_kills)


class Rehearsal:
    """One demo. `say` receives what happens, `progress` how many results are in."""

    def __init__(
        self,
        cluster: LocalCluster,
        tasks: int,
        *,
        say: Callable[[str], None],
        progress: Callable[[int], None],
    ) -> None:
        self._cluster = cluster
        self._tasks = tasks
        self._say = say
        self._progress = progress
        self._records = Records(cluster.directory / "records")
        self._counts = Counts()
        self._runs: list[Run[list[int]]] = []
        self._results: dict[str, list[int]] = {}
        self._acknowledged_at: list[float] = []
        self._moved = asyncio.Event()
        self._deadline = 0.0
        self._leader_killed: float | None = None
        self._background: list[asyncio.Task[None]] = []
        #: Each worker's process and those of its pool.
        self._families: dict[str, list[psutil.Process]] = {}

    async def run(self) -> Counts:
        """Run the demo. Raises TimeoutError if no cluster comes up, and errors of enqueueing."""
        await self._start()
        began = time.monotonic()
        self._deadline = began + SETTLED_WITHIN_S + self._tasks / 50
        with App(brokers=self._cluster.brokers, timeout=SETTLED_WITHIN_S) as app:
            await self._load(demo_task(app))
            await asyncio.gather(*self._background)
        self._counts.results = len(self._results)
        self._counts.rate = len(self._results) / (time.monotonic() - began)
        await self._audit()
        return self._counts

    async def _start(self) -> None:
        for name in self._cluster.addresses:
            self._cluster.start_broker(name)
        for name in WORKERS:
            self._cluster.start_worker(
                name, "raftwork.cli.demo.tasks:app", "--concurrency", str(SLOTS)
            )
        within = time.monotonic() + READY_WITHIN_S
        while (seen := await self._observe()).leader is None or len(seen.workers) < len(WORKERS):
            for child in self._cluster.children.values():
                if not child.alive:
                    raise TimeoutError(f"{child.name} ended at its start:\n{child.tail()}")
            if time.monotonic() > within:
                raise TimeoutError(f"no leader with two workers within {READY_WITHIN_S:.0f} s")
            await asyncio.sleep(0.05)
        self._say(f"{seen.leader} leads (epoch {seen.epoch}); workers {', '.join(WORKERS)}")
        for name in WORKERS:
            agent = psutil.Process(self._cluster.children[name].pid)
            self._families[name] = [agent, *agent.children(recursive=True)]

    async def _observe(self) -> Overview:
        """What the living brokers say."""
        asked = [
            address
            for name, address in self._cluster.addresses.items()
            if self._cluster.children[name].alive
        ]
        return await asyncio.to_thread(observe, ",".join(asked), follow=False)

    # ---- the load -----------------------------------------------------------------------------

    async def _load(self, task: Task[[int, str], list[int], list[int]]) -> None:
        """Enqueue in batches; the leader is killed while one of them is pending."""
        size = max(1, self._tasks // 80)
        for first in range(0, self._tasks, size):
            await self._room()
            calls = [(n, str(self._records.path)) for n in range(self._tasks)[first : first + size]]
            target = await self._observe() if self._leader_is_due() else None
            request = asyncio.ensure_future(task.aenqueue_many(calls))
            self._counts.enqueued += len(calls)
            if target:
                await self._kill_leader(target, request, len(calls))
            for run in await request:
                self._runs.append(run)
                self._background.append(asyncio.create_task(self._collect(run)))
            self._counts.acknowledged += len(calls)
            self._acknowledged_at.append(time.monotonic())
        if self._leader_killed is None:
            self._counts.idle_kills.append("no enqueue was pending when the leader was due")

    def _leader_is_due(self) -> bool:
        return self._leader_killed is None and len(self._results) >= self._tasks // 2

    async def _room(self) -> None:
        """Until the leader is killed the load keeps a step ahead of the results, no more."""
        step = max(self._tasks // 4, 1)
        while self._leader_killed is None and len(self._runs) - len(self._results) >= step:
            self._moved.clear()
            await self._moved.wait()

    async def _collect(self, run: Run[list[int]]) -> None:
        try:
            value = await run.aresult(timeout=max(0.0, self._deadline - time.monotonic()))
        except (RaftworkError, TimeoutError) as error:
            self._say(f"task {run.id}: {type(error).__name__}: {error}")
        else:
            self._results[run.id] = value
            self._progress(len(self._results))
        self._moved.set()

    # ---- the faults ---------------------------------------------------------------------------

    async def _kill_leader(
        self, seen: Overview, request: asyncio.Future[list[Run[list[int]]]], size: int
    ) -> None:
        # A moment for the request to reach the leader, which needs longer to store it.
        await asyncio.wait({request}, timeout=0.001)
        if request.done() or seen.leader is None:
            return  # nothing pending: the next batch tries again
        self._cluster.children[seen.leader].kill()
        self._leader_killed = time.monotonic()
        self._say(f"killed the leader {seen.leader} with {count(size, 'enqueue')} pending")
        self._background.append(asyncio.create_task(self._tell_election(seen)))
        self._background.append(asyncio.create_task(self._kill_worker(request)))

    async def _tell_election(self, before: Overview) -> None:
        assert self._leader_killed is not None
        while time.monotonic() < self._deadline:
            seen = await self._observe()
            if seen.leader is not None and (seen.epoch or 0) > (before.epoch or 0):
                took = time.monotonic() - self._leader_killed
                self._say(
                    f"{seen.leader} leads (epoch {seen.epoch}) {took:.2f} s after the kill; "
                    f"before, {before.leader} led (epoch {before.epoch})"
                )
                return
            await asyncio.sleep(0.01)

    async def _kill_worker(self, enqueued: asyncio.Future[list[Run[list[int]]]]) -> None:
        """Once the new leader has acknowledged something: a worker in the middle of a task."""
        assert self._leader_killed is not None
        await asyncio.wait({enqueued})
        took = time.monotonic() - self._leader_killed
        self._say(f"enqueues are acknowledged again {took:.2f} s after the kill")
        while not (held := self._strike()):
            if len(self._results) == self._tasks or time.monotonic() > self._deadline:
                self._counts.idle_kills.append("no worker was running a task when one was due")
                return
            await asyncio.sleep(0.001)
        killed = time.time()
        (worker,) = {start.worker for start in held}
        self._say(f"killed the worker {worker} while it ran {count(len(held), 'task')}")
        await self._tell_reruns({start.task for start in held}, killed)

    def _strike(self) -> list[Start]:
        """Kill a worker that is running tasks and return them; empty if none is.

        It is frozen with its pool before the last look: a task of 10 ms could end between a look
        and a signal.
        """
        self._records.read()
        worker = next((start.worker for start in self._records.running.values()), None)
        if worker is None:
            return []
        family = self._families[worker]
        _each(family, psutil.Process.suspend)
        self._records.read()
        held = [start for start in self._records.running.values() if start.worker == worker]
        _each(family, psutil.Process.kill if held else psutil.Process.resume)
        return held

    async def _tell_reruns(self, held: set[str], killed: float) -> None:
        while time.monotonic() < self._deadline:
            self._records.read()
            again = [max(self._records.starts[task]) for task in held]
            if min(again) > killed:
                self._say(f"they all ran again within {max(again) - killed:.2f} s of the kill")
                return
            await asyncio.sleep(0.01)

    # ---- the verdict --------------------------------------------------------------------------

    async def _audit(self) -> None:
        """Ask for every outcome again over fresh connections, and look at what really ran."""
        counts = self._counts
        with App(brokers=self._cluster.brokers, timeout=SETTLED_WITHIN_S) as app:
            again = await asyncio.gather(
                *(app.run(run.id).aresult(timeout=SETTLED_WITHIN_S) for run in self._runs),
                return_exceptions=True,
            )
        for run, outcome in zip(self._runs, again, strict=True):
            if run.id not in self._results:
                counts.lost += 1
            elif outcome != self._results[run.id]:
                counts.duplicate_outcomes += 1
                self._say(f"task {run.id}: first {self._results[run.id]}, then {outcome!r}")
        self._records.read()
        counts.run_more_than_once = sum(len(at) > 1 for at in self._records.starts.values())
        gaps = (later - earlier for earlier, later in pairwise(self._acknowledged_at))
        counts.longest_gap = max(gaps, default=0.0)


def _each(family: list[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for process in family:
        with suppress(psutil.NoSuchProcess):  # psutil checks that the pid still means this process
            act(process)
