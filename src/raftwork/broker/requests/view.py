"""What a feature sees of the active leader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from raftwork.broker.machine import Machine
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.result_outbox import ResultOutbox
    from raftwork.broker.workers.registry import WorkerRegistry


class Intake(Protocol):
    """Hands new tasks out in the same breath (raftwork/broker/dispatch/intake.py)."""

    def begin(
        self, queue: str, name: str, tasks: int, *, keyed: bool
    ) -> list[tuple[bytes, int]]: ...
    def entered(self, queue: str, tasks: int, begin: list[tuple[bytes, int]]) -> None: ...


@dataclass(slots=True)
class View:
    """The queue as it is applied here, and what only the leader knows.

    `time` is leader time, in ms; `all_heard` says that every worker had the time to say hello to
    this leader.
    """

    machine: Machine
    workers: WorkerRegistry
    results: ResultOutbox
    intake: Intake
    #: Names of the load balancers that this broker has.
    balancers: Collection[str]
    time: int = 0
    all_heard: bool = False

    @property
    def state(self) -> Ledger:
        """The machine's tables and what it knows by heart, to read."""
        return self.machine.state
