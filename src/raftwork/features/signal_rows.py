"""Signals on every replica: what somebody outside says to a flow, and the nodes that wait for it.

1. A signal has a name and a value, and is said to a flow once: whoever says it again changes
   nothing. What came before anybody waited is kept as long as the flow; all that wait for the name,
   now or later, have the one value.
2. A node that waits for a signal is a row without code, with one thing more that it waits for than
   it has edges. The signal's value becomes what its own is made of (its template).
3. Its time is counted from when it waits for nothing but the signal; then it has failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, cast

from raftwork.errors import QueueFull
from raftwork.wire import pack, unpack

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger

#: The kind of timer; the ref is the row that waits.
TIMED_OUT: Final = 19
#: Signals that are kept of one flow.
SIGNALS_MAX: Final = 1_000

_SAID = "SELECT value FROM signal WHERE flow = ? AND name = ? AND seq = 0"
_WAITING = "SELECT seq FROM signal WHERE flow = ? AND name = ? AND seq > 0 ORDER BY seq"
_WAITS = "SELECT flow, name, value FROM signal WHERE flow = ? AND seq = ?"
_PUT = "INSERT OR REPLACE INTO signal VALUES (?, ?, ?, ?)"
_TAKES = "UPDATE task SET body = ?, open = open - 1 WHERE seq = ? AND state = 0 RETURNING open"
_OPEN = "SELECT open, flow FROM task WHERE seq = ? AND state = 0"


class Wait(NamedTuple):
    """A node's wait for a signal."""

    flow: int
    name: str
    timeout: int  # ms; 0 is for ever
    due: int  # machine time; 0 while it is not counted


def await_signal(ledger: Ledger, flow: int, seq: int, name: str, timeout: int) -> None:
    """A row without code, whose `open` counts the signal, waits for it."""
    _put(ledger, seq, Wait(flow, name, timeout, 0))
    for (value,) in list(ledger.db.execute(_SAID, (flow, name))):
        _take(ledger, seq, value)
    watch(ledger, seq)


def say(ledger: Ledger, flow: int, name: str, value: bytes) -> bool:
    """This signal is said to a flow; whether it is the first time. Raises QueueFull."""
    if ledger.db.execute(_SAID, (flow, name)).fetchone() is not None:
        return False
    ((count,),) = ledger.db.execute(
        "SELECT count(*) FROM signal WHERE flow = ? AND seq = 0", (flow,)
    )
    if count >= SIGNALS_MAX:
        raise QueueFull(f"no room: {count} signals were said to this flow, {SIGNALS_MAX} may be")
    ledger.db.execute(_PUT, (flow, name, 0, value))
    for (seq,) in list(ledger.db.execute(_WAITING, (flow, name))):
        _take(ledger, seq, value)
    return True


def _take(ledger: Ledger, seq: int, value: bytes) -> None:
    """It has what it waited for; it ends now unless it waits for tasks, too."""
    for (left,) in list(ledger.db.execute(_TAKES, (value, seq))):
        stop_watch(ledger, seq)
        if not left:
            ledger.links.ready.append(seq)


def watch(ledger: Ledger, seq: int) -> None:
    """If all that this row waits for is a signal, its time begins."""
    row = ledger.db.execute(_OPEN, (seq,)).fetchone()
    wait = None if row is None or row[0] != 1 else wait_of(ledger, row[1], seq)
    if wait is None or not wait.timeout or wait.due:
        return
    if ledger.db.execute(_SAID, (wait.flow, wait.name)).fetchone() is not None:
        return  # what it waits for is another task
    due = ledger.time + wait.timeout
    ledger.set_timer(due, TIMED_OUT, seq)
    _put(ledger, seq, wait._replace(due=due))


def stop_watch(ledger: Ledger, seq: int) -> None:
    """Its time is counted no more, if it was."""
    ((flow,),) = ledger.db.execute("SELECT flow FROM task WHERE seq = ?", (seq,))
    wait = wait_of(ledger, flow, seq)
    if wait is not None and wait.due:
        ledger.drop_timer(wait.due, TIMED_OUT, seq)
        _put(ledger, seq, wait._replace(due=0))


def wait_of(ledger: Ledger, flow: int, seq: int) -> Wait | None:
    """What this node of a flow waits for, or waited; None if that is no signal."""
    for _, name, value in list(ledger.db.execute(_WAITS, (flow, seq))):
        timeout, due = cast("list[int]", unpack(value))
        return Wait(flow, name, timeout, due)
    return None


def _put(ledger: Ledger, seq: int, wait: Wait) -> None:
    ledger.db.execute(_PUT, (wait.flow, wait.name, seq, pack((wait.timeout, wait.due))))
