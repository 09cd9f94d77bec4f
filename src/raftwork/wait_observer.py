"""Waits for a task's outcome, observed by a worker in the code it runs."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import TracebackType
from typing import NamedTuple, Protocol


class Awaited(NamedTuple):
    """A wait for the outcome of one task."""

    brokers: Sequence[str]  # addresses of those that are asked
    id: str
    #: It does not give up by itself after a while.
    endless: bool
    #: Ends it with this error, unless it has ended.
    fail: Callable[[Exception], None]


class Observed(Protocol):
    """Entered for as long as the wait lasts, `async` by a coroutine.

    To leave it may take a while: the slot may be another task's by then.
    """

    def __enter__(self) -> object: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool | None: ...
    async def __aenter__(self) -> object: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool | None: ...


#: Makes what is entered for a wait.
Around = Callable[[Awaited], Observed]


def _untold(_: Awaited) -> Observed:
    return nullcontext()


_around: Around = _untold


def observe_with(around: Around) -> None:
    """From now on every wait in this process, and in its copies, is entered through this."""
    global _around
    _around = around


def observed(wait: Awaited) -> Observed:
    """What to enter, as a context manager, for as long as the wait lasts."""
    return _around(wait)
