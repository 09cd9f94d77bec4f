"""Attempts: a task is handed out, and its token comes to an end.

Rules of this file:
1. A report counts only while its token is current. Otherwise the effect is TokenRejected: another
   worker has the task by now, or it has its outcome, which stands.
2. A token ends in exactly one way: the task settles for ever (`settle`), waits again (`_requeue`)
   or waits for its next attempt's time (`_delay`). What was asked to end settles, whatever else
   would become of it. No task that may run at most once waits again after it may have started.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raftwork.broker.machine import hand_outs
from raftwork.broker.machine.commands import (
    Assign,
    Expire,
    Fail,
    Finish,
    Grew,
    HoldBack,
    Lose,
    LoseSaying,
    Postpone,
    Release,
)
from raftwork.broker.machine.state import Ledger, Running, spec_of
from raftwork.features.effects import (
    Assigned,
    AttemptEnded,
    Effect,
    NotAssigned,
    TokenRejected,
)
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.feature import REFUSALS
from raftwork.features.growth import count_tasks, read_growth
from raftwork.features.history import ERROR_MAX, note_attempt
from raftwork.features.losses import note_losses
from raftwork.features.settle import settle, settle_cancelled, without_cancelled
from raftwork.features.task_row import CANCELLING, DELAYED
from raftwork.features.waiting import still_waiting, wait
from raftwork.messages import (
    TIME_LIMIT_KINDS,
    Failure,
    ResumeAsked,
    State,
    TimeLimitPassed,
    WorkerLost,
    WorkerLostSaying,
    decode_failure_strictly,
    encode_failure,
    failure_head,
    is_retried,
    lost_by,
)
from raftwork.messages.failures import ChildrenRefused

if TYPE_CHECKING:
    from raftwork.features.settle import Verdict

_RETURN = "UPDATE task SET attempt = ?, failures = ?, losses = ? WHERE seq = ?"
_DELAY = """UPDATE task SET phase = ?, due = ?, attempt = ?, failures = ?, losses = ?
    WHERE seq = ?"""


def assign(ledger: Ledger, command: Assign, effects: list[Effect]) -> None:
    """Each task that waits gets the next token, in the command's order."""
    runs, absent = hand_outs.assign(ledger, command.worker, command.seqs)
    if runs:
        tasks = [(run.token, run.seq, run.attempt) for run in runs]
        effects.append(Assigned(command.worker, tasks))
    if absent:
        effects.append(NotAssigned(absent))
        effects += still_waiting(ledger, absent)  # what a gate did not let in, or a pause


def finish(ledger: Ledger, command: Finish, effects: list[Effect]) -> None:
    """The code returned: these values are the outcomes."""
    end = ledger.end
    verdicts: list[Verdict] = []
    for token, data in command.outcomes:
        run = end(token)
        if run is None:
            effects.append(TokenRejected(token))
        else:
            verdicts.append((run, data))
    settle(ledger, State.SUCCEEDED, verdicts, effects)


def fail(ledger: Ledger, command: Fail, effects: list[Effect]) -> None:
    """The code raised. Raises BadMessage if the failure is none, which no leader proposes."""
    ended = decode_failure_strictly(command.failure)
    run = _end(ledger, command.token, effects)
    if run is not None:
        retry_at = None if command.final else command.retry_at
        trace = ended.trace if isinstance(ended, Failure) else b""
        _failed(ledger, run, command.failure, retry_at, effects, trace)


def grew(ledger: Ledger, command: Grew, effects: list[Effect]) -> None:
    """The code returned and made tasks: with its outcome they are there, and not before.

    No room for them is a failure of the attempt: nothing of it is there then. Nor is it if the task
    was asked to end: what would go on in its children is cancelled with it.
    """
    run = _end(ledger, command.token, effects)
    if run is None:
        return
    if run.flags & CANCELLING:
        settle_cancelled(ledger, [run], effects)
        return
    try:
        growth = read_growth(ledger, run, command)
    except REFUSALS as refusal:
        failure = encode_failure(ChildrenRefused(int(refusal.code), count_tasks(command)))
        _failed(ledger, run, failure, command.retry_at, effects)
        return
    run = growth.enter(effects)
    if command.replaced:
        effects.append(AttemptEnded(run.token, run.seq))
        ledger.journal.goes_on(EventKind.REPLACED, [run], times_ms=ledger.run_times)
    else:
        settle(ledger, State.SUCCEEDED, [(run, command.value)], effects)


def expire(ledger: Ledger, command: Expire, effects: list[Effect]) -> None:
    """The time limit passed without a word from the worker."""
    run = _end(ledger, command.token, effects)
    if run is not None:
        spec = spec_of(run.spec)
        failure = _stored(ledger, TimeLimitPassed(spec.timeout))
        retry_at = command.retry_at if is_retried(spec, TIME_LIMIT_KINDS) else None
        _failed(ledger, run, failure, retry_at, effects)


def postpone(ledger: Ledger, command: Postpone, effects: list[Effect]) -> None:
    """Its code goes on in another attempt; one that may have no other has failed."""
    run = _end(ledger, command.token, effects)
    if run is None:
        return
    if spec_of(run.spec).at_most_once:
        _failed(ledger, run, encode_failure(ResumeAsked()), None, effects)
    else:
        ledger.journal.goes_on(EventKind.POSTPONED, [run], command.at, times_ms=ledger.run_times)
        _again(ledger, run, command.at, effects)


def hold_back(ledger: Ledger, command: HoldBack, effects: list[Effect]) -> None:
    """Its gates are shut for a time, and it waits there; without gates it waits for that time.

    Raises BadMessage if the failure is none, which no leader proposes.
    """
    decode_failure_strictly(command.failure)
    gates = [g for g in ledger.gates.of(command.token) if command.limit in ("", g[0])]
    run = _end(ledger, command.token, effects)
    if run is None:
        return
    for gate in gates:
        ledger.gates.shut(ledger, gate, command.until)
    if spec_of(run.spec).at_most_once:
        _failed(ledger, run, command.failure, None, effects)
    else:
        text = failure_head(command.failure, ERROR_MAX)
        ledger.journal.goes_on(EventKind.POSTPONED, [run], command.until, text, ledger.run_times)
        _again(ledger, run, ledger.time if gates else command.until, effects)


def release(ledger: Ledger, command: Release, effects: list[Effect]) -> None:
    """Handed back unstarted: the tasks wait again, in their old places."""
    for token in command.tokens:
        _unstarted(ledger, token)
    ended = [_end(ledger, token, effects) for token in command.tokens]
    runs = [run for run in ended if run is not None]
    for run in runs:
        if run.flags:
            ledger.attempt_ended(run.seq, run.flags, began=False)
    ledger.journal.goes_on(EventKind.RELEASED, runs)
    _requeue(ledger, runs, effects)


def lose_saying(ledger: Ledger, command: LoseSaying, effects: list[Effect]) -> None:
    """A process died under a task, or its worker did, and what it had logged is known."""
    lose(ledger, Lose([(command.token, True)], command.by), effects, command.log)


def lose(ledger: Ledger, command: Lose, effects: list[Effect], log: str = "") -> None:
    """The worker vanished. The tasks that it had not started are released.

    `log` is what the task that is lost has logged last, as far as that is known.
    """
    verdicts: list[Verdict] = []
    again: list[Running] = []
    charged: list[Running] = []
    for token, started in command.tokens:
        if not started:
            _unstarted(ledger, token)
        run = _end(ledger, token, effects)
        if run is None:
            continue
        if started:
            run = run._replace(losses=run.losses + 1)
            charged.append(run)
        if started and _too_many(ledger, run):
            once = spec_of(run.spec).at_most_once
            ending = WorkerLost(run.losses, command.by, once)
            told = WorkerLostSaying(*ending, log) if log else ending
            verdicts.append((run, _stored(ledger, told)))
        else:
            again.append(run)
            if run.flags:
                ledger.attempt_ended(run.seq, run.flags, began=started)
            if started:
                note_attempt(ledger, run, f"WorkerLost: {lost_by(command.by)}")
    _note_lost(ledger, command, again, charged, whole=not log)
    note_losses(ledger, charged, command.by)
    settle(ledger, State.LOST, verdicts, effects)
    _requeue(ledger, again, effects)


def _note_lost(
    ledger: Ledger,
    command: Lose,
    again: Sequence[Running],
    charged: Sequence[Running],
    *,
    whole: bool,
) -> None:
    """For those who look: a worker is gone, and these of its tasks wait again.

    Unless it is the `whole` of them, the rest has a command of its own that tells so.
    """
    by, began = command.by, {run.token for run in charged}
    if whole and by.worker and by.exit is None and by.signal is None:  # else it lost a process
        ledger.journal.note(Happened(EventKind.WORKER_LOST, name=by.worker, text=lost_by(by)))
    retried = [run for run in again if run.token in began]
    ledger.journal.goes_on(EventKind.RETRIED, retried, text=f"WorkerLost: {lost_by(by)}")
    released = [run for run in again if run.token not in began]
    ledger.journal.goes_on(EventKind.RELEASED, released)


def _too_many(ledger: Ledger, run: Running) -> bool:
    spec = spec_of(run.spec)
    return spec.at_most_once or run.losses >= min(spec.max_losses, ledger.settings.max_losses)


def _stored(ledger: Ledger, ending: TimeLimitPassed | WorkerLost | WorkerLostSaying) -> bytes:
    """At level 0 in words, as 0.1.0 stored it."""
    return encode_failure(ending if ledger.level else ending.in_words())


def _failed(
    ledger: Ledger,
    run: Running,
    failure: bytes,
    retry_at: int | None,
    effects: list[Effect],
    trace: bytes = b"",
) -> None:
    spec = spec_of(run.spec)
    run = run._replace(failures=run.failures + 1)
    if retry_at is None or spec.at_most_once or run.failures > spec.retries:
        settle(ledger, State.FAILED, [(run, failure)], effects)
    else:
        text = failure_head(failure, ERROR_MAX)
        run = note_attempt(ledger, run, text, trace)
        ledger.journal.goes_on(EventKind.RETRIED, [run], retry_at, text, ledger.run_times)
        _again(ledger, run, retry_at, effects)


def _again(ledger: Ledger, run: Running, at: int, effects: list[Effect]) -> None:
    """It waits for its next attempt, from now or from that time on."""
    if run.flags:
        ledger.attempt_ended(run.seq, run.flags, began=True)
    if at <= ledger.time:
        _requeue(ledger, [run], effects)
    else:
        _delay(ledger, run, at, effects)


# ---- the ways a token ends --------------------------------------------------------------------


def _end(ledger: Ledger, token: int, effects: list[Effect]) -> Running | None:
    run = ledger.end(token)
    if run is None:
        effects.append(TokenRejected(token))
    return run


def _unstarted(ledger: Ledger, token: int) -> None:
    """The token, which is about to end, was of no use: what it was charged for is given back."""
    run = ledger.running.get(token)
    if run is not None:
        ledger.gates.give_back(ledger, run)


def _requeue(ledger: Ledger, runs: Sequence[Running], effects: list[Effect]) -> None:
    """The tasks wait again under their old numbers."""
    runs = without_cancelled(ledger, runs, effects)
    ledger.db.executemany(_RETURN, [(r.attempt, r.failures, r.losses, r.seq) for r in runs])
    places = [(ledger.queues[r.queue].number, r.seq, r.flags) for r in runs]
    waiting = iter(wait(ledger, places))
    ledger.take_back(runs)
    for run in runs:
        effects.append(AttemptEnded(run.token, run.seq))
        effects += next(waiting)


def _delay(ledger: Ledger, run: Running, due: int, effects: list[Effect]) -> None:
    """The task waits until its next attempt is due."""
    if not without_cancelled(ledger, [run], effects):
        return
    ledger.db.execute(_DELAY, (DELAYED, due, run.attempt, run.failures, run.losses, run.seq))
    ledger.take_back([run])
    ledger.queues[run.queue].delayed += 1
    ledger.next_retry = min(ledger.next_retry, due)
    effects.append(AttemptEnded(run.token, run.seq))
