"""Attempts that failed, and how many may."""

from raftwork.chaos.findings.finding import Finding, Proofs, each
from raftwork.chaos.lives import Life


def _policy(life: Life) -> Proofs:
    """What fails always has failed as often as its policy allows, and no more."""
    if "fails" not in life.wanted or life.failures is None:
        return
    allowed = 1 if life.wanted["fails"] == "reject" else 1 + int(life.wanted["retries"])
    if life.failures != allowed:
        yield f"{life.failures} attempts have failed for good, and its policy is {allowed}"
    began = len({start.token for start in life.starts})
    if began < life.failures:
        yield f"{life.failures} attempts are said to have failed, and {began} began"


FINDINGS = (
    Finding(
        "retry policy broken",
        "it failed for good after more attempts than its retries allow, or after fewer",
        each(_policy),
    ),
)
