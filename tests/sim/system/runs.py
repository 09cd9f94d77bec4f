"""Running seeds: which of them use the real store, and what a run tells of itself."""

import gc
import logging
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.sim.system.lanes import PlanChecker
from tests.sim.system.world import World

#: What brokers log of errors that they contained would drown what a seed found.
logging.getLogger("raftwork").addHandler(logging.NullHandler())

#: Every so many seeds one runs the real store, over files.
REAL_EVERY = 5
#: Files are kept in memory where that is possible: what is simulated is the disk.
_SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Run:
    """A seed's history, in short."""

    seed: int
    hash: int
    duration: int
    tasks: int
    reached: Counter[str]
    #: The checker (or the place in production's code) that found something, and what.
    checker: str = ""
    failure: str = ""
    #: The shape and the trace, of a history that failed or was asked for.
    trace: str = ""


def run(
    seed: int, consensus: str = "raft", *, real: bool | None = None, trace: bool = False
) -> Run:
    """Live through one seed; `real` overrides which store it uses."""
    if real is None:
        real = seed % REAL_EVERY == 0
    if not real:
        return _run(World(seed, consensus=consensus), trace)
    where = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    with TemporaryDirectory(prefix="raftwork-sim-", dir=where) as directory:
        world = World(seed, consensus=consensus, real_store=Path(directory))
        return _run(world, trace)


def _run(world: World, trace: bool) -> Run:
    checker = failure = ""
    try:
        with _no_collector(), world.reach.watching(), PlanChecker(world).watching():
            world.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the seed found
        if _told:  # inside a call of SQLite the signal's exception comes out as an SQLError
            sys.exit(_told[0])
        checker, failure = _found(error), f"{type(error).__name__}: {error}"
    timeline = world.timeline
    lines = [str(world.shape), *timeline.lines()] if trace or failure else []
    reached = world.reach.counts + timeline.reached + Counter(world.notes.reached)
    return Run(
        seed=world.seed,
        hash=timeline.hash,
        duration=timeline.now,
        tasks=len(world.queue.tasks),
        reached=reached,
        checker=checker,
        failure=failure,
        trace="\n".join(lines),
    )


@contextmanager
def _no_collector() -> Iterator[None]:
    """A history's objects live until it ends: looking for cycles among them only takes time.

    What is there before is not looked at by later collections either.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _found(error: Exception) -> str:
    checker = getattr(error, "checker", None)
    if isinstance(checker, str):
        return checker
    place, traceback = "", error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if "raftwork" in code.co_filename:
            place = f"{Path(code.co_filename).name}:{code.co_name}"
        traceback = traceback.tb_next
    return f"{type(error).__name__} in {place or 'the simulator'}"


#: The exit code of a process that was told to end.
_told: list[int] = []


def end_when_told() -> None:
    """SIGTERM ends this process as an error would: what a history has on disk goes with it."""

    def end(number: int, _: object) -> None:
        _told.append(128 + number)
        sys.exit(_told[0])

    signal.signal(signal.SIGTERM, end)


def run_all(seeds: Iterable[int], jobs: int, consensus: str) -> Iterable[Run]:
    """Runs in the order of `seeds`, in `jobs` processes."""
    live = partial(run, consensus=consensus)
    if jobs == 1:
        yield from map(live, seeds)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=end_when_told) as pool:
        yield from pool.map(live, seeds)
