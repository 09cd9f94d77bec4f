"""A cluster in memory behind an App: the Connection's interface, without sockets or a thread."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from raftwork import App, Converter, RaftworkError
from raftwork.client.reply import Reply
from raftwork.client.result_registry import Handles, Slot
from raftwork.client.transport import Connection
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.results import Answer, Ask
from raftwork.features.task_batch import Task
from raftwork.messages import (
    Result,
    Spec,
    State,
    decode_spec,
)
from raftwork.messages.request import Request
from raftwork.wire import record_check, unpack

S = TypeVar("S", bound=Slot)
task_check = record_check(Task)


def read(tasks: bytes) -> list[Task]:
    """What is in a batch."""
    return [cast("Task", task_check(each)) for each in cast("list[object]", unpack(tasks))]


class FakeCluster:
    """Stores what is enqueued; tells of a task what the test put into `states`."""

    def __init__(self) -> None:
        self.handles = Handles()
        self.failure: str | None = None
        self.batches: list[tuple[Spec, list[tuple[str, object]]]] = []
        self.keys: list[list[str]] = []
        self.timeouts: list[int] = []
        self.wait_when_full: list[bool] = []
        self.states: dict[str, Result] = {}
        self.watched: list[list[str]] = []
        self.error: RaftworkError | None = None
        #: Outcomes come a moment after they were asked for.
        self.slow = False

    def call(
        self,
        request: Request,
        reply: type[object],
        timeout: int,
        *,
        ids: tuple[str, ...] = (),
        wait_when_full: bool = False,
        slot: Slot | None = None,
    ) -> Reply[object]:
        self.timeouts.append(timeout)
        answer: Reply[object] = Reply()
        if isinstance(request, Ask):
            states = [self.states.get(i, Result(i, State.UNKNOWN, b"")) for i in request.ids]
            answer.tell(Answer(0, states))
            return answer
        assert isinstance(request, Enqueue)
        self._enqueue(request, ids)
        self.wait_when_full.append(wait_when_full)
        if self.error is None:
            answer.tell(Enqueued(0))
        else:
            answer.fail(self.error)
        return answer

    def _enqueue(self, request: Enqueue, ids: tuple[str, ...]) -> None:
        found = read(request.tasks)
        assert tuple(task.id for task in found) == ids
        stored = [(t.id, unpack(t.payload)) for t in found]
        self.batches.append((decode_spec(request.spec), stored))
        self.keys.append([task.key for task in found])

    def track(self, ids: Sequence[str], make: Callable[[str], S]) -> list[S]:
        return self.handles.add(ids, make)

    def wait_for(self, slot: Slot) -> Reply[Result]:
        waiter, unwatched = self.handles.wait_for(slot)
        if unwatched:
            ids = self.handles.watch(slot)
            self.watched.append(ids)
            known = [self.states[i] for i in ids if i in self.states]
            results = [r for r in known if r.state.final or not r.state]
            if self.slow:
                threading.Timer(0.05, self.handles.deliver, (results,)).start()
            else:
                self.handles.deliver(results)
        return waiter

    def close(self) -> None:
        pass


def app_and_cluster(
    timeout: float = 10.0, types: Sequence[Converter] = ()
) -> tuple[App, FakeCluster]:
    """An App whose connection is a fake cluster."""
    app, cluster = App("127.0.0.1:1", timeout=timeout, types=types), FakeCluster()
    app._connection = cast("Connection", cluster)
    return app, cluster
