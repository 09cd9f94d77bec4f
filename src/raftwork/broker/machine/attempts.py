"""Attempts: a task is handed out, and its token comes to an end.

Rules of this file:
1. A report counts only while its token is current. Otherwise the effect is TokenRejected: another
   worker has the task by now, or it has its outcome, which stands.
2. A token ends in exactly one way: the task settles for ever (`_settle`), waits again (`_requeue`)
   or waits for its next attempt's time (`_delay`). No task that may run at most once waits again
   after it may have started.
"""

from collections import Counter

from raftwork.broker.machine.commands import (
    Assign,
    Expire,
    Fail,
    Finish,
    Lose,
    Release,
)
from raftwork.broker.machine.state import Ledger, Running, spec_of
from raftwork.features import dead_letters
from raftwork.features.effects import (
    Assigned,
    AttemptEnded,
    Effect,
    NotAssigned,
    Settled,
    TokenRejected,
)
from raftwork.features.losses import forget_losses, note_losses
from raftwork.features.task_row import DELAYED, FINISHED
from raftwork.features.waiting import still_waiting, wait
from raftwork.messages import (
    State,
    TimeLimitPassed,
    WorkerLost,
    decode_failure_strictly,
    encode_failure,
)

_RETURN = "UPDATE task SET attempt = ?, failures = ?, losses = ? WHERE seq = ?"
_DELAY = """UPDATE task SET phase = ?, due = ?, attempt = ?, failures = ?, losses = ?
    WHERE seq = ?"""
_SETTLE = "UPDATE task SET phase = ?, due = ?, state = ?, spec = x'', body = ? WHERE seq = ?"

#: A task that ran, and the packed value or failure that it ended with.
Verdict = tuple[Running, bytes]


def assign(ledger: Ledger, command: Assign, effects: list[Effect]) -> None:
    """Each task that waits gets the next token, in the command's order."""
    runs, absent = ledger.assign(command.worker, command.seqs)
    if runs:
        tasks = [(run.token, run.seq, run.attempt) for run in runs]
        effects.append(Assigned(command.worker, tasks))
    if absent:
        effects.append(NotAssigned(absent))
        effects += still_waiting(ledger, absent)  # what a gate did not let in


def finish(ledger: Ledger, command: Finish, effects: list[Effect]) -> None:
    """The code returned: these values are the outcomes."""
    verdicts: list[Verdict] = []
    for token, data in command.outcomes:
        run = _end(ledger, token, effects)
        if run is not None:
            verdicts.append((run, data))
    _settle(ledger, State.SUCCEEDED, verdicts, effects)


def fail(ledger: Ledger, command: Fail, effects: list[Effect]) -> None:
    """The code raised. Raises BadMessage if the failure is none, which no leader proposes."""
    decode_failure_strictly(command.failure)
    run = _end(ledger, command.token, effects)
    if run is not None:
        retry_at = None if command.final else command.retry_at
        _failed(ledger, run, command.failure, retry_at, effects)


def expire(ledger: Ledger, command: Expire, effects: list[Effect]) -> None:
    """The time limit passed without a word from the worker."""
    run = _end(ledger, command.token, effects)
    if run is not None:
        failure = _stored(ledger, TimeLimitPassed(spec_of(run.spec).timeout))
        _failed(ledger, run, failure, command.retry_at, effects)


def release(ledger: Ledger, command: Release, effects: list[Effect]) -> None:
    """Handed back unstarted: the tasks wait again, in their old places."""
    for token in command.tokens:
        _unstarted(ledger, token)
    runs = [_end(ledger, token, effects) for token in command.tokens]
    _requeue(ledger, [run for run in runs if run is not None], effects)


def lose(ledger: Ledger, command: Lose, effects: list[Effect]) -> None:
    """The worker vanished. The tasks that it had not started are released."""
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
            verdicts.append((run, _stored(ledger, WorkerLost(run.losses, command.by, once))))
        else:
            again.append(run)
    note_losses(ledger, charged, command.by)
    _settle(ledger, State.LOST, verdicts, effects)
    _requeue(ledger, again, effects)


def _too_many(ledger: Ledger, run: Running) -> bool:
    spec = spec_of(run.spec)
    return spec.at_most_once or run.losses >= min(spec.max_losses, ledger.settings.max_losses)


def _stored(ledger: Ledger, ending: TimeLimitPassed | WorkerLost) -> bytes:
    """At level 0 in words, as 0.1.0 stored it."""
    return encode_failure(ending if ledger.level else ending.in_words())


def _failed(
    ledger: Ledger, run: Running, failure: bytes, retry_at: int | None, effects: list[Effect]
) -> None:
    spec = spec_of(run.spec)
    run = run._replace(failures=run.failures + 1)
    if retry_at is None or spec.at_most_once or run.failures > spec.retries:
        _settle(ledger, State.FAILED, [(run, failure)], effects)
    elif retry_at <= ledger.time:
        _requeue(ledger, [run], effects)
    else:
        _delay(ledger, run, retry_at, effects)


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


def _settle(ledger: Ledger, state: State, verdicts: list[Verdict], effects: list[Effect]) -> None:
    """The first outcome stands: the payload goes, the result stays for its time."""
    if not verdicts:
        return
    cap = ledger.settings.result_ttl
    expires = {
        spec: ledger.time + min(spec_of(spec).result_ttl, cap)
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


def _requeue(ledger: Ledger, runs: list[Running], effects: list[Effect]) -> None:
    """The tasks wait again under their old numbers."""
    ledger.db.executemany(_RETURN, [(r.attempt, r.failures, r.losses, r.seq) for r in runs])
    places = [(ledger.queues[r.queue].number, r.seq, r.flags) for r in runs]
    waiting = iter(wait(ledger, places))
    ledger.take_back(runs)
    for run in runs:
        effects.append(AttemptEnded(run.token, run.seq))
        effects += next(waiting)


def _delay(ledger: Ledger, run: Running, due: int, effects: list[Effect]) -> None:
    """The task waits until its next attempt is due."""
    ledger.db.execute(_DELAY, (DELAYED, due, run.attempt, run.failures, run.losses, run.seq))
    ledger.take_back([run])
    ledger.next_retry = min(ledger.next_retry, due)
    effects.append(AttemptEnded(run.token, run.seq))
