"""Whoever cancels tasks and pauses queues while everything runs, in some worlds; and its checker.

What it draws comes from a stream of its own.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from raftwork.features import from_broker, to_broker
from raftwork.features.cancel import CancelRuns, CancelSome, CancelTasks, Scope
from raftwork.features.effects import (
    CancelAsked,
    Done,
    Effect,
    Rejected,
    Reply,
    Settled,
)
from raftwork.features.pause_queue import Pause, PauseQueue, Resume, ResumeQueue
from raftwork.messages import (
    Beat,
    Held,
    Push,
    Report,
    State,
    WorkerHello,
    decode_failure,
)
from tests.sim.system.promises import require

if TYPE_CHECKING:
    from tests.sim.system.broker import Broker
    from tests.sim.system.known import Known
    from tests.sim.system.queue_checker import QueueChecker
    from tests.sim.system.world import World

#: The share of worlds with cancels, and with pauses, and how far they are apart there, ms.
_SHARE, _PAUSES, _EVERY = 0.5, 0.4, 700
#: Of those with cancels, the share in which a leader is killed just behind one.
_PLOTS = 0.5
#: A queue is paused for so long at most, ms.
_PAUSED_MAX = 2_500
_GRACES = (0, 150, 1_000, 3_000, 10_000)
_QUEUES = ("default", "default", "bulk", "rare")

_HELLO, _REPORT = to_broker._tags[WorkerHello], to_broker._tags[Report]
_PUSH, _BEAT, _RUNS = (from_broker._tags[each] for each in (Push, Beat, CancelRuns))


class Cancels:
    """Asks by way of the clients."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = rng = Random(f"cancels of {world.seed}")
        self._there, self._pauses = rng.random() < _SHARE, rng.random() < _PAUSES
        self._plots = self._there and rng.random() < _PLOTS

    def begin(self) -> None:
        """From now on until there is peace; then every queue goes on."""
        if self._world.peaceful:
            self._resume()
            return
        if self._there:
            self._ask(self._cancel())
        if self._pauses and self._rng.random() < 0.5:
            self._ask(self._pause())
        self._world.timeline.after(self._rng.randint(1, 2 * _EVERY), self.begin)

    def plot(self) -> None:
        """Code that heeds nothing is asked to end, and just then the leader is killed.

        Rarely does a failover come while such code runs; that is when the next leader must know.
        """
        world = self._world
        deaf = [
            task.id
            for task in world.queue.tasks.values()
            if task.token is not None and task.spec.name == "long" and task.token % 3 == 2
        ]
        leading = [each for each in world.brokers if each.active is not None]
        if not self._plots or world.peaceful:
            return
        world.timeline.after(self._rng.randint(150, 600), self.plot)
        if deaf and leading and leading[0].alive and not leading[0].paused:
            self._ask(CancelTasks(0, Scope.IDS, deaf[-3:], "", "", 10_000))
            world.timeline.after(self._rng.randint(60, 200), self._kill, leading[0])

    def _kill(self, leader: "Broker") -> None:
        if leader.alive and not self._world.peaceful:
            self._plots = False
            leader.stop("killed")
            self._world.later(leader.start)

    def press(self) -> None:
        """Two lead: one of them does not know what there is by now."""
        if self._there:
            for user in self._world.users:
                user.inquire(self._cancel())

    def _ask(self, request: CancelTasks | PauseQueue | ResumeQueue) -> None:
        self._rng.choice(self._world.users).inquire(request)

    def _cancel(self) -> CancelTasks:
        rng = self._rng
        grace, ids = rng.choice(_GRACES), self._world.book.ids
        match rng.randrange(12):
            case 0:
                return CancelTasks(0, Scope.QUEUE, [], rng.choice(_QUEUES), "", grace)
            case 1:
                name = rng.choice(("fatal", "flaky", "long", "ok"))
                return CancelTasks(0, Scope.NAME, [], name, "", grace)
            case 2 if rng.random() < 0.3:
                return CancelTasks(0, Scope.ALL, [], "", "", grace)
            case _:
                newest = ids[-15:] or ["nobody's"]
                some = rng.sample(newest, min(len(newest), rng.choice((1, 1, 2, 5))))
                return CancelTasks(0, Scope.IDS, some, "", "", grace)

    def _pause(self) -> PauseQueue | ResumeQueue:
        rng, queue = self._rng, self._rng.choice(_QUEUES)
        if rng.random() < 0.4:
            return ResumeQueue(0, queue)
        leading = [each for each in self._world.brokers if each.active is not None]
        if not leading or rng.random() < 0.3:
            return PauseQueue(0, queue)
        return PauseQueue(0, queue, leading[0].leader_time() + rng.randint(1, _PAUSED_MAX))

    def _resume(self) -> None:
        """Again and again: an answer may be lost, and a queue stay paused for ever."""
        paused = self._world.queue.cancels.paused
        for user in self._world.users:
            for queue in paused:
                user.inquire(ResumeQueue(0, queue))
        self._world.timeline.after(500, self._resume)


@dataclass(slots=True)
class CancelChecker:
    """What a cancel and a pause promise, over what was applied."""

    reached: Counter[str]
    #: The cancel that is being looked at: numbers of what it must end while it waits.
    ended: set[int] = field(default_factory=set)
    #: Until when each paused queue is paused; 0 for ever.
    paused: dict[str, int] = field(default_factory=dict)

    # ---- cancels --------------------------------------------------------------------------------

    def applied(
        self,
        queue: "QueueChecker",
        command: CancelSome | Pause | Resume,
        reply: Reply,
        effects: Sequence[Effect],
    ) -> None:
        """What a command did."""
        if isinstance(command, CancelSome):
            self.cancels(queue, command, reply, effects)
        elif not isinstance(reply, Rejected):
            self.pauses(command, queue.time)

    def cancels(
        self, queue: "QueueChecker", command: CancelSome, reply: Reply, effects: Sequence[Effect]
    ) -> None:
        """It ends, or asks to end, all that it means among the rows that it looked at."""
        if isinstance(reply, Rejected):
            text = f"{command} is refused: {reply}"
            unknown = command.known and command.ids[0] not in queue.tasks
            require(unknown, "cancels", text)
            self.reached["cancel of an unknown task"] += 1
            return
        assert isinstance(reply, Done)
        meant = [
            (seq, task)
            for seq, task in queue.by_seq.items()
            if task.outcome is None and self._means(command, reply, seq, task)
        ]
        runs = [task.token for _, task in meant if task.token is not None and not task.asked]
        waits = {seq for seq, task in meant if task.token is None}
        told = [effect.token for effect in effects if isinstance(effect, CancelAsked)]
        made = {effect.seq for effect in effects if isinstance(effect, Settled)}
        right = sorted(told) == sorted(filter(None, runs)) and made == waits
        require(
            right and reply.affected == len(meant),
            "cancels",
            lambda: f"{command} means {meant}, ends {made} and asks {told}: {reply}",
        )
        self.ended.update(seq for seq in waits if queue.by_seq[seq].has_code)
        queue.flows.stopped.update(waits - self.ended)
        queue.flows.replacements.cancelled(task for _, task in meant)
        self.reached["cancel went on in another entry"] += reply.rest_after > 0
        for _, task in meant:
            if task.token is not None:
                due = queue.time + command.grace
                self.reached["grace shortened"] += bool(task.asked) and due < task.grace_ends
                task.grace_ends = min(due, task.grace_ends) if task.asked else due
                task.asked = True
                self.reached["cancel of a running task"] += 1
            else:
                self.reached["cancel of a waiting task"] += 1
                self.reached["cancel between attempts"] += task.attempts > 0

    @staticmethod
    def _means(command: CancelSome, reply: Done, seq: int, task: "Known") -> bool:
        if command.scope is Scope.IDS:
            return task.id in command.ids  # what was replaced since, too
        looked_at = command.after < seq <= (reply.rest_after or command.upto)
        named = {Scope.NAME: task.spec.name, Scope.QUEUE: task.spec.queue, Scope.ALL: command.name}
        return task.has_code and looked_at and named[command.scope] == command.name

    def settled(self, task: "Known", effect: Settled) -> None:
        """A task that ran has its outcome."""
        cancelled = effect.state is State.CANCELLED
        if cancelled:
            require(task.asked, "cancels", f"{task.id} is cancelled unasked: {effect}")
            why = decode_failure(effect.data).type
            right = why in ("user", "superseded", "upstream")
            require(right, "cancels", f"{task.id} was asked to end, and ends as {effect}")
            self.reached["cancelled while it ran"] += 1
        if task.asked:
            ends = cancelled or effect.state is State.SUCCEEDED
            text = f"{task.id} was asked to end, and ends as {effect}"
            require(ends, "retry after a cancel", text)
            self.reached["returned after a cancel"] += not cancelled

    def over(self, time: int, running: Iterable["Known"]) -> None:
        """Time has done its work: no grace, and no pause, is over."""
        late = {task.id: task.grace_ends for task in running if task.asked}
        late = {id_: ends for id_, ends in late.items() if ends <= time}
        require(not late, "cancel lost", f"{late} were to end by then, and run at {time}")
        for queue, until in self.paused.items():
            text = f"{queue} was paused until {until}, and is at {time}"
            require(until == 0 or until > time, "pauses", text)

    # ---- pauses ---------------------------------------------------------------------------------

    def pauses(self, command: Pause | Resume, time: int) -> None:
        if isinstance(command, Pause) and not 0 < command.until <= time:
            self.paused[command.queue] = command.until
            self.reached["queue paused"] += 1
        else:
            self.paused.pop(command.queue, None)

    def resumed(self, queue: str) -> None:
        self.reached["queue resumed"] += 1
        self.paused.pop(queue, None)

    def assigned(self, task: "Known") -> None:
        paused = task.spec.queue in self.paused
        require(not paused, "paused", f"{task.id} is handed out, and its queue is paused")
        require(not task.asked, "retry after a cancel", f"{task.id} was asked to end: handed out")


class ToldChecker:
    """A leader tells each worker which of its tasks are to end, anew in every session."""

    def __init__(self, queue: "QueueChecker") -> None:
        self._queue = queue
        #: By session: what the worker has, what it was told of, and what it reported as over.
        self._sessions: dict[tuple[str, bytes], _Session] = {}

    def reads(self, broker: "Broker", routing: bytes, frame: bytes) -> None:
        """A frame that the broker is about to read."""
        if broker.active is None or len(frame) < 2 or frame[1] not in (_HELLO, _REPORT):
            return
        message = to_broker.decode(frame)
        if isinstance(message, WorkerHello):
            has = {held.token for held in message.holding if held.held is not Held.DONE}
            self._sessions[broker.host, routing] = _Session(broker.active, message.session, has)
        elif isinstance(message, Report):
            session = self._sessions.get((broker.host, routing))
            if session is not None:
                session.has -= {*message.released, *(each.token for each in message.outcomes)}

    def leaves(self, broker: "Broker", routing: bytes, frame: bytes) -> None:
        tag = frame[1] if len(frame) > 1 else 0
        session = self._sessions.get((broker.host, routing))
        if session is None or tag not in (_PUSH, _BEAT, _RUNS):
            return
        message = from_broker.decode(frame)
        assert isinstance(message, Push | Beat | CancelRuns)
        if (message.epoch, message.session) != (session.epoch, session.number):
            return
        if isinstance(message, Push):
            session.has.update(task.token for task in message.tasks)
        elif isinstance(message, CancelRuns):
            session.told.update(message.tokens)
            told_before = [t for t in message.tokens if t in self._queue.told_to_end]
            self._queue.reached["told again to end"] += len(told_before)
            self._queue.told_to_end.update(message.tokens)
        else:
            asked = {t for t in session.has - session.told if broker.is_asked_to_end(t)}
            text = f"{broker.host} told the worker at {routing!r} nothing of {asked}"
            require(not asked, "cancel lost", text)


@dataclass(slots=True)
class _Session:
    epoch: int
    number: int
    has: set[int]
    told: set[int] = field(default_factory=set)
