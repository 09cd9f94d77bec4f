"""What type checkers must see of a task. Checked by them, and run for good measure."""

from collections.abc import Coroutine
from typing import Any, assert_type

import pytest

from raftwork import Run, Status
from raftwork.client.task import BoundTask
from raftwork.messages import Result, State
from raftwork.wire import pack
from tests.unit.client.cluster import app_and_cluster

app, cluster = app_and_cluster()


@app.task
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task(queue="slow", retries=3)
async def fetch(url: str, *, tries: int = 1) -> bytes:
    return url.encode() * tries


def test_a_task_keeps_its_signature_and_its_value_type() -> None:
    assert_type(add(1, 2), int)
    run = add.enqueue(1, y=2)
    assert_type(run, Run[int])
    assert_type(add.enqueue_many([(1, 2)]), list[Run[int]])
    assert_type(add.options(queue="bulk", id="x1").enqueue(1), Run[int])
    assert_type(run.id, str)
    cluster.states[run.id] = Result(run.id, State.SUCCEEDED, pack(3))
    assert_type(run.result(timeout=10), int)
    assert_type(run.status(), Status)


def test_a_coroutine_functions_value_is_what_it_returns() -> None:
    coroutine = assert_type(fetch("u"), Coroutine[Any, Any, bytes])
    coroutine.close()
    assert_type(fetch.enqueue("u", tries=2), Run[bytes])
    assert_type(fetch.options(timeout=5).enqueue_many([("u",)]), list[Run[bytes]])


async def twins() -> None:
    assert_type(await app.queue("q").aset(balancer="lru", max_bytes=None), None)
    assert_type(await add.aenqueue(1), Run[int])
    assert_type(await fetch.aenqueue_many([("u",)]), list[Run[bytes]])
    assert_type(await (await add.aenqueue(1)).aresult(), int)


def test_by_name_anything_goes() -> None:
    assert_type(app.named("t", queue="q"), BoundTask[..., Any])
    assert_type(app.enqueue("t", 1, x=2), Run[Any])
    assert_type(app.run("t"), Run[Any])


def wrong_calls() -> None:
    """Each of these is an error; a checker that finds none reports the unused comment."""
    add.enqueue("a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add.enqueue(1, z=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    add.options(queue=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add.options(colour=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    fetch.enqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    queue = app.queue("q")
    queue.set(max_length="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    queue.set(colour=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    queue.set("lru")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_the_runtime_refuses_unknown_options_too() -> None:
    with pytest.raises(
        TypeError, match="no such option: colour; the options are backoff, backoff_kind, deadline"
    ):
        add.options(colour=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
