"""Tasks that were cancelled: G12."""

from raftwork.chaos.findings.finding import Finding, Proofs
from raftwork.chaos.findings.times import waits_until
from raftwork.chaos.lives import Record


def _ran(record: Record) -> Proofs:
    """Only of what cannot have been on its way to a worker: its delay was not over by far."""
    for task, life in record.tasks.items():
        due, cancelled = waits_until(record, life), life.cancelled
        if due is None or cancelled is None or cancelled >= due:
            continue
        for start in life.starts:
            if start.at > cancelled:
                yield f"{task}: its code began {start.at - cancelled:.3f} s after its cancel"
        for end in life.outcomes:
            if end.state != "cancelled":
                yield f"{task}: it waited, was cancelled, and has {end.state}"


FINDINGS = (
    Finding(
        "ran after cancel",
        "its code began after its cancel was acknowledged while it waited, or its end is another",
        _ran,
    ),
)
