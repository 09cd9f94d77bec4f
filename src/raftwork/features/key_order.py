"""The order of tasks that were enqueued with `ordered` and one key: the table of whose turn it is.

The first unfinished task of a key that has become ready owns the key until it has its outcome: it
alone is in a lane, and keeps the key while it runs, waits for a retry or is handed out anew. The
others stand in `key_waiting` by their places, where no dispatcher sees them.
"""

from typing import TYPE_CHECKING

from raftwork.errors import QueueFull

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.messages import Spec

#: Stands for the owner of a key that nobody's turn it is.
HALTED = 0
#: Halted keys: a row each, also of those that nothing waits for.
HALTED_MAX = 100_000

_OWNER = "SELECT owner FROM key_order WHERE queue = ? AND key = ?"
_OWN = "INSERT OR REPLACE INTO key_order VALUES (?, ?, ?)"
_FREE = "DELETE FROM key_order WHERE queue = ? AND key = ?"
_STAND = "INSERT INTO key_waiting VALUES (?, ?, ?, ?)"
_LEAVE = "DELETE FROM key_waiting WHERE queue = ? AND key = ? AND place = ?"
_NEXT = """SELECT task.seq, task.lane, key_waiting.place
    FROM key_waiting JOIN task ON task.seq = key_waiting.seq
    WHERE key_waiting.queue = ? AND key_waiting.key = ? ORDER BY key_waiting.place LIMIT 1"""


def check_halted(ledger: "Ledger", spec: "Spec") -> None:
    """Raise QueueFull for tasks that may halt one key more than there is room for."""
    if spec.halts and ledger.halted_keys >= HALTED_MAX:
        raise QueueFull(
            f"no room: {ledger.halted_keys} keys are halted, {HALTED_MAX} are allowed: resume those"
            " that may go on"
        )


def owner(ledger: "Ledger", queue: int, key: str) -> int | None:
    """The task whose turn it is, HALTED, or None if no task has this key."""
    row = ledger.db.execute(_OWNER, (queue, key)).fetchone()
    return None if row is None else row[0]


def is_first(ledger: "Ledger", queue: int, key: str, place: int, seq: int) -> bool:
    """Whether it is the turn of this task, which waits now; if not it stands with the others."""
    holder = owner(ledger, queue, key)
    if holder is None:
        ledger.db.execute(_OWN, (queue, key, seq))
    elif holder != seq:
        ledger.db.execute(_STAND, (queue, key, place, seq))
        return False
    return True


def give(ledger: "Ledger", queue: int, key: str, seq: int) -> None:
    """It is the turn of this task, which may be another key's, or none's."""
    ledger.db.execute(_OWN, (queue, key, seq))


def leave(ledger: "Ledger", queue: int, key: str, place: int) -> None:
    """It stands there no more, if it did."""
    ledger.db.execute(_LEAVE, (queue, key, place))


def halt(ledger: "Ledger", queue: int, key: str) -> None:
    """It is nobody's turn until somebody resumes the key."""
    ledger.halted_keys += 1
    ledger.db.execute(_OWN, (queue, key, HALTED))


def forget(ledger: "Ledger", queue: int) -> None:
    """The queue has no task, and is deleted: its halted keys go with it."""
    ledger.db.execute("DELETE FROM key_order WHERE queue = ?", (queue,))
    ledger.halted_keys -= ledger.db.changes()


def pass_on(ledger: "Ledger", queue: int, key: str) -> tuple[int, int, int] | None:
    """It is the next one's turn: its number, lane and place. None: nobody waits."""
    following: tuple[int, int, int] | None = ledger.db.execute(_NEXT, (queue, key)).fetchone()
    if following is None:
        ledger.db.execute(_FREE, (queue, key))
        return None
    seq, _, place = following
    ledger.db.execute(_LEAVE, (queue, key, place))
    ledger.db.execute(_OWN, (queue, key, seq))
    return following
