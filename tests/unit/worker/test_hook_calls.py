"""Hooks around tasks and starts: those of a task only watch."""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from raftwork.errors import HookFailed
from raftwork.hooks import Hooks, TaskOutcome
from raftwork.messages import PushedTask, Spec, decode_failure, encode_spec
from raftwork.wire import pack
from raftwork.worker.hook_calls import hooked, start, watch
from raftwork.worker.runner import Runner


def test_without_hooks_of_tasks_the_registry_is_untouched() -> None:
    registry = {"t": print}
    hooks = Hooks()
    hooks.child_start(print)
    assert hooked(registry, hooks) is registry


def test_functions_and_coroutines_are_watched() -> None:
    hooks, seen = Hooks(), list[object]()
    hooks.task_start(lambda: seen.append("start"))
    hooks.task_end(lambda outcome: seen.append((type(outcome.error), outcome.seconds >= 0)))

    def fail(text: str) -> None:
        raise ValueError(text)

    async def add(x: int) -> int:
        return x + 1

    registry = hooked({"fail": fail, "add": add}, hooks)

    with pytest.raises(ValueError, match="nope"):
        registry["fail"]("nope")
    assert inspect.iscoroutinefunction(registry["add"])
    assert asyncio.run(registry["add"](1)) == 2
    assert seen == ["start", (ValueError, True), "start", (type(None), True)]


@pytest.mark.parametrize("error", [ValueError("nope"), SystemExit("nope")])
def test_what_a_watching_hook_raises_is_logged(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise error

    hooks, seen = Hooks(), list[str]()
    hooks.task_end(fail)
    hooks.task_end(lambda _: seen.append("the next one"))

    with caplog.at_level(logging.ERROR):
        watch(hooks.task_end, "on_task_end", TaskOutcome(None, 0.0))

    assert f"on_task_end failed: {type(error).__name__}: nope" in caplog.text
    assert seen == ["the next one"]


def test_what_a_hook_of_a_start_raises_ends_the_start() -> None:
    hooks, seen = Hooks(), list[str]()

    def fail() -> None:
        raise SystemExit("no connection")

    hooks.worker_start(fail)
    hooks.worker_start(lambda: seen.append("the next one"))

    with pytest.raises(HookFailed, match="on_worker_start failed: SystemExit: no connection"):
        start(hooks.worker_start, "on_worker_start")
    assert seen == []


def test_arguments_that_do_not_fit_are_told_before_the_hooks_and_are_final() -> None:
    """X3: a worker with hooks took every call for one that fits, and tried it again and again."""
    hooks, seen = Hooks(), list[str]()
    hooks.task_start(lambda: seen.append("start"))

    def add(x: int, y: int) -> int:
        return x + y

    async def subtract(x: int, y: int) -> int:
        return x - y

    registry = hooked({"add": add, "subtract": subtract, "len": len}, hooks)
    for name in ("add", "subtract"):
        spec = encode_spec(Spec(name, "default"))
        task = PushedTask(7, "id", 1, spec, pack([[1], {}]))
        for ended in (
            Runner(registry, "w").run(task),
            asyncio.run(Runner(registry, "w").run_async(task)),
        ):
            assert ended.outcome.final, decode_failure(ended.outcome.data)
    assert not seen


def test_code_runs_within_the_context_managers_of_the_program() -> None:
    hooks, seen = Hooks(), list[object]()

    @contextmanager
    def manager(name: str) -> Iterator[None]:
        seen.append(f"enter {name}")
        try:
            yield
        finally:
            seen.append(f"leave {name}")

    @asynccontextmanager
    async def later(name: str) -> AsyncIterator[None]:
        with manager(name):
            yield

    hooks.around(lambda: manager("outer"))
    hooks.task_start(lambda: seen.append("start"))
    hooks.task_end(lambda outcome: seen.append(f"end {outcome.ok}"))

    def fail() -> None:
        seen.append("code")
        raise ValueError

    async def add(x: int) -> int:
        seen.append("code")
        return x + 1

    with pytest.raises(ValueError):  # noqa: PT011 - its own
        hooked({"t": fail}, hooks)["t"]()
    assert seen == ["enter outer", "start", "code", "end False", "leave outer"]
    seen.clear()
    hooks.around(lambda: later("inner"))
    registry = hooked({"t": add, "f": fail}, hooks)
    assert inspect.iscoroutinefunction(registry["t"])
    assert asyncio.run(registry["t"](1)) == 2
    assert seen[:3] == ["enter outer", "enter inner", "start"]
    assert seen[-2:] == ["leave inner", "leave outer"]
    seen.clear()
    with pytest.raises(TypeError):
        registry["f"]()  # no coroutine: it cannot enter an async one
    assert "code" not in seen


def test_what_entering_raises_fails_the_attempt() -> None:
    def refuse() -> None:
        raise ConnectionError("no database")

    hooks = Hooks()
    hooks.around(refuse)
    task = PushedTask(7, "id", 1, encode_spec(Spec("t", "default")), pack([[], {}]))
    outcome = Runner(hooked({"t": lambda: 1}, hooks), "w").run_once(task).outcome
    assert not outcome.ok and not outcome.final
    assert decode_failure(outcome.data).message == "no database"
