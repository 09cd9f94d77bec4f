"""Django's tasks on a cluster in this process: each row of what its contract says."""

# Django has no types of its own.
# pyright: reportGeneralTypeIssues=false

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from raftwork import NotSerializable, PayloadTooLarge, Status, TaskFailed
from raftwork.keys import Role, new_key, write_key
from raftwork.testing.virtual_app import VirtualApp, installed
from tests.unit.contrib.django import shop
from tests.unit.contrib.django.site import PACKAGE, TASKS

# isort: split
# The settings are there.
from django.core import checks, management
from django.db import transaction
from django.test import override_settings

from raftwork.contrib.django import RaftworkBackend, worker
from raftwork.contrib.django.compat import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
    signals,
    task_backends,
)
from raftwork.contrib.django.stored import NAME, path_of

READY, RUNNING = TaskResultStatus.READY, TaskResultStatus.RUNNING
SUCCESSFUL, FAILED = TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED


@pytest.fixture
def cluster() -> Iterator[VirtualApp]:
    shop.ran.clear()
    assert NAME in worker.app.tasks
    with installed() as made:
        yield made


@pytest.fixture
def heard(cluster: VirtualApp) -> Iterator[list[tuple[str, type, Any]]]:
    told: list[tuple[str, type, Any]] = []

    def hear(name: str) -> Any:
        def receiver(sender: type, task_result: Any, **_: object) -> None:
            told.append((name, sender, task_result.status))

        return receiver

    receivers = {name: hear(name) for name in ("task_enqueued", "task_started", "task_finished")}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver)
    yield told
    for name, receiver in receivers.items():
        getattr(signals, name).disconnect(receiver)


def backend(alias: str = "default") -> RaftworkBackend:
    found = task_backends[alias]
    assert isinstance(found, RaftworkBackend)
    return found


def test_it_says_what_it_can() -> None:
    able = RaftworkBackend
    assert able.supports_defer and able.supports_async_task
    assert able.supports_get_result and able.supports_priority


def test_from_ready_to_successful(cluster: VirtualApp) -> None:
    result = shop.add.enqueue(1, y=2)
    assert (result.status, result.args, result.kwargs) == (READY, [1], {"y": 2})
    assert result.enqueued_at is not None and result.enqueued_at.tzinfo is not None
    assert (result.started_at, result.finished_at, result.attempts) == (None, None, 0)
    assert len(result.id) <= 64 and result.backend == "default"
    again = shop.add.get_result(result.id)
    assert (again.status, again.args, again.kwargs) == (READY, [1], {"y": 2})
    assert shop.ran == []
    cluster.run_until_idle()
    result.refresh()
    assert (result.status, result.return_value) == (SUCCESSFUL, 3)
    assert result.worker_ids == ["raftwork_app"] and result.attempts == 1
    assert result.started_at is not None and result.started_at == result.last_attempted_at
    assert result.finished_at is not None and result.errors == []
    done = shop.add.get_result(result.id)
    assert (done.args, done.kwargs, done.task.func) == ([1], {"y": 2}, shop.add.func)
    assert done.enqueued_at is not None


def test_coroutines_context_and_normalised_values(cluster: VirtualApp) -> None:
    a, b = shop.aadd.enqueue(1, 2), shop.told.enqueue((1, 2))
    c = shop.mail.enqueue({"a": (1,)})
    assert b.args == [[1, 2]] and c.args == [{"a": [1]}]
    cluster.run_until_idle()
    for result in (a, b, c):
        result.refresh()
    assert a.return_value == 3
    assert b.return_value == [1, b.id, [1, 2]]
    assert c.return_value == {"to": {"a": [1]}, "parts": [1, 2]}
    ended = shop.mail.get_result(c.id)
    assert (ended.task.queue_name, ended.args) == ("mail", [{"a": [1]}])


@pytest.mark.parametrize("bad", [object(), datetime(2027, 1, 1, tzinfo=UTC), {1, 2}])
def test_arguments_that_are_no_json_are_refused_at_the_enqueue(
    cluster: VirtualApp, bad: object
) -> None:
    with pytest.raises(TypeError):
        shop.add.enqueue(bad)
    with pytest.raises(PayloadTooLarge):
        shop.add.enqueue("x" * 2**21)
    with pytest.raises(NotSerializable):
        shop.add.enqueue(2**70)
    assert cluster.enqueued() == []


@pytest.mark.parametrize(
    ("task", "args", "path", "text"),
    [
        (shop.fails, ("own",), "tests.unit.contrib.django.shop.Boom", "no: really"),
        (shop.fails, ("builtin",), "builtins.ValueError", "bad"),
        (shop.fails, ("exit",), "builtins.SystemExit", "3"),
        (shop.add, (1, 2, 3), "builtins.TypeError", "positional argument"),
        (shop.odd, (), "builtins.TypeError", "Unsupported"),
    ],
)
def test_a_failed_one_says_why(
    cluster: VirtualApp, task: Any, args: tuple[object, ...], path: str, text: str
) -> None:
    result = task.enqueue(*args)
    cluster.run_until_idle()
    result.refresh()
    (error,) = result.errors
    assert (result.status, error.exception_class_path) == (FAILED, path)
    assert issubclass(error.exception_class, BaseException) and text in error.traceback
    assert (task.get_result(result.id).args, result.attempts) == (list(args), 1)
    assert result.finished_at is not None and result.started_at is not None
    with pytest.raises(ValueError, match="failed"):
        _ = result.return_value


def test_a_cancelled_one_has_failed(cluster: VirtualApp) -> None:
    result = shop.add.enqueue(1)
    assert cluster.cancel(tag=("task", f"{shop.__name__}.add")) == 1
    result.refresh()
    assert result.status == FAILED
    assert result.errors[0].exception_class_path == "raftwork.errors.TaskCancelled"


def test_a_lost_ones_error_can_be_found() -> None:
    assert path_of("TimeLimitExceeded", "") == path_of("", "x") == "raftwork.errors.TaskFailed"
    assert path_of("Boom", "a.Boom: 1\n\nb.c.Boom: x\ny: z\n") == "b.c.Boom"
    assert path_of("KeyError", "KeyError: 'a.KeyError: 1'") == "builtins.KeyError"


def test_priorities_and_times_are_the_clusters(cluster: VirtualApp) -> None:
    for to, priority in (("low", -100), ("usual", 0), ("high", 100)):
        shop.mail.using(priority=priority).enqueue(to)
    at = cluster.now + timedelta(hours=1)
    later = shop.add.using(run_after=at).enqueue(7)
    cluster.run_until_idle()
    assert shop.ran == ["high", "usual", "low"]
    assert shop.add.get_result(later.id).status == READY
    cluster.advance(3601)
    assert shop.ran[3:] == [(7, 0)]
    with override_settings(USE_TZ=False, TIME_ZONE="UTC"):
        naive = (cluster.now + timedelta(hours=1)).replace(tzinfo=None)
        result = shop.add.using(run_after=naive).enqueue(8)
        cluster.advance(3601)
        result.refresh()
        assert shop.ran[4:] == [(8, 0)]
        assert result.finished_at is not None and result.finished_at.tzinfo is None


def test_signals_come_where_things_happen(
    heard: list[tuple[str, type, Any]], cluster: VirtualApp
) -> None:
    logging.getLogger("django").setLevel(logging.CRITICAL)
    shop.add.enqueue(1)
    assert heard == [("task_enqueued", RaftworkBackend, READY)]
    cluster.run_until_idle()
    assert heard[1:] == [
        ("task_started", RaftworkBackend, RUNNING),
        ("task_finished", RaftworkBackend, SUCCESSFUL),
    ]
    shop.fails.enqueue("own")
    cluster.run_until_idle()
    assert heard[3:] == [
        ("task_enqueued", RaftworkBackend, READY),
        ("task_started", RaftworkBackend, RUNNING),
        ("task_finished", RaftworkBackend, FAILED),
    ]


def test_coroutines_enqueue_and_ask(
    heard: list[tuple[str, type, Any]], cluster: VirtualApp
) -> None:
    async def main() -> Any:
        result = await shop.add.aenqueue(1, 2)
        assert heard == [("task_enqueued", RaftworkBackend, READY)]
        cluster.run_until_idle()
        await result.arefresh()
        assert result.return_value == 3
        failing = await shop.fails.aenqueue("own")
        cluster.run_until_idle()
        return await shop.fails.aget_result(failing.id)

    assert asyncio.run(main()).status == FAILED


def test_what_is_not_there_does_not_exist(cluster: VirtualApp) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        shop.add.get_result("no-such-id")
    with pytest.raises(TaskResultDoesNotExist):
        shop.add.get_result("")
    other = cluster.task(name="other")(lambda: 1)
    run = other.enqueue()
    for _ in range(2):
        with pytest.raises(TaskResultDoesNotExist, match="is the task other"):
            shop.add.get_result(run.id)
        cluster.run_until_idle()
    with pytest.raises(TaskResultDoesNotExist):
        asyncio.run(cast("Any", backend().aget_result("no-such-id")))
    result = shop.add.enqueue(1)
    with pytest.raises(Exception, match="does not match"):
        shop.mail.get_result(result.id)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (f"{shop.__name__}.secret", "is a function, not a task"),
        ("os.system", "not a task"),
        ("no.such.module", "No module named"),
        (f"{shop.__name__}.nothing", "nothing"),
    ],
)
def test_a_worker_runs_tasks_alone(cluster: VirtualApp, path: str, why: str) -> None:
    run = cluster.named(NAME).enqueue(path, [], {})
    cluster.run_until_idle()
    assert run.status() is Status.FAILED and shop.ran == []
    with pytest.raises(TaskFailed, match=why):
        run.result(timeout=1)


def test_on_commit(cluster: VirtualApp) -> None:
    with transaction.atomic():
        result = shop.late.enqueue(1)
        before = result.enqueued_at, cluster.enqueued()
    assert before == (None, [])
    assert result.enqueued_at is not None and len(cluster.enqueued()) == 1
    with transaction.atomic():
        shop.late.enqueue(2)
        transaction.set_rollback(True)
    assert len(cluster.enqueued()) == 1
    with transaction.atomic():
        shop.add.using(backend="default").enqueue(3)
        assert len(cluster.enqueued()) == 2
    cluster.run_until_idle()
    result.refresh()
    assert result.return_value == 1


def test_tasks_of_other_queues_are_invalid(cluster: VirtualApp) -> None:
    with pytest.raises(InvalidTask, match="Queue 'other' is not valid"):
        shop.add.using(queue_name="other")
    with pytest.raises(InvalidTask, match="priority must be"):
        shop.add.using(priority=101)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"brokers": "127.0.0.1:1", "nonsense": 1}, "unknown option 'nonsense'"),
        ({"brokers": "nowhere"}, "nowhere"),
        ({"brokers": "127.0.0.1:1", "timeout": -1}, "timeout"),
        ({"brokers": "127.0.0.1:1", "result_ttl": "x"}, "result_ttl"),
        ({"brokers": "127.0.0.1:1", "key": "no/such.key"}, "no/such.key"),
    ],
)
def test_options_are_checked_without_a_network(options: dict[str, object], said: str) -> None:
    made = RaftworkBackend("a", {"BACKEND": "x", "OPTIONS": options})
    (message,) = list(made.check())
    assert isinstance(message, checks.Error) and said in message.msg
    assert list(backend().check()) == []


def test_backends_share_an_app_until_the_settings_change() -> None:
    one = backend().app
    other = RaftworkBackend("b", {"BACKEND": "x", "OPTIONS": {"brokers": "127.0.0.1:1"}})
    assert other.app is one
    with override_settings(TASKS=TASKS):
        assert backend().app is not one
        with pytest.raises(Exception, match="closed"):
            one.run("x").status()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "web.key"
    write_key(new_key("web", [Role.CLIENT, Role.WORKER]), str(file))
    return file


def test_a_backend_is_who_its_key_says(key: Path) -> None:
    """Of the same brokers, the backend of another key is another App."""
    options = {"brokers": "127.0.0.1:1", "key": key}
    one = RaftworkBackend("k", {"BACKEND": "x", "OPTIONS": options})
    assert list(one.check()) == []
    assert one.app.key is not None and one.app.key.name == "web"
    assert one.app is not backend().app and backend().app.key is None


def test_the_worker_has_the_key_of_its_flag_or_else_the_backends(
    monkeypatch: pytest.MonkeyPatch, key: Path
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, command: started.append(command))
    keyed = {**TASKS["default"], "OPTIONS": {"brokers": "127.0.0.1:1", "key": key}}
    with override_settings(TASKS={"default": keyed}):
        management.call_command("raftwork_worker")
        management.call_command("raftwork_worker", "--key", "w1.key")
    assert [command[-2:] for command in started] == [["--key", str(key)], ["--key", "w1.key"]]


def test_the_command_becomes_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, command: started.append(command))
    management.call_command("raftwork_worker", "--concurrency", "3", "--pool", "thread")
    (command,) = started
    assert command[3:5] == ["worker", "raftwork.contrib.django.worker:app"]
    assert command[5:] == [
        *("--queues", "default,mail", "--brokers", "127.0.0.1:1"),
        *("--concurrency", "3", "--pool", "thread"),
    ]
    with (
        override_settings(TASKS={"default": {"BACKEND": f"{PACKAGE}.backends.dummy.DummyBackend"}}),
        pytest.raises(management.CommandError, match="is not a RaftworkBackend"),
    ):
        management.call_command("raftwork_worker")


def test_without_django_one_error_names_the_extra() -> None:
    code = "import sys; sys.modules['django'] = None; import raftwork.contrib.django"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'raftwork[django]'" in done.stderr.splitlines()[-1]
