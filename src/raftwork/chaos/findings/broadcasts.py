"""Broadcasts: which workers had a call, how often, and what their body is given: G19."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from raftwork.chaos.findings.finding import Finding, Proofs, each
from raftwork.chaos.history import Called
from raftwork.chaos.lives import Life, Record
from raftwork.chaos.tasks import call_id

#: Seconds: a leader that has heard a worker takes it for active at least so long, as the cluster's
#: settings go no lower, and one that is new waits longer until it makes a broadcast.
HEARD_S = 0.5


class _Heard(NamedTuple):
    """A leader heard this worker: not before a run of its ended, and before somebody was told."""

    ended: float
    told: float
    worker: str


def _left_out(record: Record) -> Proofs:
    heard = sorted(_heard(record))
    ends = [each.ended for each in heard]
    for task, life in record.tasks.items():
        count = _count(life)
        if life.asked is None or life.stored is None or count is None:
            continue
        workers = {called.worker for called in life.called}
        if len({called.place for called in life.called}) < count:
            continue  # some calls never began: nothing says for whom they were
        for one in heard[bisect_left(ends, life.stored - HEARD_S) :]:
            if one.ended > life.asked.at:
                break
            if one.told <= life.asked.at and one.worker not in workers:
                if not _was_struck(record, one.worker, life.stored):
                    yield f"{task}: a call for each of {sorted(workers)}, and none for {one.worker}"
                break


def _heard(record: Record) -> Iterator[_Heard]:
    for life in record.tasks.values():
        told: dict[int, float] = {}
        for end in life.outcomes:
            told[end.token] = min(end.at, told.get(end.token, end.at))
        for start in life.starts:
            if start.token in told and start.token in life.finished:
                yield _Heard(life.finished[start.token], told[start.token], start.worker)


def _count(life: Life) -> int | None:
    """How many calls a broadcast has; None if that is not known."""
    if life.called:
        return life.called[0].calls
    if "everywhere" not in life.wanted:
        return None
    for start in life.starts:
        if start.token in life.finished:
            return sum(given.token == start.token for given in life.given)
    return None


def _was_struck(record: Record, worker: str, by: float) -> bool:
    return any(worker in struck.victim.split("+") for struck in record.struck if struck.at <= by)


def _broken(life: Life) -> Proofs:
    calls: dict[int, list[Called]] = defaultdict(list)
    for called in life.called:
        calls[called.place].append(called)
    yield from _misplaced(life, calls)
    for start in life.starts if "everywhere" in life.wanted else ():
        given = [each for each in life.given if each.token == start.token]
        sources = [each.source for each in given]
        due = [call_id(start.task, place) for place in range(_count(life) or 0)]
        if start.token in life.finished and sources != due:
            yield f"its body was given the values of {sources}, not of {due}"
        for place, got in enumerate(given):
            tokens = [called.token for called in calls[place]]
            if got.source_token >= 0 and got.source_token != max(tokens, default=None):
                yield f"the value of {got.source} is of {got.source_token}; it ran as {tokens}"


def _misplaced(life: Life, calls: dict[int, list[Called]]) -> Proofs:
    if len(counts := {called.calls for called in life.called}) > 1:
        yield f"it is of {' and of '.join(map(str, sorted(counts)))} calls"
    by_worker = Counter(worker for runs in calls.values() for worker in {r.worker for r in runs})
    for worker, count in by_worker.items():
        if count > 1:
            yield f"{count} of its calls ran on {worker}"
    for place, runs in calls.items():
        if len(workers := {run.worker for run in runs}) > 1:
            yield f"its call {place} ran on {' and on '.join(sorted(workers))}"


FINDINGS = (
    Finding(
        "worker left out",
        "a broadcast had no call for a worker that a leader had just heard",
        _left_out,
    ),
    Finding(
        "broadcast broken",
        "two of its calls ran on one worker, one on two or after its outcome, or its values are"
        " others",
        each(_broken),
    ),
)
