"""What a history can prove against the guarantees: each finding, and how it is found.

A finding is exact: it needs an order of events that no honest cluster can make, however slow it is.
A file beside this one has some findings, and its line here has them looked for.
"""

from raftwork.chaos.findings import (
    attempts,
    broadcasts,
    cancels,
    checkpoints,
    flows,
    keys,
    limits,
    order,
    outcomes,
    times,
    tokens,
)
from raftwork.chaos.findings.finding import Finding

FINDINGS: tuple[Finding, ...] = (
    *outcomes.FINDINGS,
    *tokens.FINDINGS,
    *times.FINDINGS,
    *cancels.FINDINGS,
    *order.FINDINGS,
    *keys.FINDINGS,
    *limits.FINDINGS,
    *flows.FINDINGS,
    *broadcasts.FINDINGS,
    *attempts.FINDINGS,
    *checkpoints.FINDINGS,
)
