"""Tasks that ran have their outcomes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from raftwork.features import dead_letters
from raftwork.features.effects import Settled
from raftwork.features.event_journal import EventKind
from raftwork.features.history import ending
from raftwork.features.losses import forget_losses
from raftwork.features.task_row import CANCELLING, FINISHED, cancel_reason
from raftwork.features.waiting import leave_lanes
from raftwork.messages import Cancelled, State, decode_spec, encode_failure
from raftwork.wire import maker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.broker.machine.state import Ledger, Running
    from raftwork.features.effects import Effect

    #: A task that ran, and the packed value or failure that it ended with.
    Verdict = tuple[Running, bytes]

_settled = maker(Settled)


def settle(
    ledger: Ledger, state: State, verdicts: Sequence[Verdict], effects: list[Effect]
) -> None:
    """The first outcome stands: the payload goes, the result stays for its time.

    Their tokens are over. What was asked to end and has no value is cancelled, whatever else
    befell it.
    """
    special = [run for run, _ in verdicts if run.flags]
    if special and state not in (State.SUCCEEDED, State.CANCELLED):
        verdicts, special = _without_asked(ledger, verdicts, special, effects)
    if not verdicts:
        return
    cap = ledger.settings.result_ttl
    specs = dict.fromkeys([run.spec for run, _ in verdicts])
    expires = {spec: ledger.time + min(decode_spec(spec).result_ttl, cap) for spec in specs}
    if state in (State.SUCCEEDED, State.CANCELLED):
        forget_losses(ledger, [run.seq for run, _ in verdicts if run.losses])
    else:
        dead_letters.keep(ledger, [run for run, _ in verdicts])
    if special:
        leave_lanes(ledger, [run.lane for run in special])
        ledger.ended([(run.seq, run.flags) for run in special], state, effects)
    named = {spec: ledger.names[decode_spec(spec).name] for spec in specs}
    number, now = state.value, ledger.time
    ran_on, times = ledger.worker_numbers, ledger.run_times
    ledger.journal.settled(state, verdicts, times)
    if state in (State.FAILED, State.LOST):
        ledger.journal.goes_on(EventKind.DEAD, [run for run, _ in verdicts])
    ledger.db.executemany(
        ending(ledger),
        [
            (
                FINISHED,
                expires[run.spec],
                number,
                data,
                named[run.spec],
                ran_on[run.worker],
                now,
                times.get(run.token, 0),
                run.attempt,
                run.seq,
            )
            for run, data in verdicts
        ],
    )
    if len(verdicts) == 1:  # a Counter of one takes longer than the rest
        ledger.settle(verdicts[0][0].queue, state, 1)
    else:
        for queue, count in Counter([run.queue for run, _ in verdicts]).items():
            ledger.settle(queue, state, count)
    ledger.result_bytes += sum([len(data) for _, data in verdicts])
    ledger.next_expiry = min(ledger.next_expiry, *expires.values())
    effects += [
        _settled((run.token, run.seq, run.id, run.queue, state, data)) for run, data in verdicts
    ]


def _without_asked(
    ledger: Ledger,
    verdicts: Sequence[Verdict],
    special: Sequence[Running],
    effects: list[Effect],
) -> tuple[Sequence[Verdict], list[Running]]:
    """Cancel those that were asked to end; the others."""
    cancelled = [run for run in special if run.flags & CANCELLING]
    if cancelled:
        settle_cancelled(ledger, cancelled, effects)
    return (
        [each for each in verdicts if not each[0].flags & CANCELLING],
        [run for run in special if not run.flags & CANCELLING],
    )


def settle_cancelled(ledger: Ledger, runs: Sequence[Running], effects: list[Effect]) -> None:
    """These were asked to end, and ended without a value; for the reason that was given then."""
    verdicts = [(run, encode_failure(Cancelled(cancel_reason(run.flags)))) for run in runs]
    settle(ledger, State.CANCELLED, verdicts, effects)


def without_cancelled(
    ledger: Ledger, runs: Sequence[Running], effects: list[Effect]
) -> Sequence[Running]:
    """Of tasks that would run again those that may: what was asked to end is cancelled instead."""
    cancelled = [run for run in runs if run.flags & CANCELLING]
    if not cancelled:
        return runs
    settle_cancelled(ledger, cancelled, effects)
    return [run for run in runs if not run.flags & CANCELLING]
