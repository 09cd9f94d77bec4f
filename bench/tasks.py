"""The tasks that benchmarks run."""

import os
import signal
import time
from dataclasses import dataclass
from datetime import datetime

from raftwork import App, current

app = App()


@app.task(name="bench.noop")
def noop() -> None:
    """Nothing: all that is measured is ours."""


@dataclass
class Order:
    id: str
    cents: int
    currency: str


@app.task(name="bench.typed")
def typed(order: Order, due: datetime) -> None:
    """Its arguments are converted, out and in."""


@app.task(name="bench.untyped")
def untyped(order: dict[str, object], due: str) -> None:
    """The same as plain values."""


@app.task(name="bench.count")
def count(values: list[None]) -> int:
    """The body of a chord."""
    return len(values)


@app.task(name="bench.swallow")
def swallow(payload: bytes) -> int:
    return len(payload)


@app.task(name="bench.inflate")
def inflate(size: int) -> bytes:
    return bytes(size)


@app.task(name="bench.fail")
def fail(what: str) -> None:
    raise ValueError(f"no such customer: {what}")


@app.task(name="bench.mark")
def mark(path: str, seconds: float) -> None:
    """Write when and where the code starts, then take a while."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"{time.time():.6f} {current().worker}\n".encode())
    finally:
        os.close(file)
    time.sleep(seconds)


@app.task(name="bench.sleep")
def sleep(seconds: float) -> None:
    time.sleep(seconds)


@app.task(name="bench.poison")
def poison() -> None:
    """Take the process that runs it down."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="bench.spin")
def spin(seconds: float) -> list[object]:
    """Compute for so many seconds of CPU; gives when it began, when it ended, and where."""
    began, until = time.time(), time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    return [began, time.time(), current().worker]


@app.task(name="bench.until_cancelled")
def until_cancelled() -> float:
    """Wait to be asked to end; gives when it was, s since 1970."""
    while not current().cancelled:
        time.sleep(0.0005)
    return time.time()


@app.task(name="bench.note")
def note(path: str) -> None:
    """Write that this task's code has run."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"{current().id}\n".encode())
    finally:
        os.close(file)
