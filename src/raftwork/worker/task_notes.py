"""What running code says of itself while it runs: progress and checkpoints.

Task code writes through `Notes`, in whichever process it runs; the worker's loop reads through the
pool, and a `Courier` sends on what is due. A checkpoint is asked for, and its answer looked for
until it is there: so that threads, coroutines and other processes wait in the same way.
"""

import itertools
import threading
import time
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from raftwork.features.checkpoints import CheckpointAnswered, KeepCheckpoint, Verdict
from raftwork.features.progress import TellProgress, Told
from raftwork.messages import Outcome, ToBroker
from raftwork.worker.last_lines import with_last_lines
from raftwork.worker.leader_session import LeaderSession
from raftwork.worker.task_lines import KeptLines, Line, NewLines, Read

#: Between two looks at what tasks say of their progress, ms.
LOOK_MS = 500
#: Before a checkpoint that was not answered is sent again, ms.
_RESEND_MS = 1_000


class Said(NamedTuple):
    """What a task said last, and when (ms on the monotonic clock)."""

    token: int
    fraction: float
    text: str
    at: int


class Asked(NamedTuple):
    """A checkpoint that waits for its verdict."""

    token: int
    number: int
    value: bytes


class Notes(Protocol):
    """What a task's code writes to. Any thread may call."""

    def say(self, token: int, fraction: float, text: str) -> None:
        """It is so far. Costs microseconds, however often it is called."""
        ...

    def ask(self, token: int, value: bytes) -> int:
        """Keep this checkpoint; returns its number."""
        ...

    def verdict(self, token: int, number: int) -> Verdict | None:
        """What became of it; None while that is not known."""
        ...

    def log(self, token: int, line: Line) -> None:
        """It logged this. Costs microseconds."""
        ...


class Board:
    """Notes of code that runs in the worker's own process, and what its pool hands on of them."""

    def __init__(self, wake: "Wake", *, logs: bool = True) -> None:
        """`wake()` makes the worker's loop ask for `asked`; from any thread.

        Without `logs`, what the code logs is not to be had here.
        """
        self._wake = wake
        self._has_logs = logs
        self._logs: dict[int, KeptLines] = {}
        self._log_lock = threading.RLock()  # a signal's handler may log, too
        self._over: list[int] = []  # of these: whose code was over at the last look
        self._said: dict[int, Said] = {}
        self._asked: list[Asked] = []
        self._verdicts: dict[int, tuple[int, Verdict]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def say(self, token: int, fraction: float, text: str) -> None:
        """See Notes."""
        self._said[token] = Said(token, fraction, text, _now_ms())

    def ask(self, token: int, value: bytes) -> int:
        """See Notes."""
        with self._lock:
            number = next(self._numbers)
            self._asked.append(Asked(token, number, value))
        self._wake()
        return number

    def verdict(self, token: int, number: int) -> Verdict | None:
        """See Notes."""
        known, verdict = self._verdicts.get(token, (0, Verdict.REFUSED))
        return verdict if known >= number else None

    def log(self, token: int, line: Line) -> None:
        """See Notes."""
        with self._log_lock:
            kept = self._logs.get(token)
            if kept is None:
                kept = self._logs[token] = KeptLines()
            kept.add(line)

    # ---- the worker's loop ----------------------------------------------------------------------

    def lines(self, token: int, read: Read) -> NewLines | None:
        """See LogSource."""
        if not self._has_logs:
            return None
        kept = self._logs.get(token)
        if kept is None:
            return NewLines(read, ())
        last, lines = kept.since(read[0])
        return NewLines((last, 0), lines, last - len(lines) > read[0])

    def with_last_lines(self, outcome: Outcome) -> Outcome:
        """See TaskNotes."""
        kept = self._logs.get(outcome.token)
        return outcome if kept is None else with_last_lines(outcome, kept.since(0)[1])

    def said(self) -> list[Said]:
        """What each task said last."""
        return list(self._said.copy().values())

    def asked(self) -> list[Asked]:
        """Checkpoints since the last call."""
        if not self._asked:
            return []
        with self._lock:
            out, self._asked = self._asked, []
        return out

    def answer(self, token: int, number: int, verdict: Verdict) -> None:
        """That is what became of a checkpoint."""
        self._verdicts[token] = number, verdict

    def forget(self, tokens: Iterable[int]) -> None:
        """The code of these is over: nobody looks for an answer any more.

        What they logged is there until the next call.
        """
        for token in self._over:
            self._logs.pop(token, None)
        self._over.clear()
        if self._said or self._verdicts or self._logs:
            for token in tokens:
                self._said.pop(token, None)
                self._verdicts.pop(token, None)
                if token in self._logs:
                    self._over.append(token)


class Wake(Protocol):
    """Wakes a loop."""

    def __call__(self) -> None:
        """Wake it."""
        ...


class Nowhere:
    """Notes of code whose worker reads none."""

    def say(self, token: int, fraction: float, text: str) -> None:
        """See Notes."""

    def ask(self, token: int, value: bytes) -> int:  # noqa: ARG002
        """See Notes."""
        return 0

    def verdict(self, token: int, number: int) -> Verdict | None:  # noqa: ARG002
        """See Notes."""
        return Verdict.REFUSED

    def log(self, token: int, line: Line) -> None:
        """See Notes."""


NOWHERE: Final = Nowhere()


class Answers(Protocol):
    """Where a verdict goes: the pool."""

    def answer(self, token: int, number: int, verdict: Verdict) -> None:
        """That is what became of a checkpoint."""
        ...


class Courier:
    """Takes notes to the leader, and its verdicts back. Sans-IO; times are ms.

    Only what is new is sent; all that is known goes again to each new session. A checkpoint is
    repeated until it is answered.
    """

    def __init__(self, session: LeaderSession) -> None:
        self._session = session
        self._number = 0  # of the session that was told all
        self._said: dict[int, Said] = {}
        self._fresh: dict[int, None] = {}
        self._asked: dict[int, tuple[Asked, int]] = {}  # by token; to be sent at
        self.look_at = 0

    def said(self, notes: Iterable[Said], now: int) -> None:
        """What tasks said last. Called when `look_at` has come."""
        self.look_at = now + LOOK_MS
        for note in notes:
            if self._said.get(note.token) != note:
                self._said[note.token] = note
                self._fresh[note.token] = None

    def asked(self, notes: Iterable[Asked], now: int) -> None:
        """Checkpoints to be kept; of a token the last is what counts."""
        for note in notes:
            self._asked[note.token] = note, now

    def answered(self, verdicts: list[CheckpointAnswered], pool: Answers) -> None:
        """Hand on the leader's verdicts that tasks wait for, and drain them."""
        for _, _, token, number, verdict in verdicts:
            asked = self._asked.get(token)
            if asked is not None and asked[0].number == number:
                del self._asked[token]
                pool.answer(token, number, verdict)
        verdicts.clear()

    def forget(self, tokens: Iterable[int], pool: Answers | None = None) -> None:
        """These are over. With `pool`, their code may run on, and no checkpoint of it counts."""
        if not self._said and not self._asked:
            return
        for token in tokens:
            self._said.pop(token, None)
            self._fresh.pop(token, None)
            asked = self._asked.pop(token, None)
            if asked is not None and pool is not None:
                pool.answer(token, asked[0].number, Verdict.VOID)

    def turn(self, now: int) -> list[ToBroker]:
        """What to send to the leader now."""
        session = self._session
        if not session.open or not (self._said or self._asked):
            return []
        if session.number != self._number:
            self._number = session.number
            self._fresh = dict.fromkeys(self._said)
            self._asked = {token: (note, now) for token, (note, _) in self._asked.items()}
        out: list[ToBroker] = []
        for token, (note, at) in self._asked.items():
            if now >= at:
                self._asked[token] = note, now + _RESEND_MS
                out.append(KeepCheckpoint(session.number, *note))
        if self._fresh:
            fresh = [self._said[token] for token in self._fresh]
            told = [Told(n.token, n.fraction, n.text, max(0, now - n.at)) for n in fresh]
            out.append(TellProgress(session.number, told))
            self._fresh.clear()
        return out


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
