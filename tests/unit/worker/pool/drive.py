"""Driving a pool by hand: conditions with deadlines, never sleeps of a fixed length."""

import os
import select
import time
from collections.abc import Callable

from raftwork.messages import Failure, PushedTask, Spec, decode_failure, encode_spec
from raftwork.wire import pack, unpack
from raftwork.worker.pool import Pool
from raftwork.worker.runner import Ended

DEADLINE = 20.0


def job(token: int, name: str, *args: object) -> PushedTask:
    return PushedTask(token, f"id{token}", 1, encode_spec(Spec(name, "default")), pack([args, {}]))


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll until it holds; fails after a deadline that only a broken promise reaches."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.002)


def collect(pool: Pool, count: int) -> dict[int, Ended]:
    """Wait for so many ends, by token."""
    ends: dict[int, Ended] = {}
    deadline = time.monotonic() + DEADLINE
    awake = select.poll()
    for waker in pool.wakers:
        awake.register(waker, select.POLLIN)
    while len(ends) < count:
        assert time.monotonic() < deadline, f"only {sorted(ends)} of {count} ended"
        awake.poll(50)
        for end in pool.collect():
            assert end.outcome.token not in ends
            ends[end.outcome.token] = end
    return ends


def until_running(pool: Pool, *tokens: int) -> None:
    def running() -> bool:
        assert pool.collect() == []
        return {r.token for r in pool.running()} == set(tokens)

    until(running, f"{tokens} run")


def value(end: Ended) -> object:
    assert end.outcome.ok, decode_failure(end.outcome.data)
    return unpack(end.outcome.data)


def failure(end: Ended) -> Failure:
    assert not end.outcome.ok
    return decode_failure(end.outcome.data)


def alive(pid: int) -> bool:
    """Whether that process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
    except ProcessLookupError:
        return False


def wait_for(path: str) -> None:
    """A task's code: run until that file exists."""
    until(lambda: os.path.exists(path), f"{path} exists")
