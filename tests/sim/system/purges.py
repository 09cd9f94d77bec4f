"""Whoever drops what waits in a queue: in some worlds all the time, in all while two lead; and what
must be true of what is dropped.

What it draws comes from a stream of its own.
"""

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from raftwork.features.effects import Done, Effect, Reply, Settled
from raftwork.features.purge_queue import DropWaiting, PurgeQueue
from raftwork.messages import State, decode_failure
from tests.sim.system.promises import require

if TYPE_CHECKING:
    from tests.sim.system.queue_checker import QueueChecker
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


class PurgeRules:
    """A purge drops the first that wait, and nothing else ends while it waits."""

    def __init__(self, queue: "QueueChecker") -> None:
        self._queue = queue
        #: Tasks that the purge being looked at must drop.
        self._dropped: set[int] = set()

    def drops(self, command: DropWaiting, reply: Reply, effects: Sequence[Effect]) -> None:
        """The first that wait, the ordinary ones in their order, and none that runs."""
        mine = [
            (seq, task)
            for seq, task in sorted(self._queue.by_seq.items())
            if task.spec.queue == command.queue and seq <= command.upto and task.outcome is None
        ]
        waits = {seq for seq, task in mine if task.waits_since is not None}
        behind = {seq for seq, task in mine if task.spec.ordered and task.token is None}
        made = [effect.seq for effect in effects if isinstance(effect, Settled)]
        ordinary = [seq for seq in made if seq not in self._queue.special]
        due = sorted(waits - self._queue.special)[: len(ordinary)]

        def text() -> str:
            return f"of {sorted(waits)} are dropped {made}, and the answer is {reply}"

        require(ordinary == due and set(made) <= waits | behind, "purges", text)
        require(len(made) == command.limit or waits <= set(made), "purges", text)
        require(reply == Done(len(made)), "purges", text)
        self._dropped.update(made)
        reached = self._queue.reached
        reached["purge went on in another entry"] += 0 < len(made) == command.limit
        reached["purge of nothing"] += not made

    def ends(self, effect: Settled) -> None:
        task = self._queue.by_seq[effect.seq]
        if self._queue.timers.ends_by_time(effect, ran=task.id in self._queue.executions.counts):
            self._queue.over(effect, task, effect.state)
            return
        require(effect.seq in self._dropped, "purges", f"{task.id} ends while it waits, unasked")
        words = effect.state is State.FAILED and decode_failure(effect.data).type == "Purged"
        require(words, "purges", f"{task.id} is purged, and ends as {effect}")
        self._dropped.remove(effect.seq)
        self._queue.reached["purged after an attempt"] += task.attempts > 0
        self._queue.reached["purged"] += 1
        self._queue.over(effect, task, State.CANCELLED)
