"""The verdict: what a history proves against the guarantees.

A history is judged after all faults have ended and an auditor has asked for every task's outcome.
What can be found stands in `findings`.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from raftwork.chaos.findings import FINDINGS
from raftwork.chaos.history import Event
from raftwork.chaos.lives import Life, record


@dataclass(slots=True)
class Losses:
    """Where in each client's sequence tasks were lost: first, last, or between survivors.

    Lost first tasks mean a start over, lost last ones a cut-off tail, and lost ones in the middle
    a log that was reordered or rolled back.
    """

    first: int = 0
    middle: int = 0
    last: int = 0


@dataclass(slots=True)
class Verdict:
    """What a history amounts to: counts of tasks and runs, and every broken guarantee."""

    enqueued: int = 0
    acknowledged: int = 0
    #: Not acknowledged, yet stored: allowed, because the client got no answer.
    recovered: int = 0
    succeeded: int = 0
    #: At-most-once tasks whose worker vanished: their promised end.
    given_up: int = 0
    #: Those whose code fails always, and those that were cancelled.
    failed: int = 0
    cancelled: int = 0
    runs: int = 0
    run_more_than_once: int = 0
    status_reads: int = 0
    losses: Losses = field(default_factory=Losses)
    #: Each finding by its name, as sentences.
    findings: dict[str, list[str]] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether no guarantee was broken."""
        return not any(self.findings.values())


def judge(history: Iterable[Event]) -> Verdict:
    """Judge a whole history, in any order."""
    told = record(history)
    verdict = Verdict(findings={each.name: list(each.find(told)) for each in FINDINGS})
    for life in told.tasks.values():
        _count(verdict, life)
    verdict.losses = _locate([life for life in told.tasks.values() if life.stored is not None])
    return verdict


def _count(verdict: Verdict, life: Life) -> None:
    outcomes = life.outcomes
    verdict.enqueued += life.asked is not None
    verdict.acknowledged += life.stored is not None
    verdict.recovered += life.stored is None and bool(outcomes)
    verdict.succeeded += any(end.state == "succeeded" for end in outcomes)
    verdict.given_up += any(end.state == "lost" for end in outcomes)
    verdict.failed += any(end.state == "failed" for end in outcomes)
    verdict.cancelled += any(end.state == "cancelled" for end in outcomes)
    verdict.runs += len(life.starts)
    verdict.run_more_than_once += len(life.starts) > 1
    verdict.status_reads += len(life.looks)


def _locate(stored: list[Life]) -> Losses:
    clients: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for life in stored:
        if life.asked is not None:
            clients[life.asked.client].append((life.asked.number, life.is_lost))
    losses = Losses()
    for tasks in clients.values():
        lost = [is_lost for _, is_lost in sorted(tasks)]
        if False not in lost:
            losses.first += len(lost)
            continue
        first, last = lost.index(False), lost[::-1].index(False)
        losses.first += first
        losses.last += last
        losses.middle += sum(lost) - first - last
    return losses
