"""What follows tasks through this process, of whatever App: tracers, reporters of errors.

Nothing is installed unless a program asks for it (raftwork.contrib), and then a task costs no more
than a look at an empty list. What an instrument raises is logged, and changes nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Final


@dataclass(slots=True)
class Sending:
    """An enqueue of tasks of one name: of one, or of `many` as a batch.

    `ids` are those of the tasks, once they are packed.
    """

    task: str
    queue: str
    many: bool
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Instrument:
    """Functions that are called on the way of a task; each may be left out."""

    #: Gives what is entered where an attempt's code runs, around all of it: `current()` is known.
    attempt: Callable[[], AbstractContextManager[object]] | None = None
    #: Gives what is entered around an enqueue, from before its arguments are packed to its answer.
    send: Callable[[Sending], AbstractContextManager[object]] | None = None
    #: The headers that tasks which are enqueued now take along.
    headers: Callable[[], Mapping[str, str]] | None = None
    #: What goes into records of a log that a task's code makes now.
    log_fields: Callable[[], Mapping[str, str]] | None = None
    #: Called before a process that runs tasks ends in peace: buffers are sent.
    flush: Callable[[], object] | None = None


#: To be changed by `install` and `remove` alone.
installed: Final[list[Instrument]] = []


def install(instrument: Instrument) -> None:
    """Have tasks followed by it, from the next one on; one that is installed stays as it is."""
    if instrument not in installed:
        installed.append(instrument)


def remove(instrument: Instrument) -> None:
    """Have it follow no further tasks."""
    if instrument in installed:
        installed.remove(instrument)


def complain(error: Exception) -> None:
    """Log that an instrument failed."""
    import logging  # a program that enqueues does without

    logging.getLogger("raftwork").warning("an instrument failed", exc_info=error)


class Entered:
    """Within it what was made is entered, the first the outermost.

    No generator: contextlib's would touch a user's exception on its way through.
    """

    __slots__ = ("_inside", "_made")

    def __init__(self, made: Iterable[Callable[[], AbstractContextManager[object]]]) -> None:
        self._made = made
        self._inside: list[AbstractContextManager[object]] = []

    def __enter__(self) -> None:
        for make in self._made:
            try:
                manager = make()
                manager.__enter__()
            except Exception as error:  # noqa: BLE001 - it is no part of the task
                complain(error)
            else:
                self._inside.append(manager)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._inside:
            try:
                self._inside.pop().__exit__(kind, error, trace)
            except Exception as failure:  # noqa: BLE001 - as above
                complain(failure)


def headers(own: Mapping[str, str]) -> dict[str, str]:
    """Those of a call and those of the instruments; where both have one, the call's own."""
    return _together([each.headers for each in installed]) | dict(own)


def log_fields() -> dict[str, str]:
    """What the instruments have for records of a log."""
    return _together([each.log_fields for each in installed])


def _together(made: Sequence[Callable[[], Mapping[str, str]] | None]) -> dict[str, str]:
    found: dict[str, str] = {}
    for make in made:
        if make is not None:
            try:
                found.update(make())
            except Exception as error:  # noqa: BLE001 - it is no part of the call
                complain(error)
    return found


def flush() -> None:
    """Have all of them send what they hold back."""
    for each in installed:
        if each.flush is not None:
            try:
                each.flush()
            except Exception as error:  # noqa: BLE001 - the process ends all the same
                complain(error)
