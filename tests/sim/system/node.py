"""The real Node, watched: what its machine is told and answers, and when it leads."""

from typing import TYPE_CHECKING

from raftwork.broker.node import Node
from raftwork.broker.queue import Machine
from raftwork.broker.queue.commands import Applied, Effect, Reply
from raftwork.broker.queue.enqueue import Columns
from raftwork.broker.setup import Setup
from raftwork.consensus.core import ORIGIN, Consensus, Entry
from raftwork.errors import QueueFull
from raftwork.messages import Spec
from tests.sim.system.protocols import Leading
from tests.sim.system.watched import WatchedStore

if TYPE_CHECKING:
    from tests.sim.system.broker import Broker


class WatchedNode(Node):
    def __init__(self, broker: "Broker", setup: Setup, store: WatchedStore) -> None:
        self._broker = broker
        self._at = ORIGIN
        super().__init__(setup, store, broker.mono, broker.clock.wall(broker.timeline.now))
        self._watch(self._machine)

    def _watch(self, machine: Machine) -> None:
        apply, carry_out = machine.apply, machine._carry_out
        validate, stored = machine.validate, machine.stored
        steps: list[int] = []  # how many effects there were before each command

        def applying(data: bytes) -> Applied:
            steps.clear()
            applied = apply(data)
            self._broker.machine_applied(self._at, data, applied, steps, machine)
            return applied

        def carrying_out(plain: object, effects: list[Effect]) -> Reply:
            steps.append(len(effects))
            return carry_out(plain, effects)

        def validating(spec: bytes, tasks: bytes) -> tuple[Spec, Columns]:
            try:
                return validate(spec, tasks)
            except QueueFull:
                self._broker.refuses_early(spec, tasks)
                raise

        def looking_up(spec: bytes, tasks: Columns) -> bool:
            found = stored(spec, tasks)
            self._broker.world.reach.counts["repeated batch acknowledged at once"] += found
            return found

        machine.apply = applying  # type: ignore[method-assign]
        machine._carry_out = carrying_out  # type: ignore[method-assign]
        machine.validate = validating  # type: ignore[method-assign]
        machine.stored = looking_up  # type: ignore[method-assign]

    @property
    def machine(self) -> Machine:
        return self._machine

    @property
    def core(self) -> Consensus | None:
        return self._replica.core if self._replica is not None else None

    @property
    def holds_back(self) -> bool:
        """Whether what it wants to propose waits until the core takes proposals again."""
        return self._leadership is not None and bool(self._leadership._waiting)

    @property
    def leading(self) -> Leading | None:
        """What it leads, if it does, active or not."""
        core = self.core
        return self._broker.world.protocol.leading(core) if core is not None else None

    def apply(self, entry: Entry) -> None:
        self._at = entry.at
        super().apply(entry)

    def activated(self, epoch: int, now: int) -> None:
        self._broker.activated(epoch)
        super().activated(epoch, now)

    def deactivated(self) -> None:
        self._broker.deactivated()
        super().deactivated()

    def switched(self) -> None:
        super().switched()
        self._watch(self._machine)
