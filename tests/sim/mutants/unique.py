"""Mutants of unique keys and debounce: each must be found with both protocols."""

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.surgery import Edit

_KEYS = "raftwork.features.unique_keys"

UNIQUE = tuple(
    Mutant(f"{consensus}: {name}", (edit,), 60, consensus=consensus)
    for consensus in ("raft", "zab")
    for name, edit in (
        (
            "unique key kept after the outcome",
            Edit(f"{_KEYS}:settled", "    _give_up(ledger, seq)\n", ""),
        ),
        (
            "unique key of another queue",
            Edit(
                f"{_KEYS}:_key",
                "_THIS, (spec.queue, spec.name, key)",
                '"name = ? AND key = ?", (spec.name, key)',
            ),
        ),
        (
            "unique key given up by the first hand-out",
            Edit(f"{_KEYS}:begins", "spec.until_started and ", ""),
        ),
        (
            "what came back unstarted has begun",
            Edit("raftwork.broker.machine.state:Ledger.attempt_ended", "if began and", "if"),
        ),
        (
            "a unique key is freed though a task has it",
            Edit(f"{_KEYS}:end_period", "if row.held:", "if not row:"),
        ),
        (
            "debounce without an end",
            Edit(
                f"{_KEYS}:replace",
                "min(created + spec.debounce, first + spec.max_wait)",
                "created + spec.debounce",
            ),
        ),
        (
            "arguments replaced twice by who asks again",
            Edit(f"{_KEYS}:merged", "return {", "return {} and {"),
        ),
        (
            "a task is handed out with arguments that were replaced",
            Edit(
                "raftwork.broker.dispatch.dispatcher:Dispatcher._replaced",
                "reserved = self",
                "return\n    reserved = self",
            ),
        ),
    )
)
