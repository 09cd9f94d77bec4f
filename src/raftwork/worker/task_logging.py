"""A worker's log of its tasks and its leader. Has no effect on what the worker does."""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from raftwork import logs
from raftwork.errors import BadMessage
from raftwork.escapes import visible
from raftwork.messages import (
    Outcome,
    PushedTask,
    ResumeAsked,
    Spec,
    decode_ending,
    decode_failure,
    decode_spec,
)
from raftwork.worker.events import (
    AttemptBegan,
    AttemptEnded,
    AttemptSucceeded,
    Awaits,
    BrokerGone,
    BrokerReached,
    BrokerTrouble,
    Draining,
    Event,
    EverySlotWaits,
    GraceOver,
    HostUnknown,
    HttpEnded,
    LeaderJoined,
    LeaderLost,
    NothingRegistered,
    SchedulesCreated,
    SchedulesDiffer,
    SlotsChanged,
    StillDraining,
    StopsAtOnce,
)
from raftwork.worker.leader_session import LeaderSession
from raftwork.worker.pool import Running

log = logging.getLogger("raftwork.worker")

#: Without a leader before it is said, ms: longer than an election mostly takes.
PATIENCE_MS = 1_500
#: Between two reminders of what is waited for, ms.
REMIND_MS = 60_000
#: A broker heard of within so long answers, ms. Without a leader all are asked each second.
_ANSWERS_MS = 3_000
#: All slots have to wait for so long, ms: others may be about to run what they wait for.
PATIENCE_OF_SLOTS = 2_000
#: Of the reason of a failure, characters.
_REASON = 300
#: Tasks listed by name; there may be thousands.
_LISTED = 10
_UNREADABLE = Spec("?", "?")
_FOREVER = 2**62

#: Tasks, and since when (ms) the code of each is known to run.
_Aged = Sequence[tuple[PushedTask, int | None]]
#: All others are INFO.
LEVELS: Final[Mapping[type, int]] = {
    **dict.fromkeys((AttemptBegan, AttemptSucceeded), logging.DEBUG),
    **dict.fromkeys((AttemptEnded, Awaits, NothingRegistered), logging.WARNING),
    **dict.fromkeys(
        (EverySlotWaits, GraceOver, HttpEnded, SchedulesDiffer, SlotsChanged), logging.WARNING
    ),
    **dict.fromkeys((StillDraining, StopsAtOnce), logging.WARNING),
    **dict.fromkeys((BrokerTrouble, HostUnknown), logging.ERROR),
}


def tell(event: Event, extra: Mapping[str, object] | None = None) -> None:
    """Log it."""
    logs.write_event(log, LEVELS.get(type(event), logging.INFO), event, extra)


def tell_declared(fates: Sequence[tuple[str, str]]) -> None:
    """Log what became of the schedules that the App declares, by id."""
    for fate, kind in (("created", SchedulesCreated), ("differs", SchedulesDiffer)):
        if ids := [id_ for id_, each in fates if each == fate]:
            tell(kind(tuple(ids)))


class TaskLog:
    """The log of one worker. Times are milliseconds on its monotonic clock."""

    def __init__(self, now: int) -> None:
        self._epoch: int | None = None  # of the leader it has joined
        self._reached: set[str] = set()
        self._say_at = now + PATIENCE_MS
        self._waiting: tuple[set[int], int] = set(), now  # all slots' tokens, and since when
        #: When `unfinished` has something to say, once the worker drains.
        self.list_at = 0

    # ---- tasks -----------------------------------------------------------------------------------

    def given(self, tasks: Sequence[PushedTask]) -> None:
        """These tasks go to the pool. Call it only if their starts are logged."""
        for task in tasks:
            tell(AttemptBegan(*_called(task, _spec(task))))

    def ended(self, ends: Sequence[tuple[PushedTask, Outcome]]) -> None:
        """These tasks have their outcomes."""
        for task, outcome in ends:
            spec = _spec(task)
            if outcome.returned:
                tell(AttemptSucceeded(*_called(task, spec)))
                continue
            # What no broker of ours would send is told of once a minute, not once a task.
            extra = logs.alike("unreadable") if spec is _UNREADABLE else None
            how, why = _fate(task, spec, outcome), _why(outcome)
            tell(AttemptEnded(*_called(task, spec), how, why), extra)

    def slots(self, running: Sequence[Running], slots: int, tasks: _Aged, now: int) -> None:
        """The running ones of the worker's `tasks`. Called about once a second.

        Logs once when all slots wait for other tasks and none makes progress.
        """
        waiting = {each.token for each in running if each.waits}
        if len(waiting) < max(1, slots):
            waiting.clear()
        before, since = self._waiting
        if waiting != before:
            self._waiting = waiting, now
        elif waiting and now - since >= PATIENCE_OF_SLOTS:
            self._waiting = waiting, _FOREVER
            held = [_aged(task, since, now) for task, since in tasks if task.token in waiting]
            tell(EverySlotWaits(slots, tuple(held[:_LISTED])), logs.alike("every slot waits"))

    def unfinished(self, tasks: _Aged, now: int) -> None:
        """The worker drains, and these are left. Call it when `list_at` has come."""
        first, self.list_at = not self.list_at, now + REMIND_MS
        if first:
            tell(Draining(len(tasks)))
        elif tasks:
            oldest = tuple(_aged(task, since, now) for task, since in tasks[:_LISTED])
            tell(StillDraining(len(tasks), oldest))

    # ---- brokers ---------------------------------------------------------------------------------

    def link(self, address: str, *, made: bool) -> None:
        """A connection was made or lost. Each change is told once."""
        if made == (address in self._reached):
            return
        if made:
            self._reached.add(address)
            tell(BrokerReached(address))
        else:
            self._reached.discard(address)
            tell(BrokerGone(address))

    def look(self, session: LeaderSession, now: int) -> None:
        """Log changes of the session with the leader. Called in every turn."""
        if session.open:
            if session.epoch != self._epoch:
                self._epoch = session.epoch
                reached, known = len(self._reached), len(session.brokers)
                tell(LeaderJoined(session.leader or "", session.epoch, reached, known))
            heard = session.heard_at.get(session.leader or "", now)
            self._say_at = max(self._say_at, heard + PATIENCE_MS + _ANSWERS_MS)
        elif session.lost and self._epoch is not None:
            self._epoch = None
            self._say_at = now + PATIENCE_MS
            tell(LeaderLost(session.lost))
        if now >= self._say_at:
            self._say_at = now + REMIND_MS
            tell(Awaits(_awaited(session, now)))


def _awaited(session: LeaderSession, now: int) -> str:
    """What the worker waits for."""
    heard = session.heard_at
    silent = [at for at in session.brokers if now - heard.get(at, -_ANSWERS_MS) >= _ANSWERS_MS]
    if len(silent) == len(session.brokers):
        return f"no broker answers: {', '.join(silent)}"
    mute = f"; not answering: {', '.join(silent)}" if silent else ""
    if session.leader is None:
        there = ", ".join(at for at in session.brokers if at not in silent)
        return f"no broker leads; answering: {there}{mute}"
    if session.lost:
        return f"{session.lost}, and no other broker says that it leads{mute}"
    return f"the leader at {session.leader} has not taken this worker on{mute}"


def _spec(task: PushedTask) -> Spec:
    try:
        return decode_spec(task.spec)
    except BadMessage:
        return _UNREADABLE


def _called(task: PushedTask, spec: Spec) -> tuple[str, str, int, int | None]:
    """Its id and name, the attempt, and of how many that is."""
    last = spec.retries + 1
    known = 1 < last >= task.attempt and not spec.at_most_once
    return visible(task.id), visible(spec.name), task.attempt, last if known else None


def _fate(task: PushedTask, spec: Spec, outcome: Outcome) -> str:
    if outcome.unknown:
        return "was refused"
    if outcome.loss is not None:
        return "was lost"
    if isinstance(decode_ending(outcome.data), ResumeAsked) and not spec.at_most_once:
        return "goes on in another attempt"
    # Attempts are counted with those that were lost or handed back: no fewer than the failures.
    again = task.attempt <= spec.retries and not (spec.at_most_once or outcome.final)
    return "failed and is tried again" if again else "failed"


def _why(outcome: Outcome) -> str:
    """The last line of what it ended with."""
    failure = decode_failure(outcome.data)
    lines = failure.message.strip().splitlines()
    text = f"{failure.type}: {lines[-1]}" if lines else failure.type
    return visible(text if len(text) <= _REASON else text[:_REASON] + "…")


def _listed(tasks: _Aged, now: int) -> str:
    more = f", and {len(tasks) - _LISTED} more" if len(tasks) > _LISTED else ""
    return ", ".join(_aged(task, since, now) for task, since in tasks[:_LISTED]) + more


def _aged(task: PushedTask, since: int | None, now: int) -> str:
    age = "not started" if since is None else f"for {(now - since) / 1000:.0f} s"
    return f"{visible(_spec(task).name)} {visible(task.id)} {age}"
