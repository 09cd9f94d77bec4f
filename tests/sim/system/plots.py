"""Disasters that faults drawn one by one hardly ever bring about, by their scripts.

Left behind: a leader is cut off from the other brokers, but not from clients: its log grows by what
is never committed. The others elect a leader, which commits little and compacts all of it. Then
they hear of each other again while the old leader's log is still the longer one, so that it is sent
a snapshot of less than it has, and must give up its own log for that.

Held back: what a leader pushes gets stuck on its way to the workers. It is deposed, its successor
hands the same tasks out, and they are done by the time at which the first pushes get through.

Read late: workers lose their connections to a leader while its pushes are under way, and connect
again. In the new sessions it pushes the same tasks, and they are done by the time at which workers
read what the first connections had brought.

Offered in vain (Zab): a leader is cut off, and whoever is elected instead as well, as soon as the
epoch that it is to offer is on its disk. The others elect one who offers the same epoch. Then the
one who did so in vain follows, and must not count for an epoch that it accepted from itself.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.sim.system.broker import Broker
from tests.sim.system.faults import both
from tests.sim.system.network import DOWN, Network
from tests.sim.system.zab_promises import ZabPromises

if TYPE_CHECKING:
    from tests.sim.system.world import World

#: How long the brokers are apart at most, ms.
CUT = 1_500
#: For how much longer clients are kept from the new leader, whose log would soon be the longer one.
APART = 800
#: By how many entries the old leader's log must be the longer one.
AHEAD = 20
#: How often clients add to it, ms.
PRESS_EVERY = 10
#: For how long pushes are held back, and for how much of that their leader still leads, ms.
HELD, LEADS = 2_600, 400
#: When that begins at the earliest, so that there is something to push, ms.
BUSY = 1_500
#: For how long pushes are under way before the connections are lost, and within how long after that
#: they are read, ms.
UNDER_WAY, LATE = 200, 1_500
#: When that begins at the earliest: after pushes were held back, where both are done, ms.
BUSY_AGAIN = BUSY + LEADS + HELD + 500
#: For how long an election is waited for that offers an epoch, and then for one that ends, ms.
ELECTED = 4_000


def leave_behind(world: "World") -> None:
    _when_calm(world, lambda old: _LeftBehind(world, old).begin())


def hold_back(world: "World") -> None:
    world.timeline.after(BUSY, _when_calm, world, lambda old: _HeldBack(world, old).begin())


def read_late(world: "World") -> None:
    world.timeline.after(BUSY_AGAIN, _when_calm, world, lambda old: _ReadLate(world, old).begin())


def offer_in_vain(world: "World") -> None:
    world.timeline.after(BUSY, _when_calm, world, lambda old: _OfferedInVain(world, old).begin())


def _when_calm(world: "World", begin: Callable[[Broker], None]) -> None:
    """Do it to the active leader as soon as there is one, and all brokers hear each other."""
    old = next((each for each in world.brokers if each.active is not None), None)
    calm = not world.network.cuts and all(each.alive for each in world.brokers)
    if old is not None and calm:
        begin(old)
    elif not world.peaceful:
        world.timeline.after(50, _when_calm, world, begin)


def _enqueue(world: "World") -> None:
    for user in world.users:
        if not world.peaceful:
            user.act()


class _HeldBack:
    def __init__(self, world: "World", old: Broker) -> None:
        self._world, self._old = world, old
        self._pushes = [(old.host, worker.host) for worker in world.workers]
        self._brokers = both([(old.host, each.host) for each in world.brokers if each is not old])

    def begin(self) -> None:
        timeline = self._world.timeline
        timeline.note("plot: held back", self._old.host)
        for wait in range(0, 2 * LEADS, 20):
            timeline.after(wait, _enqueue, self._world)
        timeline.after(LEADS, self._hold)
        timeline.after(2 * LEADS, self._depose)
        timeline.after(LEADS + HELD, self._end)

    def _hold(self) -> None:
        self._world.network.cut(self._pushes, reset=False)

    def _depose(self) -> None:
        self._world.network.cut(self._brokers, reset=True)

    def _end(self) -> None:
        self._world.network.heal(self._pushes + self._brokers)


class _ReadLate:
    def __init__(self, world: "World", leader: Broker) -> None:
        self._world, self._leader = world, leader
        self._pushes = [(leader.host, worker.host) for worker in world.workers]

    def begin(self) -> None:
        timeline = self._world.timeline
        timeline.note("plot: read late", self._leader.host)
        self._world.network.cut(self._pushes, reset=False)
        for wait in range(0, UNDER_WAY, 20):
            timeline.after(wait, _enqueue, self._world)
        timeline.after(UNDER_WAY, self._lose)

    def _lose(self) -> None:
        network = self._world.network
        for connection in network.connections(self._leader.host):
            if connection.ends(DOWN) in self._pushes:
                network.read_late(connection, LATE)
        network.heal(self._pushes)


class _LeftBehind:
    def __init__(self, world: "World", old: Broker) -> None:
        self._world, self._timeline, self._old = world, world.timeline, old
        self._others = [each for each in world.brokers if each is not old]
        others = [each.host for each in self._others]
        self._brokers = both([(old.host, other) for other in others])
        self._clients = both([(user.host, other) for user in world.users for other in others])
        self._give_up = world.timeline.now + CUT

    def begin(self) -> None:
        self._timeline.note("plot: left behind", self._old.host)
        for each in self._others:
            each.disk.faults.greedy = True
        self._world.network.cut(self._brokers + self._clients, reset=True)
        self._press()

    def _press(self) -> None:
        if self._ripe or self._timeline.now >= self._give_up or self._world.peaceful:
            self._timeline.note("plot: healed" if self._ripe else "plot: given up")
            self._world.network.heal(self._brokers)
            self._timeline.after(APART, self._end)
            return
        for user in self._world.users:
            user.lengthen()
        self._timeline.after(PRESS_EVERY, self._press)

    @property
    def _ripe(self) -> bool:
        new = next((each for each in self._others if each.active is not None), None)
        old = self._old
        return new is not None and old.alive and old.end.seq >= new.end.seq + AHEAD

    def _end(self) -> None:
        for each in self._others:
            each.disk.faults.greedy = False
        self._world.network.heal(self._clients)


class _OfferedInVain:
    def __init__(self, world: "World", old: Broker) -> None:
        assert isinstance(world.consensus.promises, ZabPromises)
        self._world, self._timeline, self._old = world, world.timeline, old
        self._epochs = world.consensus.promises.epochs
        self._before = max(hard.accepted for hard in self._epochs.values())
        self._elected: Broker | None = None
        self._give_up = 0

    def begin(self) -> None:
        self._timeline.note("plot: offered in vain", self._old.host)
        network = self._world.network
        network.cut(self._around(self._old), reset=True)
        setattr(network, "transmit_consensus", self._transmit)  # noqa: B010
        self._timeline.after(ELECTED, self._over)

    def _around(self, broker: Broker) -> list[tuple[str, str]]:
        others = [each for each in self._world.brokers if each is not broker]
        return both([(broker.host, each.host) for each in others])

    def _transmit(self, sender: Broker, routing: bytes, frame: bytes, lag: int) -> None:
        """Nobody hears of the first epoch that somebody has accepted from itself."""
        if self._elected is None and self._offers(sender):
            self._elected = sender
            self._timeline.after(0, self._part, sender)
        if sender is not self._elected:
            Network.transmit_consensus(self._world.network, sender, routing, frame, lag)

    def _offers(self, broker: Broker) -> bool:
        hard = self._epochs.get(broker.peer)
        mine = hard is not None and hard.source == broker.peer.incarnation
        return mine and hard is not None and hard.accepted > self._before

    def _part(self, elected: Broker) -> None:
        self._timeline.note("plot: elected in vain", elected.host)
        network = self._world.network
        network.cut(self._around(elected), reset=True)
        network.heal(self._around(self._old))
        self._give_up = self._timeline.now + ELECTED
        self._wait(elected)

    def _wait(self, elected: Broker) -> None:
        others = [each for each in self._world.brokers if each not in (elected, self._old)]
        led = any(each.active is not None for each in (*others, self._old))
        if led or self._timeline.now >= self._give_up or self._world.peaceful:
            self._timeline.note("plot: healed")
            self._world.network.heal(self._around(elected))
            self._hear()
        else:
            self._timeline.after(10, self._wait, elected)

    def _over(self) -> None:
        """Nobody was elected."""
        if self._elected is None:
            self._world.network.heal(self._around(self._old))
            self._hear()

    def _hear(self) -> None:
        delattr(self._world.network, "transmit_consensus")
