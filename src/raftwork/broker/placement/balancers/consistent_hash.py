"""`consistent_hash`: equal keys meet the same worker, so that its caches are warm for them.

Workers stand on a ring, each at many points that follow from its name; a key's worker is the first
one clockwise of the key's own point. So a worker that comes or goes moves only the keys next to its
points. Bounded load (Mirrokni, Thorup, Zadimoghaddam 2018): none gets more than a quarter above
its share, a popular key's tasks go on to the next worker on the ring.
"""

from bisect import bisect
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from raftwork.broker.placement.balancers.least_ratio_placement import least_first
from raftwork.broker.placement.balancers.protocol import Candidate

if TYPE_CHECKING:
    from hashlib import blake2b

#: Of each worker: the more, the more even the shares (about a tenth apart with so many).
POINTS = 64
#: Load above the average at which a worker's keys go on to the next.
BOUND = 1.25
#: Steps along the ring in search of room. In a full cluster there is no warm cache to be had.
STEPS = 64
#: Workers remembered, at least; beyond that those that are not there now are forgotten.
KNOWN_MAX = 4_096


class ConsistentHash:
    """Sends equal keys to the same worker while it has room. See the module."""

    spares_overloaded = False

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._known: set[bytes] = set()
        self._ring: list[tuple[int, bytes]] = []

    def plan(self, workers: Sequence[Candidate], keys: Sequence[str]) -> list[int]:
        """See `Balancer.plan`."""
        self._learn(workers)
        load = _Load(workers)
        plan = [self._find(key, load) if key else -1 for key in keys]
        others = [at for at, i in enumerate(plan) if i < 0]
        if others:
            left = load.left()
            rest = least_first(left, [w.slots for w in left], len(others), self._rng)
            for at, i in zip(others, rest, strict=True):
                plan[at] = i
        return plan

    def _learn(self, workers: Sequence[Candidate]) -> None:
        new = [w for w in workers if w.incarnation not in self._known]
        if len(self._known) + len(new) > max(KNOWN_MAX, 2 * len(workers)):
            self._known.clear()
            self._ring.clear()
            new = list(workers)
        if new:
            self._known.update(w.incarnation for w in new)
            self._ring += (
                (_point(f"{w.name}\0{number}"), w.incarnation)
                for w in new
                for number in range(POINTS)
            )
            self._ring.sort()

    def _find(self, key: str, load: "_Load") -> int:
        """The key's worker, or -1 if none nearby has room."""
        ring = self._ring
        at = bisect(ring, (_point(key), b""))
        for step in range(at, at + min(STEPS, len(ring))):
            i = load.index.get(ring[step % len(ring)][1], -1)
            if i >= 0 and load.takes(i):
                return i
        return -1


class _Load:
    """What the workers have while a plan is being made. `index` has those with room."""

    def __init__(self, workers: Sequence[Candidate]) -> None:
        self.index = {w.incarnation: i for i, w in enumerate(workers) if w.capacity > 0}
        self._workers = workers
        self._given = [0] * len(workers)
        self._tasks = sum(w.busy for w in workers)
        self._slots = sum(w.slots for w in workers)

    def takes(self, i: int) -> bool:
        """Give it a task, if it has not much more than its share."""
        worker, given = self._workers[i], self._given[i]
        share = (self._tasks + 1) * worker.slots / self._slots
        # Below its slots nothing waits there: no reason to leave a warm cache.
        if worker.busy + given >= max(BOUND * share, worker.slots):
            return False
        self._given[i] += 1
        self._tasks += 1
        if given + 1 == worker.capacity:
            del self.index[worker.incarnation]
        return True

    def left(self) -> list[Candidate]:
        """The workers as they are once they have what was given."""
        return [
            w._replace(capacity=w.capacity - n, busy=w.busy + n) if n else w
            for w, n in zip(self._workers, self._given, strict=True)
        ]


def _point(text: str) -> int:
    # Not hash(): it differs from one process to the next, and the next leader must agree.
    return int.from_bytes(_hasher()(text.encode(), digest_size=8).digest())


@cache
def _hasher() -> "type[blake2b]":
    # With the first use: every command knows this balancer by name, and none of them hashes.
    from hashlib import blake2b

    return blake2b
