"""Calls of several tasks, checked one by one and enqueued together."""

import asyncio
from typing import Any, assert_type, cast

import pytest

from raftwork import NotSerializable, PayloadTooLarge, Run
from raftwork.client.task_call import TaskCall
from tests.unit.client.cluster import app_and_cluster


def add(x: int, y: int = 0) -> int:
    return x + y


def say(text: str) -> str:
    return text


def test_each_task_is_one_request_and_handles_come_in_order() -> None:
    app, cluster = app_and_cluster()
    one, two = app.task(name="add")(add), app.task(name="say", queue="q")(say)
    calls = [one.call(1, y=2), two.call("a"), one.options(priority=3).call(4), one.call(5)]
    assert_type(one.call(1), TaskCall[int])
    runs = app.enqueue_all(calls)
    assert [run.id for run in runs] == [call.id for call in calls]
    batches = [(spec.name, spec.priority, tasks) for spec, tasks in cluster.batches]
    assert batches == [
        ("add", 100, [(calls[0].id, [[1], {"y": 2}]), (calls[3].id, [[5], {}])]),
        ("say", 100, [(calls[1].id, [["a"], {}])]),
        ("add", 103, [(calls[2].id, [[4], {}])]),
    ]
    assert app.enqueue_all([]) == []
    ints = app.enqueue_all([one.call(1), one.call(2)])
    assert_type(ints, list[Run[int]])


def test_coroutines_do_the_same() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="add")(add)
    runs = asyncio.run(app.aenqueue_all([task.call(1), app.named("say").call("x")]))
    assert len(runs) == len(cluster.batches) == 2


def test_a_call_keeps_its_id_so_that_to_enqueue_it_again_is_safe() -> None:
    app, cluster = app_and_cluster()
    call = app.task(name="add")(add).options(id="mine", key="k", headers={"a": "b"}).call(1)
    assert call.id == "mine"
    first, again = app.enqueue_all([call]), app.enqueue_all([call])
    assert first == again
    assert cluster.batches[0] == cluster.batches[1]
    assert cluster.keys == [["k"], ["k"]]


def test_a_wrong_call_is_refused_where_it_is_made() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="add")(add)
    with pytest.raises(TypeError, match="missing 1 required"):
        cast("Any", task).call()
    with pytest.raises(NotSerializable, match="argument 1 'x' of add"):
        cast("Any", task).call(object())
    with pytest.raises(TypeError, match=r"calls\[1\] must be made by task.call\(…\), got tuple"):
        app.enqueue_all([task.call(1), cast("Any", (1, 2))])
    call = task.call(1)
    with pytest.raises(ValueError, match=rf"calls\[1\] has the id {call.id}"):
        app.enqueue_all([call, call])
    many = [task.call(1)] * 2
    with pytest.raises(PayloadTooLarge, match="a batch of 10001 tasks, more than 10000"):
        app.enqueue_all([task.options(id=str(n)).call(n) for n in range(10_001)])
    assert len(many) == 2 and cluster.batches == []


def test_an_app_closes_behind_an_async_block() -> None:
    closed: list[bool] = []

    async def use() -> None:
        app, _ = app_and_cluster()
        app.close = lambda: closed.append(True)  # type: ignore[method-assign]
        async with app as entered:
            assert entered is app
            await entered.aenqueue("t")
            assert closed == []

    asyncio.run(use())
    assert closed == [True]
