"""What happened during a trial, as events; one a line, in files to which each process appends.

Times are seconds of CLOCK_MONOTONIC, which all processes of a machine share and no jump of the wall
clock moves. A line is the event's name and its fields, so histories can be written by hand.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args, get_type_hints


class Asked(NamedTuple):
    """A client is about to enqueue its `number`th task; `once`: at most once."""

    at: float
    client: str
    task: str
    number: int
    once: int = 0


class Wanted(NamedTuple):
    """What is about to be enqueued has this option, or this kind of code."""

    at: float
    client: str
    task: str
    option: str
    value: str


class Limited(NamedTuple):
    """A limit was set, before any task named it: 0 tasks at once are any number, as is a rate of 0.

    `keyed` is whether each key counts by itself.
    """

    at: float
    limit: str
    concurrency: int
    rate: float  # tasks/s
    burst: int
    keyed: int


class Stored(NamedTuple):
    """The enqueue was acknowledged."""

    at: float
    client: str
    task: str


class Refused(NamedTuple):
    """The enqueue was refused for good: it must never run."""

    at: float
    client: str
    task: str


class Existing(NamedTuple):
    """Instead of the task, the enqueue was told of `owner`, which has its unique key."""

    at: float
    client: str
    task: str
    owner: str


class Cancelling(NamedTuple):
    """A client is about to cancel the task."""

    at: float
    client: str
    task: str


class Cancelled(NamedTuple):
    """The cancel was acknowledged: the task was ended, or asked to end."""

    at: float
    client: str
    task: str


class Ended(NamedTuple):
    """A task's end as reported to a client.

    `state` is succeeded, failed, lost, cancelled, unknown, or none if nothing came in time.
    `number` is what a succeeded task returned, else -1; `token` that of the attempt that succeeded
    or failed, else -1.
    """

    at: float
    client: str
    task: str
    state: str
    number: int = -1
    token: int = -1


class Looked(NamedTuple):
    """The answer to a question for the task's state, asked at `asked`."""

    at: float
    client: str
    task: str
    asked: float
    state: str


class Started(NamedTuple):
    """The task's code began."""

    at: float
    worker: str
    task: str
    token: int
    attempt: int


class Finished(NamedTuple):
    """The task's code ended; whether that counts is decided by the brokers' log."""

    at: float
    worker: str
    task: str
    token: int


class Found(NamedTuple):
    """The task's code found this checkpoint; 0 is none."""

    at: float
    worker: str
    task: str
    token: int
    value: int


class Kept(NamedTuple):
    """The task's code was told that its checkpoint is kept."""

    at: float
    worker: str
    task: str
    token: int
    value: int


class Given(NamedTuple):
    """The code of a flow's body was given the value that `source` returned under `source_token`.

    The token is -1 where a failure stands for the value.
    """

    at: float
    worker: str
    task: str
    token: int
    source: str
    source_token: int


class Called(NamedTuple):
    """A call of the broadcast `task` began: in this place, from 0 on, of `calls`."""

    at: float
    worker: str
    task: str
    token: int
    place: int
    calls: int


class Counted(NamedTuple):
    """How many attempts of a failed task have failed, by the brokers' count."""

    at: float
    client: str
    task: str
    failures: int


class Struck(NamedTuple):
    """A fault began. `role` is leader, follower, worker, client or all."""

    at: float
    fault: str
    role: str
    victim: str


class Healed(NamedTuple):
    """A fault ended; for a kill: the process was started again."""

    at: float
    fault: str
    victim: str


Event = (
    Asked
    | Wanted
    | Limited
    | Stored
    | Existing
    | Refused
    | Cancelling
    | Cancelled
    | Ended
    | Looked
    | Started
    | Found
    | Kept
    | Given
    | Called
    | Finished
    | Counted
    | Struck
    | Healed
)

#: The name of the client that asks the final questions.
AUDIT = "audit"

_KINDS: dict[str, type[Event]] = {kind.__name__.lower(): kind for kind in get_args(Event)}
_FIELDS = {kind: list(get_type_hints(kind).values()) for kind in _KINDS.values()}


class Journal:
    """One process's part of the history, appended to a file of its own."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, *events: Event) -> None:
        """Hand the lines to the kernel, where they survive a kill of this process."""
        os.write(self._file, "".join(map(line, events)).encode())


def now() -> float:
    """Seconds on the monotonic clock, which all processes of a machine share."""
    return time.monotonic()


def line(event: Event) -> str:
    """An event as a line of a journal; `parse` reads it."""
    fields = (f"{x:.6f}" if isinstance(x, float) else str(x) for x in event)
    return f"{type(event).__name__.lower()} {' '.join(fields)}\n"


def parse(text: str) -> Event:
    """The event of a line. Raises ValueError for a malformed one."""
    name, *fields = text.split(" ")
    kind = _KINDS.get(name)
    if kind is None or len(fields) > len(_FIELDS[kind]):
        raise ValueError(f"not an event: {text!r}")
    try:
        return kind(*(make(x) for make, x in zip(_FIELDS[kind], fields, strict=False)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"not an event: {text!r}: {error}") from None


def read(directory: Path) -> list[Event]:
    """All events of all journals, by time. A last line that a kill cut short is left out."""
    events = [event for path in sorted(directory.iterdir()) for event in _read(path)]
    return sorted(events, key=lambda event: event.at)


def _read(path: Path) -> Iterator[Event]:
    whole, _, _ = path.read_text().rpartition("\n")
    for text in whole.splitlines():
        yield parse(text)
