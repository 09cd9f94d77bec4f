"""`lru`: each task to the worker whose last one was given longest ago.

Unlike `round_robin` it skips no turn: a worker that was full at its turn is next once it is not.
"""

from collections.abc import Sequence
from random import Random

from raftwork.broker.placement.balancers.protocol import Candidate
from raftwork.broker.placement.balancers.rotation import in_turn


class Lru:
    """Places on the worker that was given a task longest ago."""

    spares_overloaded = False

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._used: dict[bytes, int] = {}  # the number of an incarnation's last task
        self._tasks = 0

    def plan(self, workers: Sequence[Candidate], keys: Sequence[str]) -> list[int]:
        """See `Balancer.plan`."""
        used = self._used
        # Workers that never had a task come first, in random order.
        order = sorted(
            range(len(workers)),
            key=lambda i: (used.get(workers[i].incarnation, -1), self._rng.random()),
        )
        plan = in_turn(workers, order, len(keys))
        for i in plan:
            self._tasks += 1
            used[workers[i].incarnation] = self._tasks
        if len(used) > 2 * len(workers) + 1_000:  # most of them left long ago
            present = [w.incarnation for w in workers if w.incarnation in used]
            self._used = {incarnation: used[incarnation] for incarnation in present}
        return plan
