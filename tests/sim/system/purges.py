"""Whoever drops what waits in a queue: in some worlds all the time, in all while two lead.

What it draws comes from a stream of its own.
"""

from random import Random
from typing import TYPE_CHECKING

from raftwork.features.purge_queue import PurgeQueue

if TYPE_CHECKING:
    from tests.sim.system.world import World

#: The share of worlds with purges, and how far they are apart there, ms.
_SHARE, _EVERY = 0.4, 1_500


class Purges:
    """Asks by way of the clients."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = Random(f"purges of {world.seed}")
        self._there = self._rng.random() < _SHARE

    def begin(self) -> None:
        """From now on until there is peace."""
        if self._there and not self._world.peaceful:
            queue = self._rng.choice(("default", "default", "bulk", "rare"))
            self._rng.choice(self._world.users).inquire(PurgeQueue(0, queue))
            self._world.timeline.after(self._rng.randint(1, 2 * _EVERY), self.begin)

    def press(self) -> None:
        """Two lead: who follows the older one asks it, as it does not know what waits by now."""
        newest = max(each.active or 0 for each in self._world.brokers)
        for user in self._world.users:
            if user.follows == newest:
                user.enlarge()
            elif user.follows:
                for queue in ("default", "bulk", "rare"):
                    user.inquire(PurgeQueue(0, queue))
