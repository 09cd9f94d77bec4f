"""What attempts leave for the next."""

from raftwork.chaos.findings.finding import Finding, Proofs, each
from raftwork.chaos.lives import Life


def _lost(life: Life) -> Proofs:
    """A checkpoint is kept while its token is current: every later one finds it, or a newer one."""
    for token, value in sorted(life.found.items()):
        earlier = [kept for other, kept in life.kept.items() if other < token]
        if value < max(earlier, default=0):
            yield f"{max(earlier)} was kept, and the attempt of token {token} found {value}"


FINDINGS = (
    Finding(
        "checkpoint lost",
        "an attempt did not find what an earlier one had been told is kept",
        each(_lost),
    ),
)
