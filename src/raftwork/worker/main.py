"""`raftwork worker` as a process: sockets, signals and the clock around agent and pool.

One loop, one thread (the async pool's own event loop excepted). Sockets never block and never
linger: what a dead broker did not take is void, and the agent sends it again to the next.

A turn looks at what stirred and at nothing else: a task of a moment takes three turns, one as it
comes, one as it ends and one as that is acknowledged, and each looks into the pool or at a socket.
"""

import asyncio
import errno
import logging
import os
import resource
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import TypedDict

import zmq

from raftwork.errors import BadMessage, HookFailed, PoolBroken
from raftwork.features import from_broker, to_broker
from raftwork.features.schedule_records import DeclareSchedules
from raftwork.hooks import Hooks
from raftwork.logs import pass_time, speak_for
from raftwork.messages import (
    FRAME_BYTES_MAX,
    Drain,
    FromBroker,
    Refused,
)
from raftwork.net.links import LinkOptions, Links
from raftwork.net.resolving import LookUp, look_up
from raftwork.standard_streams import flush
from raftwork.worker.agent import Agent, Identity, Turn
from raftwork.worker.blocked_tasks import notice_waits
from raftwork.worker.context import carry_into_threads
from raftwork.worker.declaring import Declaring
from raftwork.worker.events import (
    BrokerTrouble,
    GraceOver,
    HostKnown,
    HostUnknown,
    NothingRegistered,
    SlotsChanged,
    StopsAtOnce,
    ToldToDrain,
    WorkerStopped,
    started,
)
from raftwork.worker.executor_calls import served
from raftwork.worker.hook_calls import hooked, start, stop
from raftwork.worker.killed_worker_notice import send_notice
from raftwork.worker.loader import functions
from raftwork.worker.machine_load import Sampler, usable_cpus
from raftwork.worker.pool import Pool
from raftwork.worker.pool.coroutine import AsyncPool, run_beside
from raftwork.worker.pool.engine import EnginePool, Make
from raftwork.worker.pool.process import ProcessPool
from raftwork.worker.pool.recycling import NEVER, Recycling
from raftwork.worker.pool.thread import ThreadPool
from raftwork.worker.runner import Registry
from raftwork.worker.signals import obeyed
from raftwork.worker.task_logging import TaskLog, tell, tell_declared
from raftwork.worker.task_logs import keep_last_lines, name_tasks
from raftwork.worker.task_notes import Courier
from raftwork.worker.typed_tasks import typed

log = logging.getLogger("raftwork.worker")

#: After a turn that brought several things to a worker with more tasks than can run at once, the
#: next waits so long, s, that bursts become batches. No task that could run waits for that.
_PAUSE_S = 0.001
#: The pool is asked for what ended at least so often, ms, if there are turns: some of what it does
#: comes with time alone.
_COLLECT_MS = 100
#: Between looks at what only time brings about in the shell itself, ms.
_CHORES_MS = 20
#: Frames libzmq reads ahead from one broker: each may be large, and they wait better at the broker.
_RECEIVE_MESSAGES = 16
#: Frames read from one broker in one turn: the pool and the clock must get their turn too.
_TURN_FRAMES = 256
#: Between two complaints about what brokers say, at least, ms: they must not fill the disk with it.
_COMPLAIN_MS = 1_000
#: How long the last frames may take to leave, ms.
_FLUSH_MS = 250
#: Between two samples of the load, at least, ms: over less, ticks of 10 ms are too coarse.
_SAMPLE_MS = 500
#: Seconds for coroutines that were cancelled to end, once all other work is done.
_FAREWELL_S = 1.0
_NEVER = 2**62
#: Errors of an operating system without any more files or processes for us.
_SHORT = (errno.EMFILE, errno.ENFILE, errno.EAGAIN)


class WorkerOptions(TypedDict):
    """What is the same for a Worker over any pool."""

    grace: float | None
    declared: Sequence[DeclareSchedules]


def now_ms() -> int:
    """Milliseconds on the monotonic clock."""
    return time.monotonic_ns() // 1_000_000


class Worker:
    """The loop. `run` returns once the agent is finished; `interrupt` may come from a signal."""

    def __init__(
        self,
        identity: Identity,
        brokers: Sequence[str],
        pool: Pool,
        *,
        grace: float | None = None,
        look_up: LookUp = look_up,
        declared: Sequence[DeclareSchedules] = (),
    ) -> None:
        self._pool = pool
        self._verbose = log.isEnabledFor(logging.DEBUG)
        self._agent = Agent(
            identity, brokers, pool.slots, now_ms(), Random(), tell_all=self._verbose
        )
        self._courier = Courier(self._agent.session)
        self._declaring = Declaring(declared, self._agent.session)
        self._task_log = TaskLog(now_ms())
        self._grace = grace  # s, from the first signal to what a second would do
        self._halt_at = _NEVER
        self._sampler = Sampler()
        self._links = Links(
            look_up,
            LinkOptions(
                FRAME_BYTES_MAX,
                reconnect_ms=50 + secrets.randbelow(50),  # many workers lose a broker at once
                receive_messages=_RECEIVE_MESSAGES,
                turn_frames=_TURN_FRAMES,
            ),
        )
        self._interrupts = 0
        self._heeded = 0
        self._complain_at = now_ms()
        self._in, self._out = socket.socketpair()
        self._in.setblocking(False)
        self._out.setblocking(False)
        self._pool_wakers = set(pool.wakers)
        self._watched = len(pool.wakers)
        self._collect_at = self._chores_at = now_ms()
        for waker in (self._in.fileno(), *pool.wakers):
            self._links.watch(waker)
        for address in brokers:
            self._links.connect(address, now_ms())

    def interrupt(self) -> None:
        """The first time: drain. The second time: stop at once."""
        self._interrupts += 1
        with suppress(OSError):
            self._out.send(b"\0")

    @property
    def halted(self) -> bool:
        """Whether it was a second signal that ended it."""
        return self._heeded > 1

    def run(self) -> None:
        """Work until drained or stopped. Raises PoolBroken."""
        try:
            while not self._agent.finished:
                self._turn()
        except PoolBroken:
            self._send(self._agent.halt(now_ms()))
            raise
        finally:
            self._close()

    def _turn(self) -> None:
        agent = self._agent
        wake = min(agent.wake_at, self._halt_at)
        ready = self._links.poll(max(0, wake - now_ms()))
        now = now_ms()
        if (self._interrupts > self._heeded or now >= self._halt_at) and self._heed(now):
            return
        came = self._receive(ready, now)
        if now >= self._collect_at or now >= agent.look_at:
            came += self._collect(now)
        if now >= agent.look_at:
            agent.look(self._pool.running(), self._pool.slots, now)
        if now >= agent.heartbeat_at and now - self._sampler.sampled_at >= _SAMPLE_MS:
            self._sample(now)
        self._perform(agent.turn(now))
        self._carry_notes(now)
        if now >= self._chores_at:
            self._chores(now)
        if came > 1 and agent.saturated and not agent.finished:
            time.sleep(_PAUSE_S)

    def _collect(self, now: int) -> int:
        """Hand what ended to the agent; how many tasks."""
        self._collect_at = now + _COLLECT_MS
        agent, pool = self._agent, self._pool
        ends = pool.collect()
        self._courier.asked(pool.notes.asked(), now)
        if ends:
            self._courier.forget([end.outcome.token for end in ends])
        agent.ended(ends, now)
        waits = pool.waiting()
        if waits or agent.waits:
            agent.waiting(waits, now)
        for waker in pool.wakers[self._watched :]:  # a slot was lent
            self._links.watch(waker)
            self._pool_wakers.add(waker)
        self._watched = len(pool.wakers)
        slots = pool.slots
        if slots != agent.slots:
            tell(SlotsChanged(slots, agent.slots))
            agent.look_at = now
        return len(ends)

    def _sample(self, now: int) -> None:
        agent, pool = self._agent, self._pool
        agent.sample(self._sampler.sample(now))
        self._task_log.slots(pool.running(), pool.slots, agent.unfinished(), now)

    def _chores(self, now: int) -> None:
        """What need not be done in a turn that only brought a task, or its end."""
        self._chores_at = now + _CHORES_MS
        links, agent = self._links, self._agent
        links.tend(now)
        for address, text in links.unopened():
            if text:
                self._complain(f"broker {address}: {text}", now)
        for address, text in links.unresolved():
            tell(HostUnknown(address, text) if text else HostKnown(address))
        self._task_log.look(agent.session, now)
        if agent.draining and now >= self._task_log.list_at:
            self._task_log.unfinished(agent.unfinished(), now)
        pass_time()

    def _heed(self, now: int) -> bool:
        """Act on new signals; True if that ended the worker."""
        with suppress(BlockingIOError):
            self._in.recv(64)
        self._heeded = self._interrupts
        if now >= self._halt_at:
            tell(GraceOver(self._grace or 0))
            self._heeded = 2
        if self._heeded > 1:
            tell(StopsAtOnce())
            self._perform(self._agent.halt(now))
            return True
        if self._grace is not None:
            self._halt_at = now + round(self._grace * 1000)
        self._agent.drain(now)
        return False

    def _receive(self, ready: Sequence[object], now: int) -> int:
        """Hand what arrived to the agent; how many frames. Notes who else has something."""
        count = 0
        for each in ready:
            if each in self._pool_wakers:
                self._collect_at = now
                continue
            if type(each) is int:
                self._chores_at = now  # a host was looked up
                continue
            for address, made in self._links.changes(each, now):
                self._changed(address, made, now)
                self._chores_at = now
            for address, frame in self._links.frames(each):
                count += 1
                self._read(address, frame, now)
        return count

    def _changed(self, address: str, made: bool, now: int) -> None:
        self._task_log.link(address, made=made)
        if made:
            self._agent.link_made(address, now)
        else:
            self._agent.link_lost(address, now)

    def _read(self, source: str, frame: bytes, now: int) -> None:
        try:
            message: FromBroker = from_broker.decode(frame)
        except BadMessage as error:
            self._complain(f"bad frame from {source}: {error}", now)
            return
        if isinstance(message, Refused):
            self._complain(f"refused by {source}: {message.text:.300}", now)
        elif isinstance(message, Drain):
            tell(ToldToDrain(source))
        tell_declared(self._declaring.answered(message, now))
        self._agent.receive(source, message, now)

    def _carry_notes(self, now: int) -> None:
        """What tasks say of themselves goes to the leader, and its verdicts to them."""
        agent, courier, leader = self._agent, self._courier, self._agent.session.leader
        if agent.verdicts:
            courier.answered(agent.verdicts, self._pool.notes)
        if now >= courier.look_at:
            said = self._pool.notes.said()
            courier.said([note for note in said if agent.holds(note.token)], now)
        notes = courier.turn(now) + self._declaring.turn(now)
        if notes and leader is not None:
            sent = [self._links.send(leader, to_broker.encode(note)) for note in notes]
            if not all(sent):
                self._agent.link_lost(leader, now)

    def _complain(self, text: str, now: int) -> None:
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAIN_MS
            tell(BrokerTrouble(text))

    def _perform(self, turn: Turn) -> None:
        pool = self._pool
        if turn.ends:
            self._task_log.ended(turn.ends)
        if turn.send:
            self._send(turn)
        if turn.start:
            if self._verbose:
                self._task_log.given(turn.start)
            pool.start(turn.start)
        if turn.stop:
            pool.stop(turn.stop)
            self._courier.forget(turn.stop, pool.notes)
            self._collect_at = now_ms()  # there may be fewer slots now
        if turn.hopeless:
            pool.end_waits(turn.hopeless)
        if self._agent.draining:
            pool.drain()
        if turn.cancel:
            self._agent.unstarted(pool.cancel(turn.cancel))
        if turn.withdraw:
            self._agent.withdrawn(pool.withdraw())
        if turn.withdraw or turn.cancel:
            self._perform(self._agent.turn(now_ms()))

    def _send(self, turn: Turn) -> None:
        now = now_ms()
        for address, message in turn.send:
            self._links.connect(address, now)
            if not self._links.send(address, to_broker.encode(message)):
                self._agent.link_lost(address, now)

    def _close(self) -> None:
        self._pool.close()
        self._links.close(_FLUSH_MS)
        self._in.close()
        self._out.close()


def run_worker(
    registry: Mapping[str, Callable[..., object]],
    *,
    brokers: Sequence[str],
    concurrency: int | None = None,
    pool: str = "process",
    queues: Sequence[str] = ("default",),
    name: str | None = None,
    app_target: str = "",
    recycling: Recycling = NEVER,
    hooks: Hooks | None = None,
    grace: float | None = None,
    declared: Sequence[DeclareSchedules] = (),
    pickles: bool = False,
    engine: Make | None = None,
) -> int:
    """Run tasks until SIGTERM or SIGINT has drained the worker; returns the exit status.

    `registry` maps task names to Tasks or plain callables; `brokers` are "HOST:PORT". Call it from
    the main thread, before anything else has started threads: the process pool forks here. A second
    signal ends the process from inside, with status 0: no thread or exit handler of a task may
    delay that; so does the first one's passing by `grace` seconds. `declared` are schedules to be
    created where missing. See executor_calls.py for `pickles`, pool/engine.py for `engine`.
    """
    host, pid, mark = socket.gethostname(), os.getpid(), secrets.token_bytes(16)
    identity = Identity(name or f"{host}-{pid}", mark, host, pid, tuple(queues))
    slots, hooks = concurrency or usable_cpus(), hooks or Hooks()
    tasks = typed(hooked(functions(registry), hooks), registry)
    speak_for(identity.name)
    facts = identity.name, app_target, pool, slots, identity.queues, tuple(brokers), list(tasks)
    tell(started(*facts, pid))
    if not tasks:
        tell(NothingRegistered(app_target))
    _prepare(brokers)
    tasks = {**tasks, **served(app_target, pickles=pickles)}
    of = WorkerOptions(grace=grace, declared=declared)
    try:
        match pool:
            case "process":
                _run_processes(identity, brokers, tasks, slots, recycling, hooks, of)
            case "thread":
                _start_here(hooks)
                _run(Worker(identity, brokers, ThreadPool(tasks, identity.name, slots), **of))
            case "executor" if engine is not None:
                start(hooks.worker_start, "on_worker_start")
                elsewhere = EnginePool(engine, app_target, brokers, identity.name, slots)
                _run(Worker(identity, brokers, elsewhere, **of))
            case "async":
                _start_here(hooks)
                _run_async(identity, brokers, tasks, slots, of)
            case _:
                raise ValueError(f"no pool is called {pool!r}, or it needs more than that")
    except (PoolBroken, HookFailed, OSError, zmq.ZMQError) as error:
        if (why := _why(error, slots)) is not None:
            log.critical("%s", why)
            return 1
        raise
    stop(hooks, runs_here=pool in ("thread", "async"))
    tell(WorkerStopped(identity.name))
    return 0


def _prepare(brokers: Sequence[str]) -> None:
    """Of this process, before any of its tasks runs."""
    carry_into_threads()
    keep_last_lines()
    name_tasks()
    notice_waits(brokers)


def _why(error: Exception, slots: int) -> str | None:
    """Why the worker ended, if more is known than the traceback."""
    if isinstance(error, PoolBroken | HookFailed):
        return str(error)
    if not isinstance(error, OSError | zmq.ZMQError) or error.errno not in _SHORT:
        return None
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        f"cannot start {slots} slots: {error.strerror}; this process may open {files} files, and a"
        " slot takes up to two: lower --concurrency, or raise the limit (ulimit -n)"
    )


def _start_here(hooks: Hooks) -> None:
    """This process is the worker's, and the one that runs tasks."""
    start(hooks.worker_start, "on_worker_start")
    start(hooks.child_start, "on_child_start")


def _run_processes(
    identity: Identity,
    brokers: Sequence[str],
    tasks: Registry,
    slots: int,
    recycling: Recycling,
    hooks: Hooks,
    of: WorkerOptions,
) -> None:
    killed_notice = partial(send_notice, identity, brokers)
    pool = ProcessPool(tasks, identity.name, slots, recycling, hooks, killed_notice)
    try:
        # Only now: what it opens or starts must not be shared with children, or dead in them.
        start(hooks.worker_start, "on_worker_start")
    except HookFailed:
        pool.close()
        raise
    _run(Worker(identity, brokers, pool, **of))


def _run(worker: Worker) -> None:
    with obeyed(worker.interrupt):
        worker.run()
    if worker.halted:
        _leave()


def _run_async(
    identity: Identity, brokers: Sequence[str], tasks: Registry, slots: int, of: WorkerOptions
) -> None:
    loop = asyncio.new_event_loop()
    worker = Worker(identity, brokers, AsyncPool(tasks, identity.name, slots, loop), **of)
    # A coroutine that refuses to be cancelled would keep the loop, and us, for ever.
    farewell = threading.Timer(_FAREWELL_S, _leave)
    farewell.daemon = True

    def work() -> None:
        """Runs in a thread of its own: a coroutine may block the loop for ever."""
        worker.run()
        if worker.halted:
            _leave()
        farewell.start()

    with obeyed(worker.interrupt):
        run_beside(loop, work)
    farewell.cancel()


def _leave() -> None:
    """End the process from inside, with status 0."""
    logging.shutdown()
    flush()
    os._exit(0)
