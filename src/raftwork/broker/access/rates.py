"""How much a key may enqueue, on the average. Sans-IO.

A bucket that fills at its rate and holds a second's worth, kept as the time at which it would be
full again (GCRA). A request that is more than that is let through if nothing is owed, and then has
to be made up for: a batch is all or nothing.

How many tasks a request makes its rule says (`Change.grows`). One that may make fewer than that is
given the rest back once it is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.errors import QueueFull

if TYPE_CHECKING:
    from raftwork.broker.access.access_list import Grant

#: So much may come at once, in ms of the rate.
BURST_MS: Final = 1_000


class Rates:
    """Of one leadership, by the names of keys. Times are ms that only grow."""

    def __init__(self) -> None:
        self._full_at: dict[tuple[str, str], float] = {}

    def take(self, grant: Grant, tasks: int, size: int, now: int) -> None:
        """Take `tasks` tasks in `size` bytes now. Raises QueueFull, and nothing is taken."""
        asked = (
            ("tasks", grant.tasks_per_second, tasks),
            ("bytes", grant.bytes_per_second, size),
        )
        full: dict[tuple[str, str], float] = {}
        for what, rate, amount in asked:
            if not rate:
                continue
            key = grant.name, what
            at = max(self._full_at.get(key, 0.0), float(now))
            if (wait := at - now - BURST_MS) > 0:
                raise QueueFull(
                    f"the key {grant.name} may enqueue {rate} {what} a second on the average, and"
                    f" {amount} more are too many now; try again in {max(0.1, wait / 1_000):.1f} s"
                )
            full[key] = at + amount * 1_000 / rate
        self._full_at |= full

    def give_back(self, grant: Grant, tasks: int) -> None:
        """So many of the tasks that were taken were not made."""
        if (rate := grant.tasks_per_second) and tasks:
            self._full_at[grant.name, "tasks"] -= tasks * 1_000 / rate
