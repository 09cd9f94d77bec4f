"""What an entry brought about, for those who look: noted where it happens, on every replica alike.

Effects are what a leader acts on; nobody acts on what stands here. It is no part of the replicated
state: a replica that keeps no events has the same tables as one that does.

Readers count the events of an entry (event_feed.py), at every broker alike. So what a release notes
that an older one does not, it notes from a level of the cluster on that the older one does not run.
"""

from __future__ import annotations

from enum import IntEnum
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.features.task_row import CANCELLING
from raftwork.features.wait_times import WaitTimes
from raftwork.messages import CancelReason, State, decode_spec, failure_head
from raftwork.wire import maker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from raftwork.broker.machine.state import Running
    from raftwork.features.settle import Verdict

#: What a broker keeps unless somebody says otherwise: about half a million ordinary tasks.
EVENT_BYTES: Final = 64 * 1024 * 1024
#: Characters of an error.
TEXT_MAX: Final = 200


class EventKind(IntEnum):
    """What happened. Stored, so numbers keep their meaning; the name in small letters is the word.

    A task ends with exactly one of those from FINISHED to EXPIRED.
    """

    OTHER = 0  # of a newer release
    ENQUEUED = 1  # it is there; it may wait for its time, or other tasks
    ASSIGNED = 2
    FINISHED = 3
    FAILED = 4
    LOST = 5
    CANCELLED = 6
    EXPIRED = 7
    RETRIED = 8  # an attempt failed or was lost, and another one follows
    RELEASED = 9  # handed back before it began
    POSTPONED = 10  # its code asked to go on in another attempt, or its limit is shut
    REPLACED = 11  # its code ended, and tasks that it made give its outcome
    DEAD = 12  # it failed or was lost for good, and can be retried by hand
    REDRIVEN = 13  # a dead task was enqueued anew
    QUEUE_CONFIGURED = 20
    PAUSED = 21
    RESUMED = 22
    QUEUE_DELETED = 23
    SCHEDULE_CHANGED = 30
    SCHEDULED_FIRED = 31
    SCHEDULE_DELETED = 32
    FLOW_STARTED = 40
    FLOW_FINISHED = 41
    FLOW_FAILED = 42
    FLOW_CANCELLED = 43
    LIMIT_CHANGED = 50
    LIMIT_DELETED = 51
    WORKER_NAMED = 60  # the first of its tasks ends
    WORKER_LOST = 61  # with tasks that it had
    LEADER_ACTIVATED = 70
    ROSTER_CHANGED = 71
    LEVEL_RAISED = 72
    SETTINGS_CHANGED = 73
    MARKED = 74  # by somebody, as `text`

    @classmethod
    def _missing_(cls, value: object) -> EventKind:  # noqa: ARG003
        return cls.OTHER


#: One of these ends a task, and each task ends with one.
ENDS: Final = frozenset(
    {
        EventKind.FINISHED,
        EventKind.FAILED,
        EventKind.LOST,
        EventKind.CANCELLED,
        EventKind.EXPIRED,
    }
)

_ENDED: Final = {
    State.SUCCEEDED: EventKind.FINISHED,
    State.FAILED: EventKind.FAILED,
    State.LOST: EventKind.LOST,
    State.CANCELLED: EventKind.CANCELLED,
}
_FLOW_ENDED: Final = {
    State.SUCCEEDED: EventKind.FLOW_FINISHED,
    State.FAILED: EventKind.FLOW_FAILED,
    State.LOST: EventKind.FLOW_FAILED,
    State.CANCELLED: EventKind.FLOW_CANCELLED,
}
_EXPIRED: Final = f"{CancelReason.EXPIRED}: "
_alike = attrgetter("queue", "spec", "worker", "attempt")


class Happened(NamedTuple):
    """One event, or several that are alike but for what they are about."""

    kind: EventKind
    #: Of tasks, flows or schedules: an event each. One event, if it is about none.
    ids: Sequence[str] = ()
    queue: str = ""
    name: str = ""  # of tasks; or what else it is about
    worker: bytes = b""  # its incarnation
    attempt: int = 0
    due: int = 0  # leader time, ms: when it may be handed out (again), or for when it was meant
    text: str = ""  # an error's beginning, or a detail
    runs_ms: Sequence[int] = ()  # of each; none if it is not known

    @property
    def events(self) -> int:
        """How many these are."""
        return len(self.ids) or 1


_happened = maker(Happened)


class Journal:
    """The events of the entry that is being applied, in the order in which they came about.

    Here it is only put down what happened; it is told in `drain`, once the entry is applied. So an
    error in that is a gap in the events, and stops no replica.
    """

    def __init__(self, time: int = 0) -> None:
        #: Whether anybody wants them.
        self.on = False
        self._noted: list[Callable[[], Iterable[Happened] | None]] = []
        #: For how long tasks waited that were handed out: known as the entries are told.
        self.waits = WaitTimes(time)

    def drain(self) -> Sequence[Happened]:
        """Those since the last time."""
        noted, self._noted = self._noted, []
        happened: list[Happened] = []
        for tell in noted:
            happened += tell() or ()
        return happened

    def note(self, event: Happened) -> None:
        """This happened."""
        if self.on:
            self._noted.append(lambda: (event,))

    def entered(self, queue: str, name: str, ids: Sequence[str], due: int = 0) -> None:
        """New tasks are there."""
        if self.on:
            event = Happened(EventKind.ENQUEUED, ids, queue, name, due=due)
            self._noted.append(partial(tuple, (event,)))

    def entered_ready(
        self, queue: str, name: str, ids: Sequence[str], first: int, time: int
    ) -> None:
        """New tasks, numbered from `first`, are there, and wait for a worker from now on."""
        if self.on:
            event = _happened((EventKind.ENQUEUED, ids, queue, name, b"", 0, 0, "", ()))
            self._noted.append(partial(self._entered_ready, event, first, time))

    def _entered_ready(self, event: Happened, first: int, time: int) -> Iterable[Happened]:
        self.waits.entered(first, time)
        return (event,)

    def others(self, first: int) -> None:
        """New tasks, numbered from `first`: which of them are `ready` is told besides."""
        if self.on:
            self._noted.append(partial(self.waits.entered_otherwise, first))

    def ready(self, seqs: Sequence[int], time: int) -> None:
        """These wait for a worker from now on."""
        if self.on and seqs:
            self._noted.append(partial(self.waits.ready, seqs, time))

    def assigned(self, runs: Sequence[Running], time: int) -> None:
        """These were handed out now."""
        if self.on:
            self._noted.append(partial(self._assigned, runs, time))

    def _assigned(self, runs: Sequence[Running], time: int) -> Iterator[Happened]:
        for event, alike in _groups(EventKind.ASSIGNED, runs):
            seqs = [run.seq for run in alike]
            self.waits.begun(event.queue, seqs, time, first=event.attempt == 1)
            yield event

    def settled(
        self, state: State, verdicts: Sequence[Verdict], times_ms: Mapping[int, int]
    ) -> None:
        """These ran and have their outcomes; of some it is known for how long their code ran."""
        if self.on:
            self._noted.append(partial(_settled, state, verdicts, dict(times_ms)))

    def ended_unstarted(
        self, queue: str, name: str, ids: Sequence[str], state: State, data: bytes
    ) -> None:
        """Tasks have this outcome without having run."""
        if self.on:
            self._noted.append(partial(_ended_unstarted, queue, name, ids, state, data))

    def flow_ended(self, id_: str, state: State, data: bytes) -> None:
        """A flow has its outcome."""
        if self.on:
            self._noted.append(partial(_flow_ended, id_, state, data))

    def goes_on(
        self,
        kind: EventKind,
        runs: Iterable[Running],
        due: int = 0,
        text: str = "",
        times_ms: Mapping[int, int] | None = None,
    ) -> None:
        """The attempts are over; the tasks are not, but for those that were asked to end.

        `times_ms` is for how long their code ran, as far as that is known; None of what was lost,
        or had not begun.
        """
        if self.on:
            left = [run for run in runs if not run.flags & CANCELLING]
            times = None if times_ms is None else {r.token: times_ms.get(r.token, 0) for r in left}
            self._noted.append(partial(_of_runs, kind, left, times, due=due, text=text[:TEXT_MAX]))


def _of_runs(
    kind: EventKind,
    runs: Sequence[Running],
    times_ms: Mapping[int, int] | None = None,
    *,
    due: int = 0,
    text: str = "",
) -> Iterator[Happened]:
    for event, _ in _groups(kind, runs, times_ms, due, text):
        yield event


def _groups(
    kind: EventKind,
    runs: Sequence[Running],
    times_ms: Mapping[int, int] | None = None,
    due: int = 0,
    text: str = "",
) -> Iterator[tuple[Happened, Sequence[Running]]]:
    """The events of tasks that are alike, with these."""
    for (queue, spec, worker, attempt), alike in groupby(runs, _alike):
        some = list(alike)
        times = [times_ms.get(run.token, 0) for run in some] if times_ms else ()
        ids = [run.id for run in some]
        name = decode_spec(spec).name
        yield _happened((kind, ids, queue, name, worker, attempt, due, text, times)), some


def _settled(
    state: State, verdicts: Sequence[Verdict], times_ms: Mapping[int, int]
) -> Iterator[Happened]:
    if state is State.SUCCEEDED:
        yield from _of_runs(EventKind.FINISHED, [run for run, _ in verdicts], times_ms)
        return
    for run, data in verdicts:
        kind, text = _ending(state, data)
        yield from _of_runs(kind, [run], times_ms, text=text)


def _ended_unstarted(
    queue: str, name: str, ids: Sequence[str], state: State, data: bytes
) -> Iterator[Happened]:
    kind, text = _ending(state, data)
    yield Happened(kind, ids, queue, name, text=text)


def _flow_ended(id_: str, state: State, data: bytes) -> Iterator[Happened]:
    text = "" if state is State.SUCCEEDED else failure_head(data, TEXT_MAX)
    yield Happened(_FLOW_ENDED[state], [id_], text=text)


def _ending(state: State, data: bytes) -> tuple[EventKind, str]:
    if state is State.SUCCEEDED:
        return EventKind.FINISHED, ""
    text = failure_head(data, TEXT_MAX)
    expired = state is State.CANCELLED and text.startswith(_EXPIRED)
    return EventKind.EXPIRED if expired else _ENDED[state], text
