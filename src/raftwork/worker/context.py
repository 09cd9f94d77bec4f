"""`current()`: which task this code is running for.

The answer follows the code, not the process: a context variable carries it into coroutines, and
`carry_into_threads` into threads and executors' work items that a task starts. It ends with the
task, so that code which a task leaves behind is never taken for another task's: it would fence
its side effects with a token that is not its own.
"""

import asyncio
import concurrent.futures
import contextvars
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, Self, TypeVar

from raftwork.errors import (
    AttemptOver,
    PayloadTooLarge,
    QueueFull,
    RaftworkError,
    TaskCancelled,
    Unsupported,
)
from raftwork.features.checkpoints import CHECKPOINT_BYTES_MAX, CHECKPOINTS_BYTES_MAX, Verdict
from raftwork.features.flow_graph import (
    GRAPH_BYTES_MAX,
    NODES_MAX,
    Graph,
    Node,
    encode_graph,
)
from raftwork.features.progress import TEXT_BYTES_MAX
from raftwork.messages import PRIORITY_USUAL, About, PushedTask, Spec, decode_spec
from raftwork.messages.flow_values import unpack_value
from raftwork.serialization import headers_of, pack_result
from raftwork.wire import pack, unpack
from raftwork.worker.child_calls import child_id, outcome_of
from raftwork.worker.forked_copies import ends_copies, forks
from raftwork.worker.notices import NO_NOTICES, Notices
from raftwork.worker.task_notes import NOWHERE, Notes

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from raftwork.client.task import BoundTask

P = ParamSpec("P")
T = TypeVar("T")


class Spawnable(Protocol):
    """A task, as far as a child goes."""

    def as_child(self, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[bytes, Node]:
        """A packed Spec, and one call as a node with an id of its own."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """The task being run.

    `token` is the fencing token: unique and growing over the whole cluster, so that a store which
    refuses writes under a token lower than one it has seen is safe from late owners. `attempt` is 1
    at the first hand-out and one more at every further one. `worker` is the worker's name.
    """

    id: str
    token: int
    attempt: int
    worker: str
    _task: PushedTask | None = field(default=None, repr=False, compare=False)
    _notices: Notices = field(default=NO_NOTICES, repr=False, compare=False)
    _notes: Notes = field(default=NOWHERE, repr=False, compare=False)

    @property
    def cancelled(self) -> bool:
        """Whether the task is asked to end: return or raise soon, or it is ended (`Run.cancel`)."""
        return self._notices.cancelled(self.token)

    def check(self) -> None:
        """Raise TaskCancelled if the task is asked to end."""
        if self.cancelled:
            raise TaskCancelled(f"task {self.id} is asked to end", "user", self.id)

    @property
    def stopping(self) -> bool:
        """Whether the worker is asked to end: it waits for this task, and takes nothing new."""
        return self._notices.stopping

    @property
    def name(self) -> str:
        """The name of the task."""
        return self._spec.name

    @property
    def queue(self) -> str:
        """The queue that it waited in."""
        return self._spec.queue

    @property
    def priority(self) -> int:
        """As it was enqueued: −100 … 100, 0 if nothing was said."""
        return self._spec.priority - PRIORITY_USUAL

    @property
    def key(self) -> str | None:
        """The key that it was enqueued with."""
        return self._about.key or None

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags that it was enqueued with."""
        return dict(self._about.tags)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that it was enqueued with, such as a trace's."""
        return {} if self._task is None else headers_of(self._task.payload)

    @property
    def tick(self) -> datetime | None:
        """The time that its schedule made it for, in UTC; None if none did."""
        tick = self._about.tick
        return datetime.fromtimestamp(tick / 1000, UTC) if tick else None

    @property
    def flow(self) -> str | None:
        """The id of the flow that it is part of; None if it is part of none."""
        return self._about.flow or None

    @property
    def parent(self) -> str | None:
        """The id of the task that made it, by `spawn` or `replace`; None if none did."""
        return self._about.parent or None

    @property
    def shard(self) -> tuple[int, int] | None:
        """Of a call by `task.shards` or `task.broadcast`: (index, count), from 0 on; else None."""
        match None if self._task is None else unpack_value(self._task.payload):
            case [_, _, {"shard": [int(index), int(count)]}]:
                return index, count
        return None

    @property
    def trace_before(self) -> bytes:
        """What the last attempt that failed left for a tracer of this one; mostly empty."""
        return self._about.trace

    @property
    def checkpointed(self) -> Any:
        """The last checkpoint of an earlier attempt; None if there was none."""
        left = self._about.checkpoint
        return None if left is None else unpack(left)

    @property
    def _spec(self) -> Spec:
        return _NAMELESS if self._task is None else decode_spec(self._task.spec)

    @property
    def _about(self) -> About:
        about = None if self._task is None else self._task.about
        return _NOTHING if about is None else about

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far it is: the part that is done, 0 … 1, and words of at most 512 bytes.

        Whoever asks `run.progress()` is told what was said last, up to a second later. It costs
        microseconds, and may be lost with the worker. Longer words are cut. Raises TypeError and
        ValueError for what is no such part.
        """
        self._require_here()
        if type(fraction) not in (int, float) or type(text) is not str:
            kinds = f"{type(fraction).__name__} and {type(text).__name__}"
            raise TypeError(f"progress is a number from 0 to 1 and a str, got {kinds}")
        if not -_ROUNDING <= fraction <= 1 + _ROUNDING:  # false for NaN too
            raise ValueError(f"progress must be between 0 and 1, got {fraction}")
        data = text.encode("utf-8", "backslashreplace")[:TEXT_BYTES_MAX]
        part = min(1.0, max(0.0, float(fraction)))
        self._notes.say(self.token, part, data.decode("utf-8", "ignore"))

    def spawn(self, task: Spawnable, /, *args: object, **kwargs: object) -> str:
        """Have another task done once this one has returned; returns its id.

        It enters with this task's outcome: an attempt that fails or is lost has left nothing, and
        none is there twice. In a flow it is of the same flow, which waits for it. Where there is no
        room, the attempt has failed with QueueFull.

        Raises TypeError, NotSerializable, PayloadTooLarge; RuntimeError outside the task.
        """
        self._require_here()
        scope = _scope.get()
        assert scope is not None
        spec, node = task.as_child(args, kwargs)
        if scope.children is None:
            scope.children = _Children()
        scope.children.add(spec, node)
        return node.id

    def checkpoint(self, value: object) -> None:
        """Leave a value for the next attempt, in place of the last one.

        Returns once a majority of the brokers has it on disk. The next attempt, after a failure, a
        loss or a Resume, finds it in `checkpointed`; with the task's outcome it goes. It takes what
        a result may be, at most 64 KiB packed. There is at most one a second: the next one waits
        until then, so leave one every few seconds rather than every item.

        In a coroutine await `acheckpoint`. Raises NotSerializable, PayloadTooLarge, QueueFull,
        Unsupported, and AttemptOver: the task is another worker's by now, this code should end.
        """
        self._require_here()
        packed = _packed(value)
        time.sleep(self._pause())
        number, pause = self._notes.ask(self.token, packed), _LOOK_FIRST_S
        while (verdict := self._notes.verdict(self.token, number)) is None:
            time.sleep(pause)
            pause = min(pause * 1.5, _LOOK_MAX_S)
        self._judge(verdict)

    async def acheckpoint(self, value: object) -> None:
        """As `checkpoint`, for coroutines."""
        self._require_here()
        packed = _packed(value)
        await asyncio.sleep(self._pause())
        number, pause = self._notes.ask(self.token, packed), _LOOK_FIRST_S
        while (verdict := self._notes.verdict(self.token, number)) is None:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LOOK_MAX_S)
        self._judge(verdict)

    def call(
        self, task: "BoundTask[P, T]", /, *args: P.args, **kwargs: P.kwargs
    ) -> "Coroutine[Any, Any, T]":
        """Have this task enqueued, and await its value: `await current().call(add, 1, 2)`.

        Its id is made of this task's id and of how many calls came before, so that another attempt
        finds what the last one called: what has ended since is not run again. So the calls of a
        task must be the same, in the same order, in each of its attempts.

        Raises what `aenqueue` and `aresult` raise: TaskFailed if it failed, NotDeterministic if an
        earlier attempt made this call with something else; RuntimeError outside the task.
        """
        scope = _scope.get()
        if scope is None or scope.over or scope.context != self:
            raise RuntimeError(f"this code is not of task {self.id}, which alone may call for it")
        scope.calls += 1
        return outcome_of(task, child_id(self.id, scope.calls), scope.calls, args, kwargs)

    def _require_here(self) -> None:
        """Raise RuntimeError in code that is not the task's own."""
        scope = _scope.get()
        if scope is None or scope.context != self or scope.over:
            raise RuntimeError(f"task {self.id} has ended, or this code is not its own")
        if scope.home != forks():
            raise RuntimeError("a forked copy of a task's process does not speak for the task")

    def _pause(self) -> float:
        """Seconds until it may leave another checkpoint."""
        last = _kept_at.get(self.token)
        return 0.0 if last is None else max(0.0, last + CHECKPOINT_EVERY_S - time.monotonic())

    def _judge(self, verdict: Verdict) -> None:
        if verdict is not Verdict.KEPT:
            kind, why = _REFUSALS.get(verdict, (RaftworkError, "it was refused"))
            raise kind(f"no checkpoint of task {self.id}: {why}")
        _kept_at[self.token] = time.monotonic()


_NAMELESS: Final = Spec("", "default")
_NOTHING: Final = About()
#: What a node takes beside its payload: its id, its edges.
_NODE_BYTES: Final = 128
#: Sums of parts come out a little over 1.
_ROUNDING: Final = 1e-6
#: Between two checkpoints of an attempt, at least.
CHECKPOINT_EVERY_S: Final = 1.0
#: Between two looks for a verdict: the first, and the longest.
_LOOK_FIRST_S: Final = 0.001
_LOOK_MAX_S: Final = 0.05
_REFUSALS: Final[Mapping[Verdict, tuple[type[RaftworkError], str]]] = {
    Verdict.VOID: (AttemptOver, "this attempt is over, the task is not this worker's any more"),
    Verdict.LEVEL: (
        Unsupported,
        "that needs a cluster at level 2: upgrade every broker, then run `raftwork upgrade finish`",
    ),
    Verdict.SIZE: (PayloadTooLarge, f"it has more than {CHECKPOINT_BYTES_MAX} bytes"),
    Verdict.FULL: (
        QueueFull,
        f"all checkpoints together would have more than {CHECKPOINTS_BYTES_MAX} bytes",
    ),
}
#: When the running tasks left their last checkpoints, by token.
_kept_at: dict[int, float] = {}


def _packed(value: object) -> bytes:
    return pack_result(value, "the checkpoint", CHECKPOINT_BYTES_MAX)


class LogLines(Protocol):
    """The end of a task's log (task_logs.py); its text is all of it."""

    def add(self, line: str) -> None:
        """One more line."""
        ...


class _Children:
    """What a task's code has spawned so far."""

    def __init__(self) -> None:
        self._specs: dict[bytes, int] = {}
        self._nodes: list[Node] = []
        self._bytes = 0

    def add(self, spec: bytes, node: Node) -> None:
        """One more. Raises PayloadTooLarge."""
        size = self._bytes + len(node.payload) + _NODE_BYTES
        for what, count, limit in (
            ("tasks", len(self._nodes) + 1, NODES_MAX),
            ("bytes", size, GRAPH_BYTES_MAX - _NODE_BYTES),
        ):
            if count > limit:
                raise PayloadTooLarge(
                    f"a task may spawn {limit} {what}, this would be {count}: let one of those that"
                    " it spawned spawn the rest"
                )
        at = self._specs.setdefault(spec, len(self._specs) + 1)
        self._nodes.append(node._replace(spec=at))
        self._bytes = size

    @property
    def graph(self) -> bytes:
        """All of it, packed; empty if there is none."""
        if not self._nodes:
            return b""
        return encode_graph(Graph(list(self._specs), [*self._nodes, Node(0, pack(None))]))


class running:  # noqa: N801 - reads as `with running(…):`
    """One run of one task: within the block, and in what it starts, `current()` is its context.

    It outlives the block where a thread or a coroutine does. No generator: contextlib's would touch
    a user's exception on its way through.
    """

    __slots__ = (
        *("_context", "_make", "_reset"),
        *("calls", "children", "exit", "home", "lines", "over", "task", "trace"),
    )

    def __init__(self, make: Callable[[], Context], task: asyncio.Task[Any] | None = None) -> None:
        """`make()` gives the context, once code asks for it: that of most tasks never does."""
        self._make = make
        self._context: Context | None = None
        self.calls = 0  # of other tasks
        self.over = False
        self.children: _Children | None = None  # once it has spawned some
        self.home = forks()
        self.lines: LogLines | None = None  # the last ones that it logged
        self.trace = b""  # for a tracer of the next attempt
        self.task = task  # the coroutine that runs it, in a loop shared with others
        self.exit: BaseException | None = None  # what made that loop end

    @property
    def context(self) -> Context:
        """The task. Two threads that are the first to ask may get two that are equal."""
        if self._context is None:
            self._context = self._make()
        return self._context

    @property
    def log(self) -> str:
        """The last lines that were logged within it."""
        return "" if self.lines is None else str(self.lines)

    @property
    def spawned(self) -> bytes:
        """The tasks that were spawned within it, as a packed graph; empty if none was."""
        return b"" if self.children is None else self.children.graph

    def __enter__(self) -> Self:
        self._reset = _scope.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        if _kept_at:
            _kept_at.pop(self.context.token, None)
        _scope.reset(self._reset)


_scope: ContextVar[running | None] = ContextVar("raftwork_task", default=None)


def task_of_this_code() -> Context | None:
    """As `current()`; None outside a task, or after it."""
    scope = _scope.get()
    return None if scope is None or scope.over else scope.context


def scope_of_this_code() -> running | None:
    """The run of a task that this code belongs to; None outside one, or after it."""
    scope = _scope.get()
    return None if scope is None or scope.over else scope


def current() -> Context:
    """The task this code runs for, also in its threads and coroutines. RuntimeError outside."""
    scope = _scope.get()
    if scope is None:
        raise RuntimeError("current() was called outside a task")
    if scope.over:
        raise RuntimeError(f"current() was called after its task {scope.context.id} had ended")
    return scope.context


def exited(within: contextvars.Context, error: BaseException) -> Context | None:
    """Code of a task raised what ends an event loop: the task ends with it, and no other.

    `within` is the context that the code ran in. Returns the task; None if it was no task's code.
    """
    scope = within.get(_scope)
    if scope is None or scope.over or scope.task is None:
        return None
    scope.exit = error
    scope.task.cancel()
    return scope.context


def _within(scope: running | None, code: Callable[P, T]) -> Callable[P, T]:
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        reset = _scope.set(scope)
        try:
            with ends_copies():  # of an executor's item one would wait for the next, for ever
                return code(*args, **kwargs)
        finally:
            _scope.reset(reset)

    return run


_start = threading.Thread.start
_submit = ThreadPoolExecutor.submit


def _start_within(thread: threading.Thread) -> None:
    scope = _scope.get()
    if scope is not None:
        # An instance attribute: subclasses that override run() are carried too.
        thread.run = _within(scope, thread.run)  # type: ignore[method-assign]
    _start(thread)


def _submit_within(
    executor: ThreadPoolExecutor, code: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> "Future[T]":
    # Also without a task: the executor's thread may have been started by one.
    return _submit(executor, _within(_scope.get(), code), *args, **kwargs)


def carry_into_threads() -> None:
    """Let threads and ThreadPoolExecutor items see the task that starts them. Idempotent.

    Python's threads start with an empty context (before 3.14), so a worker replaces
    `Thread.start` and `ThreadPoolExecutor.submit` in its own process by wrappers that hand over
    this one variable and nothing else.
    """
    threading.Thread.start = _start_within  # type: ignore[method-assign,assignment]
    concurrent.futures.ThreadPoolExecutor.submit = _submit_within  # type: ignore[method-assign,assignment]
