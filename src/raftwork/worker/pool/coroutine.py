"""Tasks as coroutines of one event loop, which has the main thread to itself.

The agent lives in another thread, so that a coroutine that blocks the loop does not silence the
worker. A plain function runs in a thread of its own; such a one cannot be stopped, and its slot is
taken until it ends.

A task that waits for another one is parked: its slot is free meanwhile, and once it waits no more
it takes the next slot that comes free, before any new task.

All tasks share the loop: what would end it (`sys.exit` in a coroutine or callback, `loop.stop()`)
ends the one task that did it, and a copy of the process that a task forks has no part in it.
"""

import asyncio
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from time import monotonic_ns
from types import TracebackType

from raftwork.messages import Hopeless, PushedTask, Wait
from raftwork.worker.blocked_tasks import count_waiting, end_waits, run_in, waiting
from raftwork.worker.context import exited
from raftwork.worker.forked_copies import end_copy
from raftwork.worker.notices import LocalNotices
from raftwork.worker.pool import Running
from raftwork.worker.pool.thread import Waker
from raftwork.worker.runner import (
    Ended,
    Registry,
    Runner,
    cancel_others,
    failed,
    kind_of,
    message_of,
)
from raftwork.worker.signals import take_back
from raftwork.worker.task_notes import Board

log = logging.getLogger("raftwork.worker")


#: Tasks that hold no slot while they wait, at most; further ones hold theirs.
PARKED_MAX = 1_000


class AsyncPool:
    """At most `slots` tasks at once, in `loop` (without one: in the loop that runs now).

    Pool's methods may be called from one other thread. Between the two only deques, and copies of
    dicts made in one step, change hands.
    """

    def __init__(
        self,
        registry: Registry,
        worker: str,
        slots: int,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._slots = slots
        self._waker = Waker()
        self._notices = LocalNotices()
        self.notes = Board(self._waker.wake)
        self._runner = Runner(registry, worker, self._notices, self.notes)
        self._loop = loop or asyncio.get_running_loop()
        self._backlog: deque[PushedTask] = deque()
        self._ended: deque[Ended] = deque()
        self._tasks: dict[int, asyncio.Task[Ended]] = {}
        self._since: dict[int, int] = {}  # ms
        self._abandoned: set[int] = set()  # told to stop, not seen to have ended
        self._functions: set[int] = set()  # that run in threads
        self._parked: dict[int, None] = {}  # tokens of tasks that hold no slot
        self._returning: deque[tuple[int, asyncio.Future[None]]] = deque()  # those that want one
        run_in(self)

    @property
    def slots(self) -> int:
        """How many tasks can run at once; see `Pool.slots`."""
        return self._slots - len(self._abandoned - self._parked.keys())

    @property
    def wakers(self) -> list[int]:
        """File descriptors that become readable when `collect` has something."""
        return [self._waker.fd]

    def start(self, tasks: Collection[PushedTask]) -> None:
        """Take these tasks, to be started in this order."""
        self._backlog.extend(tasks)
        self._in_loop(self._fill)

    def collect(self) -> list[Ended]:
        """The tasks that ended since the last call."""
        self._waker.clear()
        ended = []
        with suppress(IndexError):
            while True:
                ended.append(self._ended.popleft())
        self._notices.forget(ended)
        self.notes.forget(end.outcome.token for end in ended)
        if self._abandoned:
            self._abandoned.difference_update(end.outcome.token for end in ended)
        return ended

    def running(self) -> list[Running]:
        """The tasks with running code."""
        holding = {wait.token for wait in waiting() if not wait.parked}
        return [Running(at, since, at in holding) for at, since in self._since.copy().items()]

    def waiting(self) -> list[Wait]:
        """The tasks that wait for others; the parked ones hold no slot meanwhile."""
        return waiting()

    def end_waits(self, hopeless: Collection[Hopeless]) -> None:
        """End these waits with an error, unless they are over."""
        end_waits(hopeless)

    def withdraw(self) -> list[PushedTask]:
        """Return, in order, the tasks that have not begun; they never will."""
        tasks = []
        with suppress(IndexError):
            while True:
                tasks.append(self._backlog.popleft())
        return tasks

    def cancel(self, tokens: Collection[int]) -> list[PushedTask]:
        """Ask the code of these to end; see `Pool.cancel`."""
        waiting = self.withdraw()
        self.start([task for task in waiting if task.token not in tokens])
        unstarted = [task for task in waiting if task.token in tokens]
        begun = set(tokens).difference(task.token for task in unstarted)
        self._notices.ask(begun)
        self._in_loop(self._ask, sorted(begun))
        return unstarted

    def drain(self) -> None:
        """Nothing new will come; see `Pool.drain`."""
        self._notices.stopping = True

    def stop(self, tokens: Collection[int]) -> None:
        """Forget these tasks if they wait; cancel their coroutines if they run."""
        self.start([task for task in self.withdraw() if task.token not in tokens])
        running = [token for token in self._since.copy() if token in tokens]
        self._abandoned.update(running)
        self._in_loop(self._cancel, running)

    def close(self) -> None:
        """Stop everything."""
        self.withdraw()
        self._in_loop(self._cancel, list(self._since.copy()))
        self._waker.close()

    # ---- waits, which begin and end in any thread -----------------------------------------------

    def park(self, token: int) -> bool:
        """A task begins to wait: its slot is free."""
        if token not in self._tasks or len(self._parked) >= PARKED_MAX:
            return False
        self._parked[token] = None
        self._in_loop(self._fill)
        return True

    def resume(self, token: int) -> None:
        """It waits no more, and goes on at once."""
        self._parked.pop(token, None)

    async def next_slot(self, token: int) -> None:
        """It waits no more: it takes the next slot that comes free, before any new task."""
        if asyncio.get_running_loop() is not self._loop:
            self.resume(token)  # of a function, in a thread of its own
            return
        slot: asyncio.Future[None] = self._loop.create_future()
        self._returning.append((token, slot))
        self._fill()
        try:
            await slot
        finally:
            self._parked.pop(token, None)  # it goes on, be it to clean up after a cancellation

    def changed(self, wait: Wait) -> None:  # noqa: ARG002
        """The worker is to look."""
        self._waker.wake()

    # ---- in the loop's thread -------------------------------------------------------------------

    def _room(self) -> bool:
        return len(self._tasks) - len(self._parked) < self._slots

    def _few_run(self) -> bool:
        """Whether slots are held by tasks that wait, perhaps for what wants to go on."""
        run = len(self._tasks) - count_waiting() - len(self._returning)
        return run < self._slots

    def _fill(self) -> None:
        while self._returning and (self._room() or self._few_run()):
            token, slot = self._returning.popleft()
            if not slot.done():
                self._parked.pop(token, None)
                slot.set_result(None)
        while self._backlog and self._room():
            with suppress(IndexError):  # withdrawn meanwhile
                task = self._backlog.popleft()
                self._since[task.token] = monotonic_ns() // 1_000_000
                if not self._runner.is_async(task):
                    self._functions.add(task.token)
                running = self._loop.create_task(self._runner.run_async(task))
                self._tasks[task.token] = running
                running.add_done_callback(partial(self._done, task))

    def _done(self, task: PushedTask, running: asyncio.Task[Ended]) -> None:
        token = task.token
        del self._tasks[token], self._since[token]
        self._functions.discard(token)
        self._parked.pop(token, None)
        take_back()
        if not running.cancelled():
            self._ended.append(running.result())
            self._waker.wake()
        elif self._notices.cancelled(token):  # before its first step
            self._ended.append(Ended(failed(task, asyncio.CancelledError()), 0))
            self._waker.wake()
        else:  # it was stopped before that, and owes nothing
            self._abandoned.discard(token)
        self._fill()

    def _ask(self, tokens: list[int]) -> None:
        """Functions have been told."""
        self._cancel([token for token in tokens if token not in self._functions])

    def _cancel(self, tokens: list[int]) -> None:
        for token in tokens:
            if (task := self._tasks.get(token)) is not None:
                task.cancel()

    def _in_loop(self, code: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everything that ran
            self._loop.call_soon_threadsafe(code, *args)


# ---- the loop ------------------------------------------------------------------------------------


def run_beside(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    """Run the loop in this thread until `work`, in a thread of its own, is over.

    Then everything the loop still has is cancelled, and the loop is closed. Raises what `work`
    raises. Nothing in the loop waits for `work`: a task that cancels all others must not end it.
    """
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised below
            errors.append(error)
        finally:
            over.set()
            loop.call_soon_threadsafe(loop.stop)

    over = threading.Event()
    _loops.add(loop)
    asyncio.set_event_loop(loop)
    threading.Thread(target=run, name="raftwork-agent", daemon=True).start()
    try:
        _run_until(loop, over.is_set)
        farewell = loop.create_task(_farewell())
        farewell.add_done_callback(lambda _: loop.stop())
        _run_until(loop, farewell.done)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    if errors:
        raise errors[0]


async def _farewell() -> None:
    loop = asyncio.get_running_loop()
    await cancel_others()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


def _run_until(loop: asyncio.AbstractEventLoop, over: Callable[[], bool]) -> None:
    """Run the loop, again and again whatever ends it."""
    home = os.getpid()
    while not over():
        exit_: BaseException | None = None
        try:
            loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - one task's must not be all the others'
            exit_ = error
        if os.getpid() != home:
            end_copy(exit_ if isinstance(exit_, SystemExit) else _NotYours())
        if exit_ is not None:
            _blame(exit_)


#: Past what a user's class puts in its place.
_TRACE: Callable[[BaseException], TracebackType | None] = vars(BaseException)[
    "__traceback__"
].__get__


class _NotYours(RuntimeError):
    def __str__(self) -> str:
        return "a copy forked by a task awaits in the event loop of its original: it may not"


def _blame(error: BaseException) -> None:
    """End the task that raised it."""
    trace = _TRACE(error)
    while trace is not None:
        handle = trace.tb_frame.f_locals.get("self")
        if issubclass(type(handle), asyncio.Handle):  # isinstance would ask a user's object
            # Not public, and the same since 3.7; without it the error belongs to no task.
            context = getattr(handle, "_context", None)
            task = None if context is None else exited(context, error)
            if task is not None:
                return
        trace = trace.tb_next
    log.error(
        "code that no running task answers for would have ended the event loop: %s: %s",
        *(kind_of(error), message_of(error)),
    )


_loops: "weakref.WeakSet[asyncio.AbstractEventLoop]" = weakref.WeakSet()


def _leave_loops() -> None:
    """In a fork: the loop's work belongs to the original, and must not run a second time."""
    for loop in list(_loops):
        loop.stop()
        # Not public: without it, what is ready in this very turn of the loop is run here, too.
        ready = getattr(loop, "_ready", None)
        if ready is not None:
            ready.clear()


os.register_at_fork(after_in_child=_leave_loops)
