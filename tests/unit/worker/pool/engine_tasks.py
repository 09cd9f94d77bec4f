"""An App whose tasks run on engines, and what makes these."""

import multiprocessing
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass

from raftwork import App, current

app = App("127.0.0.1:1")


@dataclass
class Point:
    x: int


@app.task(name="add")
def add(x: int, y: int) -> int:
    return x + y


@app.task(name="typed")
def typed(point: Point) -> Point:
    return Point(point.x + 1)


@app.task(name="acall")
async def acall(x: int) -> list[object]:
    return [x, current().id, current().worker, app.brokers[0]]


@app.task(name="fails")
def fails() -> None:
    raise ValueError("bad")


def threads() -> Executor:
    return ThreadPoolExecutor(2)


def processes() -> Executor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def broken() -> Executor:
    raise OSError("no engine here")


not_callable = 3
