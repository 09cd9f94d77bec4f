"""What gates let in, seen from the leader: as the machine has it, and what is proposed. Sans-IO.

It may be wrong, as what is on its way may be refused, or more may come back; the machine decides
again where an Assign is applied. It is never wrong for long: once nothing is on its way through a
gate, this is what the machine has.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from raftwork.features.limit_settings import NEVER

if TYPE_CHECKING:
    from raftwork.broker.machine import Machine
    from raftwork.features.limit_settings import GateName, Quota


#: Who waits at gates: a queue, and the worker that its tasks are for alone; empty: any.
Waiter = tuple[str, str]


class GateRoom:
    """The gates of all limits, and those of queues: ("", queue)."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._gates = machine.gates
        #: What is on its way through a gate: so many tasks, and GCRA's time after them.
        self._ahead: dict[GateName, int] = {}
        self._tats: dict[GateName, int] = {}
        self._of: dict[int, tuple[GateName, ...]] = {}  # by task
        #: Leader time of this turn, ms; the machine's is none later.
        self.time = machine.time
        #: When time opens gates that something waits at, a heap, and the first of each.
        self.openings: list[tuple[int, GateName]] = []
        self._opens: dict[GateName, int] = {}
        self._waiting: dict[GateName, dict[Waiter, None]] = {}

    # ---- whether there is room -----------------------------------------------------------------

    def shut_until(self, gate: GateName) -> int:
        """0 if it lets one more in. Otherwise when time alone opens it, or NEVER."""
        name, key = gate
        found = self._gates.find(gate)
        if name:
            quota, held = self._gates.quotas.get(name), len(found.holders)
        else:
            quota, held = self._machine.queue_use(key)
        if quota is None:
            return 0
        held += self._ahead.get(gate, 0)
        if not (quota.tasks or quota.paused_until or found.shut_until):  # as nearly always
            return NEVER if 0 < quota.concurrency <= held else 0
        return found.opens_at(quota, self.time, held, self._tats.get(gate, 0))

    def _quota(self, gate: GateName) -> Quota | None:
        name, key = gate
        return self._gates.quotas.get(name) if name else self._machine.queue_use(key)[0]

    def is_paced(self, gate: GateName) -> bool:
        """Whether it has a rate: what it lets in is to begin then, and is not held ahead."""
        quota = self._quota(gate)
        return quota is not None and quota.tasks > 0

    def pass_through(self, seq: int, gates: tuple[GateName, ...]) -> None:
        """This task is on its way."""
        self._of[seq] = gates
        ahead, quotas = self._ahead, self._gates.quotas
        for gate in gates:
            ahead[gate] = ahead.get(gate, 0) + 1
            quota = quotas.get(gate[0]) if gate[0] else self._quota(gate)
            if quota is not None and quota.tasks:
                owed = self._gates.find(gate).owed(quota)
                tats = (self._tats.get(gate, 0), owed, self.time * 1_000)
                self._tats[gate] = max(tats) + quota.interval

    def gates_of(self, seq: int) -> tuple[GateName, ...]:
        """The gates of a task that is on its way."""
        return self._of.get(seq, ())

    def decided(self, seq: int) -> tuple[GateName, ...]:
        """It is no longer: the machine has it, or it stays. Returns its gates."""
        gates = self._of.pop(seq, ())
        for gate in gates:
            self._ahead[gate] -= 1
            if not self._ahead[gate]:
                del self._ahead[gate]
                self._tats.pop(gate, None)
        return gates

    # ---- who waits for it ----------------------------------------------------------------------

    def wait(self, gate: GateName, waiter: Waiter, until: int) -> None:
        """Tasks wait there at a gate, which time opens then (NEVER: it does not)."""
        waiters = self._waiting.get(gate)
        if waiters is None:
            waiters = self._waiting[gate] = {}
        waiters[waiter] = None
        if until < NEVER:
            self.wake(gate, until)

    def wake(self, gate: GateName, until: int) -> None:
        """Time opens a gate then."""
        if until < NEVER and until < self._opens.get(gate, NEVER):
            self._opens[gate] = until
            heappush(self.openings, (until, gate))

    def waits_no_more(self, gate: GateName, waiter: Waiter) -> None:
        """Nothing of it waits there."""
        waiters = self._waiting.get(gate, {})
        waiters.pop(waiter, None)
        if not waiters:
            self._waiting.pop(gate, None)

    def waiting(self, gate: GateName) -> list[Waiter]:
        """Who waits at it."""
        waiters = self._waiting.get(gate)
        return list(waiters) if waiters else []

    def of_limit(self, limit: str) -> list[GateName]:
        """The gates of a limit that something waits at."""
        return [gate for gate in self._waiting if gate[0] == limit]

    # ---- time ----------------------------------------------------------------------------------

    def opened(self, time: int) -> list[GateName]:
        """Those that time has opened by now."""
        self.time = max(time, self._machine.time)
        found: list[GateName] = []
        while self.openings and self.openings[0][0] <= time:
            at, gate = heappop(self.openings)
            if self._opens.get(gate) == at:
                del self._opens[gate]
                found.append(gate)
        return found
