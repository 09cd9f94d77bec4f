"""`raftwork_app`: an App whose cluster is in the test's process, under virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

from raftwork.client.app import App
from raftwork.client.known_apps import known_apps
from raftwork.client.reply import Reply
from raftwork.client.run import Run
from raftwork.conversion import Annotations
from raftwork.durations import Duration, milliseconds
from raftwork.errors import AppClosed, QueueFull, RaftworkError
from raftwork.messages import Result, State, decode_spec
from raftwork.testing.virtual_cluster import VirtualCluster
from raftwork.testing.virtual_worker import VirtualWorker
from raftwork.wire import unpack
from raftwork.worker.executor_calls import served
from raftwork.worker.hook_calls import hooked
from raftwork.worker.loader import functions
from raftwork.worker.typed_tasks import typed

if TYPE_CHECKING:
    from raftwork.client.result_registry import Slot
    from raftwork.client.transport import Connection
    from raftwork.messages.request import Request
    from raftwork.worker.runner import Registry

R = TypeVar("R")
S = TypeVar("S", bound="Slot")

#: Tasks of one call, beyond which they enqueue each other without end.
TASKS_MAX: Final = 100_000
#: Ticks of schedules alone after which what waits without a timeout will never come.
TICKS_MAX: Final = 1_000
#: While code of tasks runs in other threads time does not pass; code that does nothing for so long
#: may wait for who asks.
OTHERS_S: Final = 5.0
_ADDRESS: Final = "127.0.0.1:1"


class EnqueuedTask(NamedTuple):
    """A task that entered a queue during the test; its arguments as its function gets them."""

    name: str
    queue: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    run: Run[Any]


class _Told(Reply[R]):
    """An answer that may take virtual time to come."""

    __slots__ = ("_cluster", "_until")

    def __init__(self, world: World, until: int) -> None:
        super().__init__()
        self._cluster, self._until = world, until

    def result(self, timeout: float | None = None) -> R:  # noqa: ARG002 - the App's is virtual
        while not self.told:
            if not self._cluster.pass_time(self._until):
                raise TimeoutError("no answer within the App's timeout, in virtual time")
        return super().result(0)

    async def aresult(self, timeout: float | None = None) -> R:  # noqa: ASYNC109
        return self.result(timeout)


class _Outcome(Reply[Result]):
    """The outcome of a task: whoever waits for it has tasks run, and time pass."""

    __slots__ = ("_slot", "_world")

    def __init__(self, world: World, slot: Slot) -> None:
        super().__init__()
        self._world, self._slot = world, slot

    def result(self, timeout: float | None = None) -> Result:
        world, task = self._world, self._slot.id
        until = None if timeout is None else world.cluster.time + round(timeout * 1000)
        ticks = 0
        with world.cluster.waiting():
            while True:
                seen = world.cluster.happened
                result = world.cluster.outcome(task)
                if result.state.final or result.state is State.UNKNOWN:
                    break
                began, alone = world.cluster.time, world.cluster.only_schedules_go_on
                if not (world.run_tasks() or world.wait_or_pass_time(seen, until)):
                    raise TimeoutError
                if world.cluster.time > began:
                    ticks = ticks + 1 if alone else 0
                if until is None and ticks > TICKS_MAX:
                    raise TimeoutError
        if result.state.final:
            self._slot.outcome = result
        return result

    async def aresult(self, timeout: float | None = None) -> Result:  # noqa: ASYNC109
        return self.result(timeout)


class World:
    """The cluster, and what runs its tasks: the functions of every App in this process."""

    failure: Exception | None = None
    number = 0

    def __init__(self) -> None:
        self.cluster = VirtualCluster()
        self._made: dict[int, tuple[tuple[object, ...], Registry]] = {}

    def connected_to(self, app: App) -> Connection:
        """What this App finds where it would connect. Raises AppClosed if it is closed."""
        if app._closed:  # noqa: SLF001
            raise AppClosed("this App is closed")
        return cast("Connection", self)

    # ---- what an App asks of its connection -----------------------------------------------------

    def call(
        self,
        request: Request,
        reply: type[R],
        timeout: int,
        *,
        ids: tuple[str, ...] = (),  # noqa: ARG002
        wait_when_full: bool = False,
        slot: Slot | None = None,  # noqa: ARG002
    ) -> Reply[R]:
        """See `Caller.call`."""
        told: _Told[R] = _Told(self, self.cluster.time + timeout)

        def answered(answer: object) -> None:
            if wait_when_full and isinstance(answer, QueueFull) and self.run_tasks():
                self.cluster.ask(request, reply, answered)
            elif isinstance(answer, RaftworkError):
                told.fail(answer)
            else:
                told.tell(cast("R", answer))

        self.cluster.ask(request, reply, answered)
        return told

    def track(self, ids: Sequence[str], make: Callable[[str], S]) -> list[S]:
        """See `Caller.track`."""
        return [make(task) for task in ids]

    def wait_for(self, slot: Slot) -> Reply[Result]:
        """See `Caller.wait_for`."""
        return _Outcome(self, slot)

    def start(self) -> None:
        """There is nothing to connect to."""

    def close(self) -> None:
        """An App is closed: the others go on."""

    # ---- running --------------------------------------------------------------------------------

    def run_tasks(self) -> int:
        """Run what can run at this instant, and what that brings; how many. Raises RuntimeError."""
        done = 0
        while self.cluster.waits and done < TASKS_MAX:
            worker = VirtualWorker(self.cluster, self._registry())
            ran = worker.work(TASKS_MAX - done)
            done += ran
            if not ran and worker.serves_all:
                break  # what waits, waits for something else
        if done >= TASKS_MAX:
            raise RuntimeError(f"{TASKS_MAX} tasks ran, and there are more: do they enqueue anew?")
        return done

    def wait_or_pass_time(self, seen: int, until: int | None) -> bool:
        """As `pass_time`, but never while anything else may happen, or has since `seen`."""
        cluster = self.cluster
        with cluster.lock:
            if cluster.happened != seen or cluster.await_others(OTHERS_S):
                return True
            return self.pass_time(until)

    def pass_time(self, until: int | None) -> bool:
        """Jump to the next instant at which something is due; False if none is before `until`.

        Then it is `until`, if that is one.
        """
        due = self.cluster.due
        if due is None or (until is not None and due > until):
            if until is None or until <= self.cluster.time:
                return False
            self.cluster.jump(until)
            return self.cluster.waits
        self.cluster.jump(max(due, self.cluster.time + 1))
        return True

    def _registry(self) -> Registry:
        """The functions to run, by the names of their tasks; of equal names the newest App's."""
        found: dict[str, Callable[..., object]] = {}
        for app in known_apps():
            tasks = tuple(app.tasks.values())
            known = self._made.get(id(app))
            if known is None or known[0] != tasks:
                made = typed(hooked(functions(app.tasks), app.hooks), app.tasks)
                known = self._made[id(app)] = tasks, made
            found |= known[1]
        return {**found, **served("", pickles=True)}


class VirtualApp(App):
    """An App over the brokers' own queue machine and dispatcher, inside this process.

    While it is installed, every App of the process enqueues here, and its tasks run here when the
    test says so: one after the other, in the order in which one worker with one slot gets them.
    Arguments and values are packed and unpacked, and priorities, retries, limits, timers and
    schedules are those of a cluster. Time stands still but for `advance`, and for waits.
    """

    def __init__(self) -> None:
        super().__init__(_ADDRESS)
        self._world = World()

    def _connect(self) -> Connection:
        # Also after the test: a thread that it left would look for brokers at the made-up address.
        return self._world.connected_to(self)

    @property
    def now(self) -> datetime:
        """Virtual time; it begins with the time of day, in UTC."""
        return datetime.fromtimestamp(self._world.cluster.time / 1000, UTC)

    def run_until_idle(self) -> int:
        """Run every task that can run now, and those that they enqueue; returns how many.

        What waits for a later time, such as a retry, goes on waiting: see `advance`. Raises
        RuntimeError if it does not end.
        """
        return self._world.run_tasks()

    def advance(self, seconds: Duration) -> int:
        """Let so much time pass, and run what becomes due, each at its instant; how many tasks."""
        until = self._world.cluster.time + milliseconds("seconds", seconds)
        done = self._world.run_tasks()
        while self._world.cluster.time < until:
            self._world.pass_time(until)
            done += self._world.run_tasks()
        return done

    def enqueued(self, name: str | None = None) -> list[EnqueuedTask]:
        """The tasks (of one name) that entered since the test began, in their order.

        With those that schedules, flows and other tasks brought. Whether they ran says `run`.
        """
        found = []
        for id_, packed, payload in list(self._world.cluster.entered):
            spec = decode_spec(packed)
            if name is None or spec.name == name:
                args, kwargs = self._arguments(spec.name, payload)
                found.append(EnqueuedTask(spec.name, spec.queue, args, kwargs, self.run(id_)))
        return found

    def _arguments(self, name: str, payload: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = cast("tuple[list[Any], dict[str, Any]]", unpack(payload)[:2])  # type: ignore[index]
        known = [app.tasks[name].signature for app in known_apps() if name in app.tasks]
        if known and isinstance(known[-1], Annotations):
            with suppress(TypeError):  # sent by name, and not as the function has it
                made, named = known[-1].into(args, kwargs)
                return tuple(made), dict(named)
        return tuple(args), kwargs


@contextmanager
def installed() -> Iterator[VirtualApp]:
    """A new one; until the block is left every App of this process enqueues there."""
    import threading
    from concurrent.futures import ThreadPoolExecutor
    from unittest import mock

    from raftwork.worker import context

    app = VirtualApp()
    world = app._world  # noqa: SLF001 - its maker

    with (
        mock.patch.object(App, "_connect", lambda app: world.connected_to(app)),
        # As in a worker: `current()` in a task's threads, and checkpoints at the pace of the clock.
        mock.patch.object(threading.Thread, "start", threading.Thread.start),
        mock.patch.object(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit),
        mock.patch.object(context, "CHECKPOINT_EVERY_S", 0.0),
    ):
        context.carry_into_threads()
        try:
            yield app
        finally:
            world.cluster.close()
