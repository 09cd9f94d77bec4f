"""Deliberate bugs in flows; each must be found with both protocols."""

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.surgery import Edit

_NODES = "raftwork.features.flow_nodes"
_JOINS = "raftwork.features.flow_joins"
_ATTEMPTS = "raftwork.broker.machine.attempts"

FLOWS = tuple(
    Mutant(f"{consensus}: {name}", (edit,), seeds, consensus=consensus)
    for consensus in ("raft", "zab")
    for name, edit, seeds in (
        (
            "children committed by an attempt that is over",
            Edit(
                f"{_ATTEMPTS}:grew",
                "    if run is None:\n        return\n",
                "    if run is None:\n"
                "        from raftwork.features.flow_graph import read_graph\n"
                "        from raftwork.features.flows import check_ids, enter_nodes\n"
                "        if command.spawned:\n"
                "            graph = read_graph(command.spawned, ledger.settings)\n"
                "            ids = [node.id for node in graph.nodes[:-1]]\n"
                "            if not ledger.checksums(ids):\n"
                "                enter_nodes(ledger, graph, ids, ledger.time, flow=0, parent=0,"
                " effects=effects)\n"
                "        return\n",
            ),
            60,
        ),
        (
            "children of a task that was asked to end",
            Edit(
                f"{_ATTEMPTS}:grew",
                "    if run.flags & CANCELLING:\n",
                "    if command.replaced and run.flags & CANCELLING:\n",
            ),
            60,
        ),
        (
            "a flow that ends takes along what its retry shares",
            Edit(
                "raftwork.features.flow_ends:_unpin",
                "if list(ledger.db.execute(_FREE, (due, seq))):",
                "if list(ledger.db.execute(_FREE.split('AND')[0] + 'RETURNING 1', (due, seq))):",
            ),
            100,
        ),
        (
            "what replaces a task goes on when that is cancelled",
            Edit("raftwork.features.flow_ends:cancel_rows", "if found.queue:", "if False:"),
            20,
        ),
        (
            "a retry meets the edges",
            Edit(
                f"{_ATTEMPTS}:_delay",
                "    ledger.take_back([run])\n",
                "    ledger.take_back([run])\n"
                "    ledger.links.ended += [run.seq] if run.flags & 128 else []\n",
            ),
            20,
        ),
        (
            "an edge is met twice",
            Edit(
                f"{_NODES}:_fire",
                "    ledger.db.execute(_MEET, (asked, *edges[-1][:3]))\n",
                "",
            ),
            20,
        ),
        (
            "edges beyond an entry's bound are forgotten",
            Edit(
                f"{_NODES}:_fire",
                "                ledger.set_timer(ledger.time, FIRE, seq)\n",
                "                pass\n",
            ),
            20,
        ),
        (
            "joins beyond an entry's bound are forgotten",
            Edit(f"{_JOINS}:make", "ledger.set_timer(ledger.time, MAKE, seq)", "pass"),
            20,
        ),
        (
            "values by the order of the tasks' numbers",
            Edit(
                f"{_JOINS}:inputs",
                "    for dst, slot, state, body in list(ledger.db.execute(_IN, (str(list(seqs)),)))"
                ":\n",
                "    asked = (str(list(seqs)),)\n"
                "    rows = list(ledger.db.execute(_IN, asked))\n"
                "    others = list(ledger.db.execute(_IN.replace('slot', 'src'), asked))\n"
                "    for (dst, slot, *_), (_, _, state, body) in zip(rows, others):\n",
            ),
            20,
        ),
        (
            "what waits for a failure runs",
            Edit(f"{_JOINS}:meets", "if kind & _NEEDS_END:", "if True:"),
            20,
        ),
        (
            "results are dropped before their flow has ended",
            Edit(
                "raftwork.features.history:ending",
                "    return _END[ledger.level >= LEVEL_OPTIONS]\n",
                "    return _END[ledger.level >= LEVEL_OPTIONS].replace(_DUE, '?2')\n",
            ),
            60,
        ),
        (
            "a task that is replaced has ended",
            Edit(
                f"{_ATTEMPTS}:grew",
                "    run = growth.enter(effects)\n    if command.replaced:\n"
                "        effects.append(AttemptEnded(run.token, run.seq))\n",
                "    if command.replaced:\n"
                "        growth._replace(spawned=growth.replaced, replaced=growth.spawned)"
                ".enter(effects)\n"
                "        settle(ledger, State.SUCCEEDED, [(run, command.value)], effects)\n"
                "        return\n"
                "    run = growth.enter(effects)\n    if False:\n        pass\n",
            ),
            20,
        ),
        (
            "a flow ends with its results, whatever else runs",
            Edit(f"{_NODES}:_count", "        if count == len(nodes):", "        if count >= 1:"),
            20,
        ),
    )
)
