"""Tasks that run later: G10."""

from raftwork.chaos.findings.finding import Finding, Proofs
from raftwork.chaos.lives import Life, Record

#: The cluster's clock may run so much faster than the history's, and follow it from so far ahead.
FASTER, _AHEAD_S = 0.1, 0.05


def waits_until(record: Record, life: Life) -> float | None:
    """So long a delayed task must not be handed out; None if it has no delay.

    Where all wall clocks are set the cluster's is, and delays go by that one.
    """
    if life.asked is None or "delay" not in life.wanted:
        return None
    delay = float(life.wanted["delay"])
    return min(life.asked.at + delay * (1 - FASTER) - _AHEAD_S, record.clocks_set_at)


def _early(record: Record) -> Proofs:
    for task, life in record.tasks.items():
        due, asked, began = waits_until(record, life), life.asked, life.began
        if due is not None and asked is not None and began is not None and began < due:
            yield f"{task}: began after {began - asked.at:.3f} s, not {life.wanted['delay']} s"


FINDINGS = (Finding("ran early", "its code began before its delay, or its time", _early),)
