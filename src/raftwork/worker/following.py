"""What instruments see of an attempt (raftwork/instruments.py), and leave for the next one."""

from contextlib import AbstractContextManager
from typing import Final

from raftwork.instruments import Entered, installed
from raftwork.worker.context import scope_of_this_code


class _Unfollowed:
    """Nobody wants to know of it."""

    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


_UNFOLLOWED: Final = _Unfollowed()


def followed() -> AbstractContextManager[None]:
    """To be entered around an attempt, where its code runs and `current()` is known."""
    if not installed:
        return _UNFOLLOWED
    return Entered(each.attempt for each in list(installed) if each.attempt is not None)


def leave_trace(trace: bytes) -> None:
    """Have the next attempt find this in `current().trace_before`, if this one fails.

    At most 64 bytes; more is dropped. Outside a task it does nothing.
    """
    scope = scope_of_this_code()
    if scope is not None:
        scope.trace = trace
