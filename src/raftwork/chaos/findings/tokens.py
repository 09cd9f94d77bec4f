"""Tokens and owners: G3."""

from itertools import pairwise

from raftwork.chaos.findings.finding import Finding, Proofs, each
from raftwork.chaos.lives import Life, Record


def _two_owners(life: Life) -> Proofs:
    """Runs under different tokens that overlapped and whose outcomes were both reported."""
    committed = {end.token for end in life.outcomes if end.state == "succeeded"}
    runs = sorted((s.at, s.token) for s in life.starts if s.token in committed)
    for (_, one), (began, other) in pairwise(runs):
        if one != other and life.finished.get(one, began) >= began:
            yield f"tokens {one} and {other} ran at once and both were committed"
            return


def _order(life: Life) -> Proofs:
    runs = sorted((start.attempt, start.token) for start in life.starts)
    for (attempt, token), (later, next_token) in pairwise(runs):
        if next_token <= token or later == attempt:
            yield f"attempt {attempt} had token {token}, attempt {later} token {next_token}"
            return


def _growing(record: Record) -> Proofs:
    yield from each(_order)(record)
    owner: dict[int, str] = {}
    for task, life in record.tasks.items():
        for start in life.starts:
            if owner.setdefault(start.token, task) != task:
                yield f"{task}: token {start.token} also ran {owner[start.token]}"


def _ran_after(life: Life) -> Proofs:
    """A token is given to whoever is to run it: none is given after the outcome's own."""
    last = max((end.token for end in life.outcomes if end.token >= 0), default=None)
    for start in life.starts:
        if last is not None and start.token > last:
            yield f"its outcome is of token {last}, and it ran under {start.token}"


FINDINGS = (
    Finding(
        "two owners", "both of two overlapping runs of one task were committed", each(_two_owners)
    ),
    Finding(
        "token not growing",
        "a later attempt without a higher token, or one token handed out twice",
        _growing,
    ),
    Finding(
        "ran after its outcome",
        "handed out again after an attempt whose outcome stands",
        each(_ran_after),
    ),
)
