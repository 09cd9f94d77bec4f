"""Flows, in some worlds: random graphs with failures, children and broadcasts."""

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, cast

from raftwork.features.cancel import CancelTasks, Scope
from raftwork.features.flow_again import RetryFlow
from raftwork.features.flow_graph import (
    KIND_BITS,
    BroadcastKind,
    EdgeKind,
    Graph,
    Node,
    encode_graph,
    kind_of,
    source,
)
from raftwork.features.flows import SubmitFlow
from raftwork.messages import Outcome, PushedTask, Spec, State, encode_failure, encode_spec
from raftwork.messages.failures import Grown, decode_ending, is_growth
from raftwork.messages.flow_values import Reference, packed_reference
from raftwork.wire import pack, unpack
from tests.sim.system.flow_rules import QUEUE

if TYPE_CHECKING:
    from tests.sim.system.worker import Worker
    from tests.sim.system.world import World

#: The share of worlds with flows, and how far they are apart there, ms.
_SHARE, _EVERY = 0.5, 250
#: The share of nodes without values of others that are broadcasts.
_BROADCASTS = 0.3
#: The share of flows whose nodes all end once one has no value.
_SIBLINGS = 0.3
#: The share of nodes with inputs whose first one they wait to see fail.
_FALLBACKS = 0.1
#: The share of worlds with flows in which workers of theirs are away for a time.
_AWAY = 0.4
#: Steps of one entry that flows take, and nodes of a flow that it looks at: few, so that some take
#: several.
STEPS_AT_ONCE, NODES_AT_ONCE = 9, 2
#: How often a task that was replaced is cancelled, where one might be.
_OF_REPLACED = 0.3
#: Steps that rows without code may take in an entry: a second one is left for the next.
MADE_AT_ONCE = 1
#: The share of flows without a value that are retried just as they have ended, within so many ms.
_AT_ONCE, _AT_ONCE_MS = 0.3, 15
NODE = "node"
#: Kinds of code that make tasks.
GROWS = ("spawn", "replace")
_SPEC = encode_spec(Spec(NODE, QUEUE, retries=1, backoff=30, max_losses=100, result_ttl=300))
_CARRIES, _ANY = EdgeKind.CARRIES, EdgeKind.NEEDS_END
_BY_END = BroadcastKind.ENDS
_FAILURE = EdgeKind.NEEDS_FAILURE | EdgeKind.CARRIES
#: Nobody is at this address: what came of it is seen in the log.
_NOBODY = b"flows that are steered"


def grown(task: PushedTask, kind: str, many: int) -> Outcome:
    """What code ends with that makes so many tasks; their ids are those of this attempt."""
    nodes = [_node([f"{task.id}.{task.token}.{at}"], "ok", 10, 0, []) for at in range(many)]
    if kind == "spawn":
        graph = encode_graph(Graph([_SPEC], [*nodes, Node(0, pack(None))]))
        ended = Grown(pack([task.id, task.token]), graph, b"")
    else:
        ended = Grown(b"", b"", encode_graph(Graph([_SPEC], [*nodes, _join(range(many))])))
    return Outcome(task.token, False, encode_failure(ended))


def value_of(outcome: Outcome) -> bytes:
    """Of code that returned its value, whatever it made; else its failure."""
    if not is_growth(outcome.data):
        return outcome.data
    ended = decode_ending(outcome.data)
    assert isinstance(ended, Grown)
    return ended.value


def _node(
    ids: list[str], kind: str, length: int, times: int, edges: Sequence[tuple[int, EdgeKind]]
) -> Node:
    slots = [slot for slot, (_, kind_) in enumerate(edges) if kind_ & _CARRIES]
    values = [packed_reference(Reference(slot)) for slot in slots]
    inputs = [src << KIND_BITS | kind_.value for src, kind_ in edges]
    return Node(1, pack([kind, length, times, values]), inputs, "".join(ids))


def _join(sources: Sequence[int], kind: EdgeKind = _CARRIES) -> Node:
    values = [packed_reference(Reference(slot)) for slot in range(len(sources))]
    return Node(0, pack(values), [src << KIND_BITS | kind.value for src in sources])


def _kind(payload: bytes) -> str:
    """The kind of code of a task."""
    return cast("str", cast("list[object]", unpack(payload))[0])


class Flows:
    """Whoever submits flows, by way of the clients; from a stream of its own."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = Random(f"flows of {world.seed}")
        self._third = Random(f"broadcasts of {world.seed}")
        self._fourth = Random(f"cancels of what was replaced of {world.seed}")
        self._steers = Random(f"flows that are steered of {world.seed}")
        self.there = self._rng.random() < _SHARE
        self._made = self._asked = 0
        self._before: list[SubmitFlow] = []
        if self.there:
            for worker in self._workers:
                worker.queues = (*worker.queues, QUEUE)

    @property
    def _workers(self) -> list["Worker"]:
        """Those that serve the flows' queue."""
        return self._world.workers[1:4]

    def leave(self) -> None:
        """In some worlds one of the workers, or all of them, are away for longer than a lease.

        In some of these they leave as peace begins: then one broker leads all the while.
        """
        if not self.there or self._third.random() > _AWAY:
            return
        who = self._workers if self._third.random() < 0.4 else [self._third.choice(self._workers)]
        last = self._world.shape.peace_at - self._world.timeline.now - 50
        after = last if self._third.random() < 0.5 else self._third.randint(1_500, 4_000)
        self._world.timeline.after(after, self._tell_all, who)

    def _tell_all(self, who: list["Worker"]) -> None:
        """What is for all of them comes just before they leave."""
        node = _node([], "ok", 300, 1, [])
        all_ = node._replace(payload=pack([unpack(node.payload), {}]), broadcast=_BY_END)
        graph = encode_graph(Graph([_SPEC], [all_, _join([0])]))
        asked = SubmitFlow(0, 0, "for all", 5_000, False, graph)
        self._third.choice(self._world.users).inquire(asked)
        self._world.timeline.after(self._third.randint(100, 300), self._send_away, who)

    def _send_away(self, who: list["Worker"]) -> None:
        for worker in who:
            worker.stop("killed")
            self._world.timeline.after(self._third.randint(4_500, 7_000), worker.start)

    def begin(self) -> None:
        """From now on until there is peace."""
        if self.there and not self._world.peaceful:
            self._rng.choice(self._world.users).inquire(self._draw())
            if self._before and self._rng.random() < 0.3:
                self._steer(self._rng.choice(self._failed() or self._before[-4:]).id)
            self._world.timeline.after(self._rng.randint(1, 2 * _EVERY), self.begin)

    def _failed(self) -> list[SubmitFlow]:
        """Half of the time, the newest flows that have failed."""
        known = [(flow, self._world.queue.tasks.get(flow.id)) for flow in self._before[-12:]]
        over = [flow for flow, task in known if task is not None and task.outcome is not None]
        failed = [f for f in over if self._world.queue.tasks[f.id].outcome[0] is State.FAILED]  # type: ignore[index]
        return failed if self._rng.random() < 0.5 else []

    def over(self, id_: str) -> None:
        """It has ended. Some flows are retried at once: just then what they came to is let go."""
        member = self._world.queue.flows.members.get(id_)
        if member is None or member.flow != id_ or self._world.peaceful:
            return
        (state, _) = cast("tuple[State, bytes]", self._world.queue.tasks[id_].outcome)
        if state is not State.SUCCEEDED and self._steers.random() < _AT_ONCE:
            self._world.timeline.after(self._steers.randint(0, _AT_ONCE_MS), self._steer, id_)

    def _running(self) -> list[str]:
        """The tasks of flows that run: only those that make tasks, if there are any."""
        queue = self._world.queue
        run = [each for each in queue.flows.members.values() if queue.tasks[each.id].token]
        grow = [each for each in run if _kind(each.payload) in GROWS]
        return [each.id for each in grow or run]

    def _replaced(self) -> list[str]:
        """The tasks that were replaced, and wait."""
        members, tasks = self._world.queue.flows.members, self._world.queue.tasks
        grown = [tasks[each.id] for each in members.values() if each.grown]
        return [task.id for task in grown if task.outcome is None and not task.has_code]

    def _cancel(self, id_: str) -> CancelTasks:
        """Of a flow as a whole, or of a task that runs, which may make others as it returns.

        Or of one that others replace, and wait or run.
        """
        grace = self._steers.choice((0, 900, 900))
        if (replaced := self._replaced()) and self._fourth.random() < _OF_REPLACED:
            some = [self._fourth.choice(replaced)]
            return CancelTasks(self._asked, Scope.IDS, some, "", "", grace)
        if (running := self._running()) and self._steers.random() < 0.5:
            some = [self._steers.choice(running)]
            return CancelTasks(self._asked, Scope.IDS, some, "", "", grace)
        return CancelTasks(self._asked, Scope.FLOW, [], id_, "", grace)

    def _steer(self, id_: str) -> None:
        """Have whoever leads cancel a flow or a task of one, or retry one that has failed."""
        known = self._world.queue.tasks.get(id_)
        failed = known is not None and known.outcome is not None
        for broker in self._world.brokers:
            leadership = broker.node._supervisor.leadership if broker.node is not None else None
            if leadership is None or broker.paused:
                continue
            self._asked += 1
            request = RetryFlow(self._asked, id_) if failed else self._cancel(id_)
            leadership.request(_NOBODY, request, 8, broker.mono)
            broker.poke()

    def _to_all(self, node: Node) -> Node:
        """The same for all workers, unless it is given values."""
        if any(kind_of(edge) & _CARRIES for edge in node.inputs):
            return node
        kind = self._third.choice((BroadcastKind.VALUES, BroadcastKind.ENDS))
        return node._replace(payload=pack([unpack(node.payload), {}]), broadcast=kind)

    def _draw(self) -> SubmitFlow:
        rng = self._rng
        if self._before and rng.random() < 0.15:
            return rng.choice(self._before[-8:])
        nodes: list[Node] = []
        for at in range(rng.choice((1, 2, 4, 6, 9))):
            sources = rng.sample(range(at), min(at, rng.choice((0, 1, 1, 2, 3, 5))))
            if sources and rng.random() < 0.2:
                nodes.append(_join(sources, rng.choice((_CARRIES, _CARRIES | _ANY))))
                continue
            kinds = (_CARRIES, _CARRIES, EdgeKind.NEEDS_VALUE, _CARRIES | _ANY, _ANY)
            edges = [(src, rng.choice(kinds)) for src in sources]
            if edges and self._third.random() < _FALLBACKS:
                edges[0] = edges[0][0], _FAILURE
            kind = rng.choice(("ok", "ok", "ok", "fail", *GROWS))
            times = rng.choice((1, 1, 2, 3))
            made = _node([], kind, rng.choice((1, 5, 40, 300)), times, edges)
            nodes.append(self._to_all(made) if self._third.random() < _BROADCASTS else made)
        used = {source(edge) for node in nodes for edge in node.inputs}
        sinks = [at for at in range(len(nodes)) if at not in used]
        self._made += 1
        ends = [
            _node([], rng.choice(("ok", "fail")), 20, 1, [(len(nodes), kind)])
            for kind in rng.choices((_CARRIES, _FAILURE, _CARRIES | _ANY), k=rng.choice((0, 0, 2)))
        ]
        graph = encode_graph(Graph([_SPEC], [*nodes, _join(sinks)], ends))
        ttl = rng.choice((1, 500, 5_000))
        siblings = self._third.random() < _SIBLINGS
        self._before.append(SubmitFlow(0, 0, f"f{self._made}", ttl, siblings, graph))
        return self._before[-1]
