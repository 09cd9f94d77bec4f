"""Tasks, their outcomes, and what clients are told of them: G1, G2, G3, G5, G7."""

from raftwork.chaos.findings.finding import Finding, Proofs, each
from raftwork.chaos.history import Ended, Looked, Started
from raftwork.chaos.lives import Life

_UNFINISHED = ("unknown", "scheduled", "blocked", "queued", "running")


def _lost(life: Life) -> Proofs:
    if life.is_lost:
        yield f"acknowledged, but the audit found {life.audited}"


def _unexpected(life: Life) -> Proofs:
    if (life.asked is None or life.refused) and (life.starts or life.outcomes):
        yield f"{'refused' if life.refused else 'never asked for'}, yet it ran"


def _changed(life: Life) -> Proofs:
    told = {(end.state, end.number, end.token): end for end in life.outcomes}
    if len(told) > 1:
        yield " and ".join(map(str, told.values()))


def _stale(life: Life) -> Proofs:
    for look in life.looks:
        if text := _staleness(life, look):
            yield text


def _staleness(life: Life, look: Looked) -> str | None:
    if look.state == "unknown" and life.stored is not None and life.stored < look.asked:
        return f"unknown, though acknowledged {look.asked - life.stored:.3f} s before the question"
    told = min((end.at for end in life.outcomes), default=None)
    if told is not None and told < look.asked and look.state in _UNFINISHED:
        return f"{look.state}, though its outcome was told {look.asked - told:.3f} s before"
    return None


def _wrong(life: Life) -> Proofs:
    for end in {(end.state, end.number, end.token): end for end in life.outcomes}.values():
        if text := _wrongness(life, end):
            yield text


def _wrongness(life: Life, end: Ended) -> str | None:
    fails = "fails" in life.wanted
    if end.state == "failed" and not fails:
        return "failed, which its code never does"
    if end.state == "cancelled" and life.cancelling is None:
        return "cancelled, which nobody asked for"
    if end.state not in ("succeeded", "failed") or life.asked is None:
        return None
    if end.state == "succeeded" and (fails or end.number != life.asked.number):
        return f"returned {end.number} instead of {'failing' if fails else life.asked.number}"
    if all(start.token != end.token for start in life.starts):
        return f"its outcome is of token {end.token}, under which it never ran"
    return None


def _twice(life: Life) -> Proofs:
    if life.asked and life.asked.once and len(life.starts) > 1:
        starts = "; ".join(_told(life, start) for start in sorted(life.starts))
        yield f"at most once, yet started {len(life.starts)} times: {starts}"


def _told(life: Life, start: Started) -> str:
    """A run, so that it is found in the history, beside the fault that it has to do with."""
    finished = life.finished.get(start.token)
    end = "not finished" if finished is None else f"finished at {finished:.3f}"
    return f"at {start.at:.3f} by {start.worker} under token {start.token}, {end}"


FINDINGS = (
    Finding(
        "lost",
        "acknowledged, and the audit found no outcome (at least once: nor a given-up one)",
        each(_lost),
    ),
    Finding(
        "unexpected",
        "run or ended, though it was never enqueued, or was refused for good",
        each(_unexpected),
    ),
    Finding(
        "changed outcome",
        "two different outcomes of one task were reported: the first must stand for ever",
        each(_changed),
    ),
    Finding(
        "stale read",
        '"unknown" after the acknowledgement, or "not finished" after an outcome',
        each(_stale),
    ),
    Finding(
        "wrong result",
        "another value or end than the task's, or the token of a run that never was",
        each(_wrong),
    ),
    Finding("run twice", "an at-most-once task that was started more than once", each(_twice)),
)
