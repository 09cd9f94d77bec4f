"""What is known of a task, as a program sees it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, Unpack

from raftwork.client import sealed_requests
from raftwork.client.options import label, queue_name, seconds
from raftwork.client.options import tag as checked_tag
from raftwork.client.reply import Reply
from raftwork.client.status import Status
from raftwork.features.inspect_tasks import (
    PAGE_MAX,
    ListTasks,
    TaskFacts,
    TaskPage,
    TaskShown,
)
from raftwork.features.lineage import NO_LINEAGE, Lineage
from raftwork.features.why_it_waits import utc
from raftwork.messages import NAME_MAX, PRIORITY_USUAL, State, decode_failure
from raftwork.messages.flow_values import unpack_value, without_references
from raftwork.sealed_failures import open_failure
from raftwork.sealing import marks_of
from raftwork.wire import INT_MAX, unpack

if TYPE_CHECKING:
    from raftwork.client.caller import Caller
    from raftwork.client.options import Duration
    from raftwork.features.progress import ProgressTold, Said
    from raftwork.sealing import Codec


class Attempt(NamedTuple):
    """One hand-out of a task to a worker."""

    worker: str | None  # its name; None: not known
    #: When its code started; None if it did not, or ran too short to be noticed.
    started: datetime | None
    run: timedelta | None  # how long its code ran, or runs by now
    error: str | None  # the first 200 characters; None if it did not fail


class Progress(NamedTuple):
    """What a running task said last: the part that is done, 0 … 1, its words, and when (UTC)."""

    fraction: float
    text: str
    at: datetime


class Reason(NamedTuple):
    """One thing that holds a task: a word for programs, and a clause for people."""

    why: str
    text: str


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Everything that is known of a task. Times are UTC, by the cluster's clock."""

    id: str
    #: None: it ended before the cluster remembered names, or too many other names came since.
    name: str | None
    queue: str  # empty if it was deleted since
    status: Status
    #: The last one is the one that runs, or that had the outcome. Of those before it at most 20 are
    #: kept: those that failed or were lost. One that was handed back, or asked to go on in another
    #: attempt (`Resume`), is not told of once it is over.
    attempts: Sequence[Attempt]
    #: When it was enqueued; None if only a client's own choice of an id tells nothing of it.
    enqueued: datetime | None
    tags: Mapping[str, str]
    key: str | None
    priority: int | None  # None once it has ended
    tenant: str | None
    due: datetime | None  # when it may be handed out (again), while it waits for that
    ended: datetime | None
    hand_outs: int  # so far, also those that began nothing
    failures: int  # before its last attempt
    losses: int
    #: All that holds it; empty unless it waits, or runs and is asked to end (`Run.cancel`).
    waits: Sequence[Reason]
    #: None unless it runs and has said how far it is; in no list.
    progress: Progress | None
    #: Of all tasks, in the order in which they came in: where a page begins.
    number: int
    #: Where it comes from and what it made, by id; in no list.
    lineage: Lineage = NO_LINEAGE


@dataclass(frozen=True, slots=True)
class Report:
    """A task with its contents, which may have a mebibyte."""

    info: RunInfo
    args: list[Any] | None  # None once it has ended
    kwargs: dict[str, Any] | None
    value: object  # None unless it succeeded, and its value is kept
    error: str | None  # with its traceback
    log: str  # the last lines that it logged before it failed; empty if nothing is kept
    checkpoint: object  # that its next attempt finds; None if there is none


class FilterFields(TypedDict, total=False):
    """Which tasks: all that is given must hold. None is anything."""

    state: str | None
    name: str | None  # a glob
    queue: str | None
    tag: tuple[str, str] | None
    since: "Duration | None"
    worker: str | None  # that has it, or had it last
    error: str | None  # a part of the beginning of its error, in whatever case


class SearchFields(FilterFields, total=False):
    """Which of them, and how long to look."""

    limit: int
    before: int | None
    budget: "Duration | None"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which tasks are meant. Raises TypeError, ValueError."""

    state: State = State.UNKNOWN
    name: str = ""
    queue: str = ""
    tag: Sequence[str] = ()
    since: timedelta | None = None
    worker: str = ""
    error: str = ""

    @classmethod
    def of(cls, asked: FilterFields) -> "Filter":
        """As a caller gives it; None is anything."""
        state, name, queue = asked.get("state"), asked.get("name"), asked.get("queue")
        tag, since = asked.get("tag"), asked.get("since")
        worker, error = asked.get("worker"), asked.get("error")
        return cls(
            State.UNKNOWN if state is None else State[_status(state).name],
            "" if name is None else label("name", name, NAME_MAX),
            "" if queue is None else queue_name(queue),
            () if tag is None else checked_tag(*tag),
            None if since is None else timedelta(seconds=seconds("since", since)),
            "" if worker is None else label("worker", worker, NAME_MAX),
            "" if error is None else label("error", error, NAME_MAX),
        )


class Found(list[RunInfo]):
    """Tasks that were found, and how far that goes."""

    #: How many were looked at, and how it stood with them: leader time (UTC).
    scanned: int = 0
    as_of: datetime | None = None
    #: There may be more: where to go on. None: that was all, or all that was asked for.
    before: int | None = None

    def take(self, page: TaskPage) -> None:
        """The next page."""
        self += map(summary, page.tasks)
        self.scanned += page.scanned
        self.before, self.as_of = page.before or None, time(page.as_of)


def pages(
    app: "Caller", found: Found, **asked_for: Unpack[SearchFields]
) -> Iterator[Reply[TaskPage]]:
    """Requests, one after the other, until there are `limit` tasks, no more, or no time is left.

    Each reply must have come before the next one is asked for; then it is in `found`. Raises
    TypeError, ValueError.
    """
    if unknown := asked_for.keys() - SearchFields.__optional_keys__:
        raise TypeError(f"tasks are not looked for by {', '.join(sorted(unknown))}")
    limit, before = asked_for.get("limit", 100), asked_for.get("before")
    budget = asked_for.get("budget")
    wanted = Filter.of(asked_for)
    until = None if budget is None else monotonic() + seconds("budget", budget)
    left, at = _limit(limit), INT_MAX if before is None else before
    since = 0
    if wanted.since is not None:
        since = max(1, int((datetime.now(UTC) - wanted.since).timestamp() * 1000))
    while left > 0 and at > 0:
        asked = ListTasks(
            *(0, at, min(left, PAGE_MAX), wanted.state),
            *(wanted.name, wanted.queue),
            list(wanted.tag),
            since,
            *(wanted.worker, wanted.error),
        )
        reply = app.call(asked, TaskPage)
        yield reply
        page = reply.result(0)
        found.take(page)
        left, at = left - len(page.tasks), page.before
        if until is not None and monotonic() >= until:
            break


def info(shown: TaskShown) -> RunInfo:
    """As the leader told it."""
    failed = [
        Attempt(
            told.worker or None,
            time(told.ended - told.run_ms) if told.run_ms else None,
            timedelta(milliseconds=told.run_ms) if told.run_ms else None,
            told.error,
        )
        for told in shown.attempts
    ]
    waits = [Reason(*reason) for reason in shown.waits]
    told = summary(shown.task, failed, dict(shown.tags), waits)
    said = progress(shown.progress) if shown.progress else None
    return replace(told, progress=said, lineage=shown.lineage or NO_LINEAGE)


def summary(
    task: TaskFacts,
    failed: Sequence[Attempt] = (),
    tags: Mapping[str, str] = MappingProxyType({}),
    waits: Sequence[Reason] = (),
) -> RunInfo:
    """Of a page; there are no earlier attempts, tags and reasons in it."""
    status = Status[task.state.name]
    last = []
    if task.worker or task.started:
        run = timedelta(milliseconds=task.run_ms) if task.run_ms else None
        last = [Attempt(task.worker or None, time(task.started), run, task.error or None)]
    return RunInfo(
        id=task.id,
        name=task.name or None,
        queue=task.queue,
        status=status,
        attempts=[*failed, *last],
        enqueued=time(task.enqueued),
        tags=tags,
        key=task.key or None,
        priority=None if task.priority is None else task.priority - PRIORITY_USUAL,
        tenant=task.tenant or None,
        due=time(task.due),
        ended=time(task.ended),
        hand_outs=task.attempts,
        failures=task.failures,
        losses=task.losses,
        waits=waits,
        progress=None,
        number=task.number,
    )


def report(shown: TaskShown, codec: "Codec | None") -> Report:
    """With the contents, which were asked for."""
    told, state, task = info(shown), shown.task.state, shown.task
    if state is State.SUCCEEDED:
        value = None
        if not shown.forgotten:
            value = unpack_value(
                sealed_requests.value(codec, shown.body, task.id, flow=not task.queue)
            )
        return Report(told, None, None, value, None, "", None)
    if state.final:
        failure = decode_failure(shown.body) if shown.body else None
        if failure:
            failure = open_failure(codec, failure, task.id, marks_of(task.id))
        error = shown.task.error or None  # its arguments are another one's
        if failure:
            error = failure.traceback or f"{failure.type}: {failure.message}"
        return Report(told, None, None, None, error, failure.log if failure else "", None)
    left = None
    if shown.checkpoint is not None:
        left = unpack(sealed_requests.checkpoint(codec, shown.checkpoint, task.id))
    bound = (task.id, task.name, task.queue)
    match without_references(unpack_value(sealed_requests.arguments(codec, shown.body, *bound))):
        case [list(args), dict(kwargs), *_]:
            return Report(told, args, kwargs, None, None, "", left)
    return Report(told, None, None, None, None, "", left)  # another kind of client's


def progress(told: "Said | ProgressTold") -> Progress | None:
    """None where nothing was said."""
    at = time(told.at)
    return None if at is None else Progress(told.fraction, told.text, at)


def time(leader_time: int) -> datetime | None:
    """None for 0."""
    return utc(leader_time) if leader_time else None


def _status(word: str) -> Status:
    try:
        return Status(word)
    except ValueError:
        known = ", ".join(Status)
        raise ValueError(f"state must be one of {known}, got {word!r}") from None


def _limit(limit: int) -> int:
    if type(limit) is not int or limit < 1:
        raise ValueError(f"limit must be an int, 1 or more, got {limit!r}")
    return limit
