"""What outlives a worker that is killed: the fork server of its process pool, which tells so.

It has its turn some time after the death. Until then the children go on: code ends, and nobody
takes its outcome; who was free begins what waited for it.
"""

from random import Random
from typing import TYPE_CHECKING

from raftwork.features import from_broker
from raftwork.messages import Held, Holding, WorkerWelcome, decode_spec
from raftwork.worker.agent import Identity
from raftwork.worker.killed_worker_notice import notice
from tests.sim.system.network import Dealer

if TYPE_CHECKING:
    from tests.sim.system.worker import Code, Pool, Worker
    from tests.sim.system.world import World

#: The share of worlds whose workers have pools of processes.
_SHARE = 0.4
#: Until it has its turn, ms; on a busy machine that is long.
_LATE = (0, 1, 20, 300)
#: Before it is killed, a worker on such a machine has no turn for so long, ms.
_STARVED = (0, 0, 10, 60)
#: When there is enough to do, ms.
_BUSY = 1_500
#: For a leader to hear it, ms.
_PATIENCE = 1_000


class ForkServers:
    """Of one world; they draw from a stream of their own."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = Random(f"fork servers in {world.seed}")
        self.there = self._due = self._rng.random() < _SHARE

    def began(self, worker: "Worker", code: "Code") -> None:
        """Once in a history a worker is starved and killed while it runs what may run once.

        By the time it is killed that code has ended. Left to chance that hardly ever happens.
        """
        now, spec = self._world.timeline.now, decode_spec(code.task.spec)
        if not self._due or now < _BUSY or not spec.at_most_once or code.outcome is None:
            return
        self._due = False
        starved = code.until - now + self._rng.choice(_LATE)
        worker.pause(starved)
        self._world.timeline.after(starved, self._world.faults.kill_worker, worker, False)

    def starves(self) -> int:
        """For how long a worker has had no turn when it is killed, ms."""
        return self._rng.choice(_STARVED) if self.there else 0

    def outlives(self, worker: Identity, pool: "Pool") -> None:
        """The worker has just been killed; this was its pool."""
        if not self.there:
            return
        world, late = self._world, self._rng.choice(_LATE)
        self._count_unheard(pool)
        began = {code.task.token: code.since for code in pool.orphans()}
        running = [
            Holding(token, Held.RUNNING, world.timeline.now + late - since)
            for token, since in began.items()
        ]
        words = notice(worker, running)
        world.timeline.note("last words", worker.host, list(began))
        world.timeline.after(late, LastWords(world, worker.host, words).begin)

    def _count_unheard(self, pool: "Pool") -> None:
        """What may run once, has run, and is not known to have begun."""
        queue = self._world.queue
        for token in pool.over():
            task = queue.tokens[token][0]
            once = task.spec.at_most_once and task.token == token
            self._world.reach.counts["ended unheard"] += once


class LastWords:
    """A fork server that speaks: once to each broker."""

    def __init__(self, world: "World", host: str, words: list[bytes]) -> None:
        self._world = world
        self._words = words
        self._unsaid = set(world.cluster)
        self._dealers: dict[str, Dealer] = {}
        self.host = host

    def begin(self) -> None:
        for name in self._world.cluster:
            self._dealers[name] = Dealer(self._world.network, self, name)
        self._world.timeline.after(_PATIENCE, self._end)

    def _end(self) -> None:
        for dealer in self._dealers.values():
            if not dealer.closed:
                dealer.close()
                if dealer.connection is not None:
                    self._world.network.drop(dealer.connection)

    def dealer_link(self, target: str, *, up: bool) -> None:
        if up and target in self._unsaid:
            self._unsaid.remove(target)
            for frame in self._words:
                self._dealers[target].send(frame)

    def dealer_frame(self, target: str, frame: bytes) -> None:
        if isinstance(from_broker.decode(frame), WorkerWelcome):
            self._world.reach.counts["spoken for by its fork server"] += 1
            self._end()
