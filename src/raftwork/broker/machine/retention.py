"""What time alone does: due retries wait again, old results are dropped, tombstones after them.

One entry does a bounded part of it (`_share`). What is left stays due, so the next entry goes on.
"""

from collections import Counter
from itertools import groupby
from operator import itemgetter

from raftwork.broker.machine.level_two import LEVEL
from raftwork.broker.machine.starting import start
from raftwork.broker.machine.state import NEVER, Ledger
from raftwork.features import dead_letters
from raftwork.features.effects import Effect
from raftwork.features.history import forget_attempts
from raftwork.features.task_row import DELAYED, FINISHED, PENDING, TOMBSTONE
from raftwork.features.waiting import wait

_DUE = """SELECT seq, queue, length(body), %s, failures + losses FROM task
    WHERE phase = ? AND due <= ? ORDER BY due, seq LIMIT ?"""
_AGAIN = "UPDATE task SET phase = ?, due = NULL WHERE seq = ?"
_BURY = "UPDATE task SET phase = ?, due = ?, body = x'' WHERE seq = ?"

_TIMERS = "SELECT due, kind, ref FROM timer WHERE due <= ? ORDER BY due, kind, ref LIMIT ?"
_FIRED = "DELETE FROM timer WHERE due = ? AND kind = ? AND ref = ? RETURNING ref"

#: A task whose phase ends: seq, the number of its queue, bytes of its body, flags, and how many
#: attempts came to nothing before its last one.
Due = tuple[int, int, int, int, int]


#: Of each kind of work that time alone brings an entry does so much, however small it is, and so
#: much more for its bytes: that is more than one for each task that comes in, or ends.
SHARE_LEAST = 100
SHARE_BYTES = 16
#: Of tasks that start, which cost a third of the others' work: a hundred thousand that are due take
#: as many entries less, each of which costs a commit.
STARTS_LEAST = 300


def _share(ledger: Ledger, entry_bytes: int, least: int = SHARE_LEAST) -> int:
    """How much of each kind of work that time alone brings is done with an entry of such a size.

    Whoever waits for a small entry does not wait for much else: it may be one enqueue of many, one
    after the other, while a million tasks are due.
    """
    most = ledger.settings.sweep
    if ledger.level < LEVEL:
        return most
    return min(most, least + entry_bytes // SHARE_BYTES)


def sweep(ledger: Ledger, effects: list[Effect], entry_bytes: int) -> None:
    """Do what became due by the machine's time, so much of each kind as goes with the entry."""
    now = ledger.time
    if ledger.next_retry > now < ledger.next_start and ledger.next_timer > now < ledger.next_expiry:
        return
    limit = _share(ledger, entry_bytes)
    if ledger.next_retry <= ledger.time:
        _retry(ledger, _due(ledger, DELAYED, ledger.time, limit), effects)
        ledger.find_next_retry()
    if ledger.next_start <= ledger.time:
        start(ledger, _share(ledger, entry_bytes, STARTS_LEAST), effects)
        ledger.find_next_start()
    if ledger.next_timer <= ledger.time:
        _fire(ledger, limit, effects)
        ledger.find_next_timer()
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
    return list(ledger.db.execute(_DUE % ledger.flags_column, (phase, time, limit)))


def _retry(ledger: Ledger, tasks: list[Due], effects: list[Effect]) -> None:
    """Tasks whose next attempt is due wait again, where they stood."""
    ledger.db.executemany(_AGAIN, [(PENDING, seq) for seq, *_ in tasks])
    for number, many in Counter(queue for _, queue, *_ in tasks).items():
        ledger.touch(ledger.numbered[number].name).delayed -= many
    for waiting in wait(ledger, [(queue, seq, flags) for seq, queue, _, flags, _ in tasks]):
        effects += waiting


def _fire(ledger: Ledger, limit: int, effects: list[Effect]) -> None:
    """The capabilities carry out their timers that are due, in the order of their times.

    One that is dropped by those before it, as its task has its outcome, does not fire.
    """
    due: list[tuple[int, int, int]] = list(ledger.db.execute(_TIMERS, (ledger.time, limit)))
    for kind, timers in groupby(due, key=itemgetter(1)):
        refs = [timer[2] for timer in timers if list(ledger.db.execute(_FIRED, timer))]
        ledger.timers[kind].fire(ledger, refs, effects)


def _bury(ledger: Ledger, tasks: list[Due]) -> None:
    """Results become tombstones: the outcome stays known, its data go."""
    due = ledger.time + ledger.settings.tombstone_ttl
    dead_letters.drop(ledger, [seq for seq, *_ in tasks])
    if flagged := [(seq, flags) for seq, _, _, flags, _ in tasks if flags]:
        ledger.buried(flagged)
    if retried := [task[0] for task in tasks if task[4]]:
        forget_attempts(ledger, retried)
    ledger.db.executemany(_BURY, [(TOMBSTONE, due, seq) for seq, *_ in tasks])
    ledger.results -= len(tasks)
    ledger.result_bytes -= sum(size for _, _, size, *_ in tasks)
    ledger.tombstones += len(tasks)
    if tasks:
        ledger.next_expiry = min(ledger.next_expiry, due)


def _forget(ledger: Ledger, tasks: list[Due]) -> None:
    """Tombstones go: their ids may be used again."""
    ledger.db.executemany("DELETE FROM task WHERE seq = ?", [(seq,) for seq, *_ in tasks])
    ledger.tombstones -= len(tasks)
