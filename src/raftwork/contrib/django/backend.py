"""The backend: Django's tasks as tasks of a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.core import checks
from django.core.signals import setting_changed
from django.db import transaction
from django.utils import timezone

from raftwork.client.app import App
from raftwork.client.ids import new_ids
from raftwork.client.run_info import Report
from raftwork.client.status import Status
from raftwork.client.task import BoundTask
from raftwork.contrib.django.compat import (
    BaseTaskBackend,
    Task,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    signals,
)
from raftwork.contrib.django.stored import NAME, stored
from raftwork.errors import UnknownTask

_OPTIONS: Final = frozenset({"brokers", "timeout", "key", "enqueue_on_commit", "result_ttl"})
#: A tag may have so many characters; a path that has more is not told by one.
_TAG_MAX: Final = 255
#: Backends are made for each thread; those of the same brokers and key share an App.
_apps: dict[tuple[object, ...], App] = {}


class RaftworkBackend(BaseTaskBackend):
    """Its OPTIONS are those of an App, `brokers`, `timeout` and `key`, and `result_ttl` (s).

    With `enqueue_on_commit` a task enqueued in a transaction is sent once that is committed; until
    then it has an id, and `enqueued_at` is None.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    @property
    def app(self) -> App:
        """The App through which it enqueues and asks."""
        brokers, timeout = self.options.get("brokers"), self.options.get("timeout", 10.0)
        key = self.options.get("key")
        one = (brokers if isinstance(brokers, str | None) else tuple(brokers), timeout, key)
        if one not in _apps:
            _apps[one] = App(brokers, timeout, key)
        return _apps[one]

    # ---- enqueueing -----------------------------------------------------------------------------

    def enqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        """See BaseTaskBackend. Raises as Raftwork's `Task.enqueue`, too."""
        self.validate_task(task)
        result = self._ready(task, args, kwargs)
        if self.options.get("enqueue_on_commit"):
            transaction.on_commit(partial(self._send, result))
        else:
            self._send(result)
        return result

    async def aenqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        """As `enqueue`; blocks no other coroutine, and no other thread."""
        if self.options.get("enqueue_on_commit"):  # transactions belong to a thread
            enqueue = sync_to_async(self.enqueue, thread_sensitive=True)
            return await enqueue(task, args, kwargs)
        self.validate_task(task)
        result = self._ready(task, args, kwargs)
        await self._bound(result).aenqueue(task.module_path, result.args, result.kwargs)
        await signals.task_enqueued.asend(type(self), task_result=_sent(result))
        return result

    def _ready(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        return TaskResult(
            task=task,
            id=new_ids(1)[0],
            status=TaskResultStatus.READY,
            enqueued_at=None,
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )

    def _send(self, result: TaskResult) -> None:
        self._bound(result).enqueue(result.task.module_path, result.args, result.kwargs)
        signals.task_enqueued.send(type(self), task_result=_sent(result))

    def _bound(self, result: TaskResult) -> BoundTask[..., Any]:
        task = result.task
        at: datetime | None = task.run_after
        if at is not None and timezone.is_naive(at):
            at = timezone.make_aware(at)
        options: dict[str, Any] = {"queue": task.queue_name, "priority": int(task.priority)}
        if len(task.module_path) <= _TAG_MAX:
            options["tags"] = {"task": task.module_path}
        if "result_ttl" in self.options:
            options["result_ttl"] = self.options["result_ttl"]
        return self.app.named(NAME, id=result.id, at=at, **options)

    # ---- results --------------------------------------------------------------------------------

    def get_result(self, result_id: str) -> TaskResult:
        """See BaseTaskBackend. Raises TaskResultDoesNotExist, Unavailable."""
        try:
            report = self.app.run(result_id).report()
        except (UnknownTask, ValueError, TypeError) as error:
            raise TaskResultDoesNotExist(str(error)) from error
        try:
            dead = self.app.dead().show(result_id) if _is_dead(report) else None
        except UnknownTask:  # others have died since
            dead = None
        return stored(report, dead, self.alias)

    async def aget_result(self, result_id: str) -> TaskResult:
        """As `get_result`, for coroutines."""
        try:
            report = await self.app.run(result_id).areport()
        except (UnknownTask, ValueError, TypeError) as error:
            raise TaskResultDoesNotExist(str(error)) from error
        try:
            dead = await self.app.dead().ashow(result_id) if _is_dead(report) else None
        except UnknownTask:
            dead = None
        return stored(report, dead, self.alias)

    # ---- settings -------------------------------------------------------------------------------

    def check(self, **_kwargs: Any) -> Iterable[checks.CheckMessage]:
        """Of the OPTIONS, without asking anybody."""
        for name in sorted(self.options.keys() - _OPTIONS):
            hint = f"The options are {', '.join(sorted(_OPTIONS))}."
            text = f"TASKS[{self.alias!r}] has an unknown option {name!r}."
            yield checks.Error(text, hint=hint, id="raftwork.E001")
        try:
            _ = self.app
            self.app.named(NAME, result_ttl=self.options.get("result_ttl", 86_400.0))
        except (TypeError, ValueError) as error:
            yield checks.Error(f"TASKS[{self.alias!r}]: {error}", id="raftwork.E002")


def _sent(result: TaskResult) -> TaskResult:
    object.__setattr__(result, "enqueued_at", timezone.now())
    return result


def _is_dead(report: Report) -> bool:
    return report.info.status in (Status.FAILED, Status.LOST)


def _forget(*, setting: str, **_: Any) -> None:
    """Other settings, other brokers."""
    if setting == "TASKS":
        apps = list(_apps.values())
        _apps.clear()
        for app in apps:
            app.close()


setting_changed.connect(_forget)
