"""What a feature sees of the active leader."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from raftwork.broker.event_ring import NO_EVENTS, EventRing
from raftwork.features.placement import Placing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from raftwork.broker.disk_space import DiskSpace
    from raftwork.broker.machine import Machine
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.result_outbox import ResultOutbox
    from raftwork.broker.version_negotiation import Member
    from raftwork.broker.workers.registry import WorkerRegistry


class Intake(Protocol):
    """Assigns new tasks as they are stored (raftwork/broker/dispatch/intake.py)."""

    def begin(self, queue: str, name: str, tasks: int, *, placed: bool) -> list[tuple[bytes, int]]:
        """Pick workers that begin these new tasks at once: (incarnation, tasks) each."""
        ...

    def entered(self, queue: str, tasks: int, begin: list[tuple[bytes, int]]) -> None:
        """The tasks that `begin` was asked about are applied, or refused."""
        ...


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
    #: The other brokers by name; None for one that does not answer now.
    members: Callable[[], Mapping[str, Member | None]]
    disk: DiskSpace
    #: What happened, as far as it is kept here.
    events: EventRing = NO_EVENTS
    #: By what the balancer of a queue places its tasks.
    placing: Callable[[str], Placing] = lambda _queue: Placing()
    #: This broker, the epoch in which it leads, and what begins to give that to another one: the
    #: named, or any. It may come to nothing.
    name: str = ""
    epoch: int = 0
    hand_over: Callable[[str], None] = lambda _to: None
    time: int = 0
    all_heard: bool = False
    #: The machine's tables and what it knows by heart, to read.
    state: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.machine.state
