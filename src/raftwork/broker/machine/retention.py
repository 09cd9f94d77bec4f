"""What time alone does: due retries wait again, old results are dropped, tombstones after them.

One batch does a bounded part of it. What is left stays due, so the next batch goes on.
"""

from raftwork.broker.machine.schema import DELAYED, FINISHED, PENDING, TOMBSTONE
from raftwork.broker.machine.state import NEVER, Ledger
from raftwork.features import dead_letters
from raftwork.features.effects import Effect, Requeued

_DUE = """SELECT seq, queue, length(body) FROM task WHERE phase = ? AND due <= ?
    ORDER BY due, seq LIMIT ?"""
_WAKE = "UPDATE task SET phase = ?, due = NULL WHERE seq = ?"
_BURY = "UPDATE task SET phase = ?, due = ?, body = x'' WHERE seq = ?"

#: A task whose phase ends: seq, the number of its queue, bytes of its body.
Due = tuple[int, int, int]


def sweep(ledger: Ledger, effects: list[Effect]) -> None:
    """Do what became due by the machine's time."""
    limit = ledger.settings.sweep
    if ledger.next_retry <= ledger.time:
        _wake(ledger, _due(ledger, DELAYED, ledger.time, limit), effects)
        ledger.find_next_retry()
    if ledger.next_expiry <= ledger.time:
        _forget(ledger, _due(ledger, TOMBSTONE, ledger.time, limit))
        _bury(ledger, _due(ledger, FINISHED, ledger.time, limit))
        ledger.find_next_expiry()


def trim(ledger: Ledger) -> None:
    """Keep the results within their limits: those nearest to expiry go first."""
    settings = ledger.settings
    while ledger.results > settings.results or ledger.result_bytes > settings.result_bytes:
        many, large = ledger.results - settings.results, ledger.result_bytes - settings.result_bytes
        oldest: list[Due] = []
        limit = settings.sweep if large > 0 else min(many, settings.sweep)
        for task in _due(ledger, FINISHED, NEVER, limit):
            if len(oldest) >= many and large <= 0:
                break
            oldest.append(task)
            large -= task[2]
        assert oldest, "results are counted that are not there"
        _bury(ledger, oldest)


def _due(ledger: Ledger, phase: int, time: int, limit: int) -> list[Due]:
    return list(ledger.db.execute(_DUE, (phase, time, limit)))


def _wake(ledger: Ledger, tasks: list[Due], effects: list[Effect]) -> None:
    """Tasks whose next attempt is due wait again."""
    ledger.db.executemany(_WAKE, [(PENDING, seq) for seq, _, _ in tasks])
    ledger.db.executemany(
        "INSERT INTO waiting VALUES (?, ?)", [(queue, seq) for seq, queue, _ in tasks]
    )
    effects.extend(Requeued(ledger.numbered[queue].name, seq) for seq, queue, _ in tasks)


def _bury(ledger: Ledger, tasks: list[Due]) -> None:
    """Results become tombstones: the outcome stays known, its data go."""
    due = ledger.time + ledger.settings.tombstone_ttl
    dead_letters.drop(ledger, [seq for seq, _, _ in tasks])
    ledger.db.executemany(_BURY, [(TOMBSTONE, due, seq) for seq, _, _ in tasks])
    ledger.results -= len(tasks)
    ledger.result_bytes -= sum(size for _, _, size in tasks)
    ledger.tombstones += len(tasks)
    if tasks:
        ledger.next_expiry = min(ledger.next_expiry, due)


def _forget(ledger: Ledger, tasks: list[Due]) -> None:
    """Tombstones go: their ids may be used again."""
    ledger.db.executemany("DELETE FROM task WHERE seq = ?", [(seq,) for seq, _, _ in tasks])
    ledger.tombstones -= len(tasks)
