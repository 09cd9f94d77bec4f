"""Attempts: a task is handed out, and its token comes to an end.

Rules of this file:
1. Whatever is reported under a token counts only while that token is current. Else it is `Stale`:
   somebody else has the task by now, or it has its outcome, which stands.
2. A token ends in exactly one way: the task settles for ever (`_settle`), waits again (`_requeue`)
   or waits for its next attempt's time (`_delay`). No task that may run at most once waits again
   after it may have started.
"""

from json import dumps

from raftwork.broker.queue.commands import (
    Assign,
    Assigned,
    Closed,
    Effect,
    Expire,
    Fail,
    Finish,
    Lose,
    NotAssigned,
    Release,
    Requeued,
    Settled,
    Stale,
)
from raftwork.broker.queue.ledger import Ledger, Running, spec_of
from raftwork.messages import Failure, State, decode_failure, encode_failure

_WAITING = """SELECT task.seq, task.id, task.queue, spec, attempt, failures, losses
    FROM json_each(?) CROSS JOIN task ON task.seq = value
    CROSS JOIN waiting ON waiting.queue = task.queue AND waiting.seq = task.seq"""
_UNWAIT = "DELETE FROM waiting WHERE queue = ? AND seq = ?"
_WAIT = "INSERT INTO waiting VALUES (?, ?, ?, ?, ?)"
_DELAY = "INSERT INTO delayed VALUES (?, ?, ?, ?, ?, ?)"
_SETTLE = "UPDATE task SET state = ?, expires = ?, spec = x'', body = ? WHERE seq = ?"

#: A token's outcome: final state and data.
Verdict = tuple[Running, State, bytes]


def assign(ledger: Ledger, command: Assign, effects: list[Effect]) -> None:
    """Each task that waits gets the next token, in the command's order."""
    found = {row[0]: row for row in ledger.db.execute(_WAITING, (dumps(command.seqs),))}
    tasks, absent, moved = [], [], []
    for seq in command.seqs:
        row = found.pop(seq, None)
        if row is None:
            absent.append(seq)
            continue
        _, task, number, spec, attempt, failures, losses = row
        queue = ledger.numbered[number]
        ledger.token += 1
        run = Running(
            ledger.token,
            seq,
            task,
            queue.name,
            command.worker,
            spec,
            attempt + 1,
            failures,
            losses,
        )
        ledger.begin(run)
        tasks.append((run.token, seq, run.attempt))
        moved.append((number, seq))
        queue.queued -= 1
        queue.running += 1
        ledger.touch(queue)
    ledger.db.executemany(_UNWAIT, moved)
    if tasks:
        effects.append(Assigned(command.worker, tasks))
    if absent:
        effects.append(NotAssigned(absent))


def finish(ledger: Ledger, command: Finish, effects: list[Effect]) -> None:
    """The code returned: these values are the outcomes."""
    verdicts: list[Verdict] = []
    for token, data in command.outcomes:
        run = _end(ledger, token, effects)
        if run is not None:
            verdicts.append((run, State.SUCCEEDED, data))
    _settle(ledger, verdicts, effects)


def fail(ledger: Ledger, command: Fail, effects: list[Effect]) -> None:
    """The code raised. Raises BadMessage if the failure is none."""
    decode_failure(command.failure)
    run = _end(ledger, command.token, effects)
    if run is not None:
        _failed(ledger, run, command.failure, command.retry_at, effects)


def expire(ledger: Ledger, command: Expire, effects: list[Effect]) -> None:
    """The time limit passed without a word from the worker."""
    run = _end(ledger, command.token, effects)
    if run is not None:
        limit = spec_of(run.spec).timeout
        failure = Failure("TimeLimitExceeded", f"ran longer than its limit of {limit} ms", "")
        _failed(ledger, run, encode_failure(failure), command.retry_at, effects)


def release(ledger: Ledger, command: Release, effects: list[Effect]) -> None:
    """Handed back unstarted: the tasks wait again, in their old places."""
    runs = [_end(ledger, token, effects) for token in command.tokens]
    _requeue(ledger, [run for run in runs if run is not None], effects)


def lose(ledger: Ledger, command: Lose, effects: list[Effect]) -> None:
    """The worker vanished. What it had not started is as good as released."""
    verdicts: list[Verdict] = []
    again: list[Running] = []
    for token, started in command.tokens:
        run = _end(ledger, token, effects)
        if run is None:
            continue
        run = run._replace(losses=run.losses + started)
        if not started or (
            run.losses <= ledger.limits.max_losses and not spec_of(run.spec).at_most_once
        ):
            again.append(run)
        else:
            verdicts.append((run, State.LOST, _worker_lost(run)))
    _settle(ledger, verdicts, effects)
    _requeue(ledger, again, effects)


def _worker_lost(run: Running) -> bytes:
    if spec_of(run.spec).at_most_once:
        why = "its worker vanished, and it may not be handed out twice"
    else:
        why = f"{run.losses} workers vanished while they ran it"
    return encode_failure(Failure("WorkerLost", why, ""))


def _failed(
    ledger: Ledger, run: Running, failure: bytes, retry_at: int, effects: list[Effect]
) -> None:
    spec = spec_of(run.spec)
    run = run._replace(failures=run.failures + 1)
    if spec.at_most_once or run.failures > spec.retries:
        _settle(ledger, [(run, State.FAILED, failure)], effects)
    elif retry_at <= ledger.time:
        _requeue(ledger, [run], effects)
    else:
        _delay(ledger, run, retry_at, effects)


# ---- the ways a token ends --------------------------------------------------------------------


def _end(ledger: Ledger, token: int, effects: list[Effect]) -> Running | None:
    run = ledger.end(token)
    if run is None:
        effects.append(Stale(token))
    return run


def _settle(ledger: Ledger, verdicts: list[Verdict], effects: list[Effect]) -> None:
    """The first outcome stands: the payload goes, the result stays for its time."""
    cap, rows = ledger.limits.result_ttl, []
    for run, state, data in verdicts:
        expires = ledger.time + min(spec_of(run.spec).result_ttl, cap)
        rows.append((state.value, expires, data, run.seq))
        queue = ledger.queues[run.queue]
        queue.running -= 1
        if state is State.SUCCEEDED:
            queue.succeeded += 1
        elif state is State.FAILED:
            queue.failed += 1
        else:
            queue.lost += 1
        ledger.touch(queue)
        ledger.result_bytes += len(data)
        ledger.next_expiry = min(ledger.next_expiry, expires)
        effects.append(Settled(run.token, run.seq, run.id, run.queue, state, data))
    ledger.unfinished -= len(rows)
    ledger.results += len(rows)
    ledger.db.executemany(_SETTLE, rows)


def _requeue(ledger: Ledger, runs: list[Running], effects: list[Effect]) -> None:
    """The tasks wait again under their old numbers."""
    rows = []
    for run in runs:
        queue = ledger.queues[run.queue]
        rows.append((queue.number, run.seq, run.attempt, run.failures, run.losses))
        queue.running -= 1
        queue.queued += 1
        ledger.touch(queue)
        effects.append(Closed(run.token, run.seq))
        effects.append(Requeued(run.queue, run.seq))
    ledger.db.executemany(_WAIT, rows)


def _delay(ledger: Ledger, run: Running, due: int, effects: list[Effect]) -> None:
    """The task waits until its next attempt is due."""
    queue = ledger.queues[run.queue]
    ledger.db.execute(_DELAY, (due, run.seq, queue.number, run.attempt, run.failures, run.losses))
    queue.running -= 1
    queue.queued += 1
    ledger.touch(queue)
    ledger.next_retry = min(ledger.next_retry, due)
    effects.append(Closed(run.token, run.seq))
