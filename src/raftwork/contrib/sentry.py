"""Failures of tasks in Sentry: `sentry_sdk.init(…, integrations=[RaftworkIntegration()])`.

Call it where MODULE:APP is imported: workers report then. A task that fails is one event, with its
name, id, attempt and queue; attempts that are retried are none, unless they are asked for.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Final

from raftwork.attempt_ends import RateLimited, Resume
from raftwork.contrib.peers import peer
from raftwork.errors import TaskCancelled
from raftwork.instruments import Instrument, install
from raftwork.worker.context import current
from raftwork.worker.runner import UnknownFunction, comes_again

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import sentry_sdk
    from sentry_sdk import integrations, utils
    from sentry_sdk.scope import Scope
else:
    sentry_sdk = peer("sentry_sdk", "sentry")
    integrations = peer("sentry_sdk.integrations", "sentry")
    utils = peer("sentry_sdk.utils", "sentry")

#: For events to leave before a process that runs tasks ends, s.
_FLUSH_S: Final = 1.5


class RaftworkIntegration(integrations.Integration):
    """Reports tasks that failed. With `retries` also the attempts that another one follows."""

    identifier = "raftwork"

    def __init__(self, *, retries: bool = False) -> None:
        self.retries = retries

    @staticmethod
    def setup_once() -> None:
        """See Integration."""
        install(Instrument(attempt=_Attempt, flush=_flush))


class _Attempt:
    """Around an attempt: what is reported within it has the task's name and a scope of its own."""

    __slots__ = ("_integration", "_scope")

    def __enter__(self) -> None:
        self._integration = sentry_sdk.get_client().get_integration(RaftworkIntegration)
        self._scope: AbstractContextManager[Scope] | None = None
        if self._integration is None:
            return
        self._scope = sentry_sdk.isolation_scope()
        _describe(self._scope.__enter__())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._integration is None or self._scope is None:
            return
        try:
            if error is not None and _counts(error, retries=self._integration.retries):
                _report(error)
        finally:
            self._scope.__exit__(None, None, None)


def _describe(scope: Scope) -> None:
    task = current()
    scope.clear_breadcrumbs()
    scope.set_transaction_name(task.name, source="task")
    scope.set_tag("raftwork.task", task.name)
    scope.set_tag("raftwork.queue", task.queue)
    about = {"task": task.name, "id": task.id, "attempt": task.attempt, "queue": task.queue}
    scope.set_context("raftwork", {**about, "worker": task.worker, "tags": dict(task.tags)})


def _counts(error: BaseException, *, retries: bool) -> bool:
    """Whether it is a failure that is to be reported."""
    if isinstance(error, UnknownFunction | Resume | RateLimited):
        return not comes_again(error)
    if isinstance(error, TaskCancelled | asyncio.CancelledError) and current().cancelled:
        return False
    return retries or not comes_again(error)


def _report(error: BaseException) -> None:
    options = sentry_sdk.get_client().options
    mechanism = {"type": RaftworkIntegration.identifier, "handled": False}
    event, hint = utils.event_from_exception(error, client_options=options, mechanism=mechanism)
    sentry_sdk.capture_event(event, hint=hint)


def _flush() -> None:
    sentry_sdk.flush(timeout=_FLUSH_S)
