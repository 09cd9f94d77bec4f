"""One side of `python -m bench compare`: a cluster and a client of the same tree, measured briefly.

    RAFTWORK_BROKERS=… python driver.py '{"consensus": "raft", "seconds": 2.5, "only": ["enqueue"]}'

It is run under the PYTHONPATH of the tree to be measured, which may be much older than this file:
so it relies on nothing but what users rely on, and on nothing else of `bench`. Three brokers listen
on RAFTWORK_BROKERS, with keys if DRIVER_KEYS names some. It prints one JSON object: each
measurement's value, and the CPU time that all processes together took for a task of it.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

import raftwork
from raftwork import App, Run

BATCH = 1_000
#: Batches ahead of the results.
AHEAD = 10
WARM_UP_S = 0.5
#: Names a directory with the brokers' keys, NAME.key, and access.toml. RAFTWORK_KEY goes with it.
KEYS = "DRIVER_KEYS"

app = App(timeout=60)


@app.task(name="driver.noop")
def noop() -> None:
    """Nothing: all that is measured is ours."""


@app.task(name="driver.kept", queue="nobody-serves-this")
def kept() -> None:
    """Only enqueued."""


def throughput(seconds: float) -> tuple[float, int]:
    """Tasks/s from the first enqueue to the last result; and how many tasks."""
    pending: list[list[Run[None]]] = []
    began, tasks = time.perf_counter(), 0
    while pending or not tasks:
        if time.perf_counter() - began < seconds:
            pending.append(noop.enqueue_many([()] * BATCH))
            tasks += BATCH
            if len(pending) <= AHEAD:
                continue
        for run in pending.pop(0):
            run.result(timeout=60)
    return tasks / (time.perf_counter() - began), tasks


def enqueue(seconds: float) -> tuple[float, int]:
    """Tasks/s that one thread enqueues one by one, each acknowledged before the next."""
    began, tasks = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        kept.enqueue()
        tasks += 1
    return tasks / (time.perf_counter() - began), tasks


def one_in_flight(seconds: float) -> tuple[float, int]:
    """The median time (ms) from an enqueue to its result, one task after the other."""
    began, took = time.perf_counter(), list[float]()
    while time.perf_counter() - began < seconds:
        at = time.perf_counter()
        noop.enqueue().result(timeout=60)
        took.append((time.perf_counter() - at) * 1e3)
    return statistics.median(took), len(took)


MEASUREMENTS: dict[str, Callable[[float], tuple[float, int]]] = {
    "throughput": throughput,
    "enqueue": enqueue,
    "one-in-flight": one_in_flight,
}


@contextmanager
def cluster(directory: Path, consensus: str) -> Iterator[list[psutil.Process]]:
    """Three brokers and a worker that has run a task; gives them, and this process."""
    named = dict(zip("abc", app.brokers, strict=True))
    mapping = ",".join(f"{name}={address}" for name, address in named.items())
    shared = ("--cluster", mapping, "--consensus", consensus)
    commands = [
        ["broker", "--name", name, *shared, "--data", str(directory / name), *_keys(name)]
        for name in named
    ]
    commands.append(["worker", "driver:app", "--pool", "thread", "--concurrency", "2"])
    children: list[psutil.Popen] = []
    log = directory / "log"
    try:
        with log.open("wb") as out:
            for command in commands:
                whole = [sys.executable, "-m", "raftwork", *command]
                stdin = subprocess.DEVNULL
                children.append(psutil.Popen(whole, stdin=stdin, stdout=out, stderr=out))
        try:
            noop.enqueue().result(timeout=60)
        except Exception:
            sys.stderr.write(log.read_text(errors="replace")[-4_000:])
            raise
        yield [psutil.Process(), *children]
    finally:
        app.close()
        for child in children:
            child.kill()
        for child in children:
            child.wait()


def _keys(name: str) -> list[str]:
    """Nothing without any: older trees know no such flags."""
    where = os.environ.get(KEYS)
    return ["--key", f"{where}/{name}.key", "--access", f"{where}/access.toml"] if where else []


def cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def main() -> None:
    asked = json.loads(sys.argv[1])
    figures: dict[str, dict[str, float]] = {}
    with (
        tempfile.TemporaryDirectory(dir=".") as directory,
        cluster(Path(directory).resolve(), asked["consensus"]) as processes,
    ):
        for name in asked["only"]:
            measure = MEASUREMENTS[name]
            measure(WARM_UP_S)
            before = cpu_seconds(processes)
            value, tasks = measure(asked["seconds"])
            cpu_us = (cpu_seconds(processes) - before) / tasks * 1e6
            figures[name] = {"value": value, "cpu_us": cpu_us}
    print(json.dumps({"raftwork": raftwork.__file__, "figures": figures}))


if __name__ == "__main__":
    main()
