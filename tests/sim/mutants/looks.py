"""Deliberate bugs in what is kept of tasks to be looked at, and in what is told of them."""

from tests.sim.mutants.mutant import mutant as _mutant

_QUEUE, _FEATURES = "raftwork.broker.machine", "raftwork.features"

LOOKS = (
    _mutant(
        "a queue's row drifts: what a failed attempt gives back is not counted as queued",
        f"{_QUEUE}.state:Ledger.take_back",
        "queue.queued += 1",
        "queue.queued += not run.failures",
        fast=True,
    ),
    _mutant(
        "a queue's row drifts: what is cancelled or purged still counts as queued",
        f"{_FEATURES}.waiting:_count",
        "queue.queued -= phases[PENDING] + phases[DELAYED]",
        "queue.queued -= 0",
        seeds=20,
    ),
    _mutant(
        "a tag is left behind by a task that is forgotten",
        f"{_FEATURES}.tags:_forget",
        "list(_by_range(ledger, seqs))",
        "list(_by_range(ledger, seqs[1:]))",
        seeds=20,
    ),
    _mutant(
        "attempts are left behind by a task that is forgotten",
        f"{_FEATURES}.history:forget_attempts",
        "if ledger.level < LEVEL_OPTIONS:",
        "if ledger.level:",
        seeds=20,
    ),
    _mutant(
        "looking at a task needs no barrier",
        "raftwork.broker.requests.request_processor:RequestProcessor._take",
        "self.read_barrier.add(_Reading(asked, rule.slices(self.view, asked.request)))",
        "self.read_barrier.add(_Reading(asked, rule.slices(self.view, asked.request)))\n"
        "            if 'body' in asked.request._fields:\n"
        "                self.read_barrier.barrier(-1); self.read_ready(-1)",
        seeds=200,
    ),
    _mutant(
        "the last attempt of a task that ended is not counted",
        "raftwork.features.settle:settle",
        "run.attempt,",
        "run.attempt - 1,",
        fast=True,
    ),
)
