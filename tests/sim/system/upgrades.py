"""A rolling upgrade while everything runs: in some worlds brokers that start anew are of the next
release, and its level is asked for again and again, mostly too early.

What it draws comes from a stream of its own.
"""

from random import Random
from typing import TYPE_CHECKING

from raftwork.features.upgrade import FinishUpgrade
from raftwork.release import LEVELS, Levels

if TYPE_CHECKING:
    from tests.sim.system.world import World

NEXT = Levels(LEVELS.least, LEVELS.most + 1)
#: The share of worlds in which there is a next release.
_SHARE = 0.5
#: Nobody is at this address: what came of it is seen in the log.
_NOBODY = b"upgrade finish"


class Upgrades:
    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = rng = Random(f"upgrades of {world.seed}")
        there = rng.random() < _SHARE
        last = world.shape.peace_at // 2
        #: From when on each broker that starts is of the next release.
        self._from = {name: rng.randint(0, last) if there else None for name in world.cluster}
        self._asked = 0

    def levels(self, name: str) -> Levels:
        """Those that the broker runs if it starts now."""
        begins = self._from[name]
        return LEVELS if begins is None or self._world.timeline.now < begins else NEXT

    def ask(self) -> None:
        """Ask whoever leads to raise the level; from now on until the world ends."""
        for broker in self._world.brokers:
            leadership = broker.node._leadership if broker.node is not None else None
            if leadership is not None and not broker.paused:
                self._asked += 1
                leadership.request(_NOBODY, FinishUpgrade(self._asked), 8, broker.mono)
                broker.poke()
        self._world.timeline.after(self._rng.randint(100, 2_500), self.ask)
