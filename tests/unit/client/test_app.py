"""What a program sees: tasks, enqueueing, handles."""

import asyncio
import functools
from typing import cast

import pytest

import raftwork
from raftwork import (
    App,
    NotSerializable,
    QueueFull,
    RaftworkError,
    RateLimited,
    Reject,
    Resume,
    Retry,
    Task,
)
from raftwork.messages.shared import PRIORITY_USUAL
from tests.unit.client.cluster import app_and_cluster

# ---- tasks --------------------------------------------------------------------------------------


def test_a_task_runs_inline_when_called() -> None:
    app = App("127.0.0.1:1")

    @app.task
    def add(x: int, y: int) -> int:
        """Sum."""
        return x + y

    @app.task(retries=2)
    async def aadd(x: int, y: int) -> int:
        return x + y

    assert add(1, y=2) == 3
    assert asyncio.run(aadd(1, 2)) == 3
    assert (add.__name__, add.__doc__) == ("add", "Sum.")


def plain(x: int) -> int:
    return x


def test_a_function_may_be_a_task_of_two_apps() -> None:
    one, cluster = app_and_cluster()
    other, other_cluster = app_and_cluster()
    inner = other.task(queue="q")(plain)
    outer = one.task(inner)
    outer.enqueue(1)
    assert (len(cluster.batches), len(other_cluster.batches)) == (1, 0)
    assert (outer(3), outer.function, outer.chosen.queue) == (3, plain, "default")
    with pytest.raises(TypeError, match="missing 1 required"):
        outer.enqueue()  # type: ignore[call-arg]


def test_attributes_of_a_function_do_not_make_its_task_another_one() -> None:
    app, cluster = app_and_cluster()

    def function(x: int) -> int:
        return x

    function.__qualname__ = "function"
    for name in ("enqueue", "name", "function", "chosen", "parameters", "_app", "_binder", "_id"):
        setattr(function, name, None)
    vars(function)["their_own"] = 1
    task = app.task(function)
    task.enqueue(1)
    assert len(cluster.batches) == 1
    assert (task.function, vars(task)["their_own"]) == (function, 1)


def test_tasks_are_found_by_their_default_or_given_name() -> None:
    app = App("127.0.0.1:1")
    task = app.task(plain)
    named = app.task(name="other")(plain)
    assert dict(app.tasks) == {f"{__name__}.plain": task, "other": named}
    assert app.tasks["other"].function is plain
    with pytest.raises(TypeError):
        app.tasks["x"] = task  # type: ignore[index]


def test_a_name_belongs_to_one_function_but_may_be_defined_again() -> None:
    app = App("127.0.0.1:1")
    app.task(name="t")(plain)
    again = app.task(name="t")(plain)
    assert app.tasks["t"] is again
    with pytest.raises(ValueError, match="t belongs to another task"):
        app.task(name="t")(print)


# ---- enqueueing ---------------------------------------------------------------------------------


def test_enqueue_sends_the_call_under_the_tasks_options() -> None:
    app, cluster = app_and_cluster(timeout=2.5)
    task = app.task(name="t", queue="q", retries=3)(plain)
    run = task.enqueue(7)
    ((spec, tasks),) = cluster.batches
    assert (spec.name, spec.queue, spec.retries) == ("t", "q", 3)
    assert tasks == [(run.id, [[7], {}])]
    assert cluster.timeouts == [2_500]


def test_delay_is_enqueue_for_hands_that_know_celery() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="t", queue="q")(plain)
    one, other = task.enqueue(1), task.options(priority=5).delay(x=1)
    assert [spec.priority - PRIORITY_USUAL for spec, _ in cluster.batches] == [0, 5]
    assert [tasks for _, tasks in cluster.batches] == [
        [(one.id, [[1], {}])],
        [(other.id, [[], {"x": 1}])],
    ]


def test_options_of_a_call_replace_those_of_the_task_for_that_call() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="t", queue="q", retries=3)(plain)
    run = task.options(queue="bulk", id="my-id").enqueue(x=7)
    task.enqueue(8)
    (first, tasks), (second, _) = cluster.batches
    assert (first.queue, first.retries, second.queue) == ("bulk", 3, "q")
    assert tasks == [("my-id", [[], {"x": 7}])]
    assert run.id == "my-id"


def test_enqueue_many_is_one_request_with_handles_in_order() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="t")(plain)
    runs = task.enqueue_many([(1,), (2,), (3,)])
    ((_, tasks),) = cluster.batches
    assert tasks == [(run.id, [[i], {}]) for i, run in enumerate(runs, 1)]
    assert [r.id for r in task.enqueue_many([(1,), (2,)], ids=["b", "a"])] == ["b", "a"]


def test_a_key_goes_with_the_call_or_with_each_of_many() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="t")(plain)
    task.options(key="red").enqueue(1)
    task.options(key="red").enqueue_many([(1,), (2,)])
    task.enqueue_many([(1,), (2,)], keys=["red", "blue"])
    app.named("t", key="blue").enqueue(1)
    task.enqueue(1)
    assert cluster.keys == [["red"], ["red", "red"], ["red", "blue"], ["blue"], [""]]


def test_arguments_that_do_not_fit_are_refused_in_pythons_words_and_not_sent() -> None:
    app, cluster = app_and_cluster()
    task = cast("Task[..., int, int]", app.task(name="t")(plain))
    missing = r"plain\(\) missing 1 required positional argument: 'x'"
    many = r"plain\(\) takes 1 positional argument but 2 were given"
    for enqueue in (
        lambda: task.enqueue(),
        lambda: task.options(queue="q").enqueue(),
        lambda: app.enqueue("t"),
        lambda: app.named("t", queue="q").enqueue(),
        lambda: asyncio.run(task.aenqueue()),
        lambda: asyncio.run(app.aenqueue("t")),
    ):
        with pytest.raises(TypeError, match=missing):
            enqueue()
    with pytest.raises(TypeError, match=r"plain\(\) got an unexpected keyword argument 'y'"):
        task.enqueue(1, y=2)
    with pytest.raises(TypeError, match=rf"calls\[1\]: {many}"):
        task.enqueue_many([(1,), (1, 2), (3, 4)])
    with pytest.raises(TypeError, match=rf"calls\[0\]: {missing}"):
        asyncio.run(task.aenqueue_many([()]))
    assert cluster.batches == []


def test_a_decorators_wrapper_is_what_is_called() -> None:
    app, cluster = app_and_cluster()

    @functools.wraps(plain)
    def injecting(*args: int) -> int:
        return plain(7, *args)

    cast("Task[..., int, int]", app.task(name="t")(injecting)).enqueue()
    assert len(cluster.batches) == 1


def test_parameters_may_have_any_name() -> None:
    app, cluster = app_and_cluster()

    @app.task(name="t")
    def odd(self: int, name: int, args: int, kwargs: int, id: int, function: int) -> int:  # noqa: A002
        return self

    given = dict.fromkeys(("self", "name", "args", "kwargs", "id", "function"), 1)
    assert odd(**given) == 1
    odd.enqueue(**given)
    app.enqueue("t", **given)
    asyncio.run(odd.aenqueue(**given))
    asyncio.run(app.aenqueue("t", **given))
    app.enqueue("elsewhere", **given)
    assert [tasks[0][1] for _, tasks in cluster.batches] == [[[], given]] * 5


def test_enqueueing_nothing_sends_nothing() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="t")(plain)
    assert task.enqueue_many([]) == []
    assert asyncio.run(task.aenqueue_many([])) == []
    assert cluster.batches == []


def test_many_tasks_cannot_share_one_id() -> None:
    app, _ = app_and_cluster()
    with pytest.raises(TypeError, match="ids="):
        app.task(name="t")(plain).options(id="x").enqueue_many([(1,)])


def test_enqueueing_by_name_uses_the_options_of_a_task_that_is_known_here() -> None:
    app, cluster = app_and_cluster()
    app.task(name="t", queue="q")(plain)
    app.enqueue("t", 1)
    app.enqueue("elsewhere", 1, name="kept")
    app.named("elsewhere", queue="bulk", id="my-id").enqueue()
    specs = [(spec.name, spec.queue) for spec, _ in cluster.batches]
    assert specs == [("t", "q"), ("elsewhere", "default"), ("elsewhere", "bulk")]
    assert cluster.batches[1][1][0][1] == [[1], {"name": "kept"}]
    assert cluster.batches[2][1][0][0] == "my-id"


def test_the_async_twins_send_the_same() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="t")(plain)

    async def main() -> None:
        one = await task.aenqueue(1)
        many = await task.aenqueue_many([(2,), (3,)])
        named = await app.aenqueue("t", 4)
        sent = [tasks for _, tasks in cluster.batches]
        assert [[id_ for id_, _ in tasks] for tasks in sent] == [
            [one.id],
            [r.id for r in many],
            [named.id],
        ]

    asyncio.run(main())


def test_errors_of_the_cluster_reach_the_caller() -> None:
    app, cluster = app_and_cluster()
    cluster.error = QueueFull("full")
    with pytest.raises(QueueFull, match="full"):
        app.enqueue("t")
    with pytest.raises(QueueFull, match="full"):
        asyncio.run(app.aenqueue("t"))


def test_what_cannot_be_serialised_is_named_and_not_sent() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="t")(plain)
    with pytest.raises(NotSerializable, match="argument 1 'x' of t: set"):
        task.enqueue(cast("int", {1}))
    assert cluster.batches == []


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_that_cannot_be_meant_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        App("127.0.0.1:1", timeout=timeout)


def test_everything_the_interface_names_is_exported() -> None:
    for name in raftwork.__all__:
        assert getattr(raftwork, name)
    raised = [
        v for v in vars(raftwork).values() if isinstance(v, type) and issubclass(v, Exception)
    ]
    errors = [error for error in raised if error not in {RateLimited, Reject, Resume, Retry}]
    assert all(issubclass(error, RaftworkError) for error in errors)
    assert len(errors) == 22
