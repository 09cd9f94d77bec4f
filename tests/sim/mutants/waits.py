"""Deliberate bugs with tasks that wait for other tasks."""

from dataclasses import replace

from tests.sim.mutants.mutant import mutant as _mutant

_BROKER = "raftwork.broker"

_WAITS = (
    _mutant(
        "a task that waits for itself waits for ever",
        f"{_BROKER}.workers.deadlocks:Deadlocks._judge",
        "why = waiter.ended or self._stuck(seq)",
        "why = None",
        seeds=60,
    ),
    _mutant(
        "parked tasks are not told to a new session",
        "raftwork.worker.told_waits:ToldWaits.renew",
        "self._news = dict.fromkeys(self._now)",
        "pass",
        seeds=60,
    ),
    _mutant(
        "a slot that a waiting task holds is taken for one that it gave away",
        f"{_BROKER}.workers.deadlocks:Deadlocks._slot_holders",
        "if assignment.done or assignment.parked:",
        "if assignment.done or assignment.wait is not None:",
        seeds=60,
    ),
    _mutant(
        "the slot of a parked task that ends is freed twice",
        f"{_BROKER}.workers.worker:Worker.ends",
        "self.waits(assignment, None)",
        "pass",
        seeds=60,
    ),
    _mutant(
        "that a wait has ended is told once",
        f"{_BROKER}.workers.deadlocks:Deadlocks._judge",
        "if waiter is None or not self._still(waiter):",
        "if waiter is None or not self._still(waiter) or waiter.ended:",
        seeds=150,
    ),
    _mutant(
        "a wait behind a limit that the waiting tasks fill lasts for ever",
        "raftwork.features.limits:_holds",
        "if quota is not None and 0 < quota.concurrency <= gate.held:",
        "if False:",
        seeds=60,
    ),
    _mutant(
        "a wait behind a rate is ended",
        "raftwork.features.limits:_holds",
        "if quota is not None and 0 < quota.concurrency <= gate.held:",
        "if quota is not None and gate.held:",
        seeds=60,
    ),
    _mutant(
        "a slot is full of tasks that are parked",
        "raftwork.worker.agent:Agent._accept",
        "full = self._unparked >= self._slots + 2 * self._prefetch.most",
        "full = len(self._held) >= self._slots",
        seeds=60,
    ),
)

#: Of each protocol: who leads next is another matter in each.
WAITS = tuple(
    replace(bug, name=f"{bug.name} ({consensus})", consensus=consensus)
    for bug in _WAITS
    for consensus in ("raft", "zab")
)
