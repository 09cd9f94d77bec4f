"""Everything that goes wrong, and the end of it."""

from typing import TYPE_CHECKING

from tests.sim.system.broker import Broker
from tests.sim.system.worker import Worker

if TYPE_CHECKING:
    from tests.sim.system.world import World

Pairs = list[tuple[str, str]]


def both(pairs: Pairs) -> Pairs:
    return pairs + [(there, here) for here, there in pairs]


class Faults:
    """Draws what goes wrong next, and mends it some time later."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._timeline = world.timeline
        self._rng = world.timeline.rng
        self._liar = self._rng.randrange(len(world.brokers))
        self._peace = False

    def next(self) -> None:
        shape, timeline = self._world.shape, self._timeline
        if self._peace or not shape.faults:
            return
        (kind,) = self._rng.choices(shape.faults, shape.weights)
        self.strike(kind)
        timeline.after(self._rng.randint(1, 2 * shape.fault_every), self.next)

    def strike(self, kind: str) -> None:
        broker = self._rng.choice(self._world.brokers)
        active = [each for each in self._world.brokers if each.active is not None]
        if active and self._rng.random() < 0.4:
            broker = active[-1]
        match kind:
            case "isolate broker" | "one-way cut" | "partial cut" | "split":
                self._part(kind, broker)
            case "cut off client or worker":
                self._part(kind, broker)
            case "reset connection":
                self._reset()
            case "slow disk" | "hung disk" | "failing disk" | "rotten bit" | "lost directory":
                self._disk(kind, broker)
            case "kill worker" | "pause worker" | "drain worker" | "kill client" | "pause client":
                self._others(kind)
            case "clock jump":  # a minority's: whom a majority of clocks deceives cannot be helped
                self._world.brokers[self._liar].clock.wall_offset += self._rng.choice(
                    (-1, 1)
                ) * self._rng.randint(1, 10**7)
            case _:
                self._broker(kind, broker)

    # ---- brokers --------------------------------------------------------------------------------

    def _broker(self, kind: str, broker: Broker) -> None:
        rng = self._rng
        match kind:
            case "kill broker":
                self._kill(broker)
            case "power cut":
                self._cut_power(broker)
            case "blackout":
                for each in self._world.brokers:
                    self._cut_power(each)
            case "crash in commit":
                when = rng.choice(("before", "during", "after"))
                if rng.random() < 0.7:
                    broker.disk.faults.crash = when
                else:
                    broker.disk.faults.crash_in_switch = when
            case "pause broker":
                broker.pause(rng.choice((100, 400, 800, 2_500)) + rng.randint(0, 300))
            case "graceful stop":
                broker.exit_gracefully()
            case "transfer":
                for each in self._world.brokers:
                    each.hand_over()
                if rng.random() < 0.5:
                    (self._heir() or broker).pause(rng.randint(700, 1_500))

    def _heir(self) -> Broker | None:
        """Whom leadership is being handed to."""
        leading = [each.node.leading for each in self._world.brokers if each.node is not None]
        heirs = {leads.heir for leads in leading if leads is not None}
        return next((each for each in self._world.brokers if each.host in heirs), None)

    def _kill(self, broker: Broker) -> None:
        if broker.alive:
            broker.stop("killed")
            self._world.later(broker.start)

    def _cut_power(self, broker: Broker) -> None:
        if broker.alive:
            broker.stop("power cut", silently=self._rng.random() < 0.5)
            broker.disk.power_cut()
            self._world.later(broker.start)

    def _disk(self, kind: str, broker: Broker) -> None:
        rng, faults = self._rng, broker.disk.faults
        match kind:
            case "slow disk":
                faults.slow = rng.choice((0, 10, 60, 200, 600))
            case "hung disk":
                faults.hang = rng.randint(500, 4_000)
            case "failing disk":
                faults.failing = rng.choice(("eio", "full"))
                self._timeline.after(rng.randint(100, 2_000), self._mend, broker)
            case _ if not self._world.may_lose(broker):
                return
            case "rotten bit":
                ends = rng.random() < 0.5
                broker.disk.flip(ends=ends)
                if ends:
                    self._kill(broker)  # so that all of it is read again
            case "lost directory":
                self._timeline.note("lost directory", broker.host)
                broker.stop("killed")
                broker.disk.wipe()
                self._world.later(broker.start)
        self._timeline.note(kind, broker.host)

    def _mend(self, broker: Broker) -> None:
        broker.disk.faults.failing = None

    # ---- the network ----------------------------------------------------------------------------

    def _part(self, kind: str, broker: Broker) -> None:
        rng, world, here = self._rng, self._world, broker.host
        others = [name for name in world.cluster if name != here]
        outside = [each.host for each in (*world.workers, *world.users)]
        match kind:
            case "isolate broker":
                everybody = rng.random() < 0.5
                pairs = both([(here, there) for there in others + outside * everybody])
            case "one-way cut":
                hosts = [h for h in others + outside if rng.random() < 0.6]
                pairs = [(here, h) if rng.random() < 0.8 else (h, here) for h in hosts]
            case "partial cut":
                pairs = both([(here, rng.choice(others))])
            case "split":  # one broker, with the clients and workers it has on its side
                with_it = [here, *(host for host in outside if rng.random() < 0.5)]
                rest = [host for host in others + outside if host not in with_it]
                pairs = both([(one, other) for one in with_it for other in rest])
            case _:
                pairs = both(
                    [(rng.choice(outside), name) for name in world.cluster if rng.random() < 0.6]
                )
        self._timeline.note(kind, *sorted(set(map("-".join, pairs))))
        world.network.cut(pairs, reset=rng.random() < (0.8 if kind == "split" else 0.5))
        self._timeline.after(rng.choice((200, 900, 2_500, 5_000)), self._heal, pairs)

    def _heal(self, pairs: Pairs) -> None:
        if not self._peace:  # else it has healed
            self._world.network.heal(pairs)

    def _reset(self) -> None:
        connections = self._world.network.connections(self._rng.choice(list(self._world.cluster)))
        if connections:
            self._world.network.drop(self._rng.choice(connections))

    # ---- workers and clients --------------------------------------------------------------------

    def _others(self, kind: str) -> None:
        rng = self._rng
        worker, client = rng.choice(self._world.workers), rng.choice(self._world.users)
        match kind:
            case "kill worker":
                silently = rng.random() < 0.3
                if worker.alive and (starved := self._world.fork_servers.starves()):
                    worker.pause(starved)
                    self._timeline.after(starved, self.kill_worker, worker, silently)
                else:
                    self.kill_worker(worker, silently)
            case "pause worker":
                if worker.alive:
                    worker.pause(rng.choice((200, 1_500, 4_000)))
            case "drain worker":
                (worker.drain if rng.random() < 0.7 else worker.halt)()
            case "kill client":
                client.stop("killed")
                self._world.later(client.start)
            case "pause client":
                if client.alive:
                    client.pause(self._timeline.second.choice((300, 1_500, 4_000, 8_000)))

    def kill_worker(self, worker: Worker, silently: bool) -> None:
        """As `kill -9`; with its host if `silently`."""
        if not self._peace:
            worker.stop("killed", silently=silently)
            self._world.later(worker.start)

    # ---- peace ----------------------------------------------------------------------------------

    def cease(self) -> None:
        """No more faults, and all that last are mended but the weather and workers' code."""
        self._peace = True
        world = self._world
        world.network.heal(list(world.network.cuts.elements()))
        for broker in world.brokers:
            faults = broker.disk.faults
            faults.slow, faults.hang, faults.failing = 1, 0, None
            faults.crash = faults.crash_in_switch = None
            faults.greedy = False
        for process in (*world.brokers, *world.workers, *world.users):
            process.start()

    def end(self) -> None:
        """No more faults, and those that last are mended.

        Clients may be stopped once more: when they go on, they must be told everything.
        """
        world = self._world
        self._timeline.note("peace")
        world.network.weather = type(world.network.weather)()
        self.cease()
        for worker in world.workers:
            worker.deadly = False
        if "pause client" in world.shape.faults:
            for user in world.users:
                user.pause(self._timeline.second.choice((1, 300, 1_500, 2_500)))
