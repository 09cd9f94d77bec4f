"""Tasks with a priority, a tenant or the order of a key: what is drawn, and what must be true.

The model knows what each task said when it was enqueued. Of the product it sees what was applied
and, when a leader makes a plan, what waits in that leader's own tables.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Protocol

from raftwork.broker.dispatch.dispatcher import Dispatcher
from raftwork.broker.machine.commands import Assign
from raftwork.broker.workers.worker import Worker
from raftwork.features.effects import Done, Reply
from raftwork.features.lanes import GoOn, ResumeKey
from raftwork.messages import PRIORITY_USUAL, Extras, Spec, State
from tests.sim.system.promises import require

if TYPE_CHECKING:
    from tests.sim.system.known import Known
    from tests.sim.system.world import World

#: The share of worlds with such tasks, and of the batches there that are such.
_SHARE, _BATCHES = 0.5, 0.5
#: Nobody is at this address: what came of it is seen in the log.
_NOBODY = b"resume of keys"
#: How often halted keys are resumed, ms.
_RESUME_EVERY = 700
_WAITING = """SELECT seq, seq, 0 FROM waiting
    UNION ALL SELECT seq, place, lane FROM laned ORDER BY 2"""


class Task(Protocol):
    """Of what is known of a task."""

    id: str
    spec: Spec
    key: str
    attempts: int
    losses: int


class Draw:
    """Makes some batches other than ordinary; from a stream of its own."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(f"lanes of {seed}")
        self.there = self._rng.random() < _SHARE

    def change(self, spec: Spec) -> tuple[Spec, str, Extras]:
        """The Spec, key and extras of a batch."""
        rng = self._rng
        if not self.there or rng.random() > _BATCHES:
            return spec, "", Extras()
        priority = PRIORITY_USUAL + rng.choice((-100, -1, 0, 5, 5, 100))
        tenant = rng.choice(("", "", "acme", "other"))
        ordered = rng.random() < 0.4
        halts = ordered and rng.random() < 0.5
        spec = spec._replace(priority=priority, ordered=ordered, halts=halts)
        return spec, rng.choice("abc") if ordered else "", Extras(tenant=tenant)


class LaneRules:
    """What must be true of priority, places and keys."""

    def __init__(self, reached: Counter[str]) -> None:
        self._reached = reached
        self._places: dict[int, tuple[int, int]] = {}
        #: By queue and key: the numbers of its unfinished tasks in their order.
        self._keys: dict[tuple[str, str], list[int]] = {}
        self.halted: set[tuple[str, str]] = set()

    def entered(self, seq: int, task: Task) -> None:
        if task.spec.ordered:
            self._keys.setdefault((task.spec.queue, task.key), []).append(seq)

    def waits(self, seq: int, task: Task, place: tuple[int, int]) -> None:
        """At a place in a lane, which is 0 among the ordinary ones."""
        if place[0]:
            known = self._places.setdefault(seq, place)
            require(known == place, "place kept", f"{task.id} waits at {place}, not at {known}")
            self._reached["kept its place in a lane"] += task.attempts > 0

    def assigned(self, seq: int, task: Task) -> None:
        if not task.spec.ordered:
            return
        key = (task.spec.queue, task.key)
        first = self._keys[key][0]
        require(first == seq, "order of a key", f"{seq} of {key} runs before {first}")
        require(key not in self.halted, "order of a key", f"{seq} of {key} runs, which is halted")

    def ended(self, seq: int, task: Task, state: State) -> None:
        if not task.spec.ordered:
            return
        key = (task.spec.queue, task.key)
        first = self._keys[key][0] == seq
        self._keys[key].remove(seq)
        if first and task.spec.halts and state in (State.FAILED, State.LOST):
            self.halted.add(key)
            self._reached["key halted"] += 1
        self._reached["the next of a key went on"] += bool(self._keys[key])

    def moved(self, seq: int) -> None:
        """It was moved in time, and gets another place."""
        self._places.pop(seq, None)

    def went_on(self, command: GoOn, reply: Reply) -> None:
        key = (command.queue, command.key)
        require(reply == Done(int(key in self.halted)), "order of a key", f"{command}: {reply}")
        self._reached["key resumed"] += key in self.halted
        self.halted.discard(key)


class PlanChecker:
    """Looks at each plan: nothing that waits was passed over for what comes after it."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def planned(
        self, dispatcher: Dispatcher, assigns: list[Assign], skipped: frozenset[int]
    ) -> None:
        """`skipped`: all workers for them were full before, so they go before what came since."""
        known = self._world.queue.by_seq
        rows = dispatcher._machine.state.db.execute(_WAITING)
        places: dict[int, int] = {seq: place for seq, place, _ in rows}
        handed = {seq for assign in assigns for seq in assign.seqs}
        left: dict[str, list[tuple[int, Known]]] = {}
        taken = _skipped(dispatcher) | dispatcher._reserved.keys()
        lacks = {name for _, names in self._world.queue.executions.codes.values() for name in names}
        for seq, place in places.items():
            if seq not in taken and self._goes_anywhere(known[seq], lacks):
                left.setdefault(known[seq].spec.queue, []).append((place, known[seq]))
        for seq in (handed & places.keys()) - skipped:
            task = known[seq]
            if self._world.queue.flows.is_pinned(task.id):
                continue  # at its worker it goes before what others may have, too
            if (waiting := left.get(task.spec.queue)) is not None:
                self._compare(places[seq], task, waiting)

    def _compare(self, place: int, task: "Known", left: list[tuple[int, "Known"]]) -> None:
        priority = task.spec.priority
        passed = [each for at, each in left if (each.spec.priority, -at) > (priority, -place)]
        below = any(each.spec.priority < priority and at < place for at, each in left)
        self._world.reach.counts["a higher priority overtook"] += below
        if passed:
            # In its turn what has waited longest goes before all of them.
            oldest = place < left[0][0]
            text = f"at place {place} {task} is handed out before {passed[0]}"
            require(oldest, "priority", text)
            self._world.reach.counts["patience came to an end"] += 1

    def _goes_anywhere(self, task: "Known", lacks: set[str]) -> bool:
        """Whether it may go at once, to any worker: else what comes after it may go before it.

        `lacks` are the names that some worker has no code for.
        """
        pinned = self._world.queue.flows.is_pinned(task.id)
        picky = task.losses or task.spec.at_most_once or task.spec.name in lacks
        return not (task.spec.limits or pinned or picky)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While it lasts every plan is looked at."""
        original = Dispatcher.plan

        def plan(dispatcher: Dispatcher, workers: list[Worker]) -> list[Assign]:
            skipped = _skipped(dispatcher)
            assigns = original(dispatcher, workers)
            if assigns:
                self.planned(dispatcher, assigns, skipped)
            return assigns

        setattr(Dispatcher, "plan", plan)  # noqa: B010
        try:
            yield
        finally:
            setattr(Dispatcher, "plan", original)  # noqa: B010


class Resumes:
    """Whoever resumes halted keys, until the world ends: else nothing of them would."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._asked = 0

    def begin(self) -> None:
        """From now on."""
        for broker in self._world.brokers:
            leadership = broker.node._supervisor.leadership if broker.node is not None else None
            if leadership is None or broker.paused:
                continue
            for queue, key in sorted(self._world.queue.lanes.halted):
                self._asked += 1
                request = ResumeKey(self._asked, queue, key)
                leadership.request(_NOBODY, request, 8, broker.mono)
            broker.poke()
        self._world.timeline.after(_RESUME_EVERY, self.begin)


def _skipped(dispatcher: Dispatcher) -> frozenset[int]:
    """The tasks whose turn came when no worker could have them."""
    return frozenset(
        task.seq
        for backlog in dispatcher._backlogs.values()
        for tasks in backlog.skipped._tasks.values()
        for task in tasks
    )
