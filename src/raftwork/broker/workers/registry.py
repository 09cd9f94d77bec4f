"""The workers as the active leader knows them: sessions, leases, what each holds. Sans-IO.

1. A worker is its incarnation; the name is a label. Its lease lives on hearing from it, never on
   how long a task takes (G4).
2. What a worker holds is settled at each hello: kept, stopped or sent again (reports.py).
3. A token's report is acknowledged only once the machine has decided on it, and always then. So an
   assignment is kept until then, even if its worker was given up: it may come back, and what it
   would forget on our word another leader might assign again.
4. Only a task that had started counts as lost with its worker. In doubt (after a failover, or for
   the oldest `slots` tasks of a dead worker) it counts as started.
5. A worker whose connection has not taken what it was sent gets nothing new; what was handed out to
   it and waits unsent for a lease's time goes to others.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from raftwork.broker.events import unheard
from raftwork.broker.machine import Waiting
from raftwork.broker.placement.eligibility import Eligibility
from raftwork.broker.service_counters import ServiceCounters
from raftwork.broker.workers.announcements import WorkerEvents
from raftwork.broker.workers.attribution import Attribution
from raftwork.broker.workers.deadlocks import Deadlocks
from raftwork.broker.workers.inspection import Inspection
from raftwork.broker.workers.load import find_weights
from raftwork.broker.workers.reports import Reports
from raftwork.broker.workers.table import WorkerTable
from raftwork.broker.workers.task_notes import TaskNotes
from raftwork.broker.workers.worker import ACK_WAITS_BYTES, NEVER, Assignment, Worker
from raftwork.features.checkpoints import KeepCheckpoint
from raftwork.features.effects import CheckpointDecided
from raftwork.features.progress import TellProgress
from raftwork.features.task_log import TellLog
from raftwork.messages import (
    Code,
    Goodbye,
    Heartbeat,
    PushedTask,
    Refused,
    Report,
    WorkerHello,
    WorkerStatus,
    WorkerWelcome,
)
from raftwork.wire import maker

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from random import Random

    from raftwork.broker.events import Event
    from raftwork.broker.machine import Machine, Running
    from raftwork.broker.machine.commands import Command
    from raftwork.features.effects import EnqueuedAndAssigned, Settled, TokenRejected
    from raftwork.messages import About, FromBroker, ToBroker

_pushed, _waiting = maker(PushedTask), maker(Waiting)
#: So long after a failover every worker that is there has said hello, ms.
ALL_HEARD_MS = 3_000
#: Beats to workers: how a dead connection is noticed at the latest (a ROUTER refuses the send).
BEAT_MS = 200
#: … while no worker holds a task: together with the consensus heartbeats at rest.
BEAT_AT_REST_MS = 240
#: Lost workers stay in `status` for so long, ms.
LOST_SHOWN_MS = 60_000
#: What is to be said of tasks besides, where it is nothing.
_NOTHING: Mapping[int, About] = MappingProxyType({})


class WorkerRegistry:
    """All workers of one leadership. Facts in; frames and commands out."""

    def __init__(
        self,
        machine: Machine,
        epoch: int,
        now: int,
        rng: Random,
        writable: Callable[[bytes], bool] = lambda _routing: True,
        tell: Callable[[Event], None] = unheard,
        attempts: bool = False,
        counters: ServiceCounters | None = None,
    ) -> None:
        """`writable(routing)` is whether a connection takes more now; see Setup for `attempts`."""
        self._machine = machine
        self._writable = writable
        self._epoch = epoch
        self._holder: dict[int, Worker] = {}  # of every token that is not over
        self._frames: list[tuple[bytes, FromBroker]] = []
        self._dirty: dict[bytes, Worker] = {}
        self.eligibility = Eligibility(self._has_other_worker)
        self._table = WorkerTable(self.eligibility.left)
        self._workers, self._by_routing = self._table.by_incarnation, self._table.by_routing
        self._attribution = Attribution(machine, self._workers, self.eligibility, rng)
        self._worker_events = WorkerEvents(
            tell, self._attribution.reason, machine.current, attempts=attempts
        )
        self._counters = counters = counters or ServiceCounters()
        self._reports = Reports(machine, self._attribution, self._worker_events, rng, counters)
        self._notes = TaskNotes(machine, epoch, self._holder)
        self.inspection = Inspection(
            *(self._workers, self._holder, self._attribution, self._notes), lambda: self._beaten
        )
        self._deadlocks = Deadlocks(machine, self._workers)
        self._all_heard = False  # every worker had the time to say hello
        #: The cluster's. Others bring forward no deadline that a worker has already.
        self.settings = machine.settings
        #: From when on every worker had the time to say hello.
        self.all_heard_at = now + ALL_HEARD_MS
        #: Those that were passed over because their connections take no more.
        self.congested: list[Worker] = []
        self._beaten = now - BEAT_AT_REST_MS
        self._next_expiry = now + 1_000
        self._give_up_at = NEVER  # of those without a connection, the first
        for running in machine.running():
            lost = Worker(running.worker, now + self.settings.worker_lease)
            worker = self._workers.setdefault(running.worker, lost)
            self._take_over(worker, running)

    def _take_over(self, worker: Worker, running: Running) -> None:
        worker.assignments[running.token] = Assignment.of(running.token, running, known=False)
        worker.busy += 1
        self._holder[running.token] = worker

    # ---- what the dispatcher asks -------------------------------------------------------------

    def available(self) -> list[Worker]:
        """The workers that can be given tasks now and whose connections take more."""
        takers: list[Worker] = []
        self.congested = []
        for worker in self._workers.values():
            if worker.available:
                (takers if self._is_writable(worker) else self.congested).append(worker)
        return takers

    def _is_writable(self, worker: Worker) -> bool:
        """Whether its connection has taken all that it was sent."""
        routing = worker.routing
        return routing is not None and not worker.push.owed and self._writable(routing)

    def _has_other_worker(
        self, queue: str, excluded: frozenset[bytes], *, wait_for_absent: bool
    ) -> bool:
        """See HasOtherWorker."""
        if wait_for_absent and not self._all_heard:
            return True
        others = (w for w in self._workers.values() if w.incarnation not in excluded)
        return any(
            queue in w.queues and w.retained and (wait_for_absent or w.runs_more) for w in others
        )

    def statuses(self) -> list[WorkerStatus]:
        """Every worker that has said hello and not goodbye, for people."""
        now, attribution = self._beaten, self._attribution
        shown = [w for w in self._workers.values() if w.name and not w.left]
        return [w.status(attribution.reason(w, now)) for w in shown]

    def named(self, name: str) -> list[Worker]:
        """Those of this name that may still be at work."""
        return [w for w in self._workers.values() if w.name == name and w.lost is None]

    def drain(self, worker: Worker) -> None:
        """Assign it nothing new, and send it Drain until it says that it drains."""
        worker.leaving = True
        self._dirty[worker.incarnation] = worker

    # ---- frames from workers ------------------------------------------------------------------

    def hello(self, routing: bytes, hello: WorkerHello, now: int) -> None:
        """A worker opens or reopens its session: settle every token it has or should have."""
        worker = self._workers.get(hello.incarnation)
        if worker is None:
            worker = self._table.admit(routing, hello.incarnation, now)
            if worker is None:
                text = f"{len(self._workers)} workers are known here, as many as may be"
                self._frames.append((routing, Refused(0, Code.QUEUE_FULL, text)))
                self._worker_events.refused(hello.name, text)
                return
        elif hello.session <= worker.session:
            return  # an older hello, overtaken
        unsent = self._open_session(worker, routing, hello, now)
        stop = self._reports.settle_hello(worker, hello, unsent, now)
        self._frames.append((routing, WorkerWelcome(self._epoch, worker.session, stop)))
        self._dirty[worker.incarnation] = worker

    def _open_session(
        self, worker: Worker, routing: bytes, hello: WorkerHello, now: int
    ) -> set[int]:
        """Returns the tokens that were not sent to it yet."""
        self.unreachable(routing, now)  # the worker that had this route before
        if worker.routing is not None:
            self._by_routing.pop(worker.routing, None)
        self._by_routing[routing] = worker
        unsent = set(worker.push.clear())
        worker.begin_session(routing, hello)
        worker.deadline, worker.lost = now + self.settings.worker_lease, None
        return unsent

    def heartbeat(self, routing: bytes, beat: Heartbeat, now: int) -> bool:
        """False if there is no such session: the worker must say hello."""
        worker = self._session(routing, beat.session, now)
        if worker is None:
            return False
        worker.window, worker.draining = min(beat.window, 1024), beat.draining
        worker.load_estimate.update(beat, now)
        if worker.acks and worker.draining:
            self._dirty[worker.incarnation] = worker
        return True

    def report(self, routing: bytes, report: Report, now: int, time: int) -> bool:
        """What happened to its tokens; `time` is leader time. False as for `heartbeat`."""
        worker = self._session(routing, report.session, now)
        if worker is None:
            return False
        worker.window = min(report.window, 1024)
        waiting = len(worker.acks)
        self._reports.take(worker, report, now, time)
        if report.waits:
            self._deadlocks.take(worker, report.waits)
        if len(worker.acks) > waiting or worker.hopeless:
            self._dirty[worker.incarnation] = worker
        return True

    def decided(self, effect: TokenRejected | CheckpointDecided) -> None:
        """A report came under a token that is not current; or a checkpoint is kept, or refused."""
        if isinstance(effect, CheckpointDecided):
            self._notes.decided(effect, self._holder.get(effect.token))
        else:
            self._counters.stale_reports += 1
            self.closed(effect.token)

    #: What workers send within their sessions.
    FRAMES: ClassVar[tuple[type[ToBroker], ...]] = (
        *(Report, Heartbeat, Goodbye, KeepCheckpoint, TellProgress, TellLog),
    )

    def receive(self, routing: bytes, frame: ToBroker, now: int, time: int) -> bool:
        """One of FRAMES; `time` is leader time. False as for `heartbeat`."""
        match frame:
            case Report():
                return self.report(routing, frame, now, time)
            case Heartbeat():
                return self.heartbeat(routing, frame, now)
            case Goodbye():
                return self.goodbye(routing, frame.session, now, lost=frame.lost)
            case KeepCheckpoint() | TellProgress() | TellLog():
                worker = self._session(routing, frame.session, now)
                if worker is not None:
                    self._notes.take(worker, frame, time)
                return worker is not None
        raise AssertionError(f"{type(frame).__name__} is no worker's")

    def goodbye(self, routing: bytes, session: int, now: int, *, lost: bool = False) -> bool:
        """The worker leaves, or is `lost`: its tasks go to others. False as for `heartbeat`."""
        worker = self._session(routing, session, now)
        if worker is None:
            return False
        self._give_up(worker, now)
        worker.left, worker.killed = not lost, lost
        return True

    def unreachable(self, routing: bytes, now: int) -> None:
        """Its connection is closed: it gets nothing new and has little time to come back."""
        worker = self._by_routing.pop(routing, None)
        if worker is not None:
            worker.routing = None
            worker.deadline = min(worker.deadline, now + self.settings.worker_reconnect)
            self._give_up_at = min(self._give_up_at, worker.deadline + 1)

    def start_over(self, routing: bytes) -> None:
        """A frame of this worker could not be handled: drop all that may be half done.

        What it holds is read from the machine, as after a failover. Its lease goes on: it does not
        know that it has to say hello again until it says something else.
        """
        worker = self._by_routing.pop(routing, None)
        if worker is None:
            return
        for token in worker.assignments:
            self._holder.pop(token, None)
        worker.start_over()
        for running in self._machine.running():
            if running.worker == worker.incarnation:
                self._take_over(worker, running)

    def _session(self, routing: bytes, session: int, now: int) -> Worker | None:
        worker = self._by_routing.get(routing)
        if worker is None or worker.session != session:
            return None
        worker.deadline = now + self.settings.worker_lease
        return worker

    # ---- what the machine decided -------------------------------------------------------------

    def hand_out(self, tasks: Sequence[tuple[Worker, Waiting, int, int]]) -> None:
        """An Assign was applied: each task is this worker's, under this token, in this attempt."""
        about = self._about([task for _, task, *_ in tasks if task.flags or task.key])
        for worker, task, token, attempt in tasks:
            self._hand_out(worker, task, token, attempt, about.get(task.seq))

    def _hand_out(
        self, worker: Worker, task: Waiting, token: int, attempt: int, about: About | None
    ) -> None:
        if worker.lost is not None or self._workers.get(worker.incarnation) is not worker:
            worker.busy -= 1
            self._reports.lose([(token, False)])  # it left meanwhile; nothing was sent
            return
        worker.assignments[token] = Assignment.of(token, task, known=True)
        self._holder[token] = worker
        worker.push.add(_pushed((token, task.id, attempt, task.spec, task.payload, about)))
        self._dirty[worker.incarnation] = worker

    def unreserve(self, begin: list[tuple[bytes, int]]) -> None:
        """An Admit that named these workers is applied: its tasks follow as EnqueuedAndAssigned."""
        for incarnation, count in begin:
            worker = self._workers.get(incarnation)
            if worker is not None:
                worker.busy -= count

    def begun(self, effect: EnqueuedAndAssigned) -> None:
        """New tasks were handed out with their enqueue."""
        worker = self._workers.get(effect.worker)
        if worker is None:
            self._reports.lose([(token, False) for token, *_ in effect.tasks])
            return
        worker.busy += len(effect.tasks)
        for token, seq, id_, payload in effect.tasks:
            task = _waiting((seq, id_, effect.spec, payload, 1, 0, "", 0, 0, 0))
            self._hand_out(worker, task, token, 1, None)

    def cancel(self, token: int) -> None:
        """The code under this token is asked to end."""
        worker = self._holder.get(token)
        if worker is None:
            return
        assignment = worker.assignments[token]
        assignment.cancelling = True
        if worker.routing is not None and not assignment.done:
            worker.cancels.append(token)
            self._dirty[worker.incarnation] = worker

    def settled(self, effect: Settled) -> None:
        """A task has its outcome."""
        self._attribution.settled(effect, self._holder.get(effect.token))
        self.closed(effect.token, waits=len(effect.data) <= ACK_WAITS_BYTES)

    def closed(self, token: int, *, waits: bool = False) -> None:
        """The token is over, whatever its end: acknowledge the report, or stop the code.

        An acknowledgement that `waits` leaves with the next task or beat: by itself it would wake
        the worker once more, and all that hangs on it is what the worker remembers.
        """
        worker = self._holder.pop(token, None)
        if worker is None:
            return
        self._notes.closed(token)
        assignment = worker.assignments.pop(token)
        if assignment.done:
            worker.acks.append(token)
            if waits and not worker.hurries:
                return
        else:
            worker.ends(assignment)
            worker.stops.append(token)
        self._dirty[worker.incarnation] = worker

    # ---- time ---------------------------------------------------------------------------------

    def pass_time(self, now: int, time: int) -> bool:
        """Leases, beats, weights and time limits. Called every turn; cheap until something is due.

        Whether a worker may now be given what it could not before.
        """
        needs_plan = any(map(self._is_writable, self.congested))
        if now >= self.wake_at:
            self._beaten = now
            for worker in list(self._workers.values()):
                self._check_lease(worker, now)
                self._check_writable(worker, now)
                needs_plan = worker.breaker.pass_time(now) or needs_plan
                self._worker_events.look(worker, now)
                if worker.routing is not None:
                    worker.beat_due = True
                    self._dirty[worker.incarnation] = worker
            for worker in self._deadlocks.look():
                self._dirty[worker.incarnation] = worker
            self._give_up_at = min((w.give_up_at for w in self._workers.values()), default=NEVER)
            self._all_heard = now >= self.all_heard_at
            # Eligibility changes with time, and with the workers that are there.
            limited = find_weights(self.available(), self._workers, self.eligibility, now)
            needs_plan = limited or bool(self.eligibility) or needs_plan
        if now >= self._next_expiry:
            self._next_expiry = now + 1_000
            for worker in self._workers.values():
                self._reports.expire(worker, now, time)
        return needs_plan

    @property
    def wake_at(self) -> int:
        """When the next beats are due; at rest with the broker's other timers.

        Earlier if the time of a worker whose connection is closed is over: others wait to begin.
        """
        if self._holder:
            return min(self._beaten + BEAT_MS, self._give_up_at)
        return self._beaten - self._beaten % BEAT_AT_REST_MS + BEAT_AT_REST_MS

    def extend_leases(self, gap: int, now: int) -> None:
        """The leader itself was away for `gap` ms: no worker's silence in it counts."""
        self.all_heard_at += gap
        latest = now + self.settings.worker_lease
        for worker in self._workers.values():
            worker.deadline = max(worker.deadline, min(worker.deadline + gap, latest))

    def _check_lease(self, worker: Worker, now: int) -> None:
        if worker.lost is None:
            if now > worker.deadline:
                self._give_up(worker, now)
        elif now - worker.lost > LOST_SHOWN_MS and not worker.assignments:
            self._table.remove(worker)

    def _check_writable(self, worker: Worker, now: int) -> None:
        """What its connection does not take for a lease's time goes to others: it never arrived."""
        if not worker.push.owed or worker.routing is None or self._writable(worker.routing):
            worker.full_since = None
        elif worker.full_since is None:
            worker.full_since = now
        elif now - worker.full_since > self.settings.worker_lease:
            tokens = [token for token in worker.push.clear() if token in worker.assignments]
            self._worker_events.taken_back(worker, len(tokens))
            self._reports.release(worker, tokens)

    def _give_up(self, worker: Worker, now: int) -> None:
        worker.lost = now
        if worker.routing is not None:
            self._by_routing.pop(worker.routing, None)
            worker.routing = None
        tokens: list[tuple[int, bool]] = []
        for token, started in worker.presumed_started():
            assignment = worker.assignments[token]
            if assignment.undecided:
                assignment.lost = True
                tokens.append((token, started))
        worker.push.clear()
        if tokens:
            self._reports.lose_all(worker, tokens, self._notes.logs.last_lines)

    # ---- out ----------------------------------------------------------------------------------

    @property
    def has_commands(self) -> bool:
        """Whether there is anything in `notes` or `commands`."""
        return bool(self._notes.wanted) or self._reports.has_commands

    def commands(self) -> list[Command]:
        """What to propose, drained: checkpoints before the ends of their attempts."""
        return [*self._notes.commands(), *self._reports.commands()]

    def notes(self) -> Sequence[Command]:
        """What goes into the log before them, drained: see Reports."""
        return self._reports.notes()

    def frames(self) -> Iterable[tuple[bytes, FromBroker]]:
        """What to send, drained: (routing id, message)."""
        out, self._frames = self._frames + self._notes.frames(), []
        if not self._dirty:
            return out
        for worker in self._dirty.values():
            if worker.routing is not None:
                writable = self._writable(worker.routing)
                pending = worker.pending(self._epoch, self._read, writable=writable)
                out.extend((worker.routing, message) for message in pending)
        self._dirty = {i: w for i, w in self._dirty.items() if w.push.owed and w.routing}
        return out

    @property
    def waiting(self) -> bool:
        """Whether tasks wait for a connection to drain."""
        return bool(self._dirty)

    def _read(self, owed: deque[int]) -> list[PushedTask]:
        """What to push under the next token; nothing if that is over."""
        token = owed.popleft()
        task = self._machine.running_body(token)
        if task is None:
            return []
        about = self._about([task] if task.flags or task.key else [])
        return [
            PushedTask(token, task.id, task.attempt, task.spec, task.payload, about.get(task.seq))
        ]

    def _about(self, tasks: Sequence[Waiting]) -> Mapping[int, About]:
        return self._machine.about(tasks) if tasks else _NOTHING
