"""What the machine ought to do, as naively as it can be said: a dict of tasks and no batching."""

from dataclasses import asdict, dataclass, field, replace
from enum import Enum, auto
from typing import cast

from raftwork.broker.machine import ClusterSettings, Waiting
from raftwork.broker.machine.commands import (
    Assign,
    Command,
    Expire,
    Fail,
    Finish,
    Lose,
    LoseSaying,
    Release,
    Tick,
)
from raftwork.features.cluster_settings import SETTINGS, ConfigureCluster
from raftwork.features.dead_letters import Purge, Retry
from raftwork.features.effects import (
    Assigned,
    AttemptEnded,
    Effect,
    NotAssigned,
    Queued,
    Requeued,
    Settled,
    TokenRejected,
)
from raftwork.features.enqueue import Admit
from raftwork.features.purge_queue import DropWaiting, QueueWasPurged
from raftwork.features.queue_settings import Configure, changes
from raftwork.messages import (
    Code,
    Loss,
    QueueStatus,
    Result,
    Spec,
    State,
    TimeLimitPassed,
    WorkerLost,
    WorkerLostSaying,
    decode_spec,
    encode_failure,
)
from raftwork.wire import pack, unpack


class Place(Enum):
    WAITING = auto()
    DELAYED = auto()
    RUNNING = auto()
    FINISHED = auto()
    TOMBSTONE = auto()


@dataclass
class Task:
    seq: int
    id: str
    spec: bytes
    payload: bytes
    place: Place = Place.WAITING
    due: int = 0
    token: int = 0
    last_token: int = 0
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    state: State = State.QUEUED
    data: bytes = b""
    lost: list[Loss] = field(default_factory=list)
    again: str = ""

    @property
    def options(self) -> Spec:
        return decode_spec(self.spec)

    @property
    def queue(self) -> str:
        return self.options.queue


@dataclass
class Settings:
    balancer: str | None = None
    max_length: int | None = None
    max_bytes: int | None = None


class Refusal(Exception):
    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


class Model:
    """`apply` gives the code of each command's refusal, or None, and the effects."""

    def __init__(self, settings: ClusterSettings) -> None:
        self.cluster = settings
        self.time = self.seq = self.token = 0
        self.tasks: dict[str, Task] = {}
        self.totals: dict[str, dict[State, int]] = {}
        self.settings: dict[str, Settings] = {}
        self.effects: list[Effect] = []
        #: In the order of their ends.
        self.dead: list[Task] = []

    def at(self, *places: Place) -> list[Task]:
        return [task for task in self.tasks.values() if task.place in places]

    def queued(self, queue: str) -> list[Task]:
        return [t for t in self.at(Place.WAITING, Place.DELAYED) if t.queue == queue]

    def apply(self, time: int, batch: list[Command]) -> tuple[list[Code | None], list[Effect]]:
        self.effects = []
        self.time = max(self.time, time)
        self._sweep()
        codes: list[Code | None] = []
        for command in batch:
            try:
                self._command(command)
                codes.append(None)
            except Refusal as refusal:
                codes.append(refusal.code)
        self._trim()
        self._trim_dead()
        return codes, self.effects

    # ---- time -----------------------------------------------------------------------------------

    def _due(self, place: Place) -> list[Task]:
        due = [task for task in self.at(place) if task.due <= self.time]
        return sorted(due, key=lambda task: (task.due, task.seq))

    def _sweep(self) -> None:
        for task in self._due(Place.DELAYED):
            task.place = Place.WAITING
            self.effects.append(Requeued(task.queue, task.seq))
        for task in self._due(Place.TOMBSTONE):
            del self.tasks[task.id]
        for task in self._due(Place.FINISHED):
            self._bury(task)

    def _bury(self, task: Task) -> None:
        task.place, task.data = Place.TOMBSTONE, b""
        self.dead = [other for other in self.dead if other is not task]
        task.due = self.time + self.cluster.tombstone_ttl

    def _trim(self) -> None:
        while kept := sorted(self.at(Place.FINISHED), key=lambda task: (task.due, task.seq)):
            size = sum(len(task.data) for task in kept)
            if len(kept) <= self.cluster.results and size <= self.cluster.result_bytes:
                return
            self._bury(kept[0])

    # ---- commands -------------------------------------------------------------------------------

    def _command(self, command: Command) -> None:
        match command:
            case Admit():
                self._enqueue(command)
            case Assign(worker, seqs):
                self._assign(worker, seqs)
            case Finish(outcomes):
                self._finish(outcomes)
            case Fail(token, failure, retry_at, final):
                self._fail(token, failure, None if final else retry_at)
            case Expire(token, retry_at):
                self._fail(token, None, retry_at)
            case Release(tokens):
                self._lose([(token, False) for token in tokens])
            case Lose(losses, by):
                self._lose(losses, by)
            case LoseSaying(token, by, log):
                self._lose([(token, True)], by, log)
            case Tick():
                pass
            case _:
                self._asked_for(command)

    def _asked_for(self, command: Command) -> None:
        match command:
            case Retry(created, task_id, new):
                self._retry(created, task_id, new)
            case Purge(ids, queue):
                self._purge(ids, queue)
            case Configure():
                self._configure(command)
            case DropWaiting():
                self._drop(command)
            case ConfigureCluster():
                self._configure_cluster(command)

    def _enqueue(self, command: Admit) -> None:
        if command.created < self.time - self.cluster.enqueue_window:
            raise Refusal(Code.PROTOCOL)
        queue = decode_spec(command.spec).queue
        tasks = unpack(command.tasks)
        assert isinstance(tasks, list)
        new: dict[str, Task] = {}
        for task_id, payload in tasks:
            made = Task(self.seq + len(new) + 1, task_id, command.spec, payload)
            known = new.get(task_id) or self.tasks.get(task_id)
            if known is None:
                new[task_id] = made
            elif (known.spec, known.payload) != (made.spec, made.payload):
                raise Refusal(Code.PROTOCOL)
        if not new:
            return
        unfinished = self.at(Place.WAITING, Place.DELAYED, Place.RUNNING)
        if (
            len(unfinished) + len(new) > self.cluster.tasks
            or len(self.at(Place.TOMBSTONE)) >= self.cluster.tombstones
            or self._is_one_queue_too_many(queue)
        ):
            raise Refusal(Code.QUEUE_FULL)
        settings = self.settings.get(queue, Settings())
        there = self.queued(queue)
        size = sum(len(t.payload) for t in [*there, *new.values()])
        if settings.max_length is not None and len(there) + len(new) > settings.max_length:
            raise Refusal(Code.QUEUE_FULL)
        if settings.max_bytes is not None and size > settings.max_bytes:
            raise Refusal(Code.QUEUE_FULL)
        self.effects.append(
            Queued(queue, command.spec, self.seq + 1, [(t.id, t.payload) for t in new.values()])
        )
        self.totals.setdefault(queue, dict.fromkeys(State, 0))
        self.tasks |= new
        self.seq += len(new)

    def _is_one_queue_too_many(self, queue: str) -> bool:
        return queue not in self.totals and len(self.totals) >= self.cluster.queues

    def _configure_cluster(self, command: ConfigureCluster) -> None:
        for name, value in command.values:
            if not SETTINGS[name].least <= value <= SETTINGS[name].most:
                raise Refusal(Code.PROTOCOL)
        self.cluster = replace(self.cluster, **dict(command.values))

    def _configure(self, command: Configure) -> None:
        if not command.queue:
            raise Refusal(Code.PROTOCOL)
        if self._is_one_queue_too_many(command.queue):
            raise Refusal(Code.QUEUE_FULL)
        self.totals.setdefault(command.queue, dict.fromkeys(State, 0))
        settings = self.settings.setdefault(command.queue, Settings())
        for name, value in cast(
            "dict[str, object]", unpack(command.changes) if command.changes else {}
        ).items():
            setattr(settings, name, value)

    def _assign(self, worker: bytes, seqs: list[int]) -> None:
        handed: list[tuple[int, int, int]] = []
        absent: list[int] = []
        for seq in seqs:
            task = next((t for t in self.at(Place.WAITING) if t.seq == seq), None)
            if task is None:
                absent.append(seq)
                continue
            self.token += 1
            task.place, task.token, task.attempt = Place.RUNNING, self.token, task.attempt + 1
            handed.append((task.token, seq, task.attempt))
        if handed:
            self.effects.append(Assigned(worker, handed))
        if absent:
            self.effects.append(NotAssigned(absent))

    def _finish(self, outcomes: list[tuple[int, bytes]]) -> None:
        for task, data in [(self._end(token), data) for token, data in outcomes]:
            if task is not None:
                self._settle(task, State.SUCCEEDED, data)

    def _fail(self, token: int, failure: bytes | None, retry_at: int | None) -> None:
        task = self._end(token)
        if task is None:
            return
        task.failures += 1
        spent = task.options.at_most_once or task.failures > task.options.retries
        if retry_at is None or spent:
            made = encode_failure(TimeLimitPassed(task.options.timeout))
            self._settle(task, State.FAILED, failure or made)
        else:
            self._again(task, retry_at)

    def _lose(
        self,
        losses: list[tuple[int, bool]],
        by: Loss = Loss(),  # noqa: B008
        log: str = "",
    ) -> None:
        ended = [(self._end(token), started) for token, started in losses]
        again = []
        for task, started in ended:
            if task is None:
                continue
            if started:
                task.losses += 1
                task.lost.append(by._replace(time=self.time))
            if started and task.options.at_most_once:
                self._lost(task, by, log, once=True)
            elif started and task.losses >= min(task.options.max_losses, self.cluster.max_losses):
                self._lost(task, by, log, once=False)
            else:
                again.append(task)
        for task in again:
            self._again(task, self.time)

    def _lost(self, task: Task, by: Loss, log: str, *, once: bool) -> None:
        told = WorkerLost(task.losses, by, once)
        ending = WorkerLostSaying(*told, log) if log else told
        self._settle(task, State.LOST, encode_failure(ending))

    # ---- the dead -------------------------------------------------------------------------------

    def _trim_dead(self) -> None:
        def size() -> int:
            return sum(len(task.spec) + len(task.payload) for task in self.dead)

        while len(self.dead) > self.cluster.dead or size() > self.cluster.dead_bytes:
            del self.dead[0]

    def _retry(self, created: int, task_id: str, new: str) -> None:
        task = next((task for task in self.dead if task.id == task_id), None)
        if task is None:
            raise Refusal(Code.UNKNOWN_TASK)
        if not task.again:
            self._enqueue(Admit(created, task.spec, pack([[new, task.payload]])))
            task.again = new

    def _purge(self, ids: list[str], queue: str) -> None:
        def meant(task: Task) -> bool:
            return task.id in ids if ids else queue in ("", task.queue)

        self.dead = [task for task in self.dead if not meant(task)]

    def _drop(self, command: DropWaiting) -> None:
        there = [t for t in self.at(Place.WAITING) if t.queue == command.queue]
        there = sorted((t for t in there if t.seq <= command.upto), key=lambda task: task.seq)
        for task in there[: command.limit]:
            task.last_token = 0
            self._settle(task, State.FAILED, encode_failure(QueueWasPurged(command.queue)))
            self.dead.remove(task)

    # ---- the ways a token ends ------------------------------------------------------------------

    def _end(self, token: int) -> Task | None:
        for task in self.at(Place.RUNNING):
            if task.token == token:
                task.token, task.last_token = -1, token
                return task
        self.effects.append(TokenRejected(token))
        return None

    def _settle(self, task: Task, state: State, data: bytes) -> None:
        task.place, task.state, task.data = Place.FINISHED, state, data
        task.due = self.time + min(task.options.result_ttl, self.cluster.result_ttl)
        self.totals[task.queue][state] += 1
        if state is not State.SUCCEEDED:
            self.dead.append(task)
        self.effects.append(Settled(task.last_token, task.seq, task.id, task.queue, state, data))

    def _again(self, task: Task, due: int) -> None:
        self.effects.append(AttemptEnded(task.last_token, task.seq))
        if due > self.time:
            task.place, task.due = Place.DELAYED, due
        else:
            task.place = Place.WAITING
            self.effects.append(Requeued(task.queue, task.seq))

    # ---- questions ------------------------------------------------------------------------------

    def result(self, task_id: str) -> Result:
        task = self.tasks.get(task_id)
        if task is None:
            return Result(task_id, State.UNKNOWN, b"")
        state = State.RUNNING if task.place is Place.RUNNING else task.state
        return Result(task_id, state, task.data, task.place is Place.TOMBSTONE)

    def queues(self) -> list[QueueStatus]:
        return [
            QueueStatus(
                name,
                len(self.queued(name)),
                sum(t.queue == name for t in self.at(Place.RUNNING)),
                totals[State.SUCCEEDED],
                totals[State.FAILED],
                totals[State.LOST],
                sum(len(t.payload) for t in self.queued(name)),
                changes(**{k: v for k, v in asdict(settings).items() if v is not None}),
                delayed=sum(t.queue == name for t in self.at(Place.DELAYED)),
            )
            for name, totals in sorted(self.totals.items())
            for settings in [self.settings.get(name, Settings())]
        ]

    def waiting(self, queue: str) -> list[Waiting]:
        tasks = sorted(self.at(Place.WAITING), key=lambda task: task.seq)
        return [
            Waiting(t.seq, t.id, t.spec, t.payload, t.attempt + 1, t.losses)
            for t in tasks
            if t.queue == queue
        ]
