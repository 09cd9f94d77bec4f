"""Tasks that wait for other tasks: trees that are deeper than all slots, and knots.

The code of a tree task enqueues another one and waits for its outcome; of a knot, for its own. Some
workers park all that wait (as coroutines do), others only a few, and then hold their slots.

Trees end, which the end of every history asks for. A wait is ended with an error only if it is a
knot's, or if somewhere a slot is held by a task that waits. And one that was parked runs on under
its token: that no token runs twice the model of the queue sees to.
"""

from typing import TYPE_CHECKING

from raftwork.messages import PushedTask, Spec, decode_spec
from tests.sim.system.promises import require
from tests.sim.system.workload import Batch, make_batch

if TYPE_CHECKING:
    from tests.sim.system.worker import Code, Worker
    from tests.sim.system.world import World

#: What a tree task's code is: how deep it goes on; of a knot, that it is one.
KNOT = -1


class Waits:
    """The tree tasks of one history."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.rng = world.timeline.waits
        self._every = self.rng.choice((0, 0, 0, 1_000, 2_500))  # ms
        self._roots = 0
        self._turns = 0
        #: Ids of tasks that found no room.
        self._refused: set[str] = set()

    def begin(self) -> None:
        if self._every:
            self._plant()

    def _plant(self) -> None:
        world, rng = self._world, self.rng
        if world.peaceful:
            return
        self._roots += 1
        depth = KNOT if rng.random() < 0.15 else rng.choice((2, 6, 15))
        self._enqueue(f"w{self._roots}", rng.choice(("default", "bulk")), depth)
        world.timeline.after(rng.randint(1, 2 * self._every), self._plant)

    def _enqueue(self, task: str, queue: str, depth: int) -> None:
        batch = make_batch(Spec("tree", queue), {task: ("tree", 3, depth)})
        user = self._world.users[depth % len(self._world.users)]
        user.application.put_off.append(batch)
        user._again(batch)

    def refused(self, batch: Batch) -> bool:
        """There is no room for it; whether it is of a tree: the code that wants it goes on."""
        if decode_spec(batch.spec).name != "tree":
            return False
        self._refused.update(batch.ids)
        for worker in self._world.workers:
            if worker.alive and any(map(worker.waits_for, batch.ids)):
                worker.poke()
        return True

    # ---- code -----------------------------------------------------------------------------------

    def spare(self, slots: int) -> int:
        """How many tasks a worker parks."""
        return self.rng.choice((slots, 1_000))

    def awaited(self, task: PushedTask, depth: int) -> str | None:
        """What the code of this task waits for, if it does."""
        if depth == KNOT:
            return task.id
        if depth == 0:
            return None
        child = f"{task.id}.{depth}"
        self._enqueue(child, decode_spec(task.spec).queue, depth - 1)
        return child

    def turn(self) -> int:
        self._turns += 1
        return self._turns

    def over(self, task: str) -> bool:
        """Whether this task has its outcome, or never came in."""
        known = self._world.queue.tasks.get(task)
        if known is None:
            return task in self._refused
        return known.outcome is not None

    # ---- what is told ---------------------------------------------------------------------------

    def parked(self, worker: "Worker", parked: int) -> None:
        counts = self._world.reach.counts
        counts["a task parked"] += 1
        counts["more parked than slots"] += parked > worker.slots

    def without_hope(self, code: "Code") -> None:
        """A leader ends what this code waits for."""
        knot = code.awaits == code.task.id
        holding = any(
            each.awaits is not None and not each.parked
            for worker in self._world.workers
            if worker.alive
            for each in worker.codes()
        )
        text = f"{code.task.id} may not wait for {code.awaits}: no slot is held by one that waits"
        require(knot or holding, "waits end", text)
        self._world.reach.counts["a knot untied" if knot else "no slot left to wait for"] += 1
