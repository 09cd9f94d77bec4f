"""What a worker counts of itself, for the process beside it that answers HTTP.

It is counted where somebody asked for HTTP, and nowhere else: some hundreds of nanoseconds a task.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.errors import BadMessage
from raftwork.messages import decode_spec
from raftwork.wire import Codec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raftwork.worker.agent import Agent
    from raftwork.worker.pool import Pool
    from raftwork.worker.pool.recycling import Deaths
    from raftwork.worker.runner import Ended

#: The upper bounds of a RunTimes' buckets, ms.
RUN_BOUNDS_MS: Final = (
    *(5, 10, 25, 50, 100, 250, 500),
    *(1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000, 7_200_000),
)
_BOUNDS_NS: Final = tuple(bound * 1_000_000 for bound in RUN_BOUNDS_MS)
#: Names of tasks that are told apart; all others are one, `OTHER`.
NAMES_MAX: Final = 200
OTHER: Final = "other"
_SPECS_MAX: Final = 1_024


class RunTimes(NamedTuple):
    """How long the code of a task ran, where it returned."""

    task: str  # its name
    #: By bucket of RUN_BOUNDS_MS, not added up; the last one is of what took longer.
    counts: list[int]
    sum_ns: int


class WorkerFacts(NamedTuple):
    """A worker as it is now. Counters only grow."""

    name: str
    pid: int
    slots: int
    busy: int  # slots
    held: int  # tasks that run or wait here
    leader: str  # the address of the one that it has a session with; empty if it has none
    draining: bool
    outcome_bytes: int  # not acknowledged yet
    runs: list[RunTimes]
    lost: list[tuple[str, int]]  # processes, by signal
    recycled: list[tuple[str, int]]  # processes, by reason


worker_facts: Codec[WorkerFacts] = Codec({1: WorkerFacts})


class _Counts:
    def __init__(self) -> None:
        self.counts = [0] * (len(RUN_BOUNDS_MS) + 1)
        self.sum_ns = 0


class OwnFacts:
    """Of one worker."""

    def __init__(self, name: str, pid: int, deaths: Deaths) -> None:
        self._name, self._pid, self._deaths = name, pid, deaths
        self._runs: dict[str, _Counts] = {}
        self._of_spec: dict[bytes, _Counts] = {}

    def ended(self, ends: Sequence[Ended], spec_of: Callable[[int], bytes | None]) -> None:
        """The code of these is over; `spec_of(token)` is what they are."""
        for outcome, elapsed in ends:
            if not outcome.returned or (spec := spec_of(outcome.token)) is None:
                continue
            counts = self._of_spec.get(spec) or self._counts_of(spec)
            counts.counts[bisect_left(_BOUNDS_NS, elapsed)] += 1
            counts.sum_ns += elapsed

    def _counts_of(self, spec: bytes) -> _Counts:
        try:
            name = decode_spec(spec).name
        except BadMessage:
            name = OTHER
        if name not in self._runs and len(self._runs) >= NAMES_MAX:
            name = OTHER
        if len(self._of_spec) >= _SPECS_MAX:
            self._of_spec.clear()
        counts = self._of_spec[spec] = self._runs.setdefault(name, _Counts())
        return counts

    def facts(self, agent: Agent, pool: Pool) -> WorkerFacts:
        """All of it now."""
        session, held = agent.session, len(agent.unfinished())
        return WorkerFacts(
            self._name,
            self._pid,
            pool.slots,
            min(max(0, len(pool.running()) - agent.waits.parked), pool.slots),
            held,
            (session.leader or "") if session.open else "",
            agent.draining,
            agent.outcome_bytes,
            [RunTimes(name, list(c.counts), c.sum_ns) for name, c in self._runs.items()],
            sorted(self._deaths.lost.items()),
            sorted(self._deaths.recycled.items()),
        )
