"""Deliberate bugs with workers that do not know a task, that are killed, or under which all die."""

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.mutant import mutant as _mutant
from tests.sim.mutants.surgery import Edit

_BROKER = "raftwork.broker"
_HELLO = f"{_BROKER}.workers.reports:Reports.settle_hello"
_LAST = "if hello.session == LAST_SESSION:"

WORKERS = (
    _mutant(
        "a worker that does not know a task fails it for all",
        f"{_BROKER}.workers.attribution:Attribution.unregistered_task",
        "if running is None:",
        "if True:",
        seeds=300,
    ),
    _mutant(
        "a task waits for ever for a worker that knows it",
        f"{_BROKER}.placement.eligibility:Eligibility._excluded",
        "if self._has_other_worker(queue, lacking, wait_for_absent=True):",
        "if lacking:",
        seeds=100,
    ),
    _mutant(
        "what was passed by is forgotten",
        f"{_BROKER}.dispatch.backlog:Backlog.__bool__",
        " or self.skipped)",
        ")",
        seeds=100,
    ),
    _mutant(
        "a worker that rests is never probed",
        f"{_BROKER}.workers.circuit_breaker:CircuitBreaker.pass_time",
        "if not self.is_open or now < self.due:",
        "if True:",
        seeds=60,
    ),
    *(
        Mutant(
            f"{consensus}: what a killed worker's fork server does not name never began",
            (Edit(_HELLO, _LAST, "if False:"),),
            seeds=40,
            consensus=consensus,
        )
        for consensus in ("raft", "zab")
    ),
)
