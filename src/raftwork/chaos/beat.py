"""A schedule beside a trial's load: it ticks every second, and all its ticks are asked for.

What it made is written down as if a client had enqueued it, so the audit asks for each tick's
outcome, and a task of a tick that there was not is found as one that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from raftwork import App, Schedule, Unsupported
from raftwork.chaos.history import Asked, Stored, now
from raftwork.chaos.tasks import QUEUE, work
from raftwork.features.schedule_ticks import tick_id

if TYPE_CHECKING:
    from raftwork.chaos.history import Event

#: Seconds that a call may take.
_TIMEOUT_S = 30.0
#: A tick that is older is not run: where clocks are set forward that would be thousands.
_WINDOW_S = 120.0
_CLIENT = "schedule"


class Beat:
    """The schedule of one trial."""

    def __init__(self, brokers: str, id_: str, journals: str) -> None:
        self._brokers, self._id, self._journals = brokers, id_, journals
        self._there = False

    def begin(self) -> None:
        """From now on; on a cluster whose level knows schedules."""
        with App(brokers=self._brokers, timeout=_TIMEOUT_S) as app:
            task = app.named(work.name, queue=QUEUE)
            try:
                app.schedules.create(
                    self._id,
                    task,
                    every=1,
                    overlap="allow",
                    catchup="all",
                    window=_WINDOW_S,
                    args=(0, 1, self._journals),
                )
            except Unsupported:
                return
        self._there = True

    def end(self, started: Iterable[str], *, clocks_set: bool) -> tuple[Sequence[Event], str]:
        """It ticks no more: what it enqueued, and what is wrong with its counts, if anything is.

        `started` are the tasks that began in this trial.
        """
        if not self._there:
            return [], ""
        with App(brokers=self._brokers, timeout=_TIMEOUT_S) as app:
            app.schedules.pause(self._id)
            schedule = app.schedules.get(self._id)
            app.schedules.delete(self._id)
        return accounted(schedule, started, clocks_set=clocks_set)


def accounted(
    schedule: Schedule, started: Iterable[str], *, clocks_set: bool
) -> tuple[Sequence[Event], str]:
    """See `Beat.end`; `clocks_set` is whether an outage may have been one of the clocks alone."""
    counts, last = schedule.counts, schedule.last
    if last is None:
        return [], f"the schedule {schedule.id} never ticked"
    first = last - timedelta(seconds=counts.fired - 1)
    ticks = [first + timedelta(seconds=each) for each in range(counts.fired)]
    at = now()
    ids = [tick_id(schedule.id, round(tick.timestamp() * 1000)) for tick in ticks]
    if counts.late and clocks_set:
        # Which of them were to run cannot be told: none can be lost, and those that began, or may
        # begin yet, were asked for.
        ran = [id_ for id_ in started if id_.startswith(f"{schedule.id}@")]
        return [Asked(at, _CLIENT, id_, 0) for id_ in dict.fromkeys([*ran, *ids])], ""
    asked = [Asked(at, _CLIENT, id_, 0) for id_ in ids]
    stored = [Stored(at, _CLIENT, id_) for id_ in ids]
    missed = sum(counts) - counts.fired
    text = f"of {sum(counts)} ticks of {schedule.id} {missed} made no task: {counts}"
    return [*asked, *stored], text if missed else ""
