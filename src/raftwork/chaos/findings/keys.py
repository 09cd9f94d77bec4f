"""Unique keys: G13."""

from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

from raftwork.chaos.findings.finding import Finding, Proofs
from raftwork.chaos.lives import Life, Record


class _Span(NamedTuple):
    """For so long a task was unfinished, at least."""

    begins: float
    ends: float
    task: str


def _two(record: Record) -> Proofs:
    keys: dict[str, list[_Span]] = defaultdict(list)
    for task, life in record.tasks.items():
        if "unique" in life.wanted and (span := _unfinished(task, life)) is not None:
            keys[life.wanted["unique"]].append(span)
    for key, spans in keys.items():
        for one, other in pairwise(sorted(spans)):
            if other.begins < one.ends:
                yield f"{other.task}: unfinished beside {one.task}, and both have the key {key}"


def _unfinished(task: str, life: Life) -> _Span | None:
    """From its acknowledgement to the end of the attempt that counts, or to its cancel."""
    known = [at for at in (life.stored, life.began) if at is not None]
    if not known:
        return None
    begins, ends = min(known), life.done
    if any(end.state == "cancelled" for end in life.outcomes):
        ends = life.cancelling
    return _Span(begins, ends, task) if ends is not None and ends > begins else None


def _kept(record: Record) -> Proofs:
    """Whose outcome was told before has no key any more."""
    for task, life in record.tasks.items():
        for existing in life.existing:
            owner = record.tasks.get(existing.owner)
            told = min((end.at for end in owner.outcomes), default=None) if owner else None
            if life.asked is not None and told is not None and told < life.asked.at:
                ago = life.asked.at - told
                yield f"{task}: {existing.owner} is said to have its key, and ended {ago:.3f} s ago"


FINDINGS = (
    Finding("two of a unique key", "two unfinished tasks had one unique key", _two),
    Finding("unique key kept", "taken by a task whose outcome had been told before", _kept),
)
