"""What running tasks log, as it comes, for whoever follows one of them.

1. Lines are no state: they stand in no log of the brokers, and go with the attempt. Who follows a
   task asks its leader, the leader its worker, and the worker tells what there is in the session
   that there is: no port of a worker is opened to anybody.
2. Nobody pays for what nobody reads. A worker tells of a task for LEASE_MS after it was asked; a
   leader asks again while somebody reads.
3. All of it is bounded and dropped first: so many lines of an attempt are kept, so many tasks
   followed, ten answers a second. Who was too slow is told that lines are missing.
4. Lines are contents of the task, as its arguments are: the same keys may read them, and a worker
   whose App has a codec sends them sealed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.errors import UnknownTask
from raftwork.features.progress import Said
from raftwork.features.task_batch import check_level
from raftwork.messages import State
from raftwork.messages.bounds import Between, Id
from raftwork.messages.registry import reply, request, to_broker, to_worker

if TYPE_CHECKING:
    from collections.abc import Generator

    from raftwork.broker.requests.view import View
    from raftwork.broker.workers.live_logs import LiveLog
    from raftwork.features.feature import Feature

#: A worker tells of a task for so long after it was asked to.
LEASE_MS: Final = 5_000
#: Of one attempt, where it is kept: the newest.
LINES_MAX: Final = 200
LINES_BYTES_MAX: Final = 64 * 1024
#: Of one line: its text, and what sealing adds.
LINE_BYTES_MAX: Final = 1024
SEALED_BYTES_MAX: Final = LINE_BYTES_MAX + 256
#: Of what is said about a log that cannot be told.
WHY_MAX: Final = 200
#: A reader that has all there is waits so long for more to come together, and at most so long.
GATHER_MS: Final = 100
WAIT_MAX_MS: Final = 10_000
#: Between two looks at a task that does not run.
_LOOK_MS: Final = 250


class Tail(NamedTuple):
    """Of the attempt under `token`, the lines behind number `after`."""

    token: int
    after: int


class ToldLine(NamedTuple):
    """One line: how old it is (ms), and its text in UTF-8, or sealed."""

    age: int
    data: bytes
    sealed: bool


class LoggedLine(NamedTuple):
    """One line: when, in leader time (ms), and its text in UTF-8, or sealed."""

    at: int
    data: bytes
    sealed: bool


@to_worker(220)
class FollowLogs(NamedTuple):
    """Tell what these log, until LEASE_MS from now."""

    epoch: int
    session: int
    tails: list[Tail]


@to_broker.register(221)
class TellLog(NamedTuple):
    """The next lines of an attempt behind number `after`; or why there are none.

    Numbers only grow, by one from line to line; where `after` is above the last one that was told
    before, lines are missing. The answer to FollowLogs comes at once, also without a line.
    """

    session: int
    token: int
    after: int
    lines: list[ToldLine]
    why: str = ""


@reply(222)
class LogRead(NamedTuple):
    """The next lines of an attempt, up to number `after`.

    `token` is 0 of a task that has not begun, or whose attempt nobody followed. Times are leader
    time in ms; 0 is what is not known.
    """

    request: int
    state: State  # of the task
    token: int
    attempt: int
    worker: str
    started: int
    progress: Said | None
    after: int
    lines: list[LoggedLine]
    gap: bool  # lines before these are not kept
    heard: bool  # the worker has answered
    why: str  # there are no lines


@request(222, reply=LogRead)
class ReadLog(NamedTuple):
    """The lines of this task behind number `after` of the attempt under `token`.

    With another attempt running, or `token` 0, from its first line that is kept. It waits until
    there is a line, or the task's state is another one.
    """

    request: int
    id: Id
    token: int
    after: int
    wait_ms: Annotated[int, Between(0, WAIT_MAX_MS)]
    state: State = State.UNKNOWN  # of which the reader knows


# ---- on the leader ------------------------------------------------------------------------------


def _poll(view: View, asked: ReadLog) -> Generator[None, None, LogRead]:
    """Look once, and again when something may have happened. See rules 2 and 3."""
    check_level(view.state, "a live log needs")
    numbers = view.state.numbers([asked.id])
    if not numbers:
        raise UnknownTask(f"no task has the id {asked.id!r}, or it is no longer remembered")
    began, until = view.time, view.time + asked.wait_ms
    while True:
        log, state = _look(view, asked, numbers[0])
        if _goes_on(log, asked):
            while view.time < min(began + GATHER_MS, until):  # what comes until then goes with it
                yield
            break
        if view.time >= until or _is_over(log, state, asked):
            break
        seen, look_at = _sign(view, numbers[0], log), min(until, view.time + _LOOK_MS)
        while view.time < look_at and _sign(view, numbers[0], log) == seen:
            yield
    return _read(view, asked, log, state)


def _look(view: View, asked: ReadLog, number: int) -> tuple[LiveLog | None, State]:
    """What there is for it to read, and the state of the task of this number.

    An attempt that is over is read to its end before the next one is.
    """
    logs = view.workers.inspection.logs
    log, token = logs.find(asked.token), view.state.running_seqs.get(number, 0)
    state = State.RUNNING if token else view.machine.states([asked.id])[0]
    if token and (log is None or log.token == token or log.last <= asked.after):
        after = asked.after if token == asked.token else 0
        log = logs.follow(token, after, view.time)
    return log, state


def _goes_on(log: LiveLog | None, asked: ReadLog) -> bool:
    """Whether there are lines for it, or an attempt of which it does not know."""
    if log is None or log.token != asked.token:
        return log is not None and log.heard
    return log.last > asked.after


def _is_over(log: LiveLog | None, state: State, asked: ReadLog) -> bool:
    """Whether there is nothing to wait for, or the task's state is another one."""
    if state is State.RUNNING:
        return log is not None and bool(log.why)
    return state.final or state is not asked.state


def _sign(view: View, number: int, log: LiveLog | None) -> object:
    """Is another one when something has happened that its reader waits for. Reads no table."""
    token = view.state.running_seqs.get(number, 0)
    return token, log and (log.last, log.heard)


def _read(view: View, asked: ReadLog, log: LiveLog | None, state: State) -> LogRead:
    if log is None:
        return LogRead(
            asked.request,
            state,
            token=0,
            attempt=0,
            worker="",
            started=0,
            progress=None,
            after=asked.after,
            lines=[],
            gap=False,
            heard=False,
            why="",
        )
    lines, gap = log.since(asked.after if log.token == asked.token else 0)
    worker, age = view.workers.inspection.held(log.token)
    started = 0 if age is None else max(1, view.time - age)
    progress = view.workers.inspection.progress(asked.id) if worker else None
    return LogRead(
        *(asked.request, state, log.token, log.attempt, log.worker, started, progress),
        *(log.last, lines, gap, log.heard, log.why),
    )


def feature() -> Feature:
    """See the package."""
    from raftwork.features.feature import Budget, Feature, wait

    return Feature(
        "live logs",
        rules=[wait(ReadLog, _poll, each_turn=False)],
        budget=Budget(requests=200, bytes=1024 * 1024),
    )
