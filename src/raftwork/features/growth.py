"""Tasks that a task's code makes: they enter in the entry that commits its outcome, in no other.

1. What code spawned, or returned in its own place, travels with the word that it returned. So a
   task that is lost or tried again has left nothing, and one that is done has left all, once.
2. Children are of their parent's flow. A task that is replaced ends as what replaces it does: it
   waits without code, so the edges from it are not met before that has ended, at any depth. One
   that was of no flow is one from then on.
   One of no flow spawns tasks alone, which wait for nothing.
3. A flow that was asked to end takes no children: what its code spawns then is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.errors import ProtocolError
from raftwork.features.broadcasts import refuse_broadcasts
from raftwork.features.flow_graph import (
    KIND_BITS,
    CheckedGraph,
    EdgeKind,
    check_graph,
    count_nodes,
    read_graph,
)
from raftwork.features.flow_nodes import keeps_children
from raftwork.features.flows import (
    add_edges,
    add_sinks,
    check_growth,
    check_ids,
    enter_nodes,
    open_flow,
)
from raftwork.features.signal_rows import check_waits
from raftwork.features.task_row import LINKED, WITHOUT_CODE
from raftwork.messages.flow_values import Reference, packed_reference
from raftwork.wire import pack

if TYPE_CHECKING:
    from raftwork.broker.machine.commands import Grew
    from raftwork.broker.machine.state import Ledger, Running
    from raftwork.features.cluster_settings import ClusterSettings
    from raftwork.features.effects import Effect

_FLOW = "SELECT flow FROM task WHERE seq = ?"
_NEXT_SLOT = "SELECT coalesce(max(slot) + 1, 0) FROM edge WHERE dst = ?"
_LINK = "UPDATE task SET flags = flags | ? WHERE seq = ?"
_REPLACE = """UPDATE task SET phase = ?, body = ?, flags = ?, attempt = ?, failures = ?,
    losses = ?, open = 0 WHERE seq = ?"""
_WAITS = "UPDATE task SET open = 1 WHERE seq = ?"
_EMPTY: Final = CheckedGraph([], [], [], [])


def check_grown(data: bytes, settings: ClusterSettings) -> CheckedGraph:
    """As `check_graph`; each of these tasks has an id of its own, which another attempt's have not.

    None is a broadcast: that a leader may be too new to know all workers must hold up no outcome.
    Raises ProtocolError, PayloadTooLarge.
    """
    graph = check_graph(data, settings)
    if not all(node.id for node in graph.nodes[:-1]):
        raise ProtocolError("a task that a task made has no id")
    refuse_broadcasts(graph)
    return graph


class Growth(NamedTuple):
    """What a task that has returned leaves; there is room for it."""

    ledger: Ledger
    run: Running
    flow: int  # its own; 0 if it is of none
    spawned: CheckedGraph
    replaced: CheckedGraph

    def enter(self, effects: list[Effect]) -> Running:
        """Put it in. Of a task that is replaced nothing else is to be done; returns the task."""
        if self.spawned.nodes:
            seqs = self._nodes(self.spawned, self.flow, effects)
            if self.flow:  # a flow has failed if one of those at its ends has
                add_sinks(self.ledger, self.flow, seqs)
        return self._become(effects) if self.replaced.nodes else self.run

    def _nodes(self, graph: CheckedGraph, flow: int, effects: list[Effect]) -> list[int]:
        ids = [node.id for node in graph.nodes[:-1]]
        ledger, parent = self.ledger, self.run.seq
        return enter_nodes(
            ledger, graph, ids, ledger.time, flow=flow, parent=parent, effects=effects
        )

    def _become(self, effects: list[Effect]) -> Running:
        """It waits for what replaces it, and has that one's outcome."""
        ledger, run = self.ledger, self.run
        if run.flags:
            ledger.attempt_ended(run.seq, run.flags, began=True)
        queue = ledger.touch(run.queue)
        queue.running -= 1
        queue.blocked += 1
        whole, flow = self.replaced.nodes[-1], self.flow
        ((slot,),) = ledger.db.execute(_NEXT_SLOT, (run.seq,))
        template = pack(packed_reference(Reference(slot))) if flow else whole.payload
        counts = (run.attempt, run.failures, run.losses)
        ((flags,),) = ledger.db.execute("SELECT flags FROM task WHERE seq = ?", (run.seq,))
        row = (WITHOUT_CODE, template, flags | LINKED, *counts, run.seq)
        ledger.db.execute(_REPLACE, row)
        if not flow:
            open_flow(ledger, run.seq, siblings=False)
            seqs = self._nodes(self.replaced, run.seq, effects)
            add_edges(ledger, run.seq, whole.inputs, seqs)
            if not seqs:
                ledger.links.ready.append(run.seq)
            return run
        # Its own inputs stay with it: what replaces it is one more, by way of a join.
        nodes = [*self.replaced.nodes[:-1], whole._replace(id=_whole_id(run)), whole]
        seqs = self._nodes(self.replaced._replace(nodes=nodes), flow, effects)
        value = len(seqs) - 1 << KIND_BITS | EdgeKind.CARRIES
        add_edges(ledger, run.seq, [value], seqs, first=slot)
        ledger.db.execute(_WAITS, (run.seq,))
        return run


def read_growth(ledger: Ledger, run: Running, command: Grew) -> Growth:
    """What is to enter with a task's outcome.

    Raises ProtocolError, PayloadTooLarge or QueueFull unless all of it may.
    """
    ((flow,),) = ledger.db.execute(_FLOW, (run.seq,))
    settings = ledger.settings
    spawned, replaced = (
        read_graph(data, settings) if data else _EMPTY
        for data in (command.spawned, command.replaced)
    )
    if flow < 0:  # it runs at its flow's end, and is none of its nodes
        flow = 0
        if replaced.nodes:
            raise ProtocolError("a task that waits for the end of a flow cannot be replaced")
    if not keeps_children(ledger, flow):
        spawned = _EMPTY
    ids = [node.id for graph in (spawned, replaced) for node in graph.nodes[:-1]]
    if len(set(ids)) < len(ids):
        raise ProtocolError("two of the tasks that a task made have the same id")
    check_ids(ledger, [*ids, _whole_id(run)])
    for graph in (spawned, replaced):
        refuse_broadcasts(graph)
        if graph.nodes:
            check_growth(ledger, graph)
    # Their edges, and what they wait for, would go with a flow, and there is none.
    if not flow and any(node.inputs or not node.spec for node in spawned.nodes[:-1]):
        raise ProtocolError(
            "a task of no flow spawned what waits for others, or for a signal: enqueue a flow"
        )
    check_waits(ledger, flow or run.seq, [*spawned.nodes, *replaced.nodes])
    return Growth(ledger, run, flow, spawned, replaced)


def _whole_id(run: Running) -> str:
    """Of the join that stands for all that replaces a task of a flow."""
    return f"{run.id}={run.attempt}"


def count_tasks(command: Grew) -> int:
    """How many tasks it made, for people. They could be read before they were in the log."""
    return count_nodes(command.spawned) + count_nodes(command.replaced)
