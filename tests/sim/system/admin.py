"""Whoever sets queues while everything runs: limits that come and go, now and then a balancer."""

from typing import TYPE_CHECKING

from raftwork.broker.placement.balancers import BALANCERS
from raftwork.features.queue_settings import AskQueue, SetQueue, changes

if TYPE_CHECKING:
    from tests.sim.system.workload import Batch
    from tests.sim.system.world import World

#: Batches are of up to 12 tasks with about 8 bytes each.
_LENGTHS = (1, 3, 8, 8, 15, 15, 30)
_BYTES = (20, 70, 130, 300)


class Admin:
    """Asks by way of the clients. What it draws comes from the second stream."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.timeline.second

    def begin(self) -> None:
        """Of worlds with limits: from now on until there is peace."""
        every, timeline = self._world.shape.set_every, self._world.timeline
        if every and timeline.now < self._world.shape.peace_at:
            self._rng.choice(self._world.users).inquire(self._draw())
            timeline.after(self._rng.randint(1, 2 * every), self.begin)

    def press(self, queue: str) -> None:
        """One client sets a queue, every other asks what is set."""
        setter = self._rng.choice(self._world.users)
        for user in self._world.users:
            change = SetQueue(0, queue, changes(max_length=self._rng.choice(_LENGTHS)))
            user.inquire(change if user is setter else AskQueue(0, queue))

    def _draw(self) -> SetQueue | AskQueue:
        rng = self._rng
        queue = rng.choice(("default", "default", "bulk", "rare"))
        match rng.randrange(10):
            case 0 | 1:
                return AskQueue(0, queue)
            case 2:
                return SetQueue(0, queue, changes(max_length=None, max_bytes=None))
            case 3:
                return SetQueue(
                    0, queue, changes(balancer=rng.choice(("", "nobody's", *BALANCERS)) or None)
                )
            case 4 | 5:
                return SetQueue(0, queue, changes(max_bytes=rng.choice(_BYTES)))
            case 6:
                return SetQueue(
                    0,
                    queue,
                    changes(
                        balancer=None, max_length=rng.choice(_LENGTHS), max_bytes=rng.choice(_BYTES)
                    ),
                )
            case _:
                return SetQueue(0, queue, changes(max_length=rng.choice(_LENGTHS)))

    # ---- what applications do about it ----------------------------------------------------------

    def waits(self) -> bool:
        """Whether an enqueue waits for room."""
        shape = self._world.shape
        return bool(shape.set_every) and self._rng.random() < shape.wait_when_full

    def put_off(self, batch: "Batch") -> int | None:
        """When who found no room comes back (ms); None: he does without.

        In peace he does without only what will never fit.
        """
        world = self._world
        again = world.clients.fits(batch) if world.peaceful else self._rng.random() < 0.6
        return self._rng.choice((100, 400, 1_500)) if again else None
