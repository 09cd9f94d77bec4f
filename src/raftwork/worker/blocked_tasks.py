"""Which tasks of this process wait for the outcome of another task of their cluster.

Such a task holds its slot, and what it waits for may have none to run in: the log says so when all
slots of a worker are held like that.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from raftwork import wait_observer
from raftwork.worker.context import task_of_this_code

_brokers: frozenset[str] = frozenset()
#: The token of each wait's task. Changed and copied in one step: waits begin and end in any thread.
_now: dict[object, int] = {}


def _unheard() -> None: ...


_changed: Callable[[], None] = _unheard


def notice_waits(brokers: Collection[str]) -> None:
    """Observe, in this process and its forks, waits for tasks of these brokers."""
    global _brokers
    _brokers = frozenset(brokers)
    wait_observer.observe_with(_around)


def when_changed(call: Callable[[], None]) -> None:
    """Call `call` whenever a wait begins or ends."""
    global _changed
    _changed = call


def waiting() -> set[int]:
    """Tokens of the tasks that wait now."""
    return set(_now.copy().values())


@contextmanager
def _around(brokers: Sequence[str]) -> Iterator[None]:
    task = task_of_this_code()
    if task is None or _brokers.isdisjoint(brokers):
        yield
        return
    wait = object()
    _now[wait] = task.token
    _changed()
    try:
        yield
    finally:
        del _now[wait]
        _changed()
