"""Limits: so many tasks at once, or in a time, wherever they run.

1. A limit is set by name and tasks name it; what a task named when it was enqueued stands. The name
   `task:` and a task's name is a limit of that task, which need not name it.
2. A limit counts its tasks together, or apart by tenant or key: each has a gate of its own.
3. Tasks of the same gates wait in one lane, so a shut gate holds up nobody else, and its first task
   decides for the others.
4. A limit may be changed, paused, resumed and deleted while tasks wait for it or run. What runs
   goes on and counts, so a lower concurrency holds once enough of it has ended.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.errors import BadMessage, NewerMessage, ProtocolError, QueueFull, Unsupported
from raftwork.features.effects import Done, Effect, LimitChanged
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.limit_settings import (
    ENDLESS,
    GATE_TIMER,
    LIMITS_OF_TASK_MAX,
    NEVER,
    TASK_PREFIX,
    Quota,
    changed,
    changes_of,
    gates_named,
    gates_text,
    name_objection,
)
from raftwork.features.task_batch import AT_MAX_MS, LEVEL_OPTIONS, check_level
from raftwork.features.task_row import GATED, PENDING
from raftwork.features.why_it_waits import Reason, instant
from raftwork.messages.bounds import Between, Name, OptionalName
from raftwork.messages.registry import command, reply, request
from raftwork.release import RELEASE

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature
    from raftwork.features.lifecycle import Entering
    from raftwork.features.why_it_waits import WaitingTask
    from raftwork.messages import Spec

LIMITS_MAX: Final = 1_000
#: Gates in use, beyond which no task comes in that has any: about 100 bytes each.
GATES_MAX: Final = 1_000_000
#: Bytes of packed settings.
PACKED_MAX: Final = 4_096
#: Names that an error shows.
_NAMED: Final = 5

#: Lanes of a queue that are looked at for who asks for its limits.
_LANES_LOOKED_AT: Final = 1_000
_GATES_IN = "SELECT gates FROM lane WHERE queue = ? AND gates <> '' LIMIT ?"
_GATES_OF = "SELECT gates, queue FROM task WHERE seq = ?"


# ---- records ----------------------------------------------------------------------------------


@reply(120)
class LimitSet(NamedTuple):
    """It stands, under any later leader."""

    request: int


@request(120, reply=LimitSet)
class SetLimit(NamedTuple):
    """Change what a limit allows, or make it. None clears; what is not given stays."""

    request: int
    name: Name
    changes: Annotated[bytes, Between(1, PACKED_MAX)]


@reply(121)
class LimitPaused(NamedTuple):
    """None of its tasks is handed out from now on."""

    request: int


@request(121, reply=LimitPaused)
class PauseLimit(NamedTuple):
    """Hand out none of its tasks. Those that run go on."""

    request: int
    name: Name
    until: Annotated[int, Between(0, AT_MAX_MS)] = 0  # leader time; 0: until it is resumed


@reply(122)
class LimitResumed(NamedTuple):
    """Its tasks are handed out as far as it allows."""

    request: int


@request(122, reply=LimitResumed)
class ResumeLimit(NamedTuple):
    """End a limit's pause, and open what code had shut."""

    request: int
    name: Name


@reply(123)
class LimitDeleted(NamedTuple):
    """There is no such limit."""

    request: int
    deleted: int  # 1; 0 if there was none


@request(123, reply=LimitDeleted)
class DeleteLimit(NamedTuple):
    """Forget a limit: tasks that named it are held up by it no more."""

    request: int
    name: Name


class ToldLimit(NamedTuple):
    """A limit, and how far it is used."""

    name: str
    concurrency: int  # 0: any number
    rate: str  # empty: any
    burst: int
    per: str  # empty, tenant or key
    paused_until: int  # leader time, ms; 0: it is not paused
    running: int  # tasks that it let in and that run
    gates: int  # tenants or keys that are in use; 0 or 1 if it counts them together
    here: int = 0  # of `running`, those of the queue that was asked for


@reply(124)
class LimitsTold(NamedTuple):
    """The limits by name."""

    request: int
    limits: list[ToldLimit]


@request(124, reply=LimitsTold)
class AskLimits(NamedTuple):
    """What is set now (linearizable), of one limit or of all?

    With `queue` of those that its unfinished tasks count for.
    """

    request: int
    name: OptionalName = ""
    queue: OptionalName = ""


@command(120, since=2)
class ConfigureLimit(NamedTuple):
    """As SetLimit."""

    name: str
    changes: bytes


@command(121, since=2)
class PauseGates(NamedTuple):
    """Of a limit. `until` is leader time; 0 ends a pause."""

    name: str
    until: int


@command(123, since=2)
class DropLimit(NamedTuple):
    """As DeleteLimit."""

    name: str


# ---- whether a task may enter -----------------------------------------------------------------


def named(ledger: "Ledger", spec: "Spec") -> Sequence[str]:
    """The limits that such a task counts for, in order."""
    quotas = ledger.gates.quotas
    if not spec.limits and not quotas:
        return ()
    own = TASK_PREFIX + spec.name
    return _in_order((*spec.limits, own) if own in quotas else spec.limits)


@lru_cache(maxsize=1_024)
def _in_order(limits: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(limits)))


def check_limits(ledger: "Ledger", spec: "Spec") -> None:
    """Raise ProtocolError for a limit that there is not, QueueFull for tasks that have no room.

    For the entry alone to decide: a leader that is deposed may not know of a limit that was set.
    """
    limits = named(ledger, spec)
    if not limits:
        return
    if len(limits) > LIMITS_OF_TASK_MAX:
        raise ProtocolError(
            f"a task may count for {LIMITS_OF_TASK_MAX} limits, this one names {len(limits)}"
        )
    for name in limits:
        _known(ledger, name)
    if ledger.gates.rows >= GATES_MAX:
        raise QueueFull(
            f"no room: {ledger.gates.rows} tenants and keys of limits are in use, {GATES_MAX} are"
            " allowed: have fewer at a time, or set rates that come back sooner"
        )


def _known(ledger: "Ledger", name: str) -> Quota:
    quota = ledger.gates.quotas.get(name)
    if quota is None:
        names = sorted(ledger.gates.quotas)
        there = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
        raise ProtocolError(
            f"no limit {name!r:.80}; there {'are ' + there if there else 'is none'}: set it first"
            " (app.limits.set, raftwork limit set)"
        )
    return quota


def gates_of(ledger: "Ledger", spec: "Spec", key: str, tenant: str) -> str:
    """The gates of such a task, as its row has them; empty if it has none."""
    limits = named(ledger, spec)
    if not limits:
        return ""
    quotas = ledger.gates.quotas
    pers = [quotas[name].per if name in quotas else "" for name in limits]
    by = {"": "", "key": key, "tenant": tenant}
    return gates_text(tuple([(name, by[per]) for name, per in zip(limits, pers, strict=True)]))


def _enters(ledger: "Ledger", spec: "Spec", task: "Entering") -> None:
    task.gates = gates_of(ledger, spec, task.key, task.extras.tenant)
    if task.gates:
        task.flags |= GATED


# ---- on every replica -------------------------------------------------------------------------


def _configure(ledger: "Ledger", command: ConfigureLimit, effects: list[Effect]) -> None:
    quota = _configured(ledger, command)
    ledger.gates.renew(ledger, command.name, quota)
    effects.append(LimitChanged(command.name))
    ledger.journal.note(Happened(EventKind.LIMIT_CHANGED, name=command.name))


def _configured(ledger: "Ledger", command: ConfigureLimit) -> Quota:
    """Raises ProtocolError, QueueFull, BadMessage and NewerMessage."""
    if wrong := name_objection(command.name):
        raise ProtocolError(wrong)
    values = changes_of(command.changes)
    quotas = ledger.gates.quotas
    before = quotas.get(command.name)
    if before is None and len(quotas) >= LIMITS_MAX:
        raise QueueFull(
            f"no room: this would make {len(quotas) + 1} limits, {LIMITS_MAX} are allowed: delete"
            " some, or use one that counts by key"
        )
    quota = changed(before or Quota(), values)
    if before is not None and quota.per != before.per:
        raise ProtocolError(
            f"limit {command.name!r} counts by {before.per or 'nothing'} and cannot count by"
            f" {quota.per or 'nothing'}: delete it and set it anew; tasks enqueued before go on to"
            " count as they did"
        )
    return quota


def _pause(ledger: "Ledger", command: PauseGates, effects: list[Effect]) -> None:
    quota = _known(ledger, command.name)._replace(paused_until=command.until)
    if command.until:
        ledger.gates.set(command.name, quota)
    else:
        ledger.gates.renew(ledger, command.name, quota)
    effects.append(LimitChanged(command.name))
    ledger.journal.note(Happened(EventKind.LIMIT_CHANGED, name=command.name, due=command.until))


def _delete(ledger: "Ledger", command: DropLimit, effects: list[Effect]) -> Done:
    if command.name not in ledger.gates.quotas:
        return Done(0)
    ledger.gates.delete(command.name)
    effects.append(LimitChanged(command.name))
    ledger.journal.note(Happened(EventKind.LIMIT_DELETED, name=command.name))
    return Done(1)


def _look(ledger: "Ledger", timers: Sequence[int], _effects: list[Effect]) -> None:
    ledger.gates.look(ledger, timers)


def _holds(ledger: "Ledger", seq: int) -> Iterator[Sequence[int]]:
    """For each full gate of a task the tasks that hold it; also of one that time shuts besides."""
    gates, number = ledger.db.execute(_GATES_OF, (seq,)).get
    for name in gates_named(gates):
        quota, gate = ledger.gates.quotas.get(name[0]), ledger.gates.find(name)
        if quota is not None and 0 < quota.concurrency <= gate.held:
            yield [ledger.running[token].seq for token in sorted(gate.holders)]
    queue = ledger.numbered.get(number)  # none of a flow or a join
    if (
        queue is not None
        and queue.quota is not None
        and 0 < queue.quota.concurrency <= queue.running
    ):
        yield [run.seq for run in ledger.running.values() if run.queue == queue.name]


# ---- on the leader ----------------------------------------------------------------------------


def _check_level(view: "View") -> None:
    check_level(view.state, "limits need")


def _check_set(view: "View", request: SetLimit) -> ConfigureLimit:
    """In the log a setting that is not known would stop every replica."""
    _check_level(view)
    try:
        changes_of(request.changes)
    except NewerMessage as error:
        raise Unsupported(
            f"{error}, says this broker of raftwork {RELEASE}: upgrade the brokers first"
        ) from None
    except BadMessage as error:
        raise ProtocolError(str(error)) from None
    return ConfigureLimit(request.name, request.changes)


def _check_pause(view: "View", request: PauseLimit) -> PauseGates:
    _check_level(view)
    return PauseGates(request.name, request.until or ENDLESS)


def _check_resume(view: "View", request: ResumeLimit) -> PauseGates:
    _check_level(view)
    return PauseGates(request.name, 0)


def _check_delete(view: "View", request: DeleteLimit) -> DropLimit:
    _check_level(view)
    return DropLimit(request.name)


def _deleted(_view: "View", request: DeleteLimit, done: Done) -> LimitDeleted:
    return LimitDeleted(request.request, done.affected)


def _told(view: "View", request: AskLimits) -> LimitsTold:
    quotas = view.state.gates.quotas
    if request.name:
        quotas = {request.name: _known(view.state, request.name)}
    here: Counter[str] = Counter()
    if request.queue:
        here = _running_in(view.state, request.queue)
        names = here.keys() | _named_in(view.state, request.queue)
        quotas = {name: quota for name, quota in quotas.items() if name in names}
    told = [_tell(view, *each)._replace(here=here[each[0]]) for each in sorted(quotas.items())]
    return LimitsTold(request.request, told)


def _named_in(ledger: "Ledger", queue: str) -> set[str]:
    """The limits that unfinished tasks of a queue count for: each is in a lane of its gates."""
    found = ledger.queues.get(queue)
    if found is None or ledger.level < LEVEL_OPTIONS:
        return set()
    lanes = ledger.db.execute(_GATES_IN, (found.number, _LANES_LOOKED_AT))
    return {limit for (gates,) in lanes for limit, _ in gates_named(gates)}


def _running_in(ledger: "Ledger", queue: str) -> Counter[str]:
    """By limit, the tasks of a queue that it let in and that run."""
    return Counter(
        limit
        for run in ledger.running.values()
        if run.queue == queue and run.flags & GATED
        for limit, _ in ledger.gates.of(run.token)
    )


def _tell(view: "View", name: str, quota: Quota) -> ToldLimit:
    until = quota.paused_until if quota.paused_until > view.time else 0
    settings = (quota.concurrency, quota.rate or "", quota.burst, quota.per, until)
    return ToldLimit(name, *settings, *view.state.gates.use_of(name))


def _limited(view: "View", task: "WaitingTask") -> Reason | None:
    """The first of its gates that is shut, as what it waits for."""
    gates, time = view.state.gates, max(view.time, view.state.time)
    for name in gates_named(task.gates) if task.phase == PENDING else ():
        quota, gate = gates.quotas.get(name[0]), gates.find(name)
        if quota is not None and (until := gate.opens_at(quota, time, gate.held)):
            what = f"limit {name[0]}" + (f" of {name[1]}" if name[1] else "")
            return Reason("limit", _shut(view, what, quota, gate.held, until))
    return None


def _queue_limited(view: "View", task: "WaitingTask") -> Reason | None:
    queue = view.state.numbered[task.number]
    if task.phase != PENDING or (quota := queue.quota) is None:
        return None
    gate = view.state.gates.find(("", queue.name))
    until = gate.opens_at(quota, max(view.time, view.state.time), queue.running)
    if not until:
        return None
    return Reason("limit", _shut(view, f"queue {queue.name}", quota, queue.running, until))


def _shut(view: "View", what: str, quota: Quota, running: int, until: int) -> str:
    if quota.paused_until >= until > max(view.time, view.state.time):
        when = "until somebody resumes it" if until >= ENDLESS else f"until {instant(view, until)}"
        return f"{what} is paused {when}"
    if until < NEVER:
        return f"{what} is shut for a time: it opens {instant(view, until)}"
    return f"{what} is full: {running} of {quota.concurrency} running"


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, change, read, transition
    from raftwork.features.lifecycle import Lifecycle, TimerKind

    return Feature(
        "limits",
        rules=[
            change(SetLimit, _check_set, lambda _view, asked, _done: LimitSet(asked.request)),
            change(
                PauseLimit, _check_pause, lambda _view, asked, _done: LimitPaused(asked.request)
            ),
            change(
                ResumeLimit, _check_resume, lambda _view, asked, _done: LimitResumed(asked.request)
            ),
            change(DeleteLimit, _check_delete, _deleted),
            read(AskLimits, _told, work=LIMITS_MAX),
        ],
        transitions=[
            transition(ConfigureLimit, _configure),
            transition(PauseGates, _pause),
            transition(DropLimit, _delete),
        ],
        budget=Budget(requests=100),
        lifecycles=[Lifecycle(GATED, _enters)],
        timers=[TimerKind(GATE_TIMER, _look)],
        reasons=[_limited, _queue_limited],
        holds=_holds,
    )
