"""Tasks of a schedule that wait for its others, whatever it said when those were made.

With `queue_one`, `queue_all` and `cancel_previous` they stand in the order of one key
(key_order.py). They would not wait for those that are in no such order: made while the schedule
said `skip` or `allow`, by a trigger that did, or into another queue. So as long as the first of a
schedule's tasks without an outcome is such a one, it has the key, and those in order come after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.features import key_order
from raftwork.features.lanes import next_turn

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.features.effects import Effect
    from raftwork.messages import State

_FIRST: Final = """SELECT tick.seq, task.queue, task.key
    FROM tick CROSS JOIN task ON task.seq = tick.seq
    WHERE tick.schedule = ? ORDER BY tick.seq LIMIT 1"""
_GONE: Final = "DELETE FROM tick WHERE seq = ? RETURNING schedule"
# As the index `key_of_schedule` has it; a user's key may look like that, too.
_OWNED: Final = """SELECT queue, key FROM key_order
    WHERE owner = ? AND key >= 'schedule:' AND key < 'schedule;' ORDER BY queue, key"""


def key_of(schedule: str) -> str:
    """The key of its tasks that wait for each other."""
    return f"schedule:{schedule}"


def come_after(ledger: Ledger, schedule: int, queue: int, key: str) -> None:
    """A task of this schedule is about to enter in the order of its key, behind all others."""
    if key_order.owner(ledger, queue, key) is None:
        _give_to_first(ledger, schedule, queue, key)


def settled(ledger: Ledger, seq: int, _state: State, effects: list[Effect]) -> None:
    """A task that a schedule made has its outcome: what waited for it alone has its turn."""
    ((schedule,),) = list(ledger.db.execute(_GONE, (seq,)))
    for queue, key in list(ledger.db.execute(_OWNED, (seq,))):
        if not _give_to_first(ledger, schedule, queue, key):
            next_turn(ledger, queue, key, effects)


def _give_to_first(ledger: Ledger, schedule: int, queue: int, key: str) -> bool:
    """The schedule's first task has the key, if it is in another order than that, or in none."""
    for first, its_queue, its_key in list(ledger.db.execute(_FIRST, (schedule,))):
        if (its_queue, its_key) != (queue, key):
            key_order.give(ledger, queue, key, first)
            return True
    return False
