"""What time alone does: due retries wait again, old results are dropped, tombstones after them.

One batch does a bounded part of it. What is left stays due, so the next batch goes on.
"""

from raftwork.broker.queue.commands import Effect, Requeued
from raftwork.broker.queue.ledger import NEVER, Ledger

#: Of each kind of work, in one batch: a few milliseconds at most.
SWEEP = 500

_DUE = """SELECT due, seq, queue, attempt, failures, losses FROM delayed
    WHERE due <= ? ORDER BY due, seq LIMIT ?"""
_RESULTS = """SELECT seq, length(body) FROM task
    WHERE forgotten = 0 AND expires <= ? ORDER BY expires, seq LIMIT ?"""
_BURY = "UPDATE task SET forgotten = 1, body = x'', expires = ? WHERE seq = ?"
_TOMBSTONES = """SELECT seq FROM task
    WHERE forgotten = 1 AND expires <= ? ORDER BY expires, seq LIMIT ?"""


def sweep(ledger: Ledger, effects: list[Effect]) -> None:
    """Do what became due by the machine's time."""
    if ledger.next_retry <= ledger.time:
        _wake(ledger, effects)
        ledger.find_next_retry()
    if ledger.next_expiry <= ledger.time:
        _forget(ledger)
        _bury(ledger, list(ledger.db.execute(_RESULTS, (ledger.time, SWEEP))))
        ledger.find_next_expiry()


def trim(ledger: Ledger) -> None:
    """Keep the results within their limits: those nearest to expiry go first."""
    limits = ledger.limits
    while ledger.results > limits.results or ledger.result_bytes > limits.result_bytes:
        spare, excess = limits.results - ledger.results, ledger.result_bytes - limits.result_bytes
        oldest = []
        for seq, size in ledger.db.execute(_RESULTS, (NEVER, SWEEP)):
            if spare >= 0 and excess <= 0:
                break
            oldest.append((seq, size))
            spare += 1
            excess -= size
        _bury(ledger, oldest)


def _wake(ledger: Ledger, effects: list[Effect]) -> None:
    rows: list[tuple[int, ...]] = list(ledger.db.execute(_DUE, (ledger.time, SWEEP)))
    ledger.db.executemany(
        "DELETE FROM delayed WHERE due = ? AND seq = ?", [(row[0], row[1]) for row in rows]
    )
    ledger.db.executemany(
        "INSERT INTO waiting (seq, queue, attempt, failures, losses) VALUES (?, ?, ?, ?, ?)",
        [row[1:] for row in rows],
    )
    effects.extend(Requeued(ledger.numbered[number].name, seq) for _, seq, number, *_ in rows)


def _bury(ledger: Ledger, results: list[tuple[int, int]]) -> None:
    """Results become tombstones: the outcome stays known, its data go."""
    expires = ledger.time + ledger.limits.tombstone_ttl
    ledger.db.executemany(_BURY, [(expires, seq) for seq, _ in results])
    ledger.results -= len(results)
    ledger.result_bytes -= sum(size for _, size in results)
    ledger.tombstones += len(results)
    if results:
        ledger.next_expiry = min(ledger.next_expiry, expires)


def _forget(ledger: Ledger) -> None:
    rows = ledger.db.execute(_TOMBSTONES, (ledger.time, SWEEP)).fetchall()
    ledger.db.executemany("DELETE FROM task WHERE seq = ?", rows)
    ledger.tombstones -= len(rows)
