"""Whoever looks at tasks while everything runs: one of them, or a page of those of a tag or state.

What is told never contradicts the model. What it draws comes from a stream of its own.
"""

from random import Random
from typing import TYPE_CHECKING

from raftwork.broker.machine import Machine
from raftwork.client.calls import Answered
from raftwork.errors import UnknownTask
from raftwork.features.event_feed import ReadEvents
from raftwork.features.inspect_tasks import ListTasks, ShowTask, TaskFacts, TaskPage, TaskShown
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.messages import Result, State
from raftwork.wire import INT_MAX
from tests.sim.system.promises import Violation, require
from tests.sim.system.workload import TAG

if TYPE_CHECKING:
    from tests.sim.system.queue_checker import QueueChecker
    from tests.sim.system.service_checker import ClientChecker
    from tests.sim.system.world import World

Looks = ShowTask | ListTasks | ReadEvents

_EVERY = 150
_UNSTARTED = (State.QUEUED, State.SCHEDULED, State.BLOCKED)
_STATES = (State.UNKNOWN, State.RUNNING, State.QUEUED, State.SUCCEEDED, State.LOST)


class Looker:
    """Asks by way of the clients."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = Random(f"looks of {world.seed}")
        self._there = self._rng.random() < 0.6

    def begin(self) -> None:
        """From now on until there is peace."""
        if self._there and not self._world.peaceful:
            self._rng.choice(self._world.users).inquire(self._draw())
            self._world.timeline.after(self._rng.randint(1, 2 * _EVERY), self.begin)

    def press(self) -> None:
        """Two lead: one of them does not know what there is."""
        if self._there:
            for user in self._world.users:
                user.inquire(self._draw())

    def _draw(self) -> ShowTask | ListTasks:
        rng, ids = self._rng, self._world.book.ids
        if ids and rng.random() < 0.7:
            return ShowTask(0, rng.choice(ids[-20:]), rng.random() < 0.5)
        tag: list[str] = list(TAG) if rng.random() < 0.5 else []
        return ListTasks(0, INT_MAX, rng.randint(1, 20), rng.choice(_STATES), "", "", tag, 0)


def looked(
    clients: "ClientChecker",
    queue: "QueueChecker",
    asked: int,
    about: ShowTask | ListTasks,
    answer: Answered,
) -> None:
    """What is told is true, or has been since it was asked."""
    match about, answer.message:
        case ShowTask(), TaskShown() as shown:
            _true(clients, queue, asked, shown.task)
            known = queue.tasks[about.id]
            text = f"{about.id} has the tags {known.tags}, told are {shown.tags}"
            require(shown.tags == known.tags or shown.forgotten, "tags", text)
            waits = shown.task.state in _UNSTARTED
            text = f"{about.id} is {shown.task.state!r}, and waits because of {shown.waits}"
            ends = known.asked and [reason.why for reason in shown.waits] == ["cancelling"]
            require(bool(shown.waits) == waits or ends, "why it waits", text)
            queue.reached["looked at: asked to end"] += ends
            queue.reached["looked at: waits"] += waits
            queue.reached["looked at: attempts"] += bool(shown.attempts)
            queue.reached["looked at: tagged"] += bool(shown.tags)
            queue.reached["looked at: ended"] += shown.task.state.final
            queue.reached["looked at: runs"] += shown.task.state is State.RUNNING
        case ListTasks(), TaskPage(_, tasks):
            numbers = [task.number for task in tasks]
            ordered = numbers == sorted(numbers, reverse=True) and len(tasks) <= about.limit
            require(ordered, "pages", f"{about} is answered by {numbers}")
            for task in tasks:
                _true(clients, queue, asked, task)
                if about.tag:
                    has = tuple(about.tag) in queue.tasks[task.id].tags
                    require(has, "pages", f"{task.id} is listed among {about.tag}")
                if about.state not in {State.UNKNOWN, task.state}:
                    raise Violation("pages", f"{task} is listed among {about.state!r}")
            queue.reached["listed by a tag"] += bool(about.tag and tasks)
        case ShowTask(), _ if isinstance(answer.error, UnknownTask):
            clients.answered(asked, (about.id,), [Result(about.id, State.UNKNOWN, b"")])
        case _:
            queue.reached["one look too many"] += 1


def _true(clients: "ClientChecker", queue: "QueueChecker", asked: int, told: TaskFacts) -> None:
    if (other := queue.keys.merged.get(told.id)) is not None:
        same = told.error == f"task {other} has its arguments"
        require(same, "true looks", f"{told} became part of {other}")
        return
    clients.answered(asked, (told.id,), [Result(told.id, told.state, b"")])
    known = queue.tasks[told.id]
    same = told.queue == known.spec.queue
    require(same, "true looks", lambda: f"{told} is of {known.spec.queue}")
    same = told.name == known.spec.name
    require(same, "true looks", f"{told.id} is called {told.name}, not {known.spec.name}")

    def text() -> str:
        return f"{told} is told, the model has {known}"

    if known.outcome is not None and told.state.final:
        require(told.attempts == known.attempts, "true looks", text)
        require(told.ended > 0, "true looks", text)
    counts = (told.attempts, told.failures, told.losses)
    most = (known.attempts, known.failures, known.losses)
    require(all(a <= b for a, b in zip(counts, most, strict=True)), "true looks", text)


#: Of each queue, by phase and whether it runs, what its row ought to count.
_RECOUNT = """SELECT queue.name, queued, running, scheduled, blocked,
    coalesce(sum(task.phase IN (0, 1) AND NOT task.state), 0) - count(running.token),
    count(running.token), coalesce(sum(task.phase = 4), 0), coalesce(sum(task.phase IN (5, 6)), 0)
    FROM queue LEFT JOIN task ON task.queue = queue.number
    LEFT JOIN running ON running.seq = task.seq GROUP BY queue.number"""
#: What is SCHEDULED and in no range, or in several; and how many of the rest stand in ranges.
_STARTS = """SELECT first, last, start.due, count(task.seq), last + 1 - first
    FROM start LEFT JOIN task ON task.seq BETWEEN first AND last AND phase = 4 GROUP BY first"""
_SCHEDULED = "SELECT count(*) FROM task WHERE phase = 4"
#: Rows of tags whose tasks are counted wrongly, or gone.
_TAGS = """SELECT tag.* FROM tag WHERE tasks = 0 OR tasks !=
    (SELECT count(*) FROM task WHERE seq BETWEEN first AND last AND phase != 3 AND flags & 16)"""
#: Rows that are of no task which is kept.
_LEFT = """SELECT '{0}', seq FROM {0} LEFT JOIN task USING (seq)
    WHERE task.seq IS NULL OR phase = 3"""


def recount(name: str, machine: Machine) -> None:
    """The queues' counters are what the tables say, and no row outlives what it is about."""
    if machine.level < LEVEL_OPTIONS:
        return
    db = machine.state.db
    for row in db.execute(_RECOUNT):
        require(row[1:5] == row[5:9], "queues recounted", f"{name}: {row}")
    starts = list(db.execute(_STARTS))
    wrong = [row for row in starts if row[3] != row[4]]
    ((scheduled,),) = db.execute(_SCHEDULED)
    counted = sum(row[4] for row in starts)
    text = f"{name}: {wrong}, {scheduled} are scheduled, {counted} are to start"
    require(not wrong and scheduled == counted, "starts recounted", text)
    left = [*db.execute(_TAGS), *db.execute(_LEFT.format("attempt"))]
    require(not left, "nothing outlives its task", f"{name} has kept {left}")
