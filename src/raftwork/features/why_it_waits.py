"""Why a task waits: a table of reasons, each a small function. Computed when it is asked for.

A capability that can hold a task back has its reason in its own file, and names it in its feature:

    def _paused(view: View, task: WaitingTask) -> Reason | None:
        until = ...
        return Reason("paused", f"its queue {task.queue} is paused") if until else None

    Feature("pauses", ..., reasons=[_paused])

What is told is all that holds it, in the order of the capabilities; those of this file come first.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.durations import in_words
from raftwork.features.task_row import BLOCKED, DELAYED, LANED, PENDING, SCHEDULED, WITHOUT_CODE
from raftwork.messages import decode_spec

if TYPE_CHECKING:
    from raftwork.broker.requests.view import View
    from raftwork.broker.workers.worker import Worker
    from raftwork.features.feature import Feature

#: So many tasks before it are counted, some 100 us for each thousand.
COUNTED_MAX: Final = 10_000
#: The last second that has a date.
_LATEST_MS: Final = 253_402_300_799_000
#: Workers, or names of tasks, that a reason names.
_NAMED = 3

_BEFORE = """SELECT count(*) FROM
    (SELECT 1 FROM waiting WHERE queue = ? AND seq < ? LIMIT ?)"""
_BEFORE_IN_LANE = """SELECT count(*) FROM
    (SELECT 1 FROM laned WHERE lane = ? AND place < ? LIMIT ?)"""
_IN_LANE = "SELECT EXISTS (SELECT 1 FROM laned WHERE lane = ? AND place = ?)"
_FAILURES = "SELECT failures, losses FROM task WHERE seq = ?"
_FIRST_OPEN = """SELECT task.id FROM
    (SELECT edge.src FROM edge CROSS JOIN unmet
        ON unmet.src = edge.src AND unmet.dst = edge.dst AND unmet.slot = edge.slot
        WHERE edge.dst = ? UNION SELECT seq FROM node WHERE flow = ?)
    JOIN task ON task.seq = src WHERE state = 0 ORDER BY src LIMIT ?"""
_SIGNAL = """SELECT name FROM task JOIN signal ON signal.flow = task.flow AND signal.seq = task.seq
    WHERE task.seq = ?"""
_OPEN = "SELECT open FROM task WHERE seq = ?"


class WaitingTask(NamedTuple):
    """A task that has no outcome and does not run."""

    seq: int
    id: str
    name: str
    queue: str
    number: int  # the queue's
    phase: int
    due: int  # machine time; 0 if it waits for none
    flags: int
    lane: int
    place: int
    gates: str
    worker: str = ""  # the name of the only one that may have it; empty: any may


class Reason(NamedTuple):
    """`why` is a word for programs, `text` a clause for people."""

    why: str
    text: str


#: Returns None if that does not hold the task.
WhyItWaits = Callable[["View", WaitingTask], Reason | None]


def reasons(view: "View", task: WaitingTask) -> list[Reason]:
    """All that holds it, by every capability."""
    from raftwork.features.catalogue import FEATURES

    if task.phase == WITHOUT_CODE:  # no worker has anything to do with it
        told = [_blocked(view, task)]
    else:
        told = [why(view, task) for feature in FEATURES for why in feature.reasons]
    return [reason for reason in told if reason is not None]


# ---- time, and other tasks ----------------------------------------------------------------------


def _scheduled(view: "View", task: WaitingTask) -> Reason | None:
    if task.phase != SCHEDULED:
        return None
    return Reason("scheduled", f"its time is {instant(view, task.due)}")


def _retry(view: "View", task: WaitingTask) -> Reason | None:
    if task.phase != DELAYED:
        return None
    ((failures, losses),) = view.state.db.execute(_FAILURES, (task.seq,))
    past = f"failed {failures} times" + (f", was lost {losses} times" if losses else "")
    return Reason("retry", f"it {past}; its next attempt is due {instant(view, task.due)}")


def _blocked(view: "View", task: WaitingTask) -> Reason | None:
    if task.phase not in {BLOCKED, WITHOUT_CODE}:
        return None
    ((count,),) = view.state.db.execute(_OPEN, (task.seq,))
    if not count:
        return None  # it waits behind its unique key (unique.py)
    signal = _signal(view, task) if task.phase == WITHOUT_CODE else None
    if signal is not None:
        return Reason("signal", f"it waits for the signal {signal}")
    ids = [id_ for (id_,) in view.state.db.execute(_FIRST_OPEN, (task.seq, task.seq, _NAMED + 1))]
    states = view.machine.states(ids)
    named = [f"{i} ({s.name.lower()})" for i, s in zip(ids, states, strict=True)]
    tasks = "another task" if count == 1 else f"{count} other tasks"
    return Reason("blocked", f"it waits for {tasks}: {_listed(named)}")


def _signal(view: "View", task: WaitingTask) -> str | None:
    """The signal that a node without code waits for."""
    row = view.state.db.execute(_SIGNAL, (task.seq,)).fetchone()
    return None if row is None else row[0]


def utc(time: int) -> datetime:
    """A leader time as a date: the last one there is for what a client put off beyond it."""
    return datetime.fromtimestamp(min(time, _LATEST_MS) / 1000, UTC)


def instant(view: "View", due: int) -> str:
    """A machine time, and how far off it is, for people."""
    left = due - max(view.time, view.machine.time)  # where nothing happens, entries are old
    at = f"{utc(due):%Y-%m-%d %H:%M:%S} UTC"
    return f"{at}, in {in_words(left / 1_000)}" if left > 0 else f"{at}, which is now"


# ---- its queue ----------------------------------------------------------------------------------


def _place(view: "View", task: WaitingTask) -> Reason | None:
    if task.phase != PENDING:
        return None
    where = f"the queue {task.queue}"
    if task.flags & LANED:
        at, where = (task.lane, task.place or task.seq), f"its lane of {where}"
        if not view.state.db.execute(_IN_LANE, at).get:
            return None  # it is not its turn (lanes.py)
        rows = view.state.db.execute(_BEFORE_IN_LANE, (*at, COUNTED_MAX))
    else:
        rows = view.state.db.execute(_BEFORE, (task.number, task.seq, COUNTED_MAX))
    ((before,),) = rows
    if not before:
        return Reason("place", f"it is the first in {where}")
    count = f"at least {before}" if before == COUNTED_MAX else f"{before}"
    return Reason(
        "place", f"{count} {'task is' if before == 1 else 'tasks are'} before it in {where}"
    )


# ---- the workers --------------------------------------------------------------------------------


def _pinned(_view: "View", task: WaitingTask) -> Reason | None:
    if not task.worker:
        return None
    return Reason("worker", f"it waits for worker {task.worker}, and no other one may have it")


def _unserved(view: "View", task: WaitingTask) -> Reason | None:
    if _active(view, task):
        return None
    who = f"worker {task.worker}" if task.worker else "worker"
    text = f"no {who} serves the queue {task.queue}"
    leaving = _serving(view, task)
    if leaving:
        text += f" any more: {_listed([w.name for w in leaving])} drains or is unheard"
    elif not view.all_heard:
        text += " so far: the leader is new, and workers may still say hello to it"
    return Reason("no worker", text)


def _unknown_name(view: "View", task: WaitingTask) -> Reason | None:
    lacking = view.workers.eligibility.lacking(task.name)
    active = _active(view, task)
    without = [w for w in active if w.incarnation in lacking]
    if not without:
        return None
    who = _listed([w.name for w in without])
    if len(without) == len(active):
        return Reason("unknown name", f"no worker of its queue knows {task.name}: {who} said so")
    return Reason("unknown name", f"{who} does not know {task.name}")


def _shunned(view: "View", task: WaitingTask) -> Reason | None:
    shunned = view.workers.eligibility.lost_under(task.seq)
    names = [w.name for w in _active(view, task) if w.incarnation in shunned]
    if not names:
        return None
    return Reason("shunned", f"it was lost under {_listed(names)}, and shuns that if it can")


def _resting(view: "View", task: WaitingTask) -> Reason | None:
    resting = [w for w in _active(view, task) if w.breaker.is_open or not w.slots]
    if not resting:
        return None
    said = [f"{w.name} {view.workers.inspection.why_not(w)}" for w in resting[:_NAMED]]
    return Reason("resting", "; ".join(said) + ("; …" if len(resting) > _NAMED else ""))


def _busy(view: "View", task: WaitingTask) -> Reason | None:
    if task.phase != PENDING:
        return None
    able = [w for w in _active(view, task) if w.slots and not w.breaker.is_open]
    slots = sum(w.slots for w in able)
    if not able or any(w.free_slots > 0 for w in able):
        return None
    current = (view.machine.current(token) for w in able for token in w.assignments)
    names = Counter(decode_spec(run.spec).name for run in current if run is not None)
    said = [f"{count} × {name}" for name, count in names.most_common(_NAMED)]
    more = ", …" if len(names) > _NAMED else ""
    whose = f"worker {task.worker}" if task.worker else "the workers of its queue"
    text = f"all {slots} slots of {whose} are busy"
    return Reason("busy", f"{text} with {', '.join(said)}{more}" if said else text)


def _active(view: "View", task: WaitingTask) -> "Sequence[Worker]":
    serving = _serving(view, task)
    return [w for w in serving if w.routing is not None and not (w.draining or w.leaving)]


def _serving(view: "View", task: WaitingTask) -> "Sequence[Worker]":
    serving = view.workers.inspection.serving(task.queue)
    return [w for w in serving if w.name == task.worker] if task.worker else serving


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature

    return Feature(
        "why tasks wait",
        reasons=[
            *(_scheduled, _retry, _blocked),
            *(_pinned, _unserved, _unknown_name, _shunned, _resting, _busy),
            _place,
        ],
    )
