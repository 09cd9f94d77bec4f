"""A flow: a graph of tasks that is submitted as one, and a handle for one that is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from raftwork.client.cancelling import GRACE_S, cancel_all_of
from raftwork.client.canvas import Canvas, Signature, checked_on_error, put_callback, put_undo
from raftwork.client.graph_builder import GraphBuilder, Ref, Value
from raftwork.client.ids import new_ids
from raftwork.client.options import Duration, label, milliseconds, task_id
from raftwork.client.run import Run, handles
from raftwork.client.status import Status
from raftwork.features.cancel import TasksCancelled
from raftwork.features.flow_again import FlowRetried, RetryFlow
from raftwork.features.flow_callbacks import AddCallback, CallbackAdded
from raftwork.features.flow_graph import EdgeKind
from raftwork.features.flows import FLOW_ID_MAX, FlowSubmitted, SubmitFlow
from raftwork.features.show_flow import PAGE_MAX, FlowPage, NodeFacts, ShowFlow
from raftwork.features.signals import SIGNAL_BYTES_MAX, SaySignal, SignalSaid
from raftwork.messages import NAME_MAX
from raftwork.serialization import pack_result

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from raftwork.client.canvas import Callee
    from raftwork.client.reply import Reply
    from raftwork.client.task import Registry
    from raftwork.conversion import Convert


def say(app: Registry, flow: object, name: str, value: object) -> Reply[SignalSaid]:
    """Say something to a flow, or to the flow of an id. Raises TypeError, ValueError, as packed."""
    id_ = flow.id if isinstance(flow, Flow) else task_id(flow)
    packed = app.types.packed(
        value, lambda plain: pack_result(plain, "the signal's value", SIGNAL_BYTES_MAX)
    )
    return app.call(SaySignal(0, id_, label("name", name, NAME_MAX), packed), SignalSaid)


class NodeInfo(NamedTuple):
    """A task of a flow, as far as it has come."""

    id: str
    #: None of a join, and of a task whose name is no longer kept.
    name: str | None
    status: Status
    #: The ids of the tasks that it waits for, or waited.
    needs: Sequence[str]


def _info(node: NodeFacts) -> NodeInfo:
    name = None if node.name == "join" else node.name or None
    return NodeInfo(node.id, name, Status(node.state.name.lower()), node.needs)


class FlowNode:
    """A task of a flow that is being made: put it where its value is to stand.

    `flow.add(t, node)` hands its value on; so does a list or a dict that holds it.
    """

    __slots__ = ("flow", "id", "ref")

    def __init__(self, flow: Flow, ref: Ref, id: str) -> None:  # noqa: A002
        self.flow = flow
        self.ref = ref
        #: The task's id, once the flow is submitted.
        self.id = id

    def __repr__(self) -> str:
        return f"<FlowNode {self.id}>"


class Flow:
    """A graph of tasks with one outcome. Made by `App.flow`, or by enqueueing a chain or a group.

    Add tasks in a `with` block; on leaving it the flow is submitted as one, or not at all if the
    block raises:

        with app.flow("order-7") as flow:
            paid = flow.add(charge, 7)
            flow.add(ship, paid)
        flow.result(timeout=60)

    Its value is that of the task which no other one waits for; of several such tasks the list of
    theirs, in the order in which they were added. It ends when all of its tasks have ended. It has
    failed if one of those at its ends has no value; `result` says which task was the cause.
    """

    def __init__(
        self,
        app: Registry,
        id: str | None,  # noqa: A002
        canvas: Canvas | None = None,
        siblings: str = "finish",
    ) -> None:
        self._app = app
        self._id = new_ids(1)[0] if id is None else label("id", id, FLOW_ID_MAX)
        if siblings not in ("finish", "cancel"):
            raise ValueError(f"siblings must be 'finish' or 'cancel', got {siblings!r}")
        self._siblings = siblings
        self._builder = GraphBuilder(self._ref, followed=id is None)
        self._value: Value = None
        self._tolerant = False
        self._submitted = self._entered = False
        self._run: Run[Any] | None = None
        self._reads: Convert | None = None
        if canvas is not None:
            self._value = canvas.place(self._builder, None)

    @property
    def id(self) -> str:
        """Its id. A task that is added and has no id of its own has this one and a number."""
        return self._id

    # ---- making it ------------------------------------------------------------------------------

    def add(
        self,
        task: Callee | Signature,
        /,
        *args: object,
        on_error: str = "fail",
        after: Iterable[FlowNode] = (),
        compensate: Callee | Signature | None = None,
        **kwargs: object,
    ) -> FlowNode:
        """One more task; arguments may hold tasks added before, whose values stand there then.

        It also waits for those of `after`, whose values it does not get. If one of all these has no
        value it is cancelled; with `on_error="continue"` it runs all the same, with a Failure in
        the place of the value.

        `compensate` is what undoes it: if it has succeeded and the flow has not, that is run after
        the flow's end. Of several the last added one is first, and the next waits for its end. It
        is given the task's value as `on_success` gives the flow's.

        Raises TypeError, ValueError, NotSerializable, PayloadTooLarge.
        """
        self._require_open()
        if isinstance(task, Signature):
            args, kwargs, task = (*task.args, *args), {**task.kwargs, **kwargs}, task.task
        carries_on = checked_on_error(on_error) == "continue"
        waits = [self._own(node).ref._replace(tolerant=carries_on) for node in after]
        self._tolerant = carries_on
        ref = self._builder.add(self._builder.call_of(task), args, kwargs, waits)
        if compensate is not None:
            put_undo(self._builder, ref, compensate)
        node = self._builder.nodes[ref.at]
        return FlowNode(self, ref, node.id or f"{self._id}/{ref.at + 1}")

    def wait(
        self,
        name: str,
        /,
        *,
        timeout: Duration | None = None,
        after: Iterable[FlowNode] = (),
        on_error: str = "fail",
    ) -> FlowNode:
        """Something that somebody outside says by `app.signal(flow, name, value)`: its value.

        What was said before anybody waited counts. If nobody says it within `timeout` seconds,
        counted from when all tasks of `after` have ended, it has failed, as a task does. `on_error`
        is as of `add`, for the tasks of `after`. Raises TypeError, ValueError, PayloadTooLarge.
        """
        self._require_open()
        carries_on = checked_on_error(on_error) == "continue"
        waits = [self._own(node).ref._replace(tolerant=carries_on) for node in after]
        limit = 0 if timeout is None else max(1, milliseconds("timeout", timeout))
        ref = self._builder.wait(label("name", name, NAME_MAX), limit, waits)
        return FlowNode(self, ref, f"{self._id}/{ref.at + 1}")

    # ---- what follows it ------------------------------------------------------------------------

    def on_success(self, task: Callee | Signature, /) -> Self:
        """Have a task done once it has succeeded; also of one that is submitted, or has ended.

        `task.s(…)` is given its value first, `task.si(…)` is not; a task alone is called with the
        value if it can take one argument, else with none. It runs once, after all of the flow's
        tasks, and is none of them. Raises UnknownTask, QueueFull, Unavailable of a flow that is
        submitted already.
        """
        return self._follow(task, EdgeKind.NEEDS_VALUE)

    def on_failure(self, task: Callee | Signature, /) -> Self:
        """Have a task done once it has ended otherwise; its first argument is a Failure.

        The rest as of `on_success`.
        """
        return self._follow(task, EdgeKind.NEEDS_FAILURE)

    def finally_(self, task: Callee | Signature, /) -> Self:
        """Have a task done once it has ended: its first argument is the value, or a Failure.

        The rest as of `on_success`.
        """
        return self._follow(task, EdgeKind.NEEDS_END)

    def _follow(self, task: Callee | Signature, kind: EdgeKind) -> Self:
        if self._is_made:
            put_callback(self._builder, task, kind)
            return self
        builder = GraphBuilder()
        put_callback(builder, task, kind, new_ids(1)[0])
        asked = AddCallback(0, self._id, builder.graph(None))
        self._app.call(asked, CallbackAdded).result()
        return self

    @property
    def _is_made(self) -> bool:
        """Whether it is being made, rather than a handle for one that is there."""
        making = self._entered or self._builder.nodes or self._value is not None
        return bool(making) and not self._submitted

    def _ref(self, value: object) -> Ref | None:
        """What stands for a node among arguments."""
        if type(value) is not FlowNode:
            return None
        return self._own(value).ref._replace(tolerant=self._tolerant)

    def _own(self, node: object) -> FlowNode:
        if type(node) is not FlowNode:
            raise TypeError(f"after must be tasks of this flow, got {type(node).__name__}")
        if node.flow is not self:
            raise ValueError(f"{node.id} is a task of the flow {node.flow.id}, not of {self._id}")
        return node

    def _require_open(self) -> None:
        if self._submitted:
            raise RuntimeError(
                f"the flow {self._id} is submitted: a task of it may add more by current().spawn"
            )

    def __enter__(self) -> Self:
        self._require_open()
        self._entered = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.enqueue()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.aenqueue()

    def enqueue(self) -> Self:
        """Submit it, all or nothing; returns once a majority of the brokers has it on disk.

        The same flow under the same id is there once, however often it is submitted. Raises
        QueueFull, ProtocolError (its id, or a task's, is used with other contents), Unavailable.
        """
        self._submit().result()
        self._submitted = True
        return self

    async def aenqueue(self) -> Self:
        """As `enqueue`, for coroutines."""
        await self._submit().aresult()
        self._submitted = True
        return self

    def _submit(self) -> Reply[FlowSubmitted]:
        self._require_open()
        value = self._whole()
        graph, self._reads = self._builder.graph(value), self._builder.reads(value)
        ttl = self._builder.result_ttl or 86_400_000
        request = SubmitFlow(0, 0, self._id, ttl, self._siblings == "cancel", graph)
        return self._app.call(request, FlowSubmitted, ids=(self._id,))

    def _whole(self) -> Value:
        if self._value is not None:
            return self._value
        sinks: list[Value] = [*self._builder.sinks]
        return sinks[0] if len(sinks) == 1 else sinks

    # ---- one that is there ----------------------------------------------------------------------

    @property
    def run(self) -> Run[Any]:
        """The handle of its outcome, which is that of a task with the flow's id."""
        if self._run is None:
            self._run = handles(self._app, (self._id,), self._reads)[0]
            self._run.of_flow = True
        return self._run

    def result(self, timeout: Duration | None = None) -> Any:
        """Its value, once all of its tasks have ended; waits `timeout` seconds, or for ever.

        Where it was made here, values are as the annotations of their tasks say; a handle made of
        an id gives the plain forms.

        Raises as `Run.result`: TaskFailed, TaskLost and TaskCancelled with what became of the task
        that was the cause.
        """
        return self.run.result(timeout)

    async def aresult(self, timeout: Duration | None = None) -> Any:  # noqa: ASYNC109
        """As `result`, for coroutines."""
        return await self.run.aresult(timeout)

    def status(self) -> Status:
        """running, succeeded, failed, lost or cancelled. Raises UnknownTask, Unavailable."""
        return _status(self.run.status())

    async def astatus(self) -> Status:
        """As `status`, for coroutines."""
        return _status(await self.run.astatus())

    def cancel(self, grace: Duration = GRACE_S) -> int:
        """End all of its tasks, as `Run.cancel` does; how many were ended or asked to end.

        Raises UnknownTask, Unavailable, and Unsupported from brokers of an older release.
        """
        return self._cancel(grace).result().cancelled

    async def acancel(self, grace: Duration = GRACE_S) -> int:
        """As `cancel`, for coroutines."""
        return (await self._cancel(grace).aresult()).cancelled

    def retry(self) -> Flow:
        """Run once more what has no value: as a new flow, `ID~2`, which is returned.

        It shares what has succeeded; all outcomes stand. To ask twice is to retry once. Raises
        ProtocolError if it has not ended, or has succeeded, UnknownTask if what its tasks came to
        is no longer kept, QueueFull, Unavailable.
        """
        return self._retried(self._retry().result())

    async def aretry(self) -> Flow:
        """As `retry`, for coroutines."""
        return self._retried(await self._retry().aresult())

    def nodes(self) -> Sequence[NodeInfo]:
        """Its tasks in the order in which they came in: id, name, status, and what each needs.

        A join, which has no code, has no name. Raises UnknownTask, Unavailable.
        """
        found: list[NodeInfo] = []
        after = 0
        while True:
            page = self._show(after).result()
            found += map(_info, page.nodes)
            if not (after := page.after):
                return found

    async def anodes(self) -> Sequence[NodeInfo]:
        """As `nodes`, for coroutines."""
        found: list[NodeInfo] = []
        after = 0
        while True:
            page = await self._show(after).aresult()
            found += map(_info, page.nodes)
            if not (after := page.after):
                return found

    def _cancel(self, grace: Duration) -> Reply[TasksCancelled]:
        asked = cancel_all_of(None, None, None, None, False, grace, self._id)
        return self._app.call(asked, TasksCancelled)

    def _retry(self) -> Reply[FlowRetried]:
        return self._app.call(RetryFlow(0, self._id), FlowRetried)

    def _retried(self, answer: FlowRetried) -> Flow:
        retried = Flow(self._app, answer.id)
        retried._reads = self._reads
        return retried

    def _show(self, after: int) -> Reply[FlowPage]:
        return self._app.call(ShowFlow(0, self._id, after, PAGE_MAX), FlowPage)

    def __repr__(self) -> str:
        return f"<Flow {self._id}>"


def _status(status: Status) -> Status:
    """A flow's own row waits for the others, from its beginning to its end."""
    return Status.RUNNING if status is Status.BLOCKED else status
