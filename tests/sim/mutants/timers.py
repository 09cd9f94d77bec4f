"""Deliberate bugs in delays, expiries and deadlines; each with both protocols."""

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.surgery import Edit

_TIMERS = "raftwork.features.timers"
_STATE = "raftwork.broker.machine.state:Ledger"

TIMERS = tuple(
    Mutant(f"{consensus}: {name}", (Edit(place, old, new),), seeds, consensus=consensus)
    for consensus in ("raft", "zab")
    for name, place, old, new, seeds in (
        (
            "a delayed task runs early",
            f"{_TIMERS}:_enters",
            "task.due = max(task.due, task.created + spec.delay)",
            "task.due = max(task.due, task.created + spec.delay // 2)",
            20,
        ),
        (
            "expires is judged by a local clock",
            f"{_TIMERS}:_may_start",
            "0 < time <= ledger.time",
            "0 < time <= __import__('time').time() * 1000",
            40,
        ),
        (
            "a timer is lost at a failover",
            f"{_STATE}.find_next_timer",
            "self.next_timer = NEVER if due is None else int(due)",
            "self.next_timer = NEVER",
            40,
        ),
        (
            "scheduled tasks are forgotten at a restart",
            f"{_STATE}.find_next_start",
            "self.next_start = NEVER if due is None else due",
            "self.next_start = NEVER",
            20,
        ),
        (
            "what was handed back unstarted expires no more",
            f"{_TIMERS}:_attempt_ended",
            "elif expires <= ledger.time:",
            "elif False:",
            60,
        ),
        (
            "a retry expires",
            f"{_TIMERS}:_attempt_ended",
            "if began:",
            "if False:",
            60,
        ),
        (
            "a deadline leaves alone what runs",
            f"{_TIMERS}:_deadline",
            "if not overdue:",
            "if overdue:",
            20,
        ),
        (
            "what is behind a task that ended before its time is not started",
            "raftwork.features.starts:_cut",
            "if end < last:",
            "if last < 0:",
            20,
        ),
        (
            "a task that was moved in time keeps its place",
            "raftwork.features.reschedule:_move",
            "unwait_from(ledger, places(ledger, [seq]))",
            "None",
            40,
        ),
    )
)
