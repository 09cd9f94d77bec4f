"""Signals on every replica: what somebody outside says to a flow, and the nodes that wait for it.

1. A signal has a name and a value, and is said to a flow once: whoever says it again changes
   nothing. What came before anybody waited is kept as long as the flow; all that wait for the name,
   now or later, have the one value.
2. A node that waits for a signal is a row without code, with one thing more that it waits for than
   it has edges. Its own value is made of the signal's, which is read then and copied to none
   before: a thousand may wait for one word, and take it in one entry.
3. What is said to a flow, and to all flows that are kept, is bounded in bytes.
4. Its time is counted from when it waits for nothing but the signal; then it has failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, cast

from raftwork.errors import QueueFull
from raftwork.features.flow_graph import SIGNALS_MAX
from raftwork.wire import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.broker.machine.state import Ledger
    from raftwork.features.flow_graph import Node

#: The kind of timer; the ref is the row that waits.
TIMED_OUT: Final = 19
#: Bytes of the values that are kept of one flow, which a retry copies in one entry, and of all.
FLOW_SIGNAL_BYTES_MAX: Final = 4 * 1024 * 1024
SIGNAL_BYTES_KEPT_MAX: Final = 256 * 1024 * 1024

_IS_SAID = "SELECT 1 FROM signal WHERE flow = ? AND name = ? AND seq = 0"
_WAITING = "SELECT seq FROM signal WHERE flow = ? AND name = ? AND seq > 0 ORDER BY seq"
_WAITS = "SELECT flow, name, value FROM signal WHERE seq = ? AND seq > 0"
_KEPT = """SELECT count(*), coalesce(sum(length(value)), 0) FROM signal
    WHERE flow = ? AND seq = 0"""
_FORGET = "DELETE FROM signal WHERE flow = ? RETURNING seq, length(value)"
_AGAIN = "INSERT INTO signal SELECT ?, name, 0, value FROM signal WHERE flow = ? AND seq = 0"
_PUT = "INSERT OR REPLACE INTO signal VALUES (?, ?, ?, ?)"
_TAKES = "UPDATE task SET open = open - 1 WHERE seq = ? AND state = 0 RETURNING open"
_OPEN = "SELECT open FROM task WHERE seq = ? AND state = 0"


class Wait(NamedTuple):
    """A node's wait for a signal."""

    flow: int
    name: str
    timeout: int  # ms; 0 is for ever
    due: int  # machine time; 0 while it is not counted


def await_signal(ledger: Ledger, flow: int, seq: int, name: str, timeout: int) -> None:
    """A row without code, whose `open` counts the signal, waits for it."""
    _put(ledger, seq, Wait(flow, name, timeout, 0))
    if is_said(ledger, flow, name):
        _take(ledger, seq)
    watch(ledger, seq)


def say(ledger: Ledger, flow: int, name: str, value: bytes) -> bool:
    """This signal is said to a flow; whether it is the first time. Raises QueueFull."""
    if is_said(ledger, flow, name):
        return False
    count, size = _kept(ledger, flow)
    if count >= SIGNALS_MAX:
        raise QueueFull(f"no room: {count} signals were said to this flow, {SIGNALS_MAX} may be")
    if size + len(value) > FLOW_SIGNAL_BYTES_MAX:
        raise QueueFull(
            f"no room: the signals to this flow would have {size + len(value)} bytes,"
            f" {FLOW_SIGNAL_BYTES_MAX} are allowed: store large values elsewhere, and say where"
        )
    check_kept(ledger, len(value))
    ledger.db.execute(_PUT, (flow, name, 0, value))
    ledger.links.signal_bytes += len(value)
    for (seq,) in list(ledger.db.execute(_WAITING, (flow, name))):
        _take(ledger, seq)
    return True


def is_said(ledger: Ledger, flow: int, name: str) -> bool:
    """Whether this signal stands."""
    return ledger.db.execute(_IS_SAID, (flow, name)).fetchone() is not None


def check_kept(ledger: Ledger, more: int) -> None:
    """Raise QueueFull if so many more bytes would be too many for all flows together."""
    size = ledger.links.signal_bytes + more
    if size > SIGNAL_BYTES_KEPT_MAX:
        raise QueueFull(
            f"no room: the signals to all flows that are kept would have {size} bytes,"
            f" {SIGNAL_BYTES_KEPT_MAX} are allowed; a flow's go with its result (result_ttl)"
        )


def check_waits(ledger: Ledger, flow: int, nodes: Sequence[Node]) -> None:
    """Raise QueueFull unless those of these nodes that wait for signals may be added to a flow.

    All that wait for one name are looked at in the entry in which it is said.
    """
    new = sum(bool(node.signal) for node in nodes)
    if not new:
        return
    ((count,),) = ledger.db.execute(
        "SELECT count(*) FROM signal WHERE flow = ? AND seq > 0", (flow,)
    )
    if count + new > SIGNALS_MAX:
        raise QueueFull(
            f"no room: {count + new} nodes of one flow would wait for signals, or have waited;"
            f" {SIGNALS_MAX} may"
        )


def say_again(ledger: Ledger, flow: int, old: int) -> None:
    """What was said to a flow is said to the one that is its retry."""
    _, size = _kept(ledger, old)
    ledger.db.execute(_AGAIN, (flow, old))
    ledger.links.signal_bytes += size


def size_of(ledger: Ledger, flow: int) -> int:
    """Bytes of what was said to a flow."""
    return _kept(ledger, flow)[1]


def forget(ledger: Ledger, flow: int) -> None:
    """Drop all of a flow that is forgotten."""
    rows: list[tuple[int, int]] = list(ledger.db.execute(_FORGET, (flow,)))
    ledger.links.signal_bytes -= sum(size for seq, size in rows if not seq)


def _kept(ledger: Ledger, flow: int) -> tuple[int, int]:
    count, size = ledger.db.execute(_KEPT, (flow,)).get
    return count, size


def _take(ledger: Ledger, seq: int) -> None:
    """It has what it waited for; it ends now unless it waits for tasks, too."""
    for (left,) in list(ledger.db.execute(_TAKES, (seq,))):
        stop_watch(ledger, seq)
        if not left:
            ledger.links.ready.append(seq)


def watch(ledger: Ledger, seq: int) -> None:
    """If all that this row waits for is a signal, its time begins."""
    row = ledger.db.execute(_OPEN, (seq,)).fetchone()
    wait = None if row is None or row[0] != 1 else wait_of(ledger, seq)
    if wait is None or not wait.timeout or wait.due:
        return
    if is_said(ledger, wait.flow, wait.name):
        return  # what it waits for is another task
    due = ledger.time + wait.timeout
    ledger.set_timer(due, TIMED_OUT, seq)
    _put(ledger, seq, wait._replace(due=due))


def stop_watch(ledger: Ledger, seq: int) -> None:
    """Its time is counted no more, if it was."""
    wait = wait_of(ledger, seq)
    if wait is not None and wait.due:
        ledger.drop_timer(wait.due, TIMED_OUT, seq)
        _put(ledger, seq, wait._replace(due=0))


def wait_of(ledger: Ledger, seq: int) -> Wait | None:
    """What this node of a flow waits for, or waited; None if that is no signal."""
    for flow, name, value in list(ledger.db.execute(_WAITS, (seq,))):
        timeout, due = cast("list[int]", unpack(value))
        return Wait(flow, name, timeout, due)
    return None


def _put(ledger: Ledger, seq: int, wait: Wait) -> None:
    ledger.db.execute(_PUT, (wait.flow, wait.name, seq, pack((wait.timeout, wait.due))))
