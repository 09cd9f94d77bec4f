"""What a newcomer waits for: `raftwork dev`, an edit, a test with `raftwork_app`; and typed tasks.

    python -m bench first-hour [--rounds 5]

`raftwork dev` begins in an empty directory with a file of six lines; the client is this process,
which is there already, as a shell or an editor is.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from statistics import median

from bench import tasks
from bench.harness import Figures, cluster
from raftwork import App, Run
from raftwork.testing.processes import free_addresses
from raftwork.testing.virtual_app import installed

TASKS = """\
from raftwork import App
app = App()

@app.task
def add(x: int, y: int) -> int:
    return x + y
"""
BATCH, AHEAD, TASKS_OF_A_RATE = 1_000, 10, 20_000
FIRST_RESULT_S, RELOAD_S, TEST_MS, TYPED_SHARE = 3.0, 1.5, 20.0, 0.85


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="raftwork-bench-") as directory:
        yield Path(directory)


def dev() -> tuple[float, float]:
    """Seconds from the command to the first result, and from an edit to the first new one."""
    (address,) = free_addresses(1)
    with scratch() as directory, App(address, timeout=30) as app:
        (directory / "tasks.py").write_text(TASKS)
        command = [sys.executable, "-m", "raftwork", "dev", "tasks:app"]
        command += ["--port", address.rpartition(":")[2]]
        began = time.perf_counter()
        with subprocess.Popen(
            command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as running:
            try:
                assert app.enqueue("tasks.add", 1, 2).result(timeout=60) == 3
                first = time.perf_counter() - began
                (directory / "tasks.py").write_text(TASKS.replace("x + y", "x * 100 + y"))
                began = time.perf_counter()
                while app.enqueue("tasks.add", 1, 2).result(timeout=60) != 102:
                    time.sleep(0.005)
                return first, time.perf_counter() - began
            finally:
                running.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    running.wait(20)


def one_test() -> float:
    """Milliseconds of a test that enqueues, lets an hour pass and asserts."""
    began = time.perf_counter()
    with installed() as app:

        @app.task(name="remind", delay=3_000)
        def remind(who: str) -> str:
            return f"wrote to {who}"

        run = remind.enqueue("ann")
        app.advance(3_600)
        assert run.result() == "wrote to ann"
        assert [each.args for each in app.enqueued("remind")] == [("ann",)]
    return (time.perf_counter() - began) * 1_000


def rate(*, typed: bool) -> float:
    """Tasks/s end to end."""
    pending: list[list[Run[None]]] = []
    order = tasks.Order("7", 250, "EUR")
    due = datetime(2027, 1, 1, tzinfo=UTC)
    began = time.perf_counter()
    for _ in range(TASKS_OF_A_RATE // BATCH):
        if typed:
            pending.append(tasks.typed.enqueue_many([(order, due)] * BATCH))
        else:
            plain = {"id": "7", "cents": 250, "currency": "EUR"}
            pending.append(tasks.untyped.enqueue_many([(plain, due.isoformat())] * BATCH))
        if len(pending) > AHEAD:
            for run in pending.pop(0):
                run.result(timeout=60)
    for batch in pending:
        for run in batch:
            run.result(timeout=60)
    return TASKS_OF_A_RATE / (time.perf_counter() - began)


def measure_typed(figures: Figures, rounds: int) -> None:
    """Alternating, so that what else the machine does meets both."""
    with cluster(pool="process") as made:
        tasks.app.brokers = tuple(made.brokers.split(","))
        rate(typed=True)  # what each needs to get going
        rate(typed=False)
        shares, rates = [], []
        for _ in range(rounds):
            plain, typed = rate(typed=False), rate(typed=True)
            shares.append(typed / plain)
            rates.append((plain, typed))
        tasks.app.close()
    where = f"3 replicas, process pool of 2, batches of {BATCH}, median of {rounds} pairs"
    figures.add("plain: a dict and a text", median(p for p, _ in rates), "tasks/s", where)
    figures.add("typed: a dataclass and a datetime", median(t for _, t in rates), "tasks/s", where)
    figures.promise("typed against plain", median(shares), TYPED_SHARE, inf, where)


def main(arguments: Sequence[str] = ()) -> Figures:
    parser = argparse.ArgumentParser(prog="python -m bench first-hour")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args(list(arguments)).rounds
    figures = Figures("first-hour")
    firsts, reloads = zip(*[dev() for _ in range(rounds)], strict=True)
    where = f"median of {rounds}, in an empty directory"
    for name, found, limit in (
        ("raftwork dev to the first result, s", firsts, FIRST_RESULT_S),
        ("an edit to the first new result, s", reloads, RELOAD_S),
    ):
        figures.promise(name, median(found), 0, limit, where)
        figures.note(f"    all of them: {', '.join(f'{each:.2f}' for each in found)}")
    one_test()  # it imports what is lazily imported
    took = [one_test() for _ in range(20 * rounds)]
    figures.promise("a test with raftwork_app, ms", median(took), 0, TEST_MS, f"of {len(took)}")
    measure_typed(figures, rounds)
    figures.save()
    return figures


if __name__ == "__main__":
    main(sys.argv[1:])
