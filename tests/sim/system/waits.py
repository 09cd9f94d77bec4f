"""Tasks that wait for other tasks: trees that are deeper than all slots, and knots.

The code of a tree task enqueues another one and waits for its outcome; of a knot, for its own. Some
workers park all that wait (as coroutines do), others only a few, and then hold their slots.

In worlds with limits the tasks of some trees count for limits: then who waits may hold what the
awaited one needs, or two trees what each other needs. Nobody changes the limits of trees, so only
an error ends such a wait; some leaves shut their limits for a time, which ends by itself.

Trees end, which the end of every history asks for. A wait is ended with an error only if it is a
knot's, if somewhere a slot is held by a task that waits, or was since it began, or if one below it
needs a limit that another one counts for that has waited. And one that was parked runs on under its
token: that no token runs twice the model of the queue sees to.

Some worlds are narrow: all workers have one or two slots, and park few tasks. Just before there is
peace a tree is planted there that needs more slots than the workers of its queue have, so that all
of these are held by its tasks: no worker that comes back, and no other one, takes what waits.

Half of the frames that end waits are lost: that is told until it is heard.
"""

from random import Random
from typing import TYPE_CHECKING

from raftwork.features import from_broker
from raftwork.messages import Deadlock, EndWaits, Outcome, PushedTask, Spec, decode_spec
from raftwork.wire import pack
from tests.sim.system.limits import FOR_TREES, limit_reached
from tests.sim.system.promises import require
from tests.sim.system.workload import Batch, make_batch

if TYPE_CHECKING:
    from tests.sim.system.worker import Code, Worker
    from tests.sim.system.world import World

#: What a tree task's code is: how deep it goes on; of a knot, that it is one.
KNOT = -1
#: What the tasks of a tree count for: a limit of one key, at each level or at the ends only; one
#: that none of the others counts for; or any of them.
_GATED = ("", "", "one key", "both ends", "each its own", "any")
#: The share of frames that end waits which are lost.
_UNHEARD = 0.5
#: The share of narrow worlds, and how long before peace the tree is planted that fills one, ms.
_NARROW, _LAST = 0.1, 400
_END_WAITS = pack(from_broker._tags[EndWaits])


class Waits:
    """The tree tasks of one history."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.rng = world.timeline.waits
        self._every = self.rng.choice((0, 0, 0, 1_000, 2_500))  # ms
        #: From a stream of its own: other worlds are the histories that they were.
        self.narrow = Random(f"narrow world {world.seed}").random() < _NARROW
        if self.narrow:
            self._every = self._every or 2_500
        self._roots = 0
        self._turns = 0
        #: Ids of tasks that found no room.
        self._refused: set[str] = set()
        #: By the id of a tree's root: how deep it is, and what its tasks count for.
        self._trees: dict[str, tuple[int, str]] = {}
        #: Ids of tasks that have waited; of leaves that have shut their limits.
        self._waited: set[str] = set()
        #: When a slot was last seen to be held by a task that waited.
        self.held_at = -1
        self._shut: set[str] = set()

    def begin(self) -> None:
        world = self._world
        if self._every:
            self._plant()
        if self.narrow:
            last = world.shape.peace_at - _LAST - world.timeline.now
            world.timeline.after(last, self._root, "rare", 15, "")

    def _plant(self) -> None:
        world, rng = self._world, self.rng
        if world.peaceful:
            return
        depth = KNOT if rng.random() < 0.15 else rng.choice((2, 6, 15))
        gated = rng.choice(_GATED) if FOR_TREES.keys() <= world.queue.limits.quotas.keys() else ""
        self._root(rng.choice(("default", "bulk")), depth, gated)
        world.timeline.after(rng.randint(1, 2 * self._every), self._plant)

    def _root(self, queue: str, depth: int, gated: str) -> None:
        self._roots += 1
        self._trees[f"w{self._roots}"] = depth, gated
        self._enqueue(f"w{self._roots}", queue, depth)

    def _enqueue(self, task: str, queue: str, depth: int) -> None:
        limits, key = self._limits(task, depth)
        spec = Spec("tree", queue, limits=limits)
        batch = make_batch(spec, {task: ("tree", 3, depth)}, key)
        user = self._world.users[depth % len(self._world.users)]
        user.application.put_off.append(batch)
        user._again(batch)

    def _limits(self, task: str, depth: int) -> tuple[tuple[str, ...], str]:
        """What a task of a tree counts for, and its key: the same each time it is asked for."""
        root = task.partition(".")[0]
        top, gated = self._trees[root]
        match gated:
            case "one key":
                return ("grove",), f"k{len(root) % 2}"
            case "both ends" if depth in (0, top):
                return ("grove",), f"k{len(root) % 2}"
            case "each its own":
                return ("grove", "rill"), task
            case "any":
                rng = Random(f"limits of {task} of {self._world.seed}")
                names = rng.sample(sorted(FOR_TREES), rng.choice((0, 1, 1, 2)))
                return tuple(sorted(names)), rng.choice(("k1", "k2", task))
            case _:
                return (), ""

    def refused(self, batch: Batch) -> bool:
        """There is no room for it; whether it is of a tree: the code that wants it goes on."""
        if decode_spec(batch.spec).name != "tree":
            return False
        self._refused.update(batch.ids)
        for worker in self._world.workers:
            if worker.alive and any(map(worker.waits_for, batch.ids)):
                worker.poke()
        return True

    # ---- workers --------------------------------------------------------------------------------

    def slots(self, drawn: int) -> int:
        """How many slots a worker has."""
        return (drawn + 1) // 2 if self.narrow else drawn

    def spare(self, slots: int) -> int:
        """How many tasks a worker parks."""
        return self.rng.choice((0, slots) if self.narrow else (slots, 1_000))

    # ---- code -----------------------------------------------------------------------------------

    def awaited(self, task: PushedTask, depth: int) -> str | None:
        """What the code of this task waits for, if it does."""
        if depth == KNOT:
            return task.id
        if depth == 0:
            return None
        self._waited.add(task.id)
        child = f"{task.id}.{depth}"
        self._enqueue(child, decode_spec(task.spec).queue, depth - 1)
        return child

    def limited(self, task: PushedTask) -> Outcome | None:
        """What a leaf ends with that shuts its limits, as some do once."""
        if task.token % 3 or task.id in self._shut or not decode_spec(task.spec).limits:
            return None
        self._shut.add(task.id)
        self._world.reach.counts["waited for one that shut its limit"] += 1
        return limit_reached(task.token, 300)

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

    def loses(self, frame: bytes) -> bool:
        """Whether this frame of a leader's is one that ends waits, and is lost."""
        if not frame.startswith(_END_WAITS, 1):
            return False
        lost = self.rng.random() < _UNHEARD
        self._world.reach.counts["the end of a wait told in vain"] += lost
        return lost

    def without_hope(self, code: "Code", why: Deadlock) -> None:
        """A leader ends what this code waits for."""
        counts = self._world.reach.counts
        knot = code.awaits == code.task.id
        require(
            knot == (why is Deadlock.CYCLE),
            "waits end",
            f"{code.task.id} may not wait for {code.awaits}: {why!r}",
        )
        if why is Deadlock.GATE:
            text = f"{code.task.id} may not wait for {code.awaits}: its limits let it in"
            require(self._held_by_waiters(code.task.id), "waits end", text)
            counts["no place at a limit left to wait for"] += 1
            return
        holding = any(
            each.awaits is not None and not each.parked
            for worker in self._world.workers
            if worker.alive
            for each in worker.codes()
        )
        # When the leader decided, it held it; by now it may have been lost with its worker.
        held = holding or self.held_at >= code.since
        text = f"{code.task.id} may not wait for {code.awaits}: no slot is held by one that waits"
        require(knot or held, "waits end", text)
        counts["a knot untied" if knot else "no slot left to wait for"] += 1
        counts["no slot left to wait for in peace"] += not knot and self._world.peaceful

    def _held_by_waiters(self, task: str) -> bool:
        """Whether a task below this one counts for a limit that one which has waited counts for.

        When the leader decided, it held it; by now it may have been lost with its worker.
        """
        limits, known = self._world.queue.limits, self._world.queue.by_seq
        holders = {
            (gate, each.id)
            for seq, each in known.items()
            if each.id in self._waited
            for gate in limits.gates_of(seq)
        }
        return any(
            (gate, each.id) != holder and gate == holder[0]
            for seq, each in known.items()
            if each.id.startswith(f"{task}.")
            for gate in limits.gates_of(seq)
            if limits.quotas[gate[0]].concurrency
            for holder in holders
        )
