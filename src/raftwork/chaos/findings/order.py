"""Ordered tasks of a key: G11."""

import math
from collections import defaultdict

from raftwork.chaos.findings.finding import Finding, Proofs
from raftwork.chaos.history import Asked
from raftwork.chaos.lives import Life, Record


def _broken(record: Record) -> Proofs:
    keys: dict[str, list[tuple[float, str, Life]]] = defaultdict(list)
    for task, life in record.tasks.items():
        if life.began is not None and "ordered" in life.wanted:
            keys[life.wanted["ordered"]].append((life.began, task, life))
    for runs in keys.values():
        yield from _overlaps(sorted(runs, key=lambda run: run[0]))
        yield from _overtakes(sorted(runs, key=lambda run: run[0]))


def _overlaps(runs: list[tuple[float, str, Life]]) -> Proofs:
    """By when they began: the attempt that counts has ended before the next task begins."""
    last, until = "", -math.inf
    for began, task, life in runs:
        if began < until:
            yield f"{task}: began {until - began:.3f} s before {last} was done"
        if life.done is not None and life.done > until:
            last, until = task, life.done


def _overtakes(runs: list[tuple[float, str, Life]]) -> Proofs:
    """None that was acknowledged before another was asked for begins after it."""
    newest = ""
    asked_at = -math.inf
    batches: dict[tuple[str, float], int] = {}  # of each the last number that began
    for _, task, life in runs:
        asked = life.asked
        if asked is None:
            continue
        if life.stored is not None and life.stored < asked_at:
            yield f"{task}: stored {asked_at - life.stored:.3f} s before {newest}, and begun later"
        if asked.at > asked_at:
            newest, asked_at = task, asked.at
        batch = _batch(asked)
        if asked.number < batches.get(batch, 0):
            yield f"{task}: begun after a later one of its batch"
        batches[batch] = max(asked.number, batches.get(batch, 0))


def _batch(asked: Asked) -> tuple[str, float]:
    return asked.client, asked.at


FINDINGS = (
    Finding(
        "order broken",
        "two ordered tasks of a key overlapped, or one overtook another",
        _broken,
    ),
)
