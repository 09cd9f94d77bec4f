"""The verdict: what a history proves against the guarantees.

A history is judged after all faults have ended and an auditor has asked for every task's outcome.
What each finding means:

lost               acknowledged, and the audit found no outcome (at least once: nor a given-up one)
unexpected         run or ended, though it was never enqueued, or was refused for good
changed outcome    two different outcomes of one task were reported: the first must stand for ever
two owners         both of two overlapping runs of one task were committed
stale read         "unknown" after the acknowledgement, or "not finished" after an outcome
wrong result       another value than the task's, or the token of a run that never was
token not growing  a later attempt without a higher token, or one token handed out twice
run twice          an at-most-once task that was started more than once
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from raftwork.chaos.history import (
    AUDIT,
    Asked,
    Ended,
    Event,
    Finished,
    Looked,
    Refused,
    Started,
    Stored,
)

_NO_OUTCOME = ("none", "unknown")


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


FINDINGS = (
    "lost",
    "unexpected",
    "changed outcome",
    "two owners",
    "stale read",
    "wrong result",
    "token not growing",
    "run twice",
)


@dataclass(slots=True)
class _Life:
    """All that is known of one task."""

    asked: Asked | None = None
    stored: float | None = None
    refused: bool = False
    ends: list[Ended] = field(default_factory=list)
    looks: list[Looked] = field(default_factory=list)
    starts: list[Started] = field(default_factory=list)
    finished: dict[int, float] = field(default_factory=dict)  # when, by token

    @property
    def outcomes(self) -> list[Ended]:
        """The reported ends that are outcomes."""
        return [end for end in self.ends if end.state not in _NO_OUTCOME]

    @property
    def audited(self) -> Ended | None:
        return next((end for end in reversed(self.ends) if end.client == AUDIT), None)


def judge(history: Iterable[Event]) -> Verdict:
    """Judge a whole history, in any order."""
    lives = _lives(history)
    verdict = Verdict(findings={name: [] for name in FINDINGS})
    for task, life in lives.items():
        _count(verdict, life)
        for name, text in _findings(life):
            verdict.findings[name].append(f"{task}: {text}")
    verdict.findings["token not growing"] += _tokens_given_twice(lives)
    verdict.losses = _locate([life for life in lives.values() if life.stored is not None])
    return verdict


def _lives(history: Iterable[Event]) -> dict[str, _Life]:
    lives: dict[str, _Life] = defaultdict(_Life)
    for event in history:
        match event:
            case Asked():
                # Enqueueing again under the same id is the same request: the first time counts.
                if lives[event.task].asked is None:
                    lives[event.task].asked = event
            case Stored():
                life = lives[event.task]
                life.stored = min(event.at, life.stored or event.at)
            case Refused():
                lives[event.task].refused = True
            case Ended():
                lives[event.task].ends.append(event)
            case Looked():
                lives[event.task].looks.append(event)
            case Started():
                lives[event.task].starts.append(event)
            case Finished():
                lives[event.task].finished[event.token] = event.at
            case _:
                pass
    return lives


def _count(verdict: Verdict, life: _Life) -> None:
    outcomes = life.outcomes
    verdict.enqueued += life.asked is not None
    verdict.acknowledged += life.stored is not None
    verdict.recovered += life.stored is None and bool(outcomes)
    verdict.succeeded += any(end.state == "succeeded" for end in outcomes)
    verdict.given_up += any(end.state == "lost" for end in outcomes)
    verdict.runs += len(life.starts)
    verdict.run_more_than_once += len(life.starts) > 1
    verdict.status_reads += len(life.looks)


def _findings(life: _Life) -> Iterator[tuple[str, str]]:
    """(finding, what proves it) of one task."""
    if _is_lost(life):
        yield "lost", f"acknowledged, but the audit found {life.audited}"
    if (life.asked is None or life.refused) and (life.starts or life.outcomes):
        yield "unexpected", f"{'refused' if life.refused else 'never asked for'}, yet it ran"
    told = {(end.state, end.number, end.token): end for end in life.outcomes}
    if len(told) > 1:
        yield "changed outcome", " and ".join(map(str, told.values()))
    if text := _two_owners(life):
        yield "two owners", text
    for look in life.looks:
        if text := _staleness(life, look):
            yield "stale read", text
    for end in told.values():
        if text := _wrongness(life, end):
            yield "wrong result", text
    if text := _token_order(life.starts):
        yield "token not growing", text
    if life.asked and life.asked.once and len(life.starts) > 1:
        starts = "; ".join(_told(life, start) for start in sorted(life.starts))
        yield "run twice", f"at most once, yet started {len(life.starts)} times: {starts}"


def _told(life: _Life, start: Started) -> str:
    """A run, so that it is found in the history, beside the fault that it has to do with."""
    finished = life.finished.get(start.token)
    end = "not finished" if finished is None else f"finished at {finished:.3f}"
    return f"at {start.at:.3f} by {start.worker} under token {start.token}, {end}"


def _is_lost(life: _Life) -> bool:
    if life.stored is None:
        return False
    if life.audited is None or life.audited.state in _NO_OUTCOME:
        return True
    return life.audited.state == "lost" and not (life.asked and life.asked.once)


def _two_owners(life: _Life) -> str | None:
    """Runs under different tokens that overlapped and whose outcomes were both reported."""
    committed = {end.token for end in life.outcomes if end.state == "succeeded"}
    runs = sorted((s.at, s.token) for s in life.starts if s.token in committed)
    for (_, one), (began, other) in pairwise(runs):
        if one != other and life.finished.get(one, began) >= began:
            return f"tokens {one} and {other} ran at once and both were committed"
    return None


def _staleness(life: _Life, look: Looked) -> str | None:
    if look.state == "unknown" and life.stored is not None and life.stored < look.asked:
        return f"unknown, though acknowledged {look.asked - life.stored:.3f} s before the question"
    told = min((end.at for end in life.outcomes), default=None)
    if told is not None and told < look.asked and look.state in ("unknown", "queued", "running"):
        return f"{look.state}, though its outcome was told {look.asked - told:.3f} s before"
    return None


def _wrongness(life: _Life, end: Ended) -> str | None:
    if end.state == "failed":
        return "failed, which its code never does"
    if end.state != "succeeded" or life.asked is None:
        return None
    if end.number != life.asked.number:
        return f"returned {end.number} instead of {life.asked.number}"
    if all(start.token != end.token for start in life.starts):
        return f"its outcome is of token {end.token}, under which it never ran"
    return None


def _token_order(starts: list[Started]) -> str | None:
    runs = sorted((start.attempt, start.token) for start in starts)
    for (attempt, token), (later, next_token) in pairwise(runs):
        if next_token <= token or later == attempt:
            return f"attempt {attempt} had token {token}, attempt {later} token {next_token}"
    return None


def _tokens_given_twice(lives: dict[str, _Life]) -> Iterator[str]:
    owner: dict[int, str] = {}
    for task, life in lives.items():
        for start in life.starts:
            if owner.setdefault(start.token, task) != task:
                yield f"{task}: token {start.token} also ran {owner[start.token]}"


def _locate(stored: list[_Life]) -> Losses:
    clients: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for life in stored:
        if life.asked is not None:
            clients[life.asked.client].append((life.asked.number, _is_lost(life)))
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
