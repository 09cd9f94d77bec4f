"""Tasks that run have their outcomes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from raftwork.features import dead_letters
from raftwork.features.effects import Effect, Settled
from raftwork.features.losses import forget_losses
from raftwork.features.task_row import FINISHED
from raftwork.messages import State, decode_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.broker.machine.state import Ledger, Running

#: A task that ran, and the packed value or failure that it ended with.
Verdict = tuple["Running", bytes]

_SETTLE = "UPDATE task SET phase = ?, due = ?, state = ?, spec = x'', body = ? WHERE seq = ?"


def settle(
    ledger: Ledger, state: State, verdicts: Sequence[Verdict], effects: list[Effect]
) -> None:
    """The first outcome stands: the payload goes, the result stays for its time."""
    if not verdicts:
        return
    cap = ledger.settings.result_ttl
    expires = {
        spec: ledger.time + min(decode_spec(spec).result_ttl, cap)
        for spec in dict.fromkeys(run.spec for run, _ in verdicts)
    }
    if state is State.SUCCEEDED:
        forget_losses(ledger, [run.seq for run, _ in verdicts if run.losses])
    else:
        dead_letters.keep(ledger, [run for run, _ in verdicts])
    for run, _ in verdicts:
        if run.flags:
            ledger.ended(run.seq, run.flags, state, effects)
    number = state.value
    ledger.db.executemany(
        _SETTLE, [(FINISHED, expires[run.spec], number, data, run.seq) for run, data in verdicts]
    )
    for queue, count in Counter(run.queue for run, _ in verdicts).items():
        ledger.settle(queue, state, count)
    ledger.result_bytes += sum(len(data) for _, data in verdicts)
    ledger.next_expiry = min(ledger.next_expiry, *expires.values())
    effects.extend(
        [Settled(run.token, run.seq, run.id, run.queue, state, data) for run, data in verdicts]
    )
