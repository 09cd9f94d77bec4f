"""A cluster of one broker inside this process: the machine and the leader, without log and sockets.

1. It is the same code that a broker runs, from a request's bytes to the frames that answer it.
   Missing are consensus (there is nobody to agree with), the network and the disk.
2. Time is virtual: it stands still until `advance`, and then jumps from one instant at which
   something is due to the next.
3. Any thread may come in. While the code of a task runs nothing is held, so it may come in, too.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import fields
from itertools import count
from random import Random
from typing import Protocol, TypeAlias, cast

import apsw

from raftwork.broker.leader.leadership import Leadership
from raftwork.broker.machine import ClusterSettings, Machine, create_or_migrate
from raftwork.broker.machine.commands import TIME_MAX
from raftwork.broker.machine.state import NEVER
from raftwork.broker.workers.inspection import Inspection
from raftwork.consensus.core import Position
from raftwork.errors import REFUSALS, AppClosed, RaftworkError
from raftwork.features import from_broker, to_broker
from raftwork.messages import FromBroker, Ping, Refused, Result, ToBroker, WorkerHello
from raftwork.messages.request import Request
from raftwork.release import LEVELS
from raftwork.worker.context import task_of_this_code

#: Who asks, as the leader sees it.
_CLIENT = b"client"
#: The name of every worker here.
WORKER_NAME = "raftwork_app"
#: So long, in ms, every worker has had the time to say hello.
_SETTLED_MS = 10_000

#: What becomes of a request: its answer, or its refusal.
Answered: TypeAlias = Callable[[object | RaftworkError], None]

#: The workers in whose tasks' code this code is: theirs, that of a task they wait for, and so on.
_inside: ContextVar[tuple[bytes, ...]] = ContextVar("raftwork_inside", default=())


class Connected(Protocol):
    """A worker, as the cluster sees it."""

    def receive(self, frame: FromBroker) -> None:
        """A frame of the leader."""
        ...

    def turn(self) -> bool:
        """Whether it had something to send, or to do."""
        ...


class _Log:
    """A log that keeps entries until they are applied, at once."""

    def __init__(self) -> None:
        self.entries: list[tuple[Position, bytes]] = []
        self.barriers: list[int] = []
        self._numbers = count(1)

    def propose(self, data: bytes, now: int) -> Position:  # noqa: ARG002
        """See `Log.propose`."""
        at = Position(1, next(self._numbers))
        self.entries.append((at, data))
        return at

    def barrier(self, token: int, now: int) -> None:  # noqa: ARG002
        """See `Log.barrier`."""
        self.barriers.append(token)

    def transfer(self, now: int, to: str) -> None:
        """See `Log.transfer`: nobody else is there."""


class _OneWorker(Inspection):
    """A worker is there only while tasks run; but nobody is to see that."""

    def takers(self, queue: str) -> list[str]:  # noqa: ARG002 - it serves all of them
        return [WORKER_NAME]


class VirtualCluster:
    """The queues, their leader, and their time."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        #: Notified when something has happened.
        self.changed = threading.Condition(self.lock)
        #: Grows with every request, and whenever a worker has run something.
        self.happened = 0
        #: The workers that are at work: under which token, and inside whose tasks.
        self._running: dict[bytes, tuple[int, tuple[bytes, ...]]] = {}
        self._waits: Counter[bytes] = Counter()
        #: ms on the leader's monotonic clock, and what to add for ms since 1970.
        self.now = 0
        self._epoch = time.time_ns() // 1_000_000 - _SETTLED_MS
        self._closed = False
        self._db = apsw.Connection(":memory:")
        create_or_migrate(self._db, ClusterSettings(), LEVELS.most)
        self._db.execute("BEGIN")  # never committed: nobody else looks, and there is no disk
        self._machine = Machine(self._db)
        self._log = _Log()
        self._leader = Leadership(
            *(self._machine, self._log, "round_robin", Random(0)),
            epoch=1,
            time=self._epoch,
            now=0,
            wall=lambda now: self._epoch + now,
        )
        workers = self._leader.workers
        known = workers.inspection
        workers.inspection = _OneWorker(*(getattr(known, each.name) for each in fields(known)))
        self._numbers = count(1)
        self._asked: dict[int, tuple[type[object], Answered]] = {}
        self._workers: dict[bytes, Connected] = {}
        self._entered = 0
        #: The id, the packed Spec and the payload of each task that entered, in their order.
        self.entered: list[tuple[str, bytes, bytes]] = []
        self.settle()
        self.now = _SETTLED_MS
        self.settle()

    def close(self) -> None:
        """Free the tables. Threads that a test has left may ask at this moment, and later."""
        with self.lock:
            self._closed = True
            self._db.close()

    @property
    def time(self) -> int:
        """Virtual time, ms since 1970."""
        return self._epoch + self.now

    # ---- clients --------------------------------------------------------------------------------

    def ask(self, request: Request, reply: type[object], answered: Answered) -> None:
        """Send the leader a request; `answered` is called with its answer, now or later."""
        with self.lock:
            if self._closed:
                raise AppClosed("the test that this App belonged to is over")
            self.happened += 1
            self.settle()  # what code that runs now has said of itself
            number = next(self._numbers)
            record = request._replace(request=number)
            if "created" in getattr(record, "_fields", ()):
                record = cast("Request", getattr(record, "_replace")(created=self.time))  # noqa: B009
            frame = to_broker.encode(cast("ToBroker", record))
            self._asked[number] = reply, answered
            self._leader.request(_CLIENT, to_broker.decode(frame), len(frame), self.now)
            self.settle()

    def outcome(self, task: str) -> Result:
        """A task's state, with its value once it has one."""
        with self.lock:
            return self._machine.lookup([task])[0]

    # ---- workers --------------------------------------------------------------------------------

    def join(self, route: bytes, worker: Connected) -> None:
        """A worker is reached by this route from now on."""
        self._workers[route] = worker

    def leave(self, route: bytes) -> None:
        """Its connection is closed."""
        del self._workers[route]
        self._leader.gone(route, self.now)

    def send(self, route: bytes, frame: ToBroker) -> None:
        """A frame of a worker."""
        message, leader = to_broker.decode(to_broker.encode(frame)), self._leader
        if isinstance(message, Ping):
            return  # it has heard nothing for long, as time jumped; and the leader is the same
        if isinstance(message, WorkerHello):
            leader.workers.hello(route, message, self.now)
        else:
            leader.workers.receive(route, message, self.now, leader.time(self.now))
        leader.capacity_changed()

    @property
    def queues(self) -> tuple[str, ...]:
        """Every queue that was ever used."""
        return tuple(queue.name for queue in self._machine.queues())

    @property
    def waits(self) -> bool:
        """Whether tasks wait in a queue."""
        return any(queue.queued for queue in self._machine.queues())

    # ---- time -----------------------------------------------------------------------------------

    @property
    def due(self) -> int | None:
        """When something is due next, ms of virtual time: of tasks, or a schedule's tick."""
        due, chores = self._machine.due, self._leader._chores_at  # noqa: SLF001
        if chores > TIME_MAX:  # there is none to be done
            return due
        return chores if due is None else min(due, chores)

    @property
    def only_schedules_go_on(self) -> bool:
        """Whether no task waits for a time, so that nothing but a tick comes of more of that."""
        state = self._machine.state
        return min(state.next_retry, state.next_start, state.next_timer) == NEVER

    def jump(self, to: int) -> None:
        """It is that time now (ms since 1970), and what was due then is done."""
        with self.lock:
            gap = max(0, to - self.time)
            self.now += gap
            self._leader.workers.extend_leases(gap, self.now)
            self.settle()

    def settle(self) -> None:
        """Plan, apply and deliver until nothing more happens at this instant."""
        with self.lock:
            while self._step() or self._workers_turn():
                pass
            self.changed.notify_all()

    def _workers_turn(self) -> bool:
        turns = [worker.turn() for worker in list(self._workers.values())]
        return any(turns)

    # ---- code that runs -------------------------------------------------------------------------

    def begin(self, route: bytes) -> Token[tuple[bytes, ...]]:
        """This code is a worker's from here on, and that of its tasks."""
        with self.lock:
            inside = (*self._around_me(), route)
            self._running[route] = 0, inside
        return _inside.set(inside)

    def runs(self, route: bytes, token: int) -> None:
        """It runs the task under this token."""
        with self.lock:
            self._running[route] = token, self._running[route][1]
            self.happened += 1

    def end(self, route: bytes, before: Token[tuple[bytes, ...]]) -> None:
        """It is over, and all that it had to say is said."""
        _inside.reset(before)
        with self.lock:
            self.happened += self._running.pop(route)[0] > 0
            self.changed.notify_all()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within the block the code that this is part of waits for an outcome."""
        mine = self._around_me()
        with self.lock:
            self._waits.update(mine)
        try:
            yield
        finally:
            with self.lock:
                self._waits.subtract(mine)

    def await_others(self, longest: float) -> bool:
        """Wait, up to so many seconds, for workers in other threads; whether one got on."""
        with self.changed:
            mine = self._around_me()
            active = [r for r in self._running if r not in mine and self._waits[r] <= 0]
            return bool(active) and self.changed.wait(longest)

    def _around_me(self) -> tuple[bytes, ...]:
        """The workers in whose tasks' code this is, also in a thread that a task has started."""
        inside, task = _inside.get(), task_of_this_code()
        if inside or task is None:
            return inside
        for token, its in self._running.values():
            if token == task.token:
                return its
        return ()

    # ---- inside ---------------------------------------------------------------------------------

    def _step(self) -> bool:
        leader = self._leader
        if leader.waiting:
            self.now += 1  # a large change goes on in the next turn
        leader.plan(self.now)
        entries, self._log.entries = self._log.entries, []
        for at, data in entries:
            applied = self._machine.apply(data)
            self._see()
            leader.applied(at, applied)
        barriers, self._log.barriers = self._log.barriers, []
        for token in barriers:
            leader.read_ready(token)
        frames = leader.frames()
        for routing, message in frames:
            if routing == _CLIENT:
                self._answer(message)
            elif (worker := self._workers.get(routing)) is not None:
                worker.receive(from_broker.decode(from_broker.encode(message)))
        return bool(entries or barriers or frames or leader.waiting)

    def _see(self) -> None:
        """Note the tasks that the last entry brought, whichever capability made them."""
        rows = self._db.execute(
            "SELECT seq, id, spec, body FROM task WHERE seq > ? ORDER BY seq", (self._entered,)
        )
        for seq, id_, spec, body in rows:
            self._entered = cast("int", seq)
            self.entered.append((str(id_), cast("bytes", spec), cast("bytes", body)))

    def _answer(self, message: FromBroker) -> None:
        number = getattr(message, "request", 0)
        reply, answered = self._asked.get(number, (None, None))
        if reply is None or answered is None:
            return
        if isinstance(message, Refused):
            del self._asked[number]
            answered(REFUSALS[message.code](message.text))
        elif type(message) is reply:
            del self._asked[number]
            answered(message)
