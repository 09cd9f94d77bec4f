"""What must be true of flows: a model of their graphs, of which the machine knows nothing.

It knows the graphs, from the commands alone, and the outcomes that were committed. From that
follows what may run, with which values, and what else has ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from raftwork.broker.machine import Machine
from raftwork.broker.machine.commands import Grew
from raftwork.errors import QueueFull, RaftworkError
from raftwork.features.cancel import CancelSome
from raftwork.features.effects import CancelAsked, Done, Effect, Rejected, Reply, Settled
from raftwork.features.flow_again import FlowAgain, next_id
from raftwork.features.flow_graph import (
    BroadcastKind,
    EdgeKind,
    Graph,
    Node,
    decode_graph,
    kind_of,
    source,
)
from raftwork.features.flow_joins import LET_GO, MAKE
from raftwork.features.flow_nodes import FIRE, STOP
from raftwork.features.flows import FlowSubmitted, Grow, SubmitFlow
from raftwork.features.pins import WorkerGone
from raftwork.messages import Code, Spec, State, decode_failure, decode_spec
from raftwork.messages.flow_values import (
    Reference,
    filled,
    joined,
    packed_input,
    packed_reference,
)
from raftwork.wire import pack, unpack
from tests.sim.system.known import Known
from tests.sim.system.promises import Violation, require
from tests.sim.system.replacements import Replacements, left_due

if TYPE_CHECKING:
    from tests.sim.system.queue_checker import QueueChecker

QUEUE = "flows"
_CARRIES, _ANY = EdgeKind.CARRIES, EdgeKind.NEEDS_END
#: Code of a flow in which a node has no value has so long to end, ms.
_GRACE = 10_000


@dataclass(slots=True)
class Member:
    """A node, a join or a flow: what it waits for, by slots, and what it is made of."""

    id: str
    payload: bytes
    edges: list[tuple[str, EdgeKind]]
    #: Of a flow, or of what was replaced: all that must have ended before.
    nodes: list[str] = field(default_factory=list)
    flow: str = ""
    released: bool = False
    #: By which token it has made tasks.
    grown: int = 0
    #: Of a flow: it was asked to end, or one of its nodes has no value and the others are to end.
    asked: bool = False
    #: … and that as a whole.
    cancelled: bool = False
    #: Of a flow: once a node has no value, all others are to end.
    siblings: bool = False
    #: The name of the only worker that may have it; empty: any may.
    worker: str = ""


class FlowRules:
    """Every node ends, none begins before its last input, none twice; values come in order."""

    def __init__(self, queue: "QueueChecker") -> None:
        self._queue = queue
        self.members: dict[str, Member] = {}
        #: Those that may not have been released, nor ended.
        self._open: dict[str, Member] = {}
        #: How many outcomes there were when these were looked at last; -1 after they have changed.
        self._looked_at = -1
        #: Flows that have not ended, of those whose nodes all end once one has no value.
        self._together: list[Member] = []
        #: Numbers of what a cancel must end that is being looked at.
        self.stopped: set[int] = set()
        self.replacements = Replacements(queue, self.members)
        #: … and of what is to end as its worker is gone.
        self._left: set[int] = set()

    def is_pinned(self, id_: str) -> bool:
        """Whether one worker alone may have it."""
        member = self.members.get(id_)
        return member is not None and bool(member.worker)

    def _outcome(self, id_: str) -> tuple[State, bytes] | None:
        return self._queue.tasks[id_].outcome

    def _broken(self, member: Member) -> bool:
        """Whether something that it needs has ended otherwise."""
        return any(
            outcome is not None
            and not kind & _ANY
            and (outcome[0] is State.SUCCEEDED) == bool(kind & EdgeKind.NEEDS_FAILURE)
            for outcome, kind in ((self._outcome(src), kind) for src, kind in member.edges)
        )

    def _met(self, member: Member) -> bool:
        """Whether all that it waits for is there."""
        waits = (*(src for src, _ in member.edges), *member.nodes)
        return all(self._outcome(src) is not None for src in waits)

    def _values(self, member: Member) -> dict[int, bytes]:
        return {
            slot: packed_input(*cast("tuple[State, bytes]", self._outcome(src)))
            for slot, (src, kind) in enumerate(member.edges)
            if kind & _CARRIES
        }

    # ---- graphs come in -------------------------------------------------------------------------

    def command(
        self,
        command: Grow | Grew | CancelSome | FlowAgain | WorkerGone,
        reply: Reply,
        effects: Sequence[Effect],
    ) -> None:
        self._looked_at = -1
        if isinstance(command, Grow):
            self._submitted(command, reply)
        elif isinstance(command, Grew):
            self._grew(command)
        elif isinstance(command, WorkerGone):
            self._gone(command, effects)
        else:
            self._steered(command, reply, effects)

    def _submitted(self, command: Grow, reply: Reply) -> None:
        """It is there as a whole, once."""
        if isinstance(reply, Rejected):
            text = f"{command.id} is refused: {reply}"
            require(command.id not in self._queue.tasks, "all or none", text)
            require(reply.code is Code.QUEUE_FULL or "too late" in reply.text, "flows", text)
            return
        if command.id in self._queue.tasks:
            self._queue.reached["flow: submitted again"] += 1
            return
        self._queue.reached["flow: submitted"] += 1
        graph = decode_graph(command.graph)
        ids = [node.id or f"{command.id}/{at}" for at, node in enumerate(graph.nodes[:-1], 1)]
        workers = dict(command.workers)
        whole = self._enter(graph, [*ids, command.id], command.id, workers.get(QUEUE, []))
        mine = [m.id for m in self.members.values() if m.flow == command.id and m is not whole]
        whole.nodes, whole.siblings = mine, command.siblings
        self._together += [whole] if whole.siblings else []
        places = [*ids, command.id]
        for at, node in enumerate(graph.callbacks, 1):
            edges = [(places[source(edge)], kind_of(edge)) for edge in node.inputs]
            id_ = f"{command.id}/end/{at}"
            self._add(Member(id_, node.payload, edges, flow=command.id), graph, node)

    def _enter(
        self, graph: Graph, ids: Sequence[str], flow: str, workers: Sequence[str] = ()
    ) -> Member:
        """All nodes of it, with their edges; returns the last."""
        for node, id_ in zip(graph.nodes, ids, strict=True):
            edges = [(ids[source(edge)], kind_of(edge)) for edge in node.inputs]
            member = Member(id_, node.payload, edges, flow=flow)
            if node.broadcast:
                self._broadcast(member, graph, node, workers)
            else:
                self._add(member, graph, node)
        return self.members[ids[-1]]

    def _broadcast(self, whole: Member, graph: Graph, node: Node, workers: Sequence[str]) -> None:
        """A task for each of these workers, and the list of their values."""
        require(list(workers) == sorted(set(workers)), "broadcasts", f"{whole.id} is for {workers}")
        carries = _CARRIES if node.broadcast is BroadcastKind.VALUES else _CARRIES | _ANY
        call, named = cast("tuple[object, object]", unpack(node.payload))
        edges: list[tuple[str, EdgeKind]] = []
        for at, worker in enumerate(workers):
            id_ = f"{whole.id}.{at + 1}"
            member = Member(id_, pack(call), [*whole.edges], flow=whole.flow, worker=worker)
            payload = pack([call, named, {"shard": [at, len(workers)]}])
            self._add(member, graph, node._replace(payload=payload))
            edges.append((id_, carries))
        values = pack([packed_reference(Reference(slot)) for slot in range(len(edges))])
        whole.edges = edges or [(src, kind & ~_CARRIES) for src, kind in whole.edges]
        whole.payload = values
        self._add(whole, graph, Node(0, values))
        self._queue.reached["broadcast: entered"] += bool(workers)
        self._queue.reached["broadcast: to nobody"] += not workers

    def _gone(self, command: WorkerGone, effects: Sequence[Effect]) -> None:
        """All that is for this worker alone and does not run is over."""
        queue = self._queue
        self._left = {
            seq
            for seq, task in queue.by_seq.items()
            if (member := self.members.get(task.id)) is not None
            and (member.worker, task.spec.queue) == (command.worker, command.queue)
            and (task.outcome, task.token, task.has_code) == (None, None, True)
        }
        made = {effect.seq for effect in effects if isinstance(effect, Settled)}
        text = f"{command} means {self._left}, and ends {made}"
        require(made == self._left, "broadcasts", text)
        queue.reached["broadcast: worker gone"] += bool(made)

    def _add(self, member: Member, graph: Graph, node: Node) -> None:
        queue = self._queue
        self._joins(member)
        seq = queue.number_of(member.id)
        require(seq > 0, "all or none", f"{member.id} did not come in")
        named = Spec("flow" if member.id == member.flow else "join", "")
        spec = decode_spec(graph.specs[node.spec - 1]) if node.spec else named
        known = Known(seq, member.id, spec, 0, len(node.payload), has_code=node.spec > 0)
        queue.enters(known)
        if node.spec:
            queue.special.add(seq)
            queue.rooms.move(spec.queue, 1, known.size)

    def _joins(self, member: Member) -> None:
        self.members[member.id] = self._open[member.id] = member

    def _grew(self, command: Grew) -> None:
        """A task made tasks: they are there with its outcome, and by one attempt alone."""
        queue = self._queue
        parent = queue.tokens[command.token][0]
        graphs = [decode_graph(g) for g in (command.spawned, command.replaced) if g]
        made = [node.id for graph in graphs for node in graph.nodes[:-1]]
        came_in = [id_ for id_ in made if queue.number_of(id_)]
        if parent.token != command.token or parent.asked:
            require(not came_in, "children of no attempt", f"{parent.id} left {came_in}")
            return
        member = self.members[parent.id]
        if command.spawned and self.members[member.flow].asked:
            require(not came_in, "children of a flow that ends", f"{parent.id} left {came_in}")
            return
        text = f"{parent.id} leaves {came_in} of {made}"
        require(came_in == made and not member.grown, "children once", text)
        member.grown = command.token
        flow = self.members[member.flow]
        for graph in graphs:
            ids = [node.id for node in graph.nodes[:-1]]
            flow.nodes += ids
            if not command.replaced:
                self._enter(graph._replace(nodes=graph.nodes[:-1]), ids, flow.id)
                flow.edges += [(id_, EdgeKind.NEEDS_VALUE) for id_ in ids]
                queue.reached["flow: children entered"] += 1
                continue
            whole = f"{parent.id}={parent.attempts}"
            flow.nodes.append(whole)
            self._enter(graph, [*ids, whole], flow.id)
            member.edges.append((whole, _CARRIES))
            member.payload = pack(packed_reference(Reference(len(member.edges) - 1)))
            member.released = parent.has_code = False
            self._open[member.id] = member
            parent.size = 0
            queue.reached["flow: replaced"] += 1

    # ---- cancels and retries --------------------------------------------------------------------

    def _steered(
        self, command: CancelSome | FlowAgain, reply: Reply, effects: Sequence[Effect]
    ) -> None:
        if isinstance(reply, Rejected):
            self._queue.reached["flow: refused to steer"] += 1
        elif isinstance(command, FlowAgain):
            self._again(command)
        else:
            self._asked(command, reply, effects)

    def _asked(self, command: CancelSome, reply: Done, effects: Sequence[Effect]) -> None:
        """A part of a flow is to end: what waits does so now, code that runs is asked to."""
        queue, flow = self._queue, self.members[command.name]
        flow.asked = flow.cancelled = flow.asked or self._outcome(flow.id) is None
        meant = [
            (seq, queue.by_seq[seq])
            for seq in sorted(map(queue.number_of, flow.nodes))
            if command.after < seq <= (reply.rest_after or seq)
            and queue.by_seq[seq].outcome is None
        ]
        runs = [task for _, task in meant if task.token is not None]
        waits = {seq for seq, task in meant if task.token is None}
        told = {effect.token for effect in effects if isinstance(effect, CancelAsked)}
        made = {effect.seq for effect in effects if isinstance(effect, Settled)}
        right = told == {task.token for task in runs if not task.asked} and made == waits
        many = len(runs) + sum(queue.by_seq[seq].has_code for seq in waits)
        require(
            right and reply.affected == many,
            "cancel of a flow",
            lambda: f"{command} means {meant}, ends {made} and asks {told}: {reply}",
        )
        self.stopped |= waits
        queue.reached["flow: cancelled as a whole"] += bool(meant)
        for task in runs:
            due = queue.time + command.grace
            task.grace_ends = min(due, task.grace_ends) if task.asked else due
            task.asked = True

    def _again(self, command: FlowAgain) -> None:
        """What has no value is there once more, and waits for what has succeeded as before."""
        queue, old, new = self._queue, self.members[command.id], next_id(command.id)
        if new in self.members:
            return
        nodes = sorted(old.nodes, key=queue.number_of)
        again = {
            id_: f"{new}/{at}"
            for at, id_ in enumerate(nodes, 1)
            if cast("tuple[State, bytes]", self._outcome(id_))[0] is not State.SUCCEEDED
        }
        names = again | {old.id: new}
        for id_, clone in names.items():
            self._clone(id_, clone, names, new)
        self.members[new].nodes = [again.get(id_, id_) for id_ in nodes]
        queue.reached["flow: retried"] += 1
        queue.reached["flow: retried, and shares a result"] += len(again) < len(nodes)
        let_go = left_due(queue._machine, LET_GO, queue.number_of(command.id))
        queue.reached["flow: retried before all was let go"] += let_go
        self.members[new].siblings = old.siblings
        self._together += [self.members[new]] if old.siblings else []

    def _clone(self, id_: str, clone: str, names: dict[str, str], flow: str) -> None:
        queue, member, before = self._queue, self.members[id_], self._queue.tasks[id_]
        edges = [(names.get(src, src), kind) for src, kind in member.edges]
        self._joins(Member(clone, member.payload, edges, flow=flow, worker=member.worker))
        seq = queue.number_of(clone)
        require(seq > 0, "once in", f"{clone} did not come in")
        spec = before.spec if before.has_code else before.spec._replace(queue="")
        known = Known(seq, clone, spec, 0, before.size, has_code=before.has_code)
        queue.enters(known)
        if known.has_code:
            queue.special.add(seq)
            queue.rooms.move(spec.queue, 1, known.size)

    # ---- what follows ---------------------------------------------------------------------------

    def waits(self, task: Known) -> None:
        """It waits to be handed out."""
        member = self.members.get(task.id)
        if member is None:
            return
        require(
            self._met(member) and not self._broken(member),
            "before its last input",
            lambda: f"{task.id} may run, of {[(s, self._outcome(s)) for s, _ in member.edges]}",
        )
        text = f"{task.id} may run, and could before"
        require(not member.released or task.attempts > 0, "released twice", text)
        member.released = True

    def began(self, id_: str, values: list[object], worker: str) -> None:
        """Its code begins on this worker, with these values."""
        member = self.members[id_]
        text = f"{id_} is for {member.worker} alone, and begins on {worker}"
        require(member.worker in {"", worker}, "broadcasts", text)
        again = bool(member.worker) and self._queue.tasks[id_].attempts > 1
        self._queue.reached["broadcast: came to its worker again"] += again
        if not self._queue.tasks[id_].has_code:
            return  # under an old token, of what was replaced since: its inputs are gone
        due = cast("list[object]", filled(member.payload, self._values(member)))[3]
        require(values == due, "values in order", f"{id_} is given {values}, not {due}")
        self._queue.reached["flow: a failure as a value"] += "Failure(" in repr(values)

    def ends(self, effect: Settled) -> bool:
        """Whether a task that never ran, or has no code, ended for what it waited for; rightly."""
        task = self._queue.by_seq[effect.seq]
        member = self.members.get(task.id)
        if member is None:
            return False
        if effect.seq in self.stopped:
            self.stopped.remove(effect.seq)
            text = f"{task.id} is cancelled with its flow, and ends as {effect}"
            require(effect.state is State.CANCELLED and _why(effect) == "user", "cancels", text)
            self._over(effect, task)
            return True
        if effect.seq in self._left:
            self._left.remove(effect.seq)
            text = f"{task.id} has no worker, and ends as {effect}"
            right = effect.state is State.CANCELLED and _why(effect) == "worker gone"
            require(right, "broadcasts", text)
            self._over(effect, task)
            return True
        cancelled = effect.state is State.CANCELLED and _why(effect) == "user"
        if cancelled and self.replacements.may_end(task.id):
            self._queue.reached["flow: cancelled with what it replaces"] += 1
            self._over(effect, task)
            return True
        upstream = effect.state is State.CANCELLED and _why(effect) == "upstream"
        if task.has_code and not upstream:
            return False  # cancelled, or purged, for another reason

        def words() -> str:
            return f"{task.id} ends as {effect}: {[(s, self._outcome(s)) for s, _ in member.edges]}"

        if self._broken(member):
            require(effect.state is not State.SUCCEEDED, "value of nothing", words)
        elif upstream and self._has_failed(member):
            self._queue.reached["flow: ended with its siblings"] += 1
        else:
            require(not task.has_code and self._met(member), "before its last input", words)
            value = joined(member.payload, self._values(member))
            same = effect.state is State.SUCCEEDED and effect.data == value
            require(same, "value of a join", words)
        ended = all(self._outcome(id_) is not None for id_ in member.nodes)
        require(ended, "end of a flow", f"{task.id} ends before all of {member.nodes}")
        reached = self._queue.reached
        reached[f"flow: {effect.state.name.lower()}"] += bool(member.nodes)
        reached["flow: cancelled for what it waited for"] += upstream
        self._over(effect, task)
        return True

    def _over(self, effect: Settled, task: Known) -> None:
        if task.has_code:
            self._queue.over(effect, task, State.CANCELLED)
            return
        if task.spec.queue:
            self._queue.rooms.move(task.spec.queue, -1, 0)
        self._queue.ends_as(effect, task)

    # ---- flows that end together ----------------------------------------------------------------

    def _has_failed(self, member: Member) -> bool:
        """Whether all nodes of its flow are to end, as one has no value."""
        flow = self.members[member.flow]
        without = (o for o in map(self._outcome, flow.nodes) if o and o[0] is not State.SUCCEEDED)
        return flow.siblings and flow is not member and any(without)

    def asks(self, token: int) -> None:
        """The code under this token is asked to end, if nobody's command says so: by its flow."""
        task = self._queue.tokens[token][0]
        if not task.asked:
            member = self.members.get(task.id)
            right = member is not None and (
                self._has_failed(member) or self.replacements.may_end(task.id)
            )
            require(right, "cancels", f"{task.id} is asked to end, and nobody asked for it")
            task.asked, task.grace_ends = True, self._queue.time + _GRACE
            what = "its siblings" if self._has_failed(self.members[task.id]) else "what it replaces"
            self._queue.reached[f"flow: asked to end with {what}"] += 1

    def _end_together(self, machine: Machine) -> None:
        """Where a node has no value all others of its flow have ended, or were asked to."""
        self._together = [f for f in self._together if self._outcome(f.id) is None]
        for flow in self._together:
            nodes = [self._queue.tasks[id_] for id_ in flow.nodes]
            if all(n.outcome is None or n.outcome[0] is State.SUCCEEDED for n in nodes):
                continue
            flow.asked = True
            left = left_due(machine, STOP, self._queue.number_of(flow.id))
            go_on = [n.id for n in nodes if n.outcome is None and not n.asked]
            text = f"{flow.id} has failed, and {go_on} go on"
            require(not go_on or left or flow.cancelled, "siblings", text)

    # ---- after each entry -----------------------------------------------------------------------

    def entered(self, machine: Machine) -> None:
        """The entry is over: what waits for nothing has gone on, but for what is left due."""
        self._end_together(machine)
        self.replacements.entered(machine)
        if not self.members or left_due(machine, FIRE) or left_due(machine, MAKE):
            self._queue.reached["flow: went on in another entry"] += bool(self.members)
            return
        if self._looked_at == self._queue.outcomes_committed:
            return
        self._looked_at = self._queue.outcomes_committed
        for member in list(self._open.values()):
            if member.released or self._outcome(member.id) is not None:
                del self._open[member.id]
            elif self._met(member) or (self._broken(member) and not member.nodes):
                raise Violation("released late", f"{member.id} still waits for {member.edges}")

    def answered(
        self, request: SubmitFlow, message: object | None, error: RaftworkError | None
    ) -> None:
        """Who is told that it is there is told the truth."""
        if isinstance(message, FlowSubmitted):
            require(request.id in self._queue.tasks, "durable", f"{request.id} is not there")
        else:
            refused = isinstance(error, QueueFull) or "level" in str(error)
            require(refused, "refusals", f"{request.id} is refused: {error!r}")


def _why(effect: Settled) -> str:
    return decode_failure(effect.data).type
