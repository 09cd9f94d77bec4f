"""What clients and workers may rely on: true answers (G1, G2, G7), leases (G4), one voice (G6)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from raftwork.broker.machine.commands import (
    Fail,
    Lose,
    commands,
    decode_batch,
)
from raftwork.client.calls import Answered
from raftwork.consensus.core import Entry, Kind, Position
from raftwork.errors import ProtocolError, QueueFull, RaftworkError, UnknownTask
from raftwork.features import from_broker, to_broker
from raftwork.features.cancel import CancelRuns, CancelTasks, Scope, TasksCancelled
from raftwork.features.cluster_settings import (
    SETTINGS,
    AskClusterSettings,
    ClusterSettingsSet,
    ClusterSettingsTold,
    SetClusterSettings,
)
from raftwork.features.enqueue import Enqueued
from raftwork.features.inspect_tasks import TaskPage, TaskShown
from raftwork.features.pause_queue import PauseQueue, QueueGoesOn, QueuePaused, ResumeQueue
from raftwork.features.purge_queue import PurgeQueue, QueuePurged
from raftwork.features.queue_settings import (
    AskQueue,
    Configure,
    QueueSet,
    SetQueue,
    SettingsTold,
)
from raftwork.features.results import Answer, Results, Watched
from raftwork.features.unique import EnqueuedUnique
from raftwork.messages import (
    LAST_SESSION,
    Acknowledged,
    Beat,
    Drain,
    Goodbye,
    Heartbeat,
    Push,
    Report,
    Result,
    State,
    Stop,
    WorkerHello,
    WorkerWelcome,
    decode_spec,
)
from tests.sim.system.cluster_settings import asked_for, told
from tests.sim.system.known import Known
from tests.sim.system.promises import require
from tests.sim.system.queue_checker import QueueChecker
from tests.sim.system.room import told_settings
from tests.sim.system.timeline import Timeline
from tests.sim.system.workload import Batch

if TYPE_CHECKING:
    from tests.sim.system.broker import Broker

#: A clock's drift and a turn: so much less than the lease that was promised is enough, ms.
_SLACK_MS = 50
#: The least that is ever promised, less that.
LEASE_MS, LEASE_CLOSED_MS = (
    each - _SLACK_MS
    for each in (SETTINGS["worker_lease"].least, SETTINGS["worker_reconnect"].least)
)
_LONG_AGO = -1 << 60
#: A question or a change that has nothing to do with tasks.
About = SetQueue | AskQueue | SetClusterSettings | AskClusterSettings
#: What is asked to be done with tasks that are there.
Steers = PurgeQueue | CancelTasks | PauseQueue | ResumeQueue

# Tags as they stand in a packed frame.
_PUSH = from_broker._tags[Push]
_FROM_LEADER = frozenset(
    from_broker._tags[kind]
    for kind in (
        *(Enqueued, Watched, Results, Answer, QueueSet, SettingsTold, QueuePurged),
        *(ClusterSettingsSet, ClusterSettingsTold, EnqueuedUnique, TaskShown, TaskPage),
        *(TasksCancelled, QueuePaused, QueueGoesOn, CancelRuns),
        *(WorkerWelcome, Push, Stop, Acknowledged, Beat, Drain),
    )
)
_HELLO, _GOODBYE = to_broker._tags[WorkerHello], to_broker._tags[Goodbye]


class ClientChecker:
    """Every client's history: what was acknowledged and read, and when."""

    def __init__(self, timeline: Timeline, queue: QueueChecker) -> None:
        self._timeline = timeline
        self._queue = queue
        self._acknowledged: dict[str, int] = {}
        self._read: dict[str, tuple[Result, int]] = {}
        #: How many requests with this id ever left a client.
        self._sent: Counter[str] = Counter()

    def is_acknowledged(self, task: str) -> bool:
        return task in self._acknowledged

    def acknowledged(self, batch: Batch) -> None:
        for task, contents in zip(batch.ids, batch.contents, strict=True):
            known = self._queue.tasks.get(task)
            require(known is not None, "durable", f"{task} is acknowledged, but not committed")
            assert known is not None
            text = f"{task} is acknowledged with contents that are not stored"
            require(known.contents == contents, "once in", text)
            self._acknowledged.setdefault(task, self._timeline.now)

    def refused(self, batch: Batch, error: RaftworkError) -> None:
        tasks = self._queue.tasks
        contradicts = any(
            task in tasks and tasks[task].contents != contents
            for task, contents in zip(batch.ids, batch.contents, strict=True)
        )
        right = contradicts and isinstance(error, ProtocolError)
        require(right, "refusals", f"{batch.ids} are refused: {error!r}")

    # ---- limits ---------------------------------------------------------------------------------

    def sent(self, batch: Batch) -> None:
        self._sent.update(batch.ids)
        self._queue.enqueues.refused.difference_update(batch.ids)

    def no_room(self, batch: Batch) -> None:
        """Refused with QueueFull: what no other request asked for never comes in."""
        for task in batch.ids:
            if self._sent[task] == 1:
                text = f"{task} is refused, and is in"
                require(task not in self._queue.tasks, "refused for good", text)
                self._queue.enqueues.refused.add(task)
                self._queue.reached["refused for good"] += 1

    def fits(self, batch: Batch) -> bool:
        """Whether there would be room for it if nothing else waited."""
        queue, tasks, size = self._queue.enqueues.weight(batch.spec, batch.tasks)
        return not self._queue.rooms.of(queue).settings.lack(tasks, size)

    def waited_in_vain(self, batch: Batch, since: int) -> None:
        """Who waited for room was refused: at some time since then there was none."""
        queue = decode_spec(batch.spec).queue
        # Another client may have brought it in, which this one would have seen at its next attempt.
        tasks, size, until = self._queue.enqueues.weight_before(since, batch)
        lacked = self._queue.rooms.lacked(queue, tasks, size, since, until)
        text = f"{batch.ids} were not let in, though {queue} has had room since {since}"
        require(lacked, "waiting for room", text)

    def changes(self, about: About) -> int:
        """How many changes there were, which an answer to what is asked now may not overlook."""
        rooms = self._queue.rooms
        match about:
            case SetQueue():
                return len(rooms.changes)
            case AskQueue():
                return len(rooms.of(about.queue).stood) - 1
            case _:
                return len(self._queue.cluster.changes)

    def told(self, about: About, since: int, answer: Answered) -> None:
        """The answer to a change, or to the question what is set."""
        rooms, message = self._queue.rooms, answer.message
        match about, message:
            case SetClusterSettings() | AskClusterSettings(), _:
                self._told_cluster(about, since, answer)
            case SetQueue(), QueueSet():
                made = Configure(*about[1:])
                text = f"acknowledged, but not applied: {about}"
                require(made in rooms.changes[since:], "durable", text)
            case AskQueue(_, queue), SettingsTold(_, packed):
                told = told_settings(packed)
                stood = rooms.of(queue).stood[since:]
                text = f"{told} is told to stand for {queue}; since it was asked {stood} stood"
                require(told in stood, "true reads", text)
                self._queue.reached["settings read"] += 1
            case _:
                unknown = isinstance(about, SetQueue) and b"nobody's" in about.changes
                right = unknown and isinstance(answer.error, ProtocolError)
                require(right, "refusals", f"{about} is answered by {answer}")
                self._queue.reached["balancer refused"] += 1

    def _told_cluster(
        self, about: SetClusterSettings | AskClusterSettings, since: int, answer: Answered
    ) -> None:
        cluster = self._queue.cluster
        match about, answer.message:
            case SetClusterSettings(), ClusterSettingsSet():
                text = f"acknowledged, but not applied: {asked_for(about)}"
                require(asked_for(about) in cluster.changes[since:], "durable", text)
                self._queue.reached["cluster set"] += 1
            case AskClusterSettings(), ClusterSettingsTold() as message:
                stood = cluster.settings[since:]
                text = f"{told(message)} is told to stand; since it was asked {stood} stood"
                require(told(message) in stood, "true reads", text)
                self._queue.reached["cluster settings read"] += 1
            case SetClusterSettings(), _ if isinstance(answer.error, QueueFull):
                self._queue.reached["one change too many"] += 1
            case _:
                wrong = isinstance(about, SetClusterSettings) and asked_for(about).values
                right = wrong == [("worker_lease", 100)] and isinstance(answer.error, ProtocolError)
                require(right, "refusals", f"{about} is answered by {answer}")
                self._queue.reached["too short a lease refused"] += 1

    def purged(self, asked: int, about: PurgeQueue, answer: Answered) -> None:
        """What was acknowledged before, and has waited ever since, is gone."""
        if isinstance(answer.error, QueueFull):
            self._queue.reached["one purge too many"] += 1
            return
        purged = isinstance(answer.message, QueuePurged)
        require(purged, "refusals", f"{about} is answered by {answer}")
        left = [
            task
            for task in self._queue.by_seq.values()
            if (task.waits_since is not None and task.spec.queue == about.queue)
            and max(task.waits_since, self._acknowledged.get(task.id, asked)) < asked
        ]
        require(not left, "purged", f"{left} have waited since before {asked}, and were purged")

    def steered(
        self, asked: int, about: CancelTasks | PauseQueue | ResumeQueue, answer: Answered
    ) -> None:
        """What a cancel meant has ended, or is asked to end."""
        if isinstance(answer.error, UnknownTask):
            assert isinstance(about, CancelTasks)
            (task,) = about.ids
            stored = self._acknowledged.get(task, asked) < asked
            require(not stored, "cancels", f"{task} is unknown to a cancel, and acknowledged")
            return
        if isinstance(answer.error, QueueFull):
            self._queue.reached["one cancel too many"] += 1
            return
        require(answer.error is None, "refusals", f"{about} is answered by {answer}")
        if isinstance(about, CancelTasks):
            left = [
                known
                for known in self._queue.tasks.values()
                if (known.outcome is None and not known.asked)
                and self._acknowledged.get(known.id, asked) < asked
                and _meant(about, known)
            ]
            text = f"{about} was carried out, and {left} neither ended nor were asked to"
            require(not left, "cancels", text)

    # ---- reads ----------------------------------------------------------------------------------

    def answered(self, asked: int, ids: tuple[str, ...], results: list[Result]) -> None:
        require(tuple(r.id for r in results) == ids, "true reads", "an answer to another question")
        for result in results:
            self._check(asked, result, with_data=False)

    def outcome(self, asked: int, result: Result) -> None:
        final = result.state.final or result.state is State.UNKNOWN
        require(final, "true reads", f"{result.state!r} is told as an outcome")
        self._check(asked, result, with_data=True)

    def _check(self, asked: int, result: Result, *, with_data: bool) -> None:
        task = result.id
        if result.state.final:
            self._queue.outcomes.told(result, with_data=with_data)
            self._read.setdefault(task, (result, self._timeline.now))
            return
        read = self._read.get(task)
        stale = read is not None and read[1] < asked
        require(not stale, "true reads", f"{task} is {result.state!r} after its outcome was read")
        if result.state is State.UNKNOWN:
            lost = self._acknowledged.get(task, self._timeline.now) < asked
            require(not lost, "true reads", f"{task} is unknown after it was acknowledged")
        else:
            text = f"{task} is {result.state!r}, but was never committed"
            require(task in self._queue.tasks, "true reads", text)


def _meant(about: CancelTasks, task: Known) -> bool:
    match about.scope:
        case Scope.IDS:
            return task.id in about.ids
        case Scope.NAME:
            return task.spec.name == about.name
        case Scope.QUEUE:
            return task.spec.queue == about.name
        case _:
            return True


@dataclass(slots=True)
class _Heard:
    at: int
    session: int
    routing: bytes
    since: int
    draining: bool
    position: Position  # up to which the leader had applied the log then


class _Silence(NamedTuple):
    """One that is over: when, after how long, and what was promised for it."""

    ended: int
    length: int
    promised: int

    @property
    def due(self) -> bool:
        """Whether it was longer than the lease."""
        return self.length > self.promised - _SLACK_MS


class LeaseChecker:
    """A worker's tasks are lost only after its silence, its goodbye or its time limit (G4).

    And a task fails as unknown only if nobody who was heard of all the while knows it.

    A worker is given up when its lease ends. Where proposals are kept out just then (leadership is
    being handed over, or too much waits for a majority), that gets into the log later, and the
    worker may be back by then. So any silence counts that ended while they were kept out.
    """

    def __init__(self, queue: QueueChecker, routed: Mapping[bytes, object]) -> None:
        self._queue = queue
        self._routed = routed
        self._heard: dict[tuple[str, bytes], _Heard] = {}
        self._workers: dict[tuple[str, bytes], bytes] = {}
        self._silences: dict[tuple[str, bytes], list[_Silence]] = {}
        #: Since when proposals of a broker are kept out.
        self._held: dict[str, int] = {}

    def activated(self, broker: "Broker") -> None:
        """Everybody has the whole lease from here on."""
        for each in (self._heard, self._silences):
            for key in [k for k in each if k[0] == broker.host]:
                del each[key]
        self._held.pop(broker.host, None)

    def turned(self, broker: "Broker", *, held: bool) -> None:
        """A turn is over; `held`: what was to be proposed in it waits for another."""
        if held:
            self._held.setdefault(broker.host, broker.mono)
        else:
            self._held.pop(broker.host, None)

    def reads(self, broker: "Broker", routing: bytes, frame: bytes, now: int) -> None:
        """A frame that the broker is about to read."""
        if broker.active is None or len(frame) < 2 or not _HELLO <= frame[1] <= _GOODBYE:
            return
        message = to_broker.decode(frame)
        if isinstance(message, WorkerHello):
            key = (broker.host, message.incarnation)
            before = self._heard.get(key)
            if before is None or before.session < message.session:
                self._breaks_silence(broker, message.incarnation, now)
                since = now if before is None else before.since
                session, draining = message.session, message.draining
                gone = session == LAST_SESSION  # said for a worker whose process has ended
                at = _LONG_AGO if gone else now
                self._heard[key] = _Heard(at, session, routing, since, draining, broker.position)
                self._workers[broker.host, routing] = message.incarnation
            return
        worker = self._workers.get((broker.host, routing))
        heard = None if worker is None else self._heard.get((broker.host, worker))
        if worker is None or heard is None or heard.routing != routing:
            return
        if isinstance(message, Report | Heartbeat) and message.session == heard.session:
            self._breaks_silence(broker, worker, now)
            heard.at, heard.position = now, broker.position
            heard.draining |= isinstance(message, Heartbeat) and message.draining
        elif isinstance(message, Goodbye) and message.session == heard.session:
            heard.at = _LONG_AGO

    def shut(self, broker: "Broker", routing: bytes) -> None:
        """It failed at a frame and has dropped the session: what comes by it says nothing any more.

        Its worker may not know that it has to say hello again, if nothing reaches it.
        """
        self._workers.pop((broker.host, routing), None)

    def proposed(self, broker: "Broker", entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            if entry.kind is Kind.DATA:
                for plain in decode_batch(entry.data)[1]:
                    command = commands.from_plain(plain)
                    if isinstance(command, Lose):
                        self._lost(broker, command)
                    elif isinstance(command, Fail):
                        self._failed(broker, command)

    def _failed(self, broker: "Broker", command: Fail) -> None:
        if command.token not in self._queue.executions.unknown:
            return
        task, now = self._queue.tokens[command.token][0], broker.mono
        for (host, worker), heard in self._heard.items():
            steady = host == broker.host and now - heard.since > 2 * LEASE_MS
            there = steady and now - heard.at < LEASE_CLOSED_MS and not heard.draining
            queues, lacks = self._queue.executions.codes[worker]
            knows = task.spec.queue in queues and task.spec.name not in lacks
            text = f"{task.id} failed as unknown, but {worker.hex()} knows {task.spec.name}"
            require(not (there and knows), "known tasks", text)

    def _lost(self, broker: "Broker", command: Lose) -> None:
        now = broker.mono
        held_since = self._held.get(broker.host, now)
        for token, begun in command.tokens:
            task, worker = self._queue.tokens[token]
            silence = self._silence(broker, worker, now)
            over = self._silences.get((broker.host, worker), ())
            due = silence.due
            if not due and any(each.due for each in over if each.ended >= held_since):
                due = True
                self._queue.reached["taken from a worker that was back"] += 1
            text = f"{task.id} is taken from its worker after {silence.length} ms of silence"
            if begun and token not in self._queue.executions.died:
                require(due, "lease", text)

    def _silence(self, broker: "Broker", worker: bytes, now: int) -> _Silence:
        heard = self._heard.get((broker.host, worker))
        if heard is None:
            since, position = broker.clock.monotonic(broker.activated_at), broker.activated_after
        else:
            since, position = heard.at, heard.position
        # Of a Leadership that was made anew meanwhile every worker has the lease that stands then.
        stood = self._queue.cluster.between(position, broker.position)
        closed = heard is not None and heard.routing not in self._routed
        lease = min(settings.worker_lease for settings in stood)
        promised = min([lease, *(s.worker_reconnect for s in stood)]) if closed else lease
        self._queue.reached["silent under a longer lease"] += lease > now - since > LEASE_MS
        return _Silence(now, now - since, promised)

    def _breaks_silence(self, broker: "Broker", worker: bytes, now: int) -> None:
        silence = self._silence(broker, worker, now)
        if silence.length > LEASE_CLOSED_MS:
            self._silences.setdefault((broker.host, worker), []).append(silence)


class PushChecker:
    """Only an activated leader speaks as one; a task is pushed to its committed owner (G6)."""

    def __init__(self, queue: QueueChecker) -> None:
        self._queue = queue

    def leaves(self, broker: "Broker", routing: bytes, frame: bytes) -> None:
        tag = frame[1] if len(frame) > 1 else 0
        if tag not in _FROM_LEADER:
            return
        text = f"{broker.host} sends frame {tag} without being active"
        require(broker.active is not None, "one voice", text)
        if tag != _PUSH:
            return
        push = from_broker.decode(frame)
        assert isinstance(push, Push)
        require(push.epoch == broker.active, "one voice", f"a push of epoch {push.epoch}")
        for task in push.tasks:
            owner = self._queue.tokens.get(task.token)
            mine = owner is not None and owner[0].id == task.id
            require(mine, "committed before pushed", f"{task.token} of {task.id} is pushed")
