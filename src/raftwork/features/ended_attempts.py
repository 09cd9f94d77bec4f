"""Attempts that ended lately, for who draws them: which worker ran what, from when to when.

1. It is read out of the events that each broker keeps (event_feed.py): it costs an ordinary task
   nothing, and a new leader tells what ended under the one before.
2. An attempt's end is the time of its entry, and its beginning that less its run time. Of one that
   was lost nobody said how long it ran: it began when it was handed out, as far as that is kept.
3. A look goes back from the newest entry to the one that is known already, to a time, or to so many
   attempts or entries, whichever comes first. It is done by slices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.errors import ProtocolError
from raftwork.features.event_feed import worker_names
from raftwork.features.event_journal import EventKind, Happened
from raftwork.messages.bounds import Between, OptionalName
from raftwork.messages.registry import reply, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature, Slices

#: Attempts in one answer.
ATTEMPTS_MAX: Final = 2_000
#: Entries that are looked at for one answer, some microseconds each.
_ENTRIES_MAX: Final = 10_000
#: What one look at some hundred entries costs (1 is about 10 us).
_LOOK_WORK: Final = 100

#: How an attempt ended, by what is told of it; only one without a run time was lost.
_ENDS: Final = {
    EventKind.FINISHED: EventKind.FINISHED,
    EventKind.POSTPONED: EventKind.FINISHED,
    EventKind.REPLACED: EventKind.FINISHED,
    EventKind.FAILED: EventKind.FAILED,
    EventKind.RETRIED: EventKind.FAILED,
    EventKind.LOST: EventKind.LOST,
    EventKind.CANCELLED: EventKind.CANCELLED,
    EventKind.EXPIRED: EventKind.CANCELLED,
}


class EndedAttempts(NamedTuple):
    """Attempts that ended with one entry and are alike. Times are leader time, ms."""

    ended: int
    kind: int  # FINISHED, FAILED, LOST or CANCELLED of EventKind
    queue: str
    name: str
    worker: str
    ids: list[str]
    began: list[int]  # of each; `ended` if that is not known, or was just before


@reply(241)
class EndedTold(NamedTuple):
    """Answers ListEnded: the newest, in no order. (epoch, seq) is the entry that is known now."""

    request: int
    attempts: list[EndedAttempts]
    epoch: int
    seq: int
    more: bool  # there were more, which are not told
    time: int  # leader time


@request(241, reply=EndedTold)
class ListEnded(NamedTuple):
    """The newest attempts that ended after a time, and behind the entry (epoch, seq)."""

    request: int
    epoch: int
    seq: int
    since: int  # leader time
    limit: Annotated[int, Between(1, ATTEMPTS_MAX)]
    queue: OptionalName = ""
    worker: OptionalName = ""


class _Found:
    """What was found so far, the newest first."""

    def __init__(self, asked: ListEnded, name_of: Callable[[bytes], str]) -> None:
        self.attempts: list[EndedAttempts] = []
        self.full = False
        self._asked, self._name_of = asked, name_of
        self._left = asked.limit
        #: Of those that were lost, (id, attempt): where it stands when they began.
        self.sought: dict[tuple[str, int], tuple[list[int], int]] = {}

    def take(self, at: int, happened: Happened) -> None:
        """Of an entry of this time."""
        kind = _ENDS.get(happened.kind)
        if kind is None or not happened.worker or self._asked.queue not in {"", happened.queue}:
            return
        worker = self._name_of(happened.worker)
        if self._asked.worker not in {"", worker}:
            return
        if happened.kind is EventKind.RETRIED and not happened.runs_ms:
            kind = EventKind.LOST
        ids = list(happened.ids[: self._left])
        began = [max(0, at - ms) for ms in happened.runs_ms[: len(ids)]] or [at] * len(ids)
        if kind is EventKind.LOST:
            for place, id_ in enumerate(ids):
                self.sought[id_, happened.attempt] = began, place
        names = happened.queue, happened.name, worker
        self.attempts.append(EndedAttempts(at, int(kind), *names, ids, began))
        self._left -= len(ids)
        self.full = not self._left

    def handed_out(self, at: int, happened: Happened) -> None:
        """An earlier entry: when some began that were lost."""
        if happened.kind is EventKind.ASSIGNED:
            for id_ in happened.ids:
                if found := self.sought.pop((id_, happened.attempt), None):
                    began, place = found
                    began[place] = at


def _list(view: View, asked: ListEnded) -> Slices:
    ring = view.events
    if not ring.keeps:
        raise ProtocolError("this broker keeps no events: it was started with --event-bytes 0")
    found = _Found(asked, worker_names(view))
    known, last = (asked.epoch, asked.seq), ring.last[:2]
    below, looked = (last[0], last[1] + 1), 0
    behind = more = False  # what is known, or all that was asked for
    while looked < _ENTRIES_MAX and (found.sought or not behind):
        entries = ring.newest(below)
        for position, at, happened in entries:
            if at < asked.since:
                return _told(view, asked, found, last, more=more)
            below, looked = position, looked + 1
            behind = behind or position <= known
            for event in reversed(happened):
                if found.sought:
                    found.handed_out(at, event)
                if not behind:
                    found.take(at, event)
            if found.full and not behind:
                behind = more = True
        if not entries:
            return _told(view, asked, found, last, more=more)
        yield _LOOK_WORK
    return _told(view, asked, found, last, more=more or not behind)


def _told(
    view: View, asked: ListEnded, found: _Found, last: tuple[int, int], *, more: bool
) -> EndedTold:
    return EndedTold(asked.request, found.attempts, *last, more, view.time)


def feature() -> Feature:
    """See the package."""
    from raftwork.features.feature import Budget, Feature, read_by_slices

    return Feature(
        "what ended",
        rules=[read_by_slices(ListEnded, _list)],
        budget=Budget(requests=100, bytes=1024 * 1024),
    )
