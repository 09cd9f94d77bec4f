"""Deliberate bugs with what code asks for as its attempt ends, and with its checkpoints."""

from dataclasses import replace

from tests.sim.mutants.mutant import mutant as _mutant

_BROKER, _FEATURES = "raftwork.broker", "raftwork.features"

_RAFT = (
    _mutant(
        "a task comes before the pause that its code asked for",
        f"{_BROKER}.workers.retry_backoff:retry_at",
        "return min(time + after, TIME_MAX)",
        "return min(time + after // 2, TIME_MAX)",
    ),
    _mutant(
        "what its code rejects is tried again",
        f"{_BROKER}.workers.reports:Reports._propose",
        "retry_at, outcome.final)",
        "retry_at, False)",
    ),
    _mutant(
        "to go on in another attempt counts as a failure",
        f"{_BROKER}.machine.attempts:postpone",
        "_again(ledger, run, command.at, effects)",
        "_again(ledger, run._replace(failures=run.failures + 1), command.at, effects)",
    ),
    _mutant(
        "a checkpoint is answered before it is committed",
        f"{_BROKER}.workers.task_notes:TaskNotes._keep",
        "asked.value))\n    return None",
        "asked.value))\n    return Verdict.KEPT",
        seeds=20,
    ),
    _mutant(
        "an attempt does not find what the last one left",
        f"{_BROKER}.machine.queries:about",
        "if flags & CHECKPOINTED else",
        "if False else",
        seeds=20,
    ),
    _mutant(
        "the first checkpoint stays for ever",
        f"{_FEATURES}.checkpoints:_note",
        "ledger.db.execute(_PUT, (run.seq, command.value))",
        "ledger.db.execute(_PUT.replace('REPLACE', 'IGNORE'), (run.seq, command.value))",
        seeds=20,
    ),
    _mutant(
        "a checkpoint goes with its attempt",
        f"{_BROKER}.machine.attempts:_delay",
        "ledger.take_back([run])",
        "ledger.take_back([run])\n"
        "    run.flags and ledger.db.execute('DELETE FROM checkpoint WHERE seq = ?', (run.seq,))",
        seeds=20,
    ),
)

ATTEMPT_ENDS = (*_RAFT, *(replace(m, name=f"{m.name} (zab)", consensus="zab") for m in _RAFT))
