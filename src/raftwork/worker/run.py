"""`raftwork worker` as a process: its pool, its signals, and how it says why it ended."""

import asyncio
import errno
import logging
import os
import resource
import secrets
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import zmq

from raftwork.errors import HookFailed, PermissionDenied, PoolBroken
from raftwork.features.schedule_records import DeclareSchedules
from raftwork.hooks import Hooks
from raftwork.keys import Key
from raftwork.logs import speak_for
from raftwork.sealing import Codec
from raftwork.standard_streams import flush
from raftwork.worker.agent import Identity
from raftwork.worker.blocked_tasks import notice_waits
from raftwork.worker.context import carry_into_threads
from raftwork.worker.events import (
    HttpEnded,
    NothingRegistered,
    WorkerStarted,
    WorkerStopped,
    started,
)
from raftwork.worker.executor_calls import served
from raftwork.worker.hook_calls import hooked, start, stop
from raftwork.worker.http_child import HttpChild
from raftwork.worker.killed_worker_notice import send_notice
from raftwork.worker.loader import functions
from raftwork.worker.machine_load import usable_cpus
from raftwork.worker.main import Worker
from raftwork.worker.own_facts import OwnFacts
from raftwork.worker.pool import Pool
from raftwork.worker.pool.coroutine import AsyncPool, run_beside
from raftwork.worker.pool.engine import EnginePool, Make
from raftwork.worker.pool.process import ProcessPool
from raftwork.worker.pool.recycling import NEVER, Deaths, Recycling
from raftwork.worker.pool.sealed import SealedPool
from raftwork.worker.pool.thread import ThreadPool
from raftwork.worker.runner import Registry
from raftwork.worker.signals import obeyed
from raftwork.worker.task_logging import tell
from raftwork.worker.task_logs import keep_last_lines, name_tasks
from raftwork.worker.typed_tasks import typed

log = logging.getLogger("raftwork.worker")

#: Seconds for coroutines that were cancelled to end, once all other work is done.
_FAREWELL_S = 1.0
#: Errors of an operating system without any more files or processes for us.
_SHORT = (errno.EMFILE, errno.ENFILE, errno.EAGAIN)


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
    key: Key | None = None,
    codec: Codec | None = None,
    declared: Sequence[DeclareSchedules] = (),
    pickles: bool = False,
    engine: Make | None = None,
    http: str | None = None,
    capture_output: bool = False,
) -> int:
    """Run tasks until SIGTERM or SIGINT has drained the worker; returns the exit status.

    `registry` maps task names to Tasks or plain callables; `brokers` are "HOST:PORT". Call it from
    the main thread, before anything else has started threads: the process pool forks here. A second
    signal ends the process from inside, with status 0: no thread or exit handler of a task may
    delay that; so does the first one's passing by `grace` seconds. `declared` are schedules to be
    created where missing. See executor_calls.py for `pickles`, pool/engine.py for `engine`.
    At `http` a process beside this one answers HTTP. `capture_output`: see pool/output_pipes.py.
    """
    identity, pid = _identity(name, queues), os.getpid()
    slots, hooks = concurrency or usable_cpus(), hooks or Hooks()
    tasks = typed(hooked(functions(registry), hooks), registry)
    facts = (app_target, pool, slots, identity.queues, tuple(brokers), list(tasks), pid)
    _tell_started(started(identity.name, *facts), app_target)
    tasks = {**tasks, **served(app_target, pickles=pickles)}
    deaths = Deaths()
    beside = None if http is None else _http_child(http, identity, deaths)
    made = partial(Worker, identity, brokers, grace=grace, key=key, declared=declared, http=beside)
    shell = partial(_shell, made, codec)
    _watch_tasks(brokers)
    try:
        if pool == "process":
            settings = slots, recycling, hooks
            notice = partial(send_notice, identity, brokers, key=key)
            more = notice, deaths
            processes = ProcessPool(tasks, identity.name, *settings, *more, capture=capture_output)
            _run_processes(processes, hooks, shell)
        elif pool == "executor" and engine is not None:
            start(hooks.worker_start, "on_worker_start")
            _run(shell(EnginePool(engine, app_target, brokers, identity.name, slots)))
        else:
            _run_here(pool, tasks, identity.name, slots, hooks, shell)
    except (PoolBroken, HookFailed, PermissionDenied, OSError, zmq.ZMQError) as error:
        if (why := _why(error, slots)) is not None:
            return _ended_by(why)
        raise
    stop(hooks, runs_here=pool in ("thread", "async"))
    tell(WorkerStopped(identity.name))
    return 0


def _identity(name: str | None, queues: Sequence[str]) -> Identity:
    host, pid = socket.gethostname(), os.getpid()
    return Identity(name or f"{host}-{pid}", secrets.token_bytes(16), host, pid, tuple(queues))


def _http_child(listen: str, identity: Identity, deaths: Deaths) -> HttpChild:
    facts = OwnFacts(identity.name, identity.pid, deaths)
    return HttpChild(listen, facts, lambda why: tell(HttpEnded(listen, why)))


def _watch_tasks(brokers: Sequence[str]) -> None:
    """From now on: which task code runs for, what it logged last, and what it waits for."""
    carry_into_threads()
    keep_last_lines()
    name_tasks()
    notice_waits(brokers)


def _tell_started(event: WorkerStarted, app_target: str) -> None:
    speak_for(event.worker)
    tell(event)
    if not event.tasks:
        tell(NothingRegistered(app_target))


def _ended_by(why: str) -> int:
    log.critical("%s", why)
    return 1


def _why(error: Exception, slots: int) -> str | None:
    """Why the worker ended, if more is known than the traceback."""
    if isinstance(error, PoolBroken | HookFailed | PermissionDenied):
        return str(error)
    if not isinstance(error, OSError | zmq.ZMQError) or error.errno not in _SHORT:
        return None
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        f"cannot start {slots} slots: {error.strerror}; this process may open {files} files, and a"
        " slot takes up to two: lower --concurrency, or raise the limit (ulimit -n)"
    )


def _shell(make: Callable[[Pool], Worker], codec: Codec | None, pool: Pool) -> Worker:
    return make(pool if codec is None else SealedPool(pool, codec))


def _run_here(
    pool: str,
    tasks: Registry,
    worker: str,
    slots: int,
    hooks: Hooks,
    shell: Callable[[Pool], Worker],
) -> None:
    """In this process, which is the worker's, too."""
    if pool not in ("thread", "async"):
        raise ValueError(f"no pool is called {pool!r}, or it needs more than that")
    start(hooks.worker_start, "on_worker_start")
    start(hooks.child_start, "on_child_start")
    if pool == "thread":
        _run(shell(ThreadPool(tasks, worker, slots)))
        return
    loop = asyncio.new_event_loop()
    _run_async(shell(AsyncPool(tasks, worker, slots, loop)), loop)


def _run_processes(pool: ProcessPool, hooks: Hooks, shell: Callable[[Pool], Worker]) -> None:
    try:
        # Only now: what it opens or starts must not be shared with children, or dead in them.
        start(hooks.worker_start, "on_worker_start")
    except HookFailed:
        pool.close()
        raise
    _run(shell(pool))


def _run(worker: Worker) -> None:
    with obeyed(worker.interrupt):
        worker.run()
    if worker.halted:
        _leave()


def _run_async(worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
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
