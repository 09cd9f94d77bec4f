"""What is kept of tasks that have ended, and of attempts that came to nothing; from level 2 on.

1. A task's name, its worker, when it ended and how long it ran go into the row that is rewritten
   with its outcome. The outcome, and so an ordinary task, costs no row of its own.
2. Names and workers stand there by number. A number is given once, and of each kind the newest
   stay: what a row names that is gone is simply not told.
3. Only an attempt that failed or was lost, with another one to come, has a row: of a task the last
   of them. They go with the result.
4. The code's run time is measured by the leader (`Ran`), from the worker's word that it began. Who
   ended before such a word was due ran for some milliseconds, and has 0.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.features.effects import Effect
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.features.task_row import CANCELLING, TRACED
from raftwork.messages.registry import command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.broker.machine.state import Ledger, Running
    from raftwork.features.feature import Feature

#: Names of tasks, and workers, that have a number.
NUMBERED_MAX: Final = 10_000
#: Of one task.
ATTEMPTS_MAX: Final = 20
#: Characters of an error.
ERROR_MAX: Final = 200
#: Of what an attempt leaves for a tracer: the ids of a trace and a span take 25.
TRACE_BYTES_MAX: Final = 64

# A node's result is kept as long as its flow has not ended (flow_nodes.py): `due` is none then.
_SET = "UPDATE task SET phase = ?1, due = %s, state = ?3, spec = x'', body = ?4"
_DUE = "CASE WHEN flow > 0 AND flow != seq THEN NULL ELSE ?2 END"
_HISTORY = ", named = ?5, ran_on = ?6, ended_at = ?7, run_ms = ?8, attempt = ?9"
_END = (f"{_SET % '?2'} WHERE seq = ?10", f"{_SET % _DUE}{_HISTORY} WHERE seq = ?10")
_NOTE = "INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?)"
_TRACED = "UPDATE task SET flags = flags | ? WHERE seq = ?"
_TRACE = "SELECT trace FROM attempt WHERE seq = ? AND trace != x'' ORDER BY number DESC LIMIT 1"
_TRIM = "DELETE FROM attempt WHERE seq = ? AND number <= ?"


@command(140, since=LEVEL_OPTIONS)
class Ran(NamedTuple):
    """Of tokens that end in this entry, for how many ms their code ran: (token, ms)."""

    times: list[tuple[int, int]]


@command(141, since=LEVEL_OPTIONS)
class NameWorker(NamedTuple):
    """What ends under this incarnation ran on the worker of this name."""

    incarnation: bytes
    name: str


class Numbers(dict[str, int]):
    """The numbers of tasks' names: one that is looked up has one from then on."""

    def __init__(self, ledger: "Ledger") -> None:
        super().__init__()
        self._ledger = ledger

    def __missing__(self, name: str) -> int:
        if self._ledger.level < LEVEL_OPTIONS:
            return 0
        number = next(reversed(self.values()), 0) + 1
        self._ledger.db.execute("INSERT INTO name VALUES (?, ?)", (number, name))
        self[name] = number
        if len(self) > NUMBERED_MAX:
            oldest = next(iter(self))  # in the order of the numbers
            self._ledger.db.execute("DELETE FROM name WHERE number = ?", (self.pop(oldest),))
        return number


class WorkerNumbers(dict[bytes, int]):
    """The numbers of workers, by incarnation; 0 for one that was never named, or long ago."""

    def __missing__(self, incarnation: bytes) -> int:
        return 0


def load(ledger: "Ledger") -> None:
    """Read the numbers from the tables."""
    if ledger.level < LEVEL_OPTIONS:
        return
    rows: list[tuple[int, str]] = list(ledger.db.execute("SELECT * FROM name ORDER BY number"))
    ledger.names.update((name, number) for number, name in rows)
    known = "SELECT incarnation, number FROM worker ORDER BY number"
    ledger.worker_numbers.update(ledger.db.execute(known))


def ending(ledger: "Ledger") -> str:
    """The statement that gives a task its outcome; its row is made by the caller:

    (phase, due, state, body, named, ran_on, ended_at, run_ms, attempt, seq).
    """
    return _END[ledger.level >= LEVEL_OPTIONS]


def note_attempt(ledger: "Ledger", run: "Running", error: str, trace: bytes = b"") -> "Running":
    """This attempt failed or was lost, and another one is to come, unless it was asked to end.

    Returns it as it is from then on. `trace` is what it left for a tracer of the next one.
    """
    if ledger.level < LEVEL_OPTIONS or run.flags & CANCELLING:
        return run
    worker, run_ms = ledger.worker_numbers[run.worker], ledger.run_times.get(run.token, 0)
    trace = trace if len(trace) <= TRACE_BYTES_MAX else b""
    row = (run.seq, run.attempt, worker, ledger.time, run_ms, error[:ERROR_MAX], trace)
    ledger.db.execute(_NOTE, row)
    ledger.db.execute(_TRIM, (run.seq, run.attempt - ATTEMPTS_MAX))
    if not trace:
        return run
    ledger.db.execute(_TRACED, (TRACED, run.seq))
    return run._replace(flags=run.flags | TRACED)


def trace_of(ledger: "Ledger", seq: int) -> bytes:
    """What the last attempt of a TRACED task that failed left for a tracer of the next one."""
    row = ledger.db.execute(_TRACE, (seq,)).fetchone()
    return b"" if row is None else bytes(row[0])


def forget_attempts(ledger: "Ledger", seqs: Sequence[int]) -> None:
    """Their results go, and their attempts with them."""
    if ledger.level < LEVEL_OPTIONS:
        return
    ledger.db.executemany("DELETE FROM attempt WHERE seq = ?", [(seq,) for seq in seqs])


# ---- on every replica ---------------------------------------------------------------------------


def _ran(ledger: "Ledger", command: Ran, _effects: list[Effect]) -> None:
    ledger.run_times.update(command.times)


def _name(ledger: "Ledger", command: NameWorker, _effects: list[Effect]) -> None:
    numbers = ledger.worker_numbers
    if command.incarnation in numbers:
        return
    number = next(reversed(numbers.values()), 0) + 1
    ledger.journal.note(
        Happened(EventKind.WORKER_NAMED, name=command.name, worker=command.incarnation)
    )
    row = (number, command.incarnation, command.name)
    ledger.db.execute("INSERT INTO worker VALUES (?, ?, ?)", row)
    numbers[command.incarnation] = number
    if len(numbers) > NUMBERED_MAX:
        oldest = next(iter(numbers))
        ledger.db.execute("DELETE FROM worker WHERE number = ?", (numbers.pop(oldest),))


# ---- questions ----------------------------------------------------------------------------------


def names_of(ledger: "Ledger", numbers: Sequence[int]) -> "Mapping[int, str]":
    """Of tasks, those that are known."""
    return _texts(ledger, "name", numbers)


def workers_of(ledger: "Ledger", numbers: Sequence[int]) -> "Mapping[int, str]":
    """Of workers, those that are known."""
    return _texts(ledger, "worker", numbers)


def _texts(ledger: "Ledger", table: str, numbers: Sequence[int]) -> "Mapping[int, str]":
    if ledger.level < LEVEL_OPTIONS:
        return {}
    found = f"SELECT number, name FROM {table} JOIN json_each(?) ON number = value"  # noqa: S608 - our names
    return dict(ledger.db.execute(found, (str(sorted({*numbers})),)))


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature, transition

    return Feature("history", transitions=[transition(Ran, _ran), transition(NameWorker, _name)])
