"""The real Node, watched: what its machine is told and answers, and when it leads."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from raftwork.broker.leader.leadership import Leadership
from raftwork.broker.machine import Machine
from raftwork.broker.node import Node
from raftwork.broker.node_setup import Setup
from raftwork.consensus.core import ORIGIN, Consensus, Entry, Position
from raftwork.errors import QueueFull, RaftworkError
from raftwork.features.effects import Applied, Effect, Reply
from raftwork.features.enqueue import Enqueue, check, stored
from raftwork.messages import FromBroker, ToBroker
from tests.sim.system.process import Process
from tests.sim.system.promises import require
from tests.sim.system.protocols import Leading
from tests.sim.system.watched import WatchedStore

if TYPE_CHECKING:
    from raftwork.broker.access.access_list import Grant
    from tests.sim.system.broker import Broker


class WatchedNode(Node):
    def __init__(self, broker: "Broker", setup: Setup, store: WatchedStore) -> None:
        self._broker = broker
        self._at = ORIGIN
        #: What was applied last, while its events need not be noted.
        self._unnoted: Position | None = None
        self._frame: bytes | memoryview = b""
        super().__init__(setup, store, broker.mono, broker.clock.wall(broker.timeline.now))
        self._watch(self._machine)
        self._handshake.heard = self._hearing(self._handshake.heard)  # type: ignore[method-assign]
        # It is an attribute of each Node: a method of this class would not be called.
        self.plan = self._planned

    def receive(
        self, routing: bytes, frame: bytes | memoryview, now: int, grant: "Grant | None" = None
    ) -> bool:
        self._frame = frame
        return super().receive(routing, frame, now, grant)

    def turn(self, now: int) -> None:
        super().turn(now)
        text = "takes requests before its first entry, which raises the level, is applied"
        require(not self.leads or self._machine.level > 0, "served at a level", text)

    def _shut(self, routing: bytes, now: int) -> None:
        self._broker.world.leases.shut(self._broker, routing)
        super()._shut(routing, now)

    def _route(self, routing: bytes, message: ToBroker, now: int) -> None:
        party = self._broker.world.party(routing)
        self._strike(party, before=True)
        super()._route(routing, message, now)
        self._broker.world.leases.reads(self._broker, routing, bytes(self._frame), now)
        self._strike(party, before=False)

    def _strike(self, party: Process | None, *, before: bool) -> None:
        if party is not None:
            world = self._broker.world
            world.bugs.strikes(world.kind_of(party), party.host, party, before=before)

    def _hearing(self, heard: Callable[..., None]) -> Callable[..., None]:
        bugs = self._broker.world.bugs

        def hearing(name: str, message: FromBroker, now: int) -> None:
            bugs.strikes("a peer", name, None, before=True)
            heard(name, message, now)
            bugs.strikes("a peer", name, None, before=False)

        return hearing

    def _make_leadership(self, epoch: int, now: int, barrier: int) -> Leadership:
        leadership = super()._make_leadership(epoch, now, barrier)
        leadership.processor.request = self._asking(leadership.processor.request)  # type: ignore[method-assign]
        return leadership

    def _planned(self, now: int) -> None:
        self._supervisor.does(self._planning, now)

    def _planning(self, leadership: Leadership, now: int) -> None:
        bugs = self._broker.world.bugs
        bugs.strikes("all at once", "leader", self._broker, before=True)
        leadership.plan(now)
        bugs.strikes("all at once", "leader", self._broker, before=False)

    def _asking(self, request: Callable[..., None]) -> Callable[..., None]:
        """Look at each batch as the request processor does, before it does."""

        def asking(routing: bytes, message: ToBroker, size: int, grant: "Grant | None") -> None:
            if isinstance(message, Enqueue):
                state = self._machine.state
                try:
                    _, tasks = check(state, message.spec, message.tasks)
                    found = stored(state, message.spec, tasks)
                    self._broker.world.reach.counts["repeated batch acknowledged at once"] += found
                except QueueFull:
                    self._broker.refuses_early(message.spec, message.tasks)
                except RaftworkError:
                    pass  # refused for what it is
            request(routing, message, size, grant)

        return asking

    def _watch(self, machine: Machine) -> None:
        apply, carry_out, go_on = machine.apply, machine._carry_out, machine._go_on
        # How many effects there were before each command, and behind the last one.
        steps: list[int] = []

        def applying(data: bytes, at: tuple[int, int] = (0, 0)) -> Applied:
            steps.clear()
            applied = apply(data, at)
            self._broker.machine_applied(self._at, data, applied, steps, machine)
            return applied

        def carrying_out(plain: object, effects: list[Effect]) -> Reply:
            steps.append(len(effects))
            return carry_out(plain, effects)

        def going_on(effects: list[Effect]) -> None:
            steps.append(len(effects))
            go_on(effects)

        machine._go_on = going_on  # type: ignore[method-assign]
        machine.apply = applying  # type: ignore[method-assign]
        machine._carry_out = carrying_out  # type: ignore[method-assign]

    @property
    def machine(self) -> Machine:
        return self._machine

    @property
    def core(self) -> Consensus | None:
        return self._replica.core if self._replica is not None else None

    @property
    def holds_back(self) -> bool:
        """Whether what it wants to propose waits until the core takes proposals again."""
        made = self._supervisor._made
        return made is not None and bool(made._pending)

    @property
    def leading(self) -> Leading | None:
        """What it leads, if it does, active or not."""
        core = self.core
        return self._broker.world.protocol.leading(core) if core is not None else None

    def apply(self, entry: Entry) -> None:
        self._at = entry.at
        super().apply(entry)
        self._look_for_events()  # of the one before
        self._unnoted = entry.at

    def before_commit(self) -> None:
        super().before_commit()
        self._look_for_events()

    def _look_for_events(self) -> None:
        at, ring = self._unnoted, self._events.ring
        self._unnoted = None
        if at is not None and ring.keeps:
            self._broker.world.queue.events.noted(self._broker.host, at, ring)

    def activated(self, epoch: int, now: int) -> None:
        self._broker.activated(epoch)
        super().activated(epoch, now)

    def deactivated(self) -> None:
        self._broker.deactivated()
        super().deactivated()

    def switched(self) -> None:
        super().switched()
        self._watch(self._machine)
