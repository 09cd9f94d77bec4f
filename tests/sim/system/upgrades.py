"""A rolling upgrade while everything runs: in some worlds brokers that start anew are of the next
release, and its level is asked for again and again, mostly too early.

In some of them the brokers are started anew one after the other, and when only one is of the old
release, that one is away for a while: the others all run the next level, but it would come back to
what it cannot follow.

What is drawn here comes from streams of its own.
"""

from random import Random
from typing import TYPE_CHECKING

from raftwork.features.upgrade import FinishUpgrade
from raftwork.release import LEVELS, Levels
from tests.sim.system.faults import both
from tests.sim.system.promises import require
from tests.sim.system.shape import APART

if TYPE_CHECKING:
    from tests.sim.system.broker import Broker
    from tests.sim.system.world import World

NEXT = Levels(LEVELS.least, LEVELS.most + 1)
#: The share of worlds in which there is a next release, and of these the share in which the brokers
#: are started anew for it.
_SHARE, _ROLLING = 0.5, 0.4
#: Nobody is at this address: what came of it is seen in the log.
_NOBODY = b"upgrade finish"
#: How often the level is asked for, and the next broker started anew if all others run, ms.
_LOOK_EVERY = 200
#: For how long the last one is away, ms: longer if no other leads by then, but not for ever, as
#: none can where one more is lost.
_AWAY, _AWAY_AT_MOST = 1_500, 4_000
#: … and for how long it is back before its turn comes, ms.
_BACK = 1_000


class Upgrades:
    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = rng = Random(f"upgrades of {world.seed}")
        there = rng.random() < _SHARE
        last = world.shape.peace_at // 2
        #: From when on each broker that starts is of the next release.
        self._from = {name: rng.randint(0, last) if there else None for name in world.cluster}
        #: What each broker ran when it started last.
        self._runs: dict[str, Levels] = {}
        self._level = 0
        self._asked = 0
        self._rolling = Random(f"rolling upgrade of {world.seed}")
        self._rolls = there and self._rolling.random() < _ROLLING
        self._was_away = False
        if self._rolls:
            self._from = dict.fromkeys(world.cluster)

    def starts(self, name: str) -> Levels:
        """The broker starts now: the levels that it runs."""
        begins = self._from[name]
        runs = LEVELS if begins is None or self._world.timeline.now < begins else NEXT
        self._runs[name] = runs
        return runs

    def at_level(self, level: int) -> None:
        """A replica is at this level: every broker must be one that runs it, even if it is away."""
        if level <= self._level:
            return
        self._level = level
        self._world.reach.counts["level raised by an upgrade"] += level > LEVELS.most
        behind = [name for name, runs in self._runs.items() if level not in runs]
        text = f"the cluster is at level {level}, which {behind} did not run when last seen"
        require(not behind, "upgrade", text)

    def begin(self) -> None:
        self._ask()
        if self._rolls:
            order = self._rolling.sample(self._world.brokers, len(self._world.brokers))
            self._roll(order)

    def _ask(self) -> None:
        """From now on until the world ends."""
        self._request()
        self._world.timeline.after(self._rng.randint(100, 2_500), self._ask)

    def _request(self) -> None:
        """Ask whoever leads to raise the level."""
        for broker in self._world.brokers:
            leadership = broker.node._supervisor.leadership if broker.node is not None else None
            if leadership is not None and not broker.paused:
                self._asked += 1
                leadership.request(_NOBODY, FinishUpgrade(self._asked), 8, broker.mono)
                broker.poke()

    # ---- one broker after the other -------------------------------------------------------------

    def _roll(self, order: list["Broker"]) -> None:
        """Start the first anew as soon as all run; the last has been away before its turn.

        The level is asked for all the while: too early.
        """
        if self._over or not order:
            return
        self._request()
        first = order[0]
        if all(each.alive and each.stopping is None for each in self._world.brokers):
            if self._runs[first.host] == NEXT:
                del order[0]
            elif len(order) > 1 or self._was_away:
                self._from[first.host] = self._world.timeline.now
                first.exit_gracefully()
            else:
                self._leave(first)
                return
        self._world.timeline.after(_LOOK_EVERY, self._roll, order)

    def _leave(self, last: "Broker") -> None:
        """It is down, or cut off from the other brokers."""
        world, now = self._world, self._world.timeline.now
        world.timeline.note("away when all others are upgraded", last.host)
        others = [each.host for each in world.brokers if each is not last]
        pairs = both([(last.host, other) for other in others])
        if self._rolling.random() < 0.5:
            last.stop("killed")
            pairs = []
        world.network.cut(pairs, reset=True)
        world.timeline.after(_AWAY, self._return, last, pairs, now + _AWAY_AT_MOST)

    def _return(self, last: "Broker", pairs: list[tuple[str, str]], at_latest: int) -> None:
        """Once another leads and was asked."""
        world = self._world
        leads = any(b.active is not None and not b.paused for b in world.brokers if b is not last)
        if self._over:  # it is back
            return
        if not leads and world.timeline.now < at_latest:
            world.timeline.after(_LOOK_EVERY, self._return, last, pairs, at_latest)
            return
        self._request()
        world.network.heal(pairs)
        last.start()
        self._was_away = True
        world.timeline.after(_BACK, self._roll, [last])

    @property
    def _over(self) -> bool:
        """No more faults."""
        shape = self._world.shape
        return self._world.timeline.now >= shape.peace_at - shape.apart * APART
