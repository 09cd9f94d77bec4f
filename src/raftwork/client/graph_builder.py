"""Graphs of calls on their way to the cluster: nodes, and where each one's arguments come from.

A node's arguments may hold references to nodes before it, also inside lists and dicts. Everything
is checked here, as for an enqueue, before anything is sent.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import msgpack

from raftwork.conversion import Arguments, Convert, Unknown
from raftwork.errors import NotSerializable, PayloadTooLarge
from raftwork.features.flow_graph import (
    EDGES_MAX,
    GRAPH_BYTES_MAX,
    KIND_BITS,
    NODES_MAX,
    BroadcastKind,
    EdgeKind,
    Graph,
    Node,
    encode_graph,
)
from raftwork.messages import PAYLOAD_MAX, Extras
from raftwork.messages.flow_values import Reference, packed_reference
from raftwork.serialization import call_packer, pack_call
from raftwork.signatures import Binder

if TYPE_CHECKING:
    from raftwork.client.task import Registry

_REST: Final = "let a task add the rest by current().spawn or replace"


class Ref(NamedTuple):
    """The value of a node of the same graph, where it will stand."""

    at: int
    #: Where that node has no value a Failure stands there.
    tolerant: bool = False
    #: The value is a list, whose items stand there.
    spread: bool = False


#: A Ref, a list of such, or a plain value.
Value = object


class Call(NamedTuple):
    """A task that is to be a node: everything but its arguments."""

    app: "Registry"
    name: str
    spec: bytes
    result_ttl: int  # ms
    id: str | None
    key: str
    extras: Extras
    parameters: Sequence[str]
    binder: Binder | None
    signature: Unknown
    #: What goes behind its arguments (`pack_call`).
    besides: Mapping[str, object] | None

    def bound(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        """The arguments as they travel. Raises TypeError, NotSerializable."""
        if self.binder is not None:
            self.binder(*args, **kwargs)
        return (args, kwargs) if self.signature.plain else self.signature.out(args, kwargs)

    def items(self, items: Sequence[object], kind: object) -> list[object]:
        """Each item of a call that stands for many, as it travels. Raises NotSerializable."""
        if self.signature.plain:
            return list(items)
        if kind == "star":
            calls = cast("Sequence[Sequence[object]]", items)
            return [list(self.signature.out(call, {})[0]) for call in calls]
        return [self.signature.out((item,), {})[0][0] for item in items]


class GraphBuilder:
    """A graph that grows. `resolve` makes a Ref of what a caller puts into arguments for one."""

    def __init__(self, resolve: Callable[[object], Ref | None] = lambda _: None) -> None:
        self._resolve = resolve
        self._specs: dict[bytes, int] = {}
        self.nodes: list[Node] = []
        self.names: list[str] = []
        #: Of each node, how its value travels; of a join its value.
        self._values: list[Unknown | Value] = []
        self.result_ttl = 0
        self._edges = 0
        #: Nodes that others wait for.
        self._used: set[int] = set()
        self._packer = call_packer()
        #: Tasks that wait for the end of all of it: each with its kind of edge.
        self._callbacks: list[tuple[Node, EdgeKind]] = []
        #: What undoes a node: the place of that, the call, and whether it is given its value.
        self._undo: list[tuple[int, Node, EdgeKind]] = []

    def add(
        self,
        call: Call,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        after: Iterable[Ref] = (),
        how: Mapping[str, object] | None = None,
    ) -> Ref:
        """One more node. `after` are nodes that it waits for, whose values it does not get.

        `how` is what its worker is to know besides. Raises TypeError, NotSerializable,
        PayloadTooLarge.
        """
        self._check_room(call.name)
        slots = _Slots(self._resolve)
        payload = self._payload(call, slots, args, kwargs, how or {})
        spec = self._specs.setdefault(call.spec, len(self._specs) + 1)
        inputs = self._inputs(slots, after)
        self.result_ttl = max(self.result_ttl, call.result_ttl)
        return self._append(
            Node(spec, payload, inputs, call.id or "", call.key, call.extras),
            call.name,
            call.signature,
        )

    def _payload(
        self,
        call: Call,
        slots: "_Slots",
        args: Sequence[object],
        kwargs: Mapping[str, object],
        how: Mapping[str, object],
    ) -> bytes:
        """Checked and packed as for an enqueue, with a reference where a value is to stand."""
        args = cast("list[object]", slots.marked(list(args)))
        kwargs = cast("dict[str, object]", slots.marked(dict(kwargs)))
        if "map" in how:
            args = call.items(args, how["map"])
        else:
            args, kwargs = call.bound(args, kwargs)
        besides = {**how, **(call.besides or {})}
        try:
            payload = self._packed(call, slots, args, kwargs, besides)
        except NotSerializable as error:
            args, kwargs = call.signature.rescue(error, args, kwargs)
            payload = self._packed(call, slots, args, kwargs, besides)
        if slots.refs:
            whole = [_full(list(args)), _full(dict(kwargs)), *([besides] if besides else [])]
            payload = msgpack.packb(whole)
            if len(payload) > PAYLOAD_MAX:
                raise PayloadTooLarge(
                    f"the arguments of {call.name} are {len(payload)} bytes, more than"
                    f" {PAYLOAD_MAX}"
                )
        return payload

    def _packed(
        self,
        call: Call,
        slots: "_Slots",
        args: Sequence[object],
        kwargs: Mapping[str, object],
        besides: Mapping[str, object],
    ) -> bytes:
        """With None in the place of each reference."""
        if slots.refs:
            args = cast("list[object]", _blank(list(args)))
            kwargs = cast("dict[str, object]", _blank(dict(kwargs)))
        return pack_call(self._packer, call.name, args, kwargs, call.parameters, besides)

    def broadcast(
        self,
        call: Call,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        after: Iterable[Ref],
    ) -> Ref:
        """A node that is one such call for each active worker. Raises as `add`."""
        ref = self.add(call, args, kwargs, after)
        self.nodes[ref.at] = self.nodes[ref.at]._replace(broadcast=BroadcastKind.VALUES)
        return ref

    def tolerant(self, value: Value) -> Value:
        """The same, with a Failure for each value that there is none of."""
        if type(value) is Ref:
            node = self.nodes[value.at]
            if node.broadcast:
                self.nodes[value.at] = node._replace(broadcast=BroadcastKind.ENDS)
            return value._replace(tolerant=True)
        if type(value) is list:
            return [self.tolerant(item) for item in value]
        return value

    def join(self, value: Value, after: Iterable[Ref] = ()) -> Ref:
        """A node without code that has this value, once it and those of `after` are there."""
        self._check_room("a join")
        slots = _Slots(self._resolve)
        marked = slots.marked(value)
        inputs = self._inputs(slots, after)
        return self._append(Node(0, msgpack.packb(_full(marked)), inputs), "", value)

    def wait(self, signal: str, timeout: int, after: Iterable[Ref] = ()) -> Ref:
        """A node that has a signal's value; `timeout` in ms, 0 is for ever."""
        self._check_room("a wait")
        inputs = self._inputs(_Slots(self._resolve), after)
        node = Node(0, msgpack.packb(None), inputs, signal=signal, timeout=timeout)
        return self._append(node, "", None)

    def add_callback(
        self,
        call: Call,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        kind: EdgeKind,
        id_: str = "",
    ) -> None:
        """A task that runs once all of it has ended. A Ref among its arguments is the outcome."""
        node, carries = self._follower(call, args, kwargs, id_)
        self._callbacks.append((node, kind | carries))

    def add_undo(
        self, ref: Ref, call: Call, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> None:
        """A task that runs if this node has succeeded, and all of it has not.

        A Ref among its arguments is the node's value.
        """
        node, carries = self._follower(call, args, kwargs, "")
        self._undo.append((ref.at, node, carries))

    def _follower(
        self, call: Call, args: Sequence[object], kwargs: Mapping[str, object], id_: str
    ) -> tuple[Node, EdgeKind]:
        """A node that is given one value at most, and whether it is."""
        slots = _Slots(lambda _: None)
        payload = self._payload(call, slots, args, kwargs, {})
        spec = self._specs.setdefault(call.spec, len(self._specs) + 1)
        self.result_ttl = max(self.result_ttl, call.result_ttl)
        node = Node(spec, payload, [], call.id or id_, call.key, call.extras)
        return node, EdgeKind.CARRIES if slots.refs else EdgeKind.NEEDS_VALUE

    def graph(self, value: Value) -> bytes:
        """All of it, packed; as a whole it has this value. Raises PayloadTooLarge."""
        slots = _Slots(self._resolve)
        marked = slots.marked(value)
        rest = [Ref(at) for at in range(len(self.nodes)) if at not in self._used]
        inputs = self._inputs(slots, rest, count=False)
        whole = Node(0, msgpack.packb(_full(marked)), inputs)
        callbacks = [
            node._replace(inputs=[_edge(Ref(len(self.nodes)), kind)])
            for node, kind in self._callbacks
        ]
        callbacks += self._undoing(len(self.nodes), len(self.nodes) + 1 + len(callbacks))
        packed = encode_graph(Graph(list(self._specs), [*self.nodes, whole], callbacks))
        if len(packed) > GRAPH_BYTES_MAX:
            raise PayloadTooLarge(
                f"a flow of {len(packed)} bytes, more than {GRAPH_BYTES_MAX}: {_REST}"
            )
        return packed

    def _undoing(self, whole: int, first: int) -> list[Node]:
        """The compensations, the last one first, each after the one before it.

        `whole` is the place of all of it, `first` that of the first of these.
        """
        made: list[Node] = []
        for at, node, carries in reversed(self._undo):
            edges = [at << KIND_BITS | carries.value]
            edges.append(whole << KIND_BITS | EdgeKind.NEEDS_FAILURE.value)
            if made:
                before = first + len(made) - 1
                edges.append(before << KIND_BITS | EdgeKind.NEEDS_END.value)
            made.append(node._replace(inputs=edges))
        return made

    @property
    def sinks(self) -> list[Ref]:
        """The nodes that no other one waits for."""
        return [Ref(at) for at in range(len(self.nodes)) if at not in self._used]

    def reads(self, value: Value) -> Convert | None:
        """What makes this value of its plain form; None if it is that."""
        if type(value) is Ref:
            of = self._values[value.at]
            way = of.reads if isinstance(of, Unknown) else self.reads(of)
            each = way is not None and self.nodes[value.at].broadcast
            return _read_each([way], spread=True) if each else way
        if type(value) is not list:
            return None
        parts = [self.reads(part) for part in value]
        if not any(parts):
            return None
        spread = any(type(part) is Ref and part.spread for part in value)
        return _read_each(parts, spread=spread)

    def _append(self, node: Node, name: str, value: Unknown | Value) -> Ref:
        self.nodes.append(node)
        self.names.append(name)
        self._values.append(value)
        return Ref(len(self.nodes) - 1)

    def _inputs(self, slots: "_Slots", after: Iterable[Ref], *, count: bool = True) -> list[int]:
        """The edges of a node, by their slots; those that carry values come first."""
        edges = [_edge(ref, EdgeKind.CARRIES) for ref in slots.refs.values()]
        known = {*slots.refs}
        for ref in after:
            if ref.at not in known:
                known.add(ref.at)
                edges.append(_edge(ref, EdgeKind.NEEDS_VALUE))
        self._used |= known
        if count:
            self._edges += len(edges)
            if self._edges > EDGES_MAX:
                raise PayloadTooLarge(
                    f"a flow of {self._edges} edges, more than {EDGES_MAX}: {_REST}"
                )
        return edges

    def _check_room(self, what: str) -> None:
        if len(self.nodes) >= NODES_MAX:
            raise PayloadTooLarge(
                f"a flow of more than {NODES_MAX} nodes ({what} is one too many): {_REST}"
            )


def _edge(ref: Ref, kind: EdgeKind) -> int:
    if ref.tolerant:
        kind |= EdgeKind.NEEDS_END
    return ref.at << KIND_BITS | kind.value


class _Slots:
    """The references in one node's arguments, each with its slot."""

    def __init__(self, resolve: Callable[[object], Ref | None]) -> None:
        self._resolve = resolve
        #: By the place of the node.
        self.refs: dict[int, Ref] = {}
        self._slots: dict[int, int] = {}

    def _ref(self, value: object) -> Ref | None:
        return value if type(value) is Ref else self._resolve(value)

    def marked(self, value: object) -> object:
        """The same with a Reference in the place of each, which is noted."""
        ref = self._ref(value)
        if ref is not None:
            before = self.refs.setdefault(ref.at, ref)
            if ref.tolerant and not before.tolerant:
                self.refs[ref.at] = ref
            return Reference(self._slots.setdefault(ref.at, len(self._slots)), ref.spread)
        if type(value) is list or type(value) is tuple:
            return [self.marked(item) for item in value]
        if type(value) is dict:
            return {key: self.marked(item) for key, item in value.items()}
        return value


def _blank(value: object) -> object:
    """The same with None in the place of each reference."""
    if type(value) is Reference:
        return None
    if type(value) is list:
        return [_blank(item) for item in value]
    if type(value) is dict:
        return {key: _blank(item) for key, item in value.items()}
    return value


def _full(value: object) -> object:
    """The same with packed references."""
    if type(value) is Reference:
        return packed_reference(value)
    if type(value) is list:
        return [_full(item) for item in value]
    if type(value) is dict:
        return {key: _full(item) for key, item in value.items()}
    return value


def _read_each(parts: Sequence[Convert | None], *, spread: bool) -> Convert:
    """Of a list whose items are read so; with `spread` each as the first."""

    def run(value: object) -> object:
        if type(value) is not list:
            return value
        ways = [parts[0]] * len(value) if spread else parts
        return [item if way is None else way(item) for way, item in zip(ways, value, strict=False)]

    return run


def leaves(value: Value) -> list[Ref]:
    """The nodes whose values it is made of."""
    if type(value) is Ref:
        return [value]
    if type(value) is list:
        return [ref for item in value for ref in leaves(item)]
    return []
