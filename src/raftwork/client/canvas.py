"""Calls that are made of calls: chains, groups, chords. None of them does anything until enqueued.

A call that is not immutable takes the value of what comes before it as its first argument. A
group's value is the list of its members' values, in their order; of one member it is a list of one,
of none the empty list, and what follows runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from raftwork.attempt_ends import Replacement
from raftwork.client.graph_builder import GraphBuilder, Ref, Value, leaves
from raftwork.client.ids import new_ids
from raftwork.errors import PayloadTooLarge
from raftwork.features.flow_graph import NODES_MAX, EdgeKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.client.flow import Flow
    from raftwork.client.graph_builder import Call
    from raftwork.client.task import Registry


class Callee(Protocol):
    """A task, as far as a call of it goes."""

    def as_node(self) -> Call:
        """Everything that a graph has to know of it."""
        ...


class Canvas:
    """What may stand in a chain, a group or a chord."""

    def place(self, builder: GraphBuilder, before: Value) -> Value:
        """Put it into a graph behind this value, None if it is the first; returns its value."""
        raise NotImplementedError

    @property
    def app(self) -> Registry | None:
        """Of its tasks; None if it has none."""
        raise NotImplementedError

    def __or__(self, after: Canvas) -> Chain:
        if not isinstance(after, Canvas):
            return NotImplemented
        return Chain([*_steps(self), *_steps(after)])

    def enqueue(self, id: str | None = None) -> Flow:  # noqa: A002
        """Enqueue all of it as one flow; returns once a majority of the brokers has it on disk.

        Raises as `Task.enqueue`; PayloadTooLarge for more than 10,000 nodes, 50,000 edges or
        16 MiB, ValueError if it has no task.
        """
        return self._flow(id).enqueue()

    async def aenqueue(self, id: str | None = None) -> Flow:  # noqa: A002
        """As `enqueue`, for coroutines."""
        return await self._flow(id).aenqueue()

    def _flow(self, id: str | None) -> Flow:  # noqa: A002
        from raftwork.client.flow import Flow

        app = self.app
        if app is None:
            raise ValueError("it has no task: nothing says which cluster it is for")
        return Flow(app, id, self)


class Signature(Canvas):
    """One call of a task: `task.s(…)` takes the former value first, `task.si(…)` does not."""

    def __init__(
        self,
        task: Callee,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        *,
        immutable: bool,
        how: Mapping[str, object] | None = None,
    ) -> None:
        self.task = task
        self.args = args
        self.kwargs = dict(kwargs)
        self.immutable = immutable
        #: What its worker is to know besides.
        self.how = how

    @property
    def app(self) -> Registry | None:
        """See Canvas."""
        return self.task.as_node().app

    def place(self, builder: GraphBuilder, before: Value) -> Value:
        """See Canvas."""
        args, after = self.args, list[Ref]()
        if before is not None:
            if self.immutable:
                after = leaves(before)
            else:
                args = (before, *args)
        return builder.add(builder.call_of(self.task), args, self.kwargs, after, self.how)

    def __repr__(self) -> str:
        given = [*map(repr, self.args), *(f"{k}={v!r}" for k, v in self.kwargs.items())]
        return f"<Signature {self.task.as_node().name}({', '.join(given)})>"


class Broadcast(Canvas):
    """A call on each worker that is active when it is enqueued: made by `task.broadcast(…)`."""

    def __init__(
        self, task: Callee, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> None:
        self.task = task
        self.args = args
        self.kwargs = dict(kwargs)

    @property
    def app(self) -> Registry | None:
        """See Canvas."""
        return self.task.as_node().app

    def place(self, builder: GraphBuilder, before: Value) -> Value:
        """See Canvas."""
        after = leaves(before)
        if len(after) > 1:
            after = [builder.join([], after)]  # else each of its tasks had an edge from each
        return builder.broadcast(self.task.as_node(), self.args, self.kwargs, after)


class Chain(Canvas):
    """Steps, one after the other; each gets the value of the one before."""

    def __init__(self, steps: Iterable[Canvas]) -> None:
        self.steps = [_checked(step) for step in steps]

    @property
    def app(self) -> Registry | None:
        """See Canvas."""
        return _first_app(self.steps)

    def place(self, builder: GraphBuilder, before: Value) -> Value:
        """See Canvas."""
        value = before
        for step in self.steps:
            value = step.place(builder, value)
        return value


class Group(Canvas):
    """Members that run at the same time; its value is the list of theirs.

    With `on_error="continue"` what follows runs whatever becomes of them: in the list stands a
    Failure for each that has no value.
    """

    def __init__(self, members: Iterable[Canvas], on_error: str = "fail") -> None:
        self.members = [_checked(member) for member in members]
        self.on_error = checked_on_error(on_error)
        #: Each member's value is a list, and its items are the group's.
        self.chunked = False
        #: The task that all of them call, if that is known: it has a cluster where none is there.
        self.of: Callee | None = None

    @property
    def app(self) -> Registry | None:
        """See Canvas."""
        app = _first_app(self.members)
        return self.of.as_node().app if app is None and self.of is not None else app

    def place(self, builder: GraphBuilder, before: Value) -> Value:
        """See Canvas."""
        from_many = len(leaves(before))
        if type(before) is list and from_many > 1 and len(self.members) > 2:
            before = builder.join(before)  # else there were an edge for each pair
        values: list[Value] = [member.place(builder, before) for member in self.members]
        if self.chunked:
            values = [v._replace(spread=True) if type(v) is Ref else v for v in values]
        value: Value = values
        if not self.members and leaves(before):
            value = builder.join([], leaves(before))
        return builder.tolerant(value) if self.on_error == "continue" else value


def chain(*steps: Canvas | Iterable[Canvas]) -> Chain:
    """Calls one after the other; each takes the value of the one before as its first argument."""
    return Chain(_given(steps))


def group(*members: Canvas | Iterable[Canvas], on_error: str = "fail") -> Group:
    """Calls that run at the same time. Its value is the list of their values, in their order."""
    return Group(_given(members), on_error)


def chord(header: Iterable[Canvas], body: Canvas, *, on_error: str = "fail") -> Chain:
    """A group, and a call that takes the list of its values; it runs once, after all of them."""
    return Chain([Group(header, on_error), _checked(body)])


def put_callback(
    builder: GraphBuilder, task: Callee | Signature, kind: EdgeKind, id_: str = ""
) -> None:
    """Have a task done after all of a graph; `id_` is its id unless it has one."""
    builder.add_callback(*_with_outcome(task), kind, id_)


def put_undo(builder: GraphBuilder, ref: Ref, task: Callee | Signature) -> None:
    """Have a task done if this node has succeeded and the whole has not."""
    builder.add_undo(ref, *_with_outcome(task))


def _with_outcome(
    task: Callee | Signature,
) -> tuple[Call, tuple[object, ...], Mapping[str, object]]:
    """A call that is given an outcome first, if it takes one."""
    if not isinstance(task, Signature):
        return task.as_node(), (_OUTCOME,) if _takes_one(task) else (), {}
    args = task.args if task.immutable else (_OUTCOME, *task.args)
    return task.task.as_node(), args, task.kwargs


#: Stands for what a whole graph, or a node, came to.
_OUTCOME = Ref(0)


def _takes_one(task: Callee) -> bool:
    """Whether it can be called with one argument; no if that cannot be known."""
    binder = task.as_node().binder
    if binder is None:
        return False
    try:
        binder(None)
    except TypeError:
        return False
    return True


def mapped(task: Callee, items: Iterable[object], chunk: int, *, star: bool) -> Group:
    """A group of calls of a task, one for each item, or for each `chunk` of them."""
    if type(chunk) is not int or chunk < 1:
        raise ValueError(f"a chunk must be at least one item, got {chunk!r}")
    given = list(items)
    if star:
        for at, item in enumerate(given):
            if type(item) is not tuple and type(item) is not list:
                kind = type(item).__name__
                raise TypeError(f"items[{at}]: each must be a tuple of arguments, got {kind}")
    if chunk == 1:
        calls: list[Canvas] = [
            Signature(task, tuple(item) if star else (item,), {}, immutable=True)  # type: ignore[arg-type]
            for item in given
        ]
        made = Group(calls)
        made.of = task
        return made
    how = {"map": "star" if star else "one"}
    parts = [given[at : at + chunk] for at in range(0, len(given), chunk)]
    made = Group(Signature(task, tuple(part), {}, immutable=True, how=how) for part in parts)
    made.chunked, made.of = True, task
    return made


def sharded(task: Callee, count: int, args: tuple[object, ...], kwargs: dict[str, object]) -> Group:
    """A group of so many calls that are alike but for `current().shard`."""
    if type(count) is not int or count < 1:
        raise ValueError(f"there must be at least one shard, got {count!r}")
    if count > NODES_MAX:
        raise PayloadTooLarge(f"{count} shards, more than {NODES_MAX}")
    return Group(
        Signature(task, args, kwargs, immutable=True, how={"shard": [index, count]})
        for index in range(count)
    )


def mapreduce(*, map: Callee, reduce: Callee, items: Iterable[object], chunk: int = 1) -> Chain:  # noqa: A002
    """`map` for each item, then `reduce` once, with the list of what they came to, in order.

    With `chunk` one task takes so many items. Raises as `Canvas.enqueue`, ValueError.
    """
    return Chain([mapped(map, items, chunk, star=False), _call_with_value(reduce)])


def _call_with_value(task: Callee | Signature) -> Signature:
    return task if isinstance(task, Signature) else Signature(task, (), {}, immutable=False)


def replace(canvas: Canvas) -> Replacement:
    """What a task returns to have others do its work: `return replace(group(…))`.

    They enter with the task's outcome, and theirs becomes its own: whoever waits for it goes on
    waiting. A task that is lost or tried again has left none. None may be a broadcast: ValueError.
    Raises as `Canvas.enqueue`.
    """
    builder = GraphBuilder()
    value = _checked(canvas).place(builder, None)
    if any(node.broadcast for node in builder.nodes):
        raise ValueError("a broadcast cannot stand in for a task: enqueue it from the task's code")
    missing = [at for at, node in enumerate(builder.nodes) if not node.id]
    for at, id_ in zip(missing, new_ids(len(missing)), strict=True):
        builder.nodes[at] = builder.nodes[at]._replace(id=id_)
    return Replacement(builder.graph(value))


def checked_on_error(value: object) -> str:
    """Raises ValueError."""
    if value not in ("fail", "continue"):
        raise ValueError(f"on_error must be 'fail' or 'continue', got {value!r}")
    return str(value)


def _given(canvases: tuple[Canvas | Iterable[Canvas], ...]) -> list[Canvas]:
    """Several, or one iterable of them."""
    if len(canvases) == 1 and isinstance(canvases[0], Iterable):
        return [_checked(each) for each in canvases[0]]
    return [_checked(each) for each in canvases]


def _checked(canvas: object) -> Canvas:
    if not isinstance(canvas, Canvas):
        raise TypeError(
            f"expected a call such as task.s(…), a chain or a group, got {type(canvas).__name__}"
        )
    return canvas


def _steps(canvas: Canvas) -> list[Canvas]:
    return canvas.steps if isinstance(canvas, Chain) else [canvas]


def _first_app(canvases: Iterable[Canvas]) -> Registry | None:
    return next((each.app for each in canvases if each.app is not None), None)
