"""Tasks that run later: G10."""

import math

from raftwork.chaos.findings.finding import Finding, Proofs
from raftwork.chaos.lives import Record

#: The cluster's clock may run so much faster than the history's, and follow it from so far ahead.
_FASTER, _AHEAD_S = 0.1, 0.05


def earliest(asked: float, delay: float) -> float:
    """When a task may begin that was asked for then."""
    return asked + delay * (1 - _FASTER) - _AHEAD_S


def _early(record: Record) -> Proofs:
    # Where all wall clocks are set the cluster's is, and delays go by that one.
    set_at = min((s.at for s in record.struck if _sets_clocks(s.fault, s.role)), default=math.inf)
    for task, life in record.tasks.items():
        if life.asked is None or "delay" not in life.wanted:
            continue
        delay = float(life.wanted["delay"])
        due = earliest(life.asked.at, delay)
        if life.began is not None and life.began < min(due, set_at):
            took = life.began - life.asked.at
            yield f"{task}: began {took:.3f} s after its enqueue, and not before {delay:g} s"


def _sets_clocks(fault: str, role: str) -> bool:
    return fault.startswith("clock") and role == "all"


FINDINGS = (Finding("ran early", "its code began before its delay, or its time", _early),)
