"""Which tasks of this process wait for the outcome of another task of their cluster.

Such a task gives its slot away (`Slots.park`) and takes one again once it waits no more, so that
what it waits for has a slot to run in. A task waits from its first wait to the end of its last.

Waits begin and end in any thread, in signal handlers and finalizers, too. So the lock here is one
that its own thread may take again; nothing that is done under it waits for anything.
"""

import os
import threading
from collections.abc import Collection
from types import TracebackType
from typing import Final, Protocol

from raftwork import wait_observer
from raftwork.errors import WouldDeadlock
from raftwork.messages import ID_MAX, WAITS_MAX, Deadlock, Hopeless, Wait
from raftwork.wait_observer import Awaited
from raftwork.worker.context import Context, task_of_this_code


class Slots(Protocol):
    """Where this process runs tasks."""

    def park(self, token: int) -> bool:
        """A task begins to wait; whether its slot is free for others until it is resumed."""
        ...

    def resume(self, token: int) -> None:
        """A parked task waits no more, and goes on at once."""
        ...

    async def next_slot(self, token: int) -> None:
        """As `resume`, for a coroutine: returns when it may go on."""
        ...

    def changed(self, wait: Wait) -> None:
        """What a task waits for is another thing now."""
        ...


class _Nowhere:
    """No slots are known: nothing is given away."""

    def park(self, token: int) -> bool:  # noqa: ARG002
        return False

    def resume(self, token: int) -> None: ...
    async def next_slot(self, token: int) -> None: ...
    def changed(self, wait: Wait) -> None: ...


class _Task:
    """A task that waits."""

    __slots__ = ("parked", "turn", "waits")

    def __init__(self) -> None:
        self.waits: dict[_Wait, None] = {}  # in the order in which they began
        self.parked = False
        self.turn = 0

    def told(self, token: int) -> Wait:
        """As the leader is told of it."""
        if len(self.waits) > WAITS_MAX:
            return Wait(token, self.turn, self.parked)
        ids = list(dict.fromkeys(wait.awaited.id for wait in self.waits))
        if not all(0 < len(id_) <= ID_MAX for id_ in ids):
            return Wait(token, self.turn, self.parked)  # of no task; brokers refuse such a report
        endless = bool(ids) and all(wait.awaited.endless for wait in self.waits)
        return Wait(token, self.turn, self.parked, ids, endless)


_NOWHERE: Final[Slots] = _Nowhere()
_brokers: frozenset[str] = frozenset()
_slots: Slots = _NOWHERE
_home = 0  # the process whose waits these are: a copy that a task forked has no slot to give away
_tasks: dict[int, _Task] = {}
_turns = 0
_lock = threading.RLock()


def notice_waits(brokers: Collection[str]) -> None:
    """Observe, in this process and its forks, waits for tasks of these brokers."""
    global _brokers
    _brokers = frozenset(brokers)
    wait_observer.observe_with(_around)


def run_in(slots: Slots) -> None:
    """In this process, and in none of its copies, tasks that wait give their slots to these."""
    global _slots, _home
    _slots, _home = slots, os.getpid()


def waiting() -> list[Wait]:
    """What the tasks that wait wait for."""
    with _lock:
        return [task.told(token) for token, task in _tasks.items()]


def count_waiting() -> int:
    """How many tasks wait."""
    return len(_tasks)


def end_waits(hopeless: Collection[Hopeless]) -> None:
    """End these waits with WouldDeadlock, unless they are over or the task waits for more now."""
    for token, turn, why in hopeless:
        with _lock:
            task = _tasks.get(token)
            waits = list(task.waits) if task is not None and task.turn == turn else []
        for wait in waits:
            wait.awaited.fail(WouldDeadlock(_text(wait, why)))


_WHY = {
    Deadlock.CYCLE: "that task waits for this one in turn",
    Deadlock.GATE: "that task needs what this one holds while it waits",
    Deadlock.SLOTS: "all slots that it could run in have tasks that wait: raise --concurrency, wait"
    " less deeply, or wait in coroutines (--pool async), which give their slots away",
}


def _text(wait: "_Wait", why: Deadlock) -> str:
    return (
        f"task {wait.task.id} would wait for ever for the outcome of task {wait.awaited.id}:"
        f" {_WHY[why]}"
    )


class _Wait:
    """Around a wait of a task's code."""

    __slots__ = ("awaited", "task")

    def __init__(self, task: Context, awaited: Awaited) -> None:
        self.task, self.awaited = task, awaited

    def __enter__(self) -> None:
        token = self.task.token
        with _lock:
            task = _tasks.setdefault(token, _Task())
            first = not task.waits
            task.waits[self] = None
            if first:
                task.parked = _slots.park(token)
            _changed(token, task)

    def _end(self) -> bool:
        """Whether its task was parked, and waits no more."""
        if os.getpid() != _home:
            return False  # the lock of a copy may be held for ever, by a thread it does not have
        token = self.task.token
        with _lock:
            task = _tasks[token]
            del task.waits[self]
            if task.waits:
                _changed(token, task)
                return False
            del _tasks[token]
            parked, task.parked = task.parked, False
            _changed(token, task)
            return parked

    def __exit__(self, *_: object) -> None:
        if self._end():
            _slots.resume(self.task.token)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        if not self._end():
            return
        if kind is None or issubclass(kind, Exception):
            await _slots.next_slot(self.task.token)
        else:  # what is cancelled, or left by its loop, must not wait again: it is about to end
            _slots.resume(self.task.token)


def _changed(token: int, task: _Task) -> None:
    global _turns
    if len(task.waits) > WAITS_MAX + 1:
        return  # of so many none is told
    _turns += 1
    task.turn = _turns
    _slots.changed(task.told(token))


class _Unobserved:
    """A wait that is nobody's business."""

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *_: object) -> None: ...


_UNOBSERVED: Final = _Unobserved()


def _around(wait: Awaited) -> wait_observer.Observed:
    task = task_of_this_code()
    if task is None or _brokers.isdisjoint(wait.brokers) or os.getpid() != _home:
        return _UNOBSERVED
    return _Wait(task, wait)
