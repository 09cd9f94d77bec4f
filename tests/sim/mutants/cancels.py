"""Deliberate bugs in cancels, and in pauses of queues; each in both protocols."""

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.surgery import Edit

_FEATURES, _MACHINE, _WORKERS = (
    "raftwork.features",
    "raftwork.broker.machine",
    "raftwork.broker.workers",
)
_ASK = f"{_FEATURES}.cancel:ask_to_end"

#: Name, seeds, edits.
_BUGS: tuple[tuple[str, int, tuple[Edit, ...]], ...] = (
    (
        "retry after a cancel",
        20,
        (Edit(f"{_FEATURES}.settle:without_cancelled", "if not cancelled:", "if True:"),),
    ),
    (
        "a cancelled task that fails is a failure",
        20,
        (
            Edit(
                f"{_FEATURES}.settle:settle",
                "if special and state not in (State.SUCCEEDED, State.CANCELLED):",
                "if False:",
            ),
        ),
    ),
    (
        "that a task was asked to end is kept in memory alone",
        80,
        (
            Edit(
                _ASK,
                "ledger.db.execute(_ASK, (flags, due, seq))",
                "ledger.db.execute(_ASK, (0, due, seq))",
            ),
        ),
    ),
    (
        "cancel lost at failover",
        150,
        (
            Edit(
                f"{_WORKERS}.registry:WorkerRegistry._take_over",
                "Assignment.of(running.token, running, known",
                "Assignment.of(running.token, running._replace(flags=0), known",
            ),
        ),
    ),
    (
        "cancel not told again in a new session",
        60,
        (
            Edit(
                f"{_WORKERS}.reports:Reports.settle_hello",
                "if assignment.cancelling and held is not Held.DONE:",
                "if False:",
            ),
        ),
    ),
    (
        "a grace that never ends",
        20,
        (Edit(_ASK, "ledger.set_timer(due, _GRACE_TIMER, seq)", "pass"),),
    ),
    (
        "a cancel by parts ends with the first",
        40,
        (
            Edit(
                f"{_FEATURES}.cancel:_Cancel.applied",
                "return None if self._after else Done(self._cancelled)",
                "return Done(self._cancelled)",
            ),
        ),
    ),
    (
        "a paused queue hands out what was chosen before",
        100,
        (Edit(f"{_MACHINE}.hand_outs:_may_run", "if queue.paused_until:", "if False:"),),
    ),
    (
        "what a pause held back is forgotten",
        100,
        (
            Edit(
                f"{_MACHINE}.attempts:assign",
                "effects += still_waiting(ledger, absent)",
                "pass",
            ),
        ),
    ),
    (
        "a pause is forgotten at a restart",
        40,
        (Edit(f"{_MACHINE}.queue:load_queues", "*row[9:]", "*row[9:12]"),),
    ),
)

CANCELS = tuple(
    Mutant(f"{consensus}: {name}", edits, seeds, consensus=consensus)
    for consensus in ("raft", "zab")
    for name, seeds, edits in _BUGS
)
