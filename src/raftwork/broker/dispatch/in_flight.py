"""What the tenants of fair queues have in flight, on the leader. Sans-IO.

A task that was taken, and that no worker may have now, is kept back: it is not in flight, and its
tenant has its turns as before. Only once many of a tenant's are kept back they count: what they
wait for may be long in coming, and without an end to it they would take the room of all tenants.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raftwork.broker.machine import Machine

#: Of one tenant: so many that are kept back count as if they were in flight. A tenth of all that
#: may be in a queue (skipped.py).
KEPT_BACK_MAX = 100

#: A queue, and a tenant of it.
_Whose = tuple[str, str]


class InFlight:
    """How many tasks of each tenant of a fair queue are handed out and have not ended."""

    def __init__(self) -> None:
        self._whose: dict[int, _Whose] = {}  # by task
        self._kept_back: dict[int, _Whose] = {}
        self._kept: Counter[_Whose] = Counter()
        self._counts: dict[str, Counter[str]] = {}

    def of(self, queue: str, machine: Machine) -> Counter[str]:
        """By tenant. Kept up to date; the first time read from what runs."""
        counts = self._counts.get(queue)
        if counts is None:
            counts = self._counts[queue] = Counter()
            for seq, tenant in machine.tenants_running(queue):
                self.began(queue, tenant, seq)
        return counts

    def began(self, queue: str, tenant: str, seq: int) -> None:
        """A task was handed out."""
        if seq not in self._whose:
            self._whose[seq] = (queue, tenant)
            self._add((queue, tenant), 1)

    def kept_back(self, seq: int) -> str | None:
        """No worker may have it now; returns its tenant, if its queue is fair."""
        whose = self._end(seq)
        if whose is None:
            return None
        self._kept_back[seq] = whose
        self._kept[whose] += 1
        if self._kept[whose] >= KEPT_BACK_MAX:
            self._add(whose, KEPT_BACK_MAX if self._kept[whose] == KEPT_BACK_MAX else 1)
        return whose[1]

    @property
    def keeps_back(self) -> bool:
        """Whether any task is kept back."""
        return bool(self._kept_back)

    def goes_on(self, seq: int, *, handed_out: bool) -> str | None:
        """It is kept back no more; `handed_out`: it is in flight again. As `kept_back`."""
        whose = self._kept_back.pop(seq, None)
        if whose is None:
            return None
        if self._kept[whose] >= KEPT_BACK_MAX:
            self._add(whose, -KEPT_BACK_MAX if self._kept[whose] == KEPT_BACK_MAX else -1)
        self._kept[whose] -= 1
        if not self._kept[whose]:
            del self._kept[whose]
        if handed_out:
            self.began(*whose, seq)
        return whose[1]

    def ended(self, seq: int) -> tuple[str, str] | None:
        """A task is in flight no more; returns whose it was, if that is known."""
        return self._end(seq) if self._whose else None

    def _end(self, seq: int) -> _Whose | None:
        whose = self._whose.pop(seq, None)
        if whose is not None:
            self._add(whose, -1)
        return whose

    def _add(self, whose: _Whose, many: int) -> None:
        queue, tenant = whose
        counts = self._counts[queue]
        counts[tenant] += many
        if not counts[tenant]:
            del counts[tenant]
