"""What the tenants of fair queues have in flight, on the leader. Sans-IO."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raftwork.broker.machine import Machine


class InFlight:
    """How many tasks of each tenant of a fair queue are handed out and have not ended."""

    def __init__(self) -> None:
        self._whose: dict[int, tuple[str, str]] = {}  # queue and tenant, by task
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
            self._counts[queue][tenant] += 1

    def ended(self, seq: int) -> tuple[str, str] | None:
        """It is in flight no more; returns whose it was, if that is known."""
        whose = self._whose.pop(seq, None) if self._whose else None
        if whose is not None:
            queue, tenant = whose
            counts = self._counts[queue]
            counts[tenant] -= 1
            if not counts[tenant]:
                del counts[tenant]
        return whose
