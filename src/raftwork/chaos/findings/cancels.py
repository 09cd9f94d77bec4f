"""Tasks that were cancelled: G12."""

from raftwork.chaos.findings.finding import Finding, Proofs, each
from raftwork.chaos.findings.times import earliest
from raftwork.chaos.lives import Life


def _ran(life: Life) -> Proofs:
    """Only of what cannot have been on its way to a worker: its delay was not over by far."""
    if life.asked is None or life.cancelled is None or "delay" not in life.wanted:
        return
    if life.cancelled >= earliest(life.asked.at, float(life.wanted["delay"])):
        return
    for start in life.starts:
        if start.at > life.cancelled:
            yield f"its code began {start.at - life.cancelled:.3f} s after its cancel"
    for end in life.outcomes:
        if end.state != "cancelled":
            yield f"it waited, was cancelled, and has {end.state}"


FINDINGS = (
    Finding(
        "ran after cancel",
        "its code began after its cancel was acknowledged while it waited, or its end is another",
        each(_ran),
    ),
)
