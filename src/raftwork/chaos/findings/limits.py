"""Limits: G16."""

import math
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from raftwork.chaos.findings.finding import Finding, Proofs
from raftwork.chaos.findings.times import FASTER
from raftwork.chaos.history import Limited
from raftwork.chaos.lives import Life, Record

#: So far the cluster's clock may be set forward at once: what is more than half a second behind is,
#: and a new leader that hears the others' clocks over a bad link begins about as far behind.
_SET_S = 1.0


class _Gate(NamedTuple):
    """A limit, or the part of it that is for one key."""

    limit: Limited
    key: str

    @property
    def name(self) -> str:
        return f"{self.limit.limit} of key {self.key}" if self.key else self.limit.limit


def _gates(record: Record, life: Life) -> Iterator[_Gate]:
    for name in filter(None, life.wanted.get("limits", "").split(",")):
        if (limit := record.limits.get(name)) is not None:
            yield _Gate(limit, life.wanted["key"] if limit.keyed else "")


# ---- so many at once ----------------------------------------------------------------------------


class _Run(NamedTuple):
    """The attempt that counts: its token was current from its begin to its end."""

    begins: float
    ends: float
    task: str


def _runs(record: Record) -> dict[_Gate, list[_Run]]:
    """Of each gate that lets so many in at once; by when they began."""
    runs: dict[_Gate, list[_Run]] = defaultdict(list)
    for task, life in record.tasks.items():
        tokens = {end.token for end in life.outcomes}
        counts = [
            _Run(start.at, life.finished[start.token], task)
            for start in life.starts
            if start.token in tokens and start.token in life.finished
        ]
        for gate in _gates(record, life) if counts else ():
            if gate.limit.concurrency:
                runs[gate] += counts
    return {gate: sorted(each) for gate, each in runs.items()}


def _too_many(record: Record, *, one_of_a_key: bool) -> Proofs:
    for gate, runs in _runs(record).items():
        most = gate.limit.concurrency
        if one_of_a_key != bool(gate.key and most == 1):
            continue
        ends: list[float] = []  # of those that began earlier
        for run in runs:
            beside = len(ends) - bisect_right(ends, run.begins)
            if beside >= most:
                yield f"{run.task}: began beside {beside} of {gate.name}, which lets in {most}"
            insort(ends, run.ends)


# ---- so many in a time --------------------------------------------------------------------------


class _HandOut(NamedTuple):
    """One of a gate's, and between which times it must have been."""

    task: str
    after: float
    before: float


def _hand_outs(record: Record) -> dict[_Gate, list[_HandOut]]:
    """Of each gate with a rate, in their order.

    When code begins says little: a worker that was paused begins late, and then much at once. But
    tokens grow with each hand-out of the cluster. So each came after everything was asked for that
    has its token or an earlier one, and before anything began that has it or a later one.
    """
    known = sorted(
        (start.token, start.at, task)
        for task, life in record.tasks.items()
        for start in life.starts
    )
    asked = [_asked(record.tasks[task]) for _, _, task in known]
    after = list(accumulate(asked, max))
    before = list(accumulate((at for _, at, _ in reversed(known)), min))[::-1]
    gates: dict[_Gate, list[_HandOut]] = defaultdict(list)
    for (_, _, task), earliest, latest in zip(known, after, before, strict=True):
        for gate in _gates(record, record.tasks[task]):
            if gate.limit.rate and latest < record.clocks_set_at:
                gates[gate].append(_HandOut(task, earliest, latest))
    return gates


def _asked(life: Life) -> float:
    """No earlier it was handed out; what a schedule made is written down when it is over."""
    asked, began = life.asked, life.began
    return asked.at if asked and began is not None and asked.at <= began else -math.inf


def _too_fast(record: Record) -> Proofs:
    for gate, hand_outs in _hand_outs(record).items():
        rate = gate.limit.rate * (1 + FASTER)
        # The window that allows the least for what is in it begins where this is greatest.
        first, slack = 0, -math.inf
        for number, one in enumerate(hand_outs):
            if rate * one.after - number > slack:
                first, slack = number, rate * one.after - number
            since = hand_outs[first].after
            many = number - first + 1
            allowed = gate.limit.burst + rate * (one.before - since + _SET_S)
            if many > allowed:
                yield (
                    f"{one.task}: the {many}th of {gate.name} within {one.before - since:.3f} s,"
                    f" and {math.floor(allowed)} are allowed"
                )


FINDINGS = (
    Finding(
        "limit exceeded",
        "more tasks of a limit ran at once than it lets in",
        lambda record: _too_many(record, one_of_a_key=False),
    ),
    Finding(
        "two of a key at once",
        "two tasks of a key ran at once, and a limit lets in one of each key",
        lambda record: _too_many(record, one_of_a_key=True),
    ),
    Finding(
        "rate exceeded",
        "more tasks were handed out in a time than the rate of a limit and its burst allow",
        _too_fast,
    ),
)
