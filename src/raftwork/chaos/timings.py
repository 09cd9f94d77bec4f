"""How long a cluster took to recover from each kill, from a history. Seconds."""

import bisect
import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from raftwork.chaos.history import Asked, Event, Finished, Started, Stored, Struck

#: An acknowledgement the dead leader had sent is read within this time of its death.
ON_ITS_WAY_S = 0.02


@dataclass(slots=True)
class Timings:
    """Every sample. Kills after which nothing more happened leave none."""

    #: A leader's fault → the first acknowledgement that is not its own; by the fault.
    acknowledged: dict[str, list[float]] = field(default_factory=dict)
    #: A leader's fault → the first start of a task that was enqueued after it; by the fault.
    pushed: dict[str, list[float]] = field(default_factory=dict)
    #: A worker's kill → the start of each task it ran, elsewhere.
    moved: list[float] = field(default_factory=list)


def measure(history: Sequence[Event]) -> Timings:
    """Measure a history sorted by time."""
    timings = Timings()
    asked = {event.task: event.at for event in reversed(history) if isinstance(event, Asked)}
    stored = [event for event in history if isinstance(event, Stored)]
    starts = [event for event in history if isinstance(event, Started)]
    finished = {event.token: event.at for event in history if isinstance(event, Finished)}
    for fault in history:
        if not isinstance(fault, Struck):
            continue
        if fault.role in ("leader", "all") and fault.fault != "lossy":  # which it may survive
            name = f"{fault.fault} {fault.role}"
            late = (
                event.at - fault.at
                for event in _since(stored, fault.at)
                if event.at > fault.at + ON_ITS_WAY_S or asked.get(event.task, 0.0) > fault.at
            )
            timings.acknowledged.setdefault(name, []).extend(itertools.islice(late, 1))
            new = (
                start.at - fault.at
                for start in _since(starts, fault.at)
                if asked.get(start.task, 0.0) > fault.at
            )
            timings.pushed.setdefault(name, []).extend(itertools.islice(new, 1))
        if fault.role == "worker" and fault.fault == "kill":
            timings.moved += _moves(fault, starts, finished)
    return timings


def summary(samples: list[float]) -> tuple[float, float] | None:
    """Median and maximum."""
    return (statistics.median(samples), max(samples)) if samples else None


T = TypeVar("T", Stored, Started)


def _since(events: list[T], moment: float) -> Iterator[T]:
    first = bisect.bisect(events, moment, key=lambda event: event.at)
    return itertools.islice(events, first, None)


def _moves(kill: Struck, starts: list[Started], finished: dict[int, float]) -> Iterator[float]:
    """Seconds from the kill to the next start of each task the worker was running.

    A worker that is started again has another name, so what this one held is its alone.
    """
    held = {
        start.task
        for start in starts[: bisect.bisect(starts, kill.at, key=lambda start: start.at)]
        if start.worker == kill.victim and finished.get(start.token, math.inf) > kill.at
    }
    for start in _since(starts, kill.at):
        if start.task in held:
            held.remove(start.task)
            yield start.at - kill.at
        if not held:
            return
